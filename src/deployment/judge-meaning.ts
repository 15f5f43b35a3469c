import { isIP } from 'node:net';
import { judgeAuth } from './judge-auth.ts';
import type { HttpUpstream } from './http-upstream-schema.ts';
import { canonicalName, isCertificateName } from './host-name.ts';
import { isLoopback, parseListenAddress, type ListenAddress } from './listen-address.ts';
import {
  judgeArgument,
  judgeCaFile,
  judgeFilePath,
  judgeNul,
  judgeReferences,
  ownHeaders,
  type MeaningProblem,
} from './judge-texts.ts';
import { judgeAcme } from './judge-acme.ts';
import { judgeAddressBlocks, judgeAddressForms, type NamedAddress } from './judge-addresses.ts';
import { judgeLimits } from './judge-limits.ts';
import { judgeProxy } from './judge-proxy.ts';
import { judgeTools } from './judge-tools.ts';
import { defaultMaxInstances, type StdioUpstream } from './stdio-upstream-schema.ts';
import type { Deployment, Upstream } from './schema.ts';
import { quoted } from './shape-sentences.ts';
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

function judgeCacheStore(deployment: Deployment): MeaningProblem[] {
  const { cache } = deployment.server;
  if (cache === 'off' || cache.store === 'memory' || hasRedis(deployment)) return [];
  return [
    {
      path: ['server', 'cache', 'store'],
      message: 'says redis, but no Redis is named',
      hint: 'add redis: { url: redis://127.0.0.1:6379 }, or write memory',
    },
  ];
}

/** Named, or one beside the containers that are applied. */
function hasRedis({ redis, container, service }: Deployment): boolean {
  return redis !== 'off' || (container.redis && (service.manager === 'docker' || service.manager === 'swarm'));
}

function judgeSessionStore(deployment: Deployment): MeaningProblem[] {
  const { server } = deployment;
  if (server.sessions.store === 'memory') return [];
  const path = ['server', 'sessions', 'store'];
  if (!hasRedis(deployment)) {
    const hint = 'add redis: { url: redis://127.0.0.1:6379 }, or write memory';
    return [{ path, message: 'says redis, but no Redis is named', hint }];
  }
  const own = Object.entries(server.upstreams).filter(
    ([, each]) => 'command' in each && each.instances === 'per-session',
  );
  return own.map(([name]) => ({
    path: ['server', 'upstreams', name, 'instances'],
    message: 'a process of one session cannot be handed to another server, which server.sessions.store: redis asks for',
    hint: 'write instances: shared, or server.sessions.store: memory',
  }));
}

const otherPages: readonly string[] = ['/livez', '/readyz', '/status', '/metrics', '/register'];

function judgeHealthPath({ server }: Deployment): MeaningProblem[] {
  const { path } = server.health;
  const taken = [server.path, ...server.aliases, ...otherPages].includes(path);
  if (!taken) return [];
  return [
    {
      path: ['server', 'health', 'path'],
      message: `is taken: ${path} answers something else`,
      hint: 'choose another, like /healthz',
    },
  ];
}

function overlaps(one: SettingPath, other: SettingPath): boolean {
  return one.slice(0, other.length).every((part, index) => part === other[index]);
}

function listenEntries({ server }: Deployment): readonly NamedAddress[] {
  return [server.listen].flat().map((text, index) => ({
    path: Array.isArray(server.listen) ? ['server', 'listen', index] : ['server', 'listen'],
    text,
    address: parseListenAddress(text),
  }));
}

function judgeListenForms(deployment: Deployment): MeaningProblem[] {
  return judgeAddressForms(listenEntries(deployment));
}

/** Addresses for pages alone: no TLS there and no keys, so what is secret stays on this machine. */
function judgePageListeners(deployment: Deployment): MeaningProblem[] {
  const { server } = deployment;
  const entries = (['metricsListen', 'statusListen', 'healthListen'] as const).flatMap((name): NamedAddress[] => {
    const text = server[name];
    return text === undefined ? [] : [{ path: ['server', name], text, address: parseListenAddress(text) }];
  });
  const problems = judgeAddressForms(entries);
  const isOpen = (name: string): NamedAddress | undefined =>
    entries.find(({ path, address }) => path[1] === name && !isLoopback(address));
  const status = isOpen('statusListen');
  if (status !== undefined) {
    const message = `opens ${quoted(status.text)} to other machines`;
    problems.push({
      path: status.path,
      message,
      hint: 'write an address of this machine; others ask /status with a key',
    });
  }
  const metrics = isOpen('metricsListen');
  if (metrics !== undefined && server.metricsFrom.every((entry) => entry === 'loopback' || entry === 'unix')) {
    const message = 'listens to other machines, but server.metricsFrom names none that may read';
    problems.push({ path: metrics.path, message, hint: 'list the networks of those who read in server.metricsFrom' });
  }
  for (const { path, address } of entries) {
    const taken = listenEntries(deployment).find((other) => sharesSocket(other.address, address));
    if (taken === undefined) continue;
    const message = `asks for the same port as ${quoted(taken.text)}, where the endpoint is`;
    problems.push({ path, message, hint: 'take another port, or leave it out: the endpoint answers pages too' });
  }
  for (const [index, { path, text, address }] of entries.entries()) {
    const taken = entries.slice(0, index).find((other) => other.text !== text && sharesSocket(other.address, address));
    if (taken === undefined) continue;
    const message = `asks for the same port as ${quoted(taken.text)}`;
    problems.push({ path, message, hint: 'write both alike, or take another port' });
  }
  return problems;
}

