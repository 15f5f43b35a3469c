import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { describeRisks } from '../../src/deployment/describe-risks.ts';
import { listenAddresses } from '../../src/deployment/listen-address.ts';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import { judgeStartup } from '../../src/server/startup-checks.ts';

const off = { tls: { source: 'off' } } as const;
const files = { tls: { source: 'files', certificate: 'c.pem', key: 'k.pem' } } as const;
const noKeys = { auth: { required: false } };

const startup = (given: Omit<DeploymentInput, 'version'>, key = 'c3f1d9e2b7a84056') => {
  const deployment = deploymentSchema.parse({ version: 1, ...given });
  return judgeStartup(deployment, listenAddresses(deployment.server), [{ label: 'k', key }], false);
};
const problems = (given: Omit<DeploymentInput, 'version'>) => {
  const parsed = parseDeployment(stringify({ version: 1, ...given }), { file: 'mcp-deploy.yaml' });
  return parsed.ok ? [] : parsed.problems.map(({ path }) => path);
};

describe('is refused when the file is read, for plan and up, and when the server starts, from wherever its settings come:', () => {
  test.each<[string, Omit<DeploymentInput, 'version'>, string, RegExp]>([
    [
      'beyond loopback without TLS or proxy',
      { ...off, server: { listen: '0.0.0.0:8443' } },
      'server.listen',
      /without TLS/,
    ],
    [
      'an IPv6 address without TLS',
      { ...off, server: { listen: '[2001:db8::1]:8443' } },
      'server.listen',
      /without TLS/,
    ],
    [
      'beyond loopback without keys',
      { ...files, ...noKeys, server: { listen: ':8443' } },
      'server.listen',
      /without keys/,
    ],
    [
      'one open address among others without keys',
      { ...files, ...noKeys, server: { listen: ['localhost:1', '10.0.0.1:2'] } },
      'server.listen[1]',
      /without keys/,
    ],
    [
      'behind a proxy without keys',
      { ...off, ...noKeys, server: { listen: ':8443', behindProxy: true } },
      'server.listen',
      /without keys/,
    ],
    [
      'pages of every origin without keys',
      { ...off, ...noKeys, server: { allowedOrigins: ['*'] } },
      'server.allowedOrigins[0]',
      /every origin/,
    ],
    [
      'metrics for the world',
      { ...off, server: { metricsFrom: ['loopback', '0.0.0.0/0'] } },
      'server.metricsFrom[1]',
      /0\.0\.0\.0\/0/,
    ],
    ['metrics for the world of IPv6', { ...off, server: { metricsFrom: ['::/0'] } }, 'server.metricsFrom[0]', /::\/0/],
    ['a status that others read', { ...off, server: { statusListen: ':3457' } }, 'server.statusListen', /status/],
  ])('%s', (_title, given, path, what) => {
    expect(problems(given)).toContain(path);
    expect(startup(given)?.what).toMatch(what);
    expect(startup(given)?.why).not.toBe('');
    expect(startup(given)?.next).not.toBe('');
  });

  test.each(['dev-key-12345', 'changeme', 'short'])('the key %s', (key) => {
    expect(startup(off, key)?.what).toMatch(/not safe/);
  });
});

describe('is taken, and told as a risk:', () => {
  const risks = (server: DeploymentInput['server']) => {
    const given = { ...off, server };
    expect(problems(given)).toEqual([]);
    expect(startup(given)).toBeNull();
    return describeRisks(deploymentSchema.parse({ version: 1, ...given })).join('\n');
  };

  test.each<[string, DeploymentInput['server'], RegExp]>([
    ['an allowFrom without this machine', { allowFrom: ['10.0.0.0/8'] }, /keep this machine out/],
    ['a denyFrom with it', { denyFrom: ['127.0.0.0/8'] }, /keep this machine out/],
    ['addresses behind a proxy that nobody trusts', { behindProxy: true, denyFrom: ['10.0.0.1'] }, /trustedProxies/],
    ['pages of every origin, with keys', { allowedOrigins: ['*'] }, /every origin/],
  ])('%s', (_title, server, what) => {
    expect(risks(server)).toMatch(what);
  });

  test.each<DeploymentInput['server']>([
    {},
    { allowFrom: ['10.0.0.0/8', 'loopback'] },
    { allowFrom: ['10.0.0.0/8', '127.0.0.1'], denyFrom: ['10.1.1.1'] },
    { allowFrom: ['0.0.0.0/0'] },
    { behindProxy: true, trustedProxies: ['10.0.0.2'], allowFrom: ['10.0.0.0/8', 'loopback'] },
    { metricsFrom: ['10.0.0.0/8'], metricsListen: '10.0.0.1:9090' },
  ])('and nothing is told of %j', (server) => {
    expect(risks(server)).toBe('');
  });
});

test('several workers with certificates of clients are refused when the file is read', () => {
  const mtls = { auth: { mtls: { ca: 'clients.pem' } }, ...files };
  expect(problems({ ...mtls, server: { workers: 2 } })).toEqual(['server.workers']);
  expect(problems({ ...mtls, server: { workers: 'auto' } })).toEqual(['server.workers']);
  expect(problems({ ...mtls, server: { workers: 1 } })).toEqual([]);
});
