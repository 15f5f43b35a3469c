import { judgeAuth } from './judge-auth.ts';
import {
  judgeAddressLists,
  judgeAllowedHosts,
  judgeAllowedOrigins,
  judgeMetricsForAll,
  judgeProxyProtocol,
  judgeTrustedProxies,
} from './judge-callers.ts';
import { judgeLimits } from './judge-limits.ts';
import {
  judgeListenForms,
  judgeListenOverlap,
  judgeOpenWithoutKeys,
  judgeOpenWithoutTls,
  judgePageListeners,
} from './judge-listen.ts';
import { judgeFurtherPaths, judgeHealthPath, judgePath, judgePublicUrl } from './judge-paths.ts';
import { judgeProxy } from './judge-proxy.ts';
import { judgeCacheStore, judgeSessionStore } from './judge-stores.ts';
import { judgeFilePath, type MeaningProblem } from './judge-texts.ts';
import { judgeTls } from './judge-tls.ts';
import { judgeTools } from './judge-tools.ts';
import { judgeUpstreams } from './judge-upstreams.ts';
import type { Deployment } from './schema.ts';
import type { SettingPath } from './setting-path.ts';

/**
 * What the shapes alone cannot tell: settings that contradict each other, open
 * the endpoint unsafely, or hold a name, address or port that does not exist.
 * A rule that reads a setting listed in `wrongPaths` is left out: its value there is not the user's.
 */
export function judgeMeaning(deployment: Deployment, wrongPaths: readonly SettingPath[]): readonly MeaningProblem[] {
  return rules
    .filter(({ reads }) => !reads.some((setting) => wrongPaths.some((path) => overlaps(setting.split('.'), path))))
    .flatMap(({ judge }) => judge(deployment));
}

interface Rule {
  /** Settings the rule depends on, as dotted paths. */
  readonly reads: readonly string[];
  readonly judge: (deployment: Deployment) => readonly MeaningProblem[];
}

const rules: readonly Rule[] = [
  { reads: ['server.listen'], judge: judgeListenForms },
  { reads: ['server.listen'], judge: judgeListenOverlap },
  { reads: ['server.listen', 'auth.required'], judge: judgeOpenWithoutKeys },
  { reads: ['server.listen', 'server.behindProxy', 'tls'], judge: judgeOpenWithoutTls },
  {
    reads: [
      'server.metricsListen',
      'server.statusListen',
      'server.healthListen',
      'server.listen',
      'server.metricsFrom',
    ],
    judge: judgePageListeners,
  },
  { reads: ['server.path'], judge: ({ server }) => judgePath(['server', 'path'], server.path) },
  { reads: ['server.path', 'server.aliases', 'server.legacySse', 'server.toolPath'], judge: judgeFurtherPaths },
  { reads: ['server.health', 'server.path', 'server.aliases'], judge: judgeHealthPath },
  { reads: ['server.publicUrl', 'server.path'], judge: judgePublicUrl },
  { reads: ['server.allowedHosts'], judge: judgeAllowedHosts },
  { reads: ['server.metrics', 'server.metricsFrom'], judge: judgeMetricsForAll },
  { reads: ['server.allowedOrigins', 'auth.required'], judge: judgeAllowedOrigins },
  { reads: ['server.trustedProxies'], judge: judgeTrustedProxies },
  {
    reads: ['server.allowFrom', 'server.denyFrom', 'server.metricsFrom', 'server.healthFrom'],
    judge: judgeAddressLists,
  },
  { reads: ['server.proxyProtocol', 'server.trustedProxies'], judge: judgeProxyProtocol },
  { reads: ['server.workers', 'auth.mtls'], judge: judgeWorkersWithMtls },
  { reads: [], judge: judgeUpstreams },
  { reads: [], judge: judgeTools },
  { reads: ['auth', 'tls', 'server.publicUrl'], judge: judgeAuth },
  { reads: ['tls'], judge: judgeTls },
  { reads: ['backup'], judge: judgeBackup },
  { reads: ['limits'], judge: judgeLimits },
  {
    reads: ['redis'],
    judge: ({ redis }) =>
      redis === 'off' || redis.caFile === undefined ? [] : judgeFilePath(['redis', 'caFile'], redis.caFile),
  },
  { reads: ['server.cache', 'redis', 'container.redis', 'service.manager'], judge: judgeCacheStore },
  {
    reads: ['server.sessions', 'server.upstreams', 'redis', 'container.redis', 'service.manager'],
    judge: judgeSessionStore,
  },
  { reads: ['proxy'], judge: judgeProxy },
  { reads: ['logs.audit'], judge: ({ logs }) => judgeFilePath(['logs', 'audit'], logs.audit) },
  {
    reads: ['logs.file'],
    judge: ({ logs }) => (logs.file === undefined ? [] : judgeFilePath(['logs', 'file'], logs.file)),
  },
  {
    reads: ['logs.auditKeyFile'],
    judge: ({ logs }) =>
      logs.auditKeyFile === undefined ? [] : judgeFilePath(['logs', 'auditKeyFile'], logs.auditKeyFile),
  },
];

function overlaps(one: SettingPath, other: SettingPath): boolean {
  return one.slice(0, other.length).every((part, index) => part === other[index]);
}

/** A call that one worker passes on to another comes without the client's certificate. */
function judgeWorkersWithMtls({ server, auth }: Deployment): MeaningProblem[] {
  if (auth.mtls === undefined || server.workers === 1) return [];
  const hint = 'leave it at 1, or let a proxy in front ask for certificates';
  return [{ path: ['server', 'workers'], message: 'does not go with auth.mtls', hint }];
}

/** A timer has nobody to ask. */
function judgeBackup({ backup }: Deployment): readonly MeaningProblem[] {
  if (backup.every === undefined || backup.recipients.length > 0 || backup.passphraseFile !== undefined) return [];
  return [
    {
      path: ['backup', 'every'],
      message: 'makes backups that nobody could open',
      hint: 'say who may: recipients: [age1…] (mcp-deploy backup key) or passphraseFile',
    },
  ];
}