function judgeListenOverlap(deployment: Deployment): MeaningProblem[] {
  const entries = listenEntries(deployment);
  return entries.flatMap(({ path, address }, index): MeaningProblem[] => {
    const earlier = entries.slice(0, index).find((other) => sharesSocket(other.address, address));
    if (earlier === undefined) return [];
    return [{ path, message: `asks for the same port as ${quoted(earlier.text)}`, hint: 'keep one of the two' }];
  });
}

function sharesSocket(one: ListenAddress, other: ListenAddress): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') {
    return one.kind === 'unix' && other.kind === 'unix' && one.path === other.path;
  }
  if (one.port !== other.port) return false;
  if (one.host === '' || other.host === '') return true;
  const addresses = (host: string): string[] => (host === 'localhost' ? ['127.0.0.1', '::1'] : [canonicalName(host)]);
  return addresses(one.host).some((address) => addresses(other.host).includes(address));
}

function judgeOpenWithoutKeys(deployment: Deployment): MeaningProblem[] {
  if (deployment.auth.required) return [];
  return listenEntries(deployment)
    .filter(({ address }) => !isLoopback(address))
    .map(({ path, text }) => ({
      path,
      message: `opens ${quoted(text)} to other machines without keys`,
      hint: 'set auth.required: true, or listen on localhost',
    }));
}

function judgeOpenWithoutTls(deployment: Deployment): MeaningProblem[] {
  if (deployment.tls.source !== 'off' || deployment.server.behindProxy) return [];
  return listenEntries(deployment)
    .filter(({ address }) => !isLoopback(address))
    .map(({ path, text }) => ({
      path,
      message: `opens ${quoted(text)} to other machines without TLS`,
      hint: 'set tls.source: private-ca, or server.behindProxy: true when a proxy in front ends TLS',
    }));
}

/** Paths that the server answers itself. */
const reservedPaths = ['/livez', '/readyz', '/health', '/status', '/metrics', '/.well-known', '/register'];

function judgePath(path: SettingPath, text: string): MeaningProblem[] {
  const parts = text.split('/').slice(1);
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    return [{ path, message: 'must not have empty parts, "." or ".."', hint: 'for example: /mcp' }];
  }
  const reserved = reservedPaths.find((taken) => text === taken || text.startsWith(`${taken}/`));
  if (reserved === undefined) return [];
  return [{ path, message: `cannot be under ${reserved}: the server answers there itself`, hint: 'for example: /mcp' }];
}

function judgeFurtherPaths({ server }: Deployment): MeaningProblem[] {
  const { legacySse } = server;
  const named: { readonly path: SettingPath; readonly text: string }[] = server.aliases.map((text, index) => ({
    path: ['server', 'aliases', index],
    text,
  }));
  if (legacySse !== 'off') {
    named.push({ path: ['server', 'legacySse', 'sse'], text: legacySse.sse });
    // An alias may have this path too: what names a stream's session goes to the stream, the rest is answered at once.
    if (!server.aliases.includes(legacySse.messages)) {
      named.push({ path: ['server', 'legacySse', 'messages'], text: legacySse.messages });
    }
  }
  const { toolPath } = server;
  const below = [server.path, ...named.map(({ text }) => text)].find((text) => text.startsWith(`${toolPath}/`));
  if (below !== undefined) {
    const message = `has ${below} below it, where a tool of that name would be`;
    return [{ path: ['server', 'toolPath'], message, hint: 'take another path, for example: /tools' }];
  }
  if (toolPath !== 'off') named.push({ path: ['server', 'toolPath'], text: toolPath });
  return named.flatMap(({ path, text }, index): MeaningProblem[] => {
    const taken = text === server.path || named.slice(0, index).some((other) => other.text === text);
    if (!taken) return judgePath(path, text);
    return [{ path, message: `repeats the path ${quoted(text)}`, hint: 'give every path one meaning' }];
  });
}

