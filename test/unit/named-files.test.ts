import { expect, test } from 'vitest';
import { namedFiles } from '../../src/deployment/named-files.ts';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';

const named = (input: Omit<DeploymentInput, 'version'>): string[] =>
  namedFiles(deploymentSchema.parse({ version: 1, ...input })).map(
    ({ setting, path, from, role }) => `${role} ${from === '.' ? '' : `${from}/`}${path} (${setting})`,
  );

test('a deployment names what its programs, certificates and secrets are kept in; what it writes is none of it', () => {
  expect(
    named({
      server: {
        upstreams: {
          own: { command: './run.sh', args: ['--config=conf/a.json', '-v', 'https://x/y', 'data.csv'], cwd: 'work' },
          npx: { command: 'npx', args: ['-y', '@acme/mcp'], env: { TOKEN: 'Bearer ${file:secrets/token}' } },
          far: {
            url: 'https://far.example/mcp',
            caFile: 'far.pem',
            headers: { A: '${file:$CREDENTIALS_DIRECTORY/x}' },
          },
        },
        tools: {
          greet: { description: 'x', module: { path: 'tools/greet.mjs' } },
          date: { description: 'x', command: { command: 'date' } },
        },
        content: { path: 'content.mjs' },
      },
      tls: { source: 'files', certificate: 'own.crt', key: '/etc/ssl/own.key' },
      auth: {
        keys: [
          { label: 'a', secret: 'file:keys/a' },
          { label: 'b', secret: 'exec:./vault.sh b' },
        ],
        mtls: { ca: 'c.pem', crl: ['a.crl'] },
      },
      redis: { url: 'file:redis-url', caFile: 'redis.pem' },
      logs: { file: 'server.log', audit: 'audit.log', auditKeyFile: 'audit.key' },
      proxy: { clientCa: 'relative-is-of-the-proxy.pem' },
      service: { credentials: { x: '/etc/secret' } },
    }),
  ).toEqual([
    'folder work (server.upstreams.own.cwd)',
    'code work/./run.sh (server.upstreams.own)',
    'word work/conf/a.json (server.upstreams.own)',
    'word work/data.csv (server.upstreams.own)',
    'word @acme/mcp (server.upstreams.npx)',
    'secret secrets/token (server.upstreams.npx.env.TOKEN)',
    'file far.pem (server.upstreams.far.caFile)',
    'code tools/greet.mjs (server.tools.greet.module.path)',
    'code content.mjs (server.content.path)',
    'file own.crt (tls.certificate)',
    'secret /etc/ssl/own.key (tls.key)',
    'secret keys/a (auth.keys[0].secret)',
    'code ./vault.sh (auth.keys[1].secret)',
    'word b (auth.keys[1].secret)',
    'file c.pem (auth.mtls.ca)',
    'file a.crl (auth.mtls.crl)',
    'secret redis-url (redis.url)',
    'file redis.pem (redis.caFile)',
    'secret audit.key (logs.auditKeyFile)',
    'secret /etc/secret (service.credentials.x)',
  ]);
});
