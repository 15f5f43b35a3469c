import type { DeploymentDraft } from '../../deployment/write-deployment.ts';
import type { Answers } from './answers.ts';
import { composeDraft, composeNext, hostDraft, kubernetesDraft, kubernetesNext } from './drafts.ts';
import type { Profile } from './profile.ts';

/** Deployments as production servers run: whole configurations of which only the name and the certificate are asked. */
export const productProfiles: readonly Profile[] = [
  {
    id: 'mac-desktop',
    title: 'Desktop of a Mac',
    about: 'A Mac that is driven by its clients: /message and /events for older ones, audit, 20 calls a second.',
    asks: ['listen', 'names'],
    needs: ['launchctl'],
    platform: 'darwin',
    publicName: 'none',
    renders: [],
    next: (_, folder) => [`mcp-deploy render prometheus grafana --out ${folder}`],
    draft: desktopDraft,
  },
  {
    id: 'team-keys',
    title: 'Service for teams, in Kubernetes',
    about:
      'Three pods behind an Ingress, a key for each team, sessions of five minutes, pages of other origins by list.',
    asks: ['serverName', 'image'],
    needs: [],
    publicName: 'needed',
    renders: ['docker', 'kubernetes'],
    next: kubernetesNext,
    draft: teamDraft,
  },
  {
    id: 'declared-tools',
    title: 'Tools from configuration, nginx',
    about: 'Tools that the file itself declares, cached and limited one by one, behind nginx on a Linux host.',
    asks: ['serverName', 'certificate', 'email', 'agreeTos', 'certificateFile', 'keyFile'],
    needs: ['nginx', 'systemctl'],
    asRoot: true,
    platform: 'linux',
    publicName: 'needed',
    renders: [],
    next: (_, folder) => [`mcp-deploy render firewall prometheus grafana --out ${folder}`],
    draft: toolsDraft,
  },
  {
    id: 'api-gateway',
    title: 'API gateway with Redis, Compose',
    about: 'x-api-key, 100 calls in 15 minutes for each address, a circuit breaker, limits shared through Redis.',
    asks: ['serverName', 'certificate', 'certificateFile', 'keyFile', 'image'],
    needs: ['docker'],
    publicName: 'needed',
    renders: ['docker'],
    next: composeNext,
    draft: gatewayDraft,
  },
  {
    id: 'terminal-daemon',
    title: 'Terminal tools as a Mac daemon',
    about: 'Started at boot, 50 sessions, commands that ask first and a list of those that never run, four ports.',
    asks: ['listen', 'names'],
    needs: ['launchctl'],
    platform: 'darwin',
    publicName: 'none',
    renders: [],
    next: (_, folder) => [`mcp-deploy render launchd-daemon prometheus grafana --out ${folder}`],
    draft: terminalDraft,
  },
];

function privateTls({ names }: Answers) {
  return { source: 'private-ca' as const, ...(names === null ? {} : { names }) };
}

function desktopDraft(answers: Answers): DeploymentDraft {
  return {
    server: {
      listen: answers.listen,
      // The paths that its clients know already; /mcp is for those that come new.
      path: '/message',
      aliases: ['/mcp'],
      legacySse: { sse: '/events', messages: '/events/message' },
      keepAliveSeconds: 30,
    },
    tls: { ...privateTls(answers), validDays: 365 },
    limits: { perKey: 'off', global: { requests: 20, windowSeconds: 1 } },
    logs: { audit: 'audit.jsonl' },
    service: { manager: 'launchd' },
  };
}

function teamDraft(answers: Answers): DeploymentDraft {
  const draft = kubernetesDraft(answers);
  return {
    ...draft,
    server: {
      ...draft.server,
      info: true,
      health: { form: 'text' },
      legacySse: { sse: '/mcp/sse', messages: '/mcp/messages' },
      sessions: { idleSeconds: 300, max: 500 },
      keepAliveSeconds: 30,
      cors: { allowHeaders: ['X-Session-ID'], exposeHeaders: ['X-Session-ID'], maxAgeSeconds: 86_400 },
    },
    limits: { streamsPerKey: 50 },
    container: { ...draft.container, replicas: 3 },
  };
}

function toolsDraft(answers: Answers): DeploymentDraft {
  const draft = hostDraft(answers, 'nginx');
  return {
    ...draft,
    server: {
      ...draft.server,
      metricsListen: '127.0.0.1:9090',
      health: { form: 'checks' },
      compression: 'auto',
      cache: { tools: { fetch_page: { ttlSeconds: 300 } } },
      tools: {
        fetch_page: {
          description: 'Fetches one page of this site by its path.',
          inputSchema: {
            type: 'object',
            properties: { path: { type: 'string', minLength: 1, maxLength: 200, pattern: '^[A-Za-z0-9._-]+$' } },
            required: ['path'],
            additionalProperties: false,
          },
          annotations: { readOnlyHint: true },
          http: { url: 'https://example.com/{{path}}' },
        },
      },
    },
    limits: {
      bodyBytes: 10_485_760,
      global: { requests: 6_000, windowSeconds: 60 },
      perTool: { fetch_page: { rate: { requests: 60, windowSeconds: 60 } } },
    },
    logs: {
      audit: `/var/log/mcp-deploy/${answers.name}/audit.jsonl`,
      rotate: { megabytes: 10, keep: 5 },
      auditRotate: { megabytes: 10, keep: 10 },
    },
    proxy: { ...draft.proxy, limit: { requestsPerSecond: 10, burst: 20 } },
    service: { ...draft.service, memoryMax: '2G' },
    backup: { keep: 30 },
  };
}

function gatewayDraft(answers: Answers): DeploymentDraft {
  const draft = composeDraft(answers);
  return {
    ...draft,
    limits: {
      perKey: 'off',
      perAddress: { requests: 100, windowMs: 900_000, form: 'fixed-window' },
      headers: 'separate',
    },
    container: { ...draft.container, redis: true },
  };
}

function terminalDraft(answers: Answers): DeploymentDraft {
  return {
    server: {
      listen: answers.listen,
      statusListen: '127.0.0.1:3457',
      healthListen: '127.0.0.1:3458',
      metricsListen: '127.0.0.1:3459',
      sessions: { idleSeconds: 3_600, max: 50 },
      safety: { deny: ['rm -rf*', 'sudo *', 'shutdown*', 'mkfs*', 'dd *'], approvalSeconds: 60 },
      builtinTools: 'on',
    },
    tls: privateTls(answers),
    logs: {
      audit: 'audit.jsonl',
      rotate: { megabytes: 100, keep: 10 },
    },
    backup: { keep: 30, keepDays: 30 },
  };
}