function judgePublicUrl({ server }: Deployment): MeaningProblem[] {
  if (server.publicUrl === undefined) return [];
  const path = ['server', 'publicUrl'];
  const url = new URL(server.publicUrl);
  if (url.username !== '' || url.password !== '') {
    return [{ path, message: 'must not hold a user name or a password', hint: 'keys are sent in a header' }];
  }
  if (url.search !== '' || url.hash !== '') {
    return [
      { path, message: 'must not have a query or a fragment', hint: `for example: ${url.origin}${url.pathname}` },
    ];
  }
  if (url.pathname === server.path) return [];
  const message = `has the path ${url.pathname}, but server.path is ${server.path}`;
  return [{ path, message, hint: `write ${url.origin}${server.path}, or change server.path` }];
}

function judgeAllowedHosts({ server }: Deployment): MeaningProblem[] {
  return server.allowedHosts.flatMap((text, index): MeaningProblem[] => {
    const host = text.replace(/:[0-9]{1,5}$/, '').replace(/^\[(.*)\]$/, '$1');
    if (isCertificateName(host) || isIP(text) !== 0) return [];
    const hint = 'a name or address as clients write it, for example: mcp.example.com or *.example.com';
    return [{ path: ['server', 'allowedHosts', index], message: `cannot be ${quoted(text)}`, hint }];
  });
}

function judgeAllowedOrigins({ server, auth }: Deployment): MeaningProblem[] {
  return server.allowedOrigins.flatMap((text, index): MeaningProblem[] => {
    const path = ['server', 'allowedOrigins', index];
    if (text === '*') {
      if (auth.required) return [];
      const message = 'cannot be "*" without keys: any web page could call';
      return [{ path, message, hint: 'list the origins, one by one, or set auth.required: true' }];
    }
    const url = URL.canParse(text) ? new URL(text) : null;
    if (url !== null && url.origin === text) return [];
    // Desktop apps have schemes of their own, of which URL knows no origin.
    if (url?.origin === 'null' && /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(text)) return [];
    const example = url === null || url.origin === 'null' ? 'https://app.example.com' : url.origin;
    const hint = `scheme, host and port only, for example: ${example}`;
    return [{ path, message: `is not an origin: ${quoted(text)}`, hint }];
  });
}

function judgeTrustedProxies({ server }: Deployment): MeaningProblem[] {
  const problems = judgeAddressBlocks(['server', 'trustedProxies'], server.trustedProxies);
  for (const [index, text] of server.trustedProxies.entries()) {
    if (!/\/0+$/.test(text)) continue;
    const hint = 'name the proxies: anyone could claim any client address';
    problems.push({
      path: ['server', 'trustedProxies', index],
      message: `trusts every address: ${quoted(text)}`,
      hint,
    });
  }
  return problems;
}

/** The same rule as at the start of the server. */
function judgeMetricsForAll({ server }: Deployment): MeaningProblem[] {
  if (!server.metrics) return [];
  return server.metricsFrom.flatMap((text, index): MeaningProblem[] => {
    if (!/\/0+$/.test(text)) return [];
    const hint = 'name the networks of those who read them, or let them send a key';
    return [
      { path: ['server', 'metricsFrom', index], message: `gives the metrics to everyone: ${quoted(text)}`, hint },
    ];
  });
}

function judgeAddressLists({ server }: Deployment): MeaningProblem[] {
  const { allowFrom, denyFrom, metricsFrom, healthFrom } = server;
  return Object.entries({
    allowFrom,
    denyFrom,
    metricsFrom,
    healthFrom: healthFrom === 'everyone' ? [] : healthFrom,
  }).flatMap(([name, entries]) => judgeAddressBlocks(['server', name], entries));
}

/** A call that one worker passes on to another comes without the client's certificate. */
function judgeWorkersWithMtls({ server, auth }: Deployment): MeaningProblem[] {
  if (auth.mtls === undefined || server.workers === 1) return [];
  const hint = 'leave it at 1, or let a proxy in front ask for certificates';
  return [{ path: ['server', 'workers'], message: 'does not go with auth.mtls', hint }];
}

/** Whoever connects could say that it is somebody else. */
function judgeProxyProtocol({ server }: Deployment): MeaningProblem[] {
  if (server.proxyProtocol === 'off' || server.trustedProxies.length > 0) return [];
  const hint = 'name the proxy that sends the header in server.trustedProxies, for example: loopback';
  return [{ path: ['server', 'proxyProtocol'], message: 'needs a proxy that is trusted', hint }];
}

function judgeUpstreams({ server }: Deployment): MeaningProblem[] {
  return Object.entries(server.upstreams).flatMap(([name, upstream]) => {
    const base = ['server', 'upstreams', name];
    if (name === 'tools' && Object.keys(server.tools).length > 0) {
      return [{ path: base, at: 'key' as const, message: 'is the name of server.tools', hint: 'give it another name' }];
    }
    if ('url' in upstream) return [...judgeToolSeconds(base, upstream), ...judgeHttpUpstream(base, upstream)];
    const problems = [
      ...judgeToolSeconds(base, upstream),
      ...judgeInstances(base, upstream),
      ...judgeArgument([...base, 'command'], upstream.command),
      ...upstream.args.flatMap((text, index) => judgeArgument([...base, 'args', index], text)),
      ...Object.entries(upstream.env).flatMap(([key, text]) => {
        const path = [...base, 'env', key];
        return [...judgeNul(path, text), ...judgeReferences(path, text)];
      }),
    ];
    if (upstream.cwd === undefined) return problems;
    return [...problems, ...judgeFilePath([...base, 'cwd'], upstream.cwd)];
  });
}

function judgeToolSeconds(base: SettingPath, { toolSeconds = {}, callSeconds }: Upstream): MeaningProblem[] {
  const longer = Object.entries(toolSeconds).filter(([, seconds]) => seconds > callSeconds);
  return longer.map(([tool]) => ({
    path: [...base, 'toolSeconds', tool],
    message: `must not be more than callSeconds, which is ${callSeconds}`,
    hint: 'raise callSeconds, and give the other tools less here',
  }));
}

function judgeHttpUpstream(base: SettingPath, upstream: HttpUpstream): MeaningProblem[] {
  const problems: MeaningProblem[] = [];
  const url = new URL(upstream.url);
  if (url.username !== '' || url.password !== '') {
    const message = 'must not hold a user name or a password';
    problems.push({ path: [...base, 'url'], message, hint: 'write them into headers: Authorization' });
  }
  if (url.hash !== '') problems.push({ path: [...base, 'url'], message: 'must not have a fragment (#)' });
  for (const [header, text] of Object.entries(upstream.headers)) {
    const path = [...base, 'headers', header];
    if (ownHeaders.has(header.toLowerCase())) {
      problems.push({ path, at: 'key', message: 'is set by the server itself', hint: 'leave it out' });
    }
    if (/[\0\r\n]/.test(text)) problems.push({ path, message: 'must be one line' });
    problems.push(...judgeReferences(path, text));
  }
  return [...problems, ...judgeCaFile([...base, 'caFile'], upstream.caFile, url)];
}

function judgeInstances(
  base: SettingPath,
  { instances, warm = 0, maxInstances = defaultMaxInstances }: StdioUpstream,
): MeaningProblem[] {
  if (warm > 0 && instances === 'shared') {
    const message = 'is of no use while all clients share one process';
    return [{ path: [...base, 'warm'], at: 'key', message, hint: 'write instances: per-session, or leave it out' }];
  }
  if (warm <= maxInstances) return [];
  return [{ path: [...base, 'warm'], message: `is more than maxInstances (${maxInstances})` }];
}

function judgeTls({ tls }: Deployment): MeaningProblem[] {
  if (tls.source === 'files') {
    return [...judgeFilePath(['tls', 'certificate'], tls.certificate), ...judgeFilePath(['tls', 'key'], tls.key)];
  }
  if (tls.source === 'off' || tls.names === undefined) return [];
  return [...(tls.source === 'acme' ? judgeAcme(tls) : []), ...judgeNames(tls.names)];
}

function judgeNames(names: readonly string[]): MeaningProblem[] {
  return names.flatMap((name, index): MeaningProblem[] => {
    const path = ['tls', 'names', index];
    if (!isCertificateName(name)) {
      const hint = /[^\x20-\x7e]/.test(name)
        ? `write it as ${asciiName(name)}`
        : 'a DNS name or an IP address alone, for example: mcp.example.com';
      return [{ path, message: `cannot be the name of a certificate: ${quoted(name)}`, hint }];
    }
    const first = names.findIndex((other) => canonicalName(other) === canonicalName(name));
    return first === index ? [] : [{ path, message: `repeats ${quoted(names[first])}`, hint: 'keep one of the two' }];
  });
}

function asciiName(name: string): string {
  return URL.canParse(`http://${name}/`) ? new URL(`http://${name}/`).hostname : 'its xn-- form';
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
