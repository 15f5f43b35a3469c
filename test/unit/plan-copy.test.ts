import { expect, test } from 'vitest';
import { changesForCopy, leftOutOfCopy } from '../../src/backup/plan-copy.ts';
import { editDeployment } from '../../src/deployment/edit-deployment.ts';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';

test('a copy shares no port, log, Redis, proxy or service with the live deployment, and keeps what it is', () => {
  const text = `version: 1
name: live
server:
  listen: ['0.0.0.0:443', 'unix:/run/live.sock']
  publicUrl: https://mcp.example.com/mcp
  metricsListen: 127.0.0.1:9464
  behindProxy: true
  workers: 4
  sessions: { store: redis }
  cache: { store: redis, tools: { echo: { ttlSeconds: 5 } } }
  upstreams:
    main: { command: npx, args: [-y, notes] }
tls: { source: files, certificate: certs/a.pem, key: certs/a.key }
redis: { url: 'redis://127.0.0.1:6379' }
logs: { audit: /var/log/mcp/audit.jsonl, file: /var/log/mcp/server.log }
proxy: { program: nginx, serverName: mcp.example.com }
service: { manager: systemd, user: notes }
limits: { bodyBytes: 1000000 }
`;
  const parse = (from: string) => {
    const parsed = parseDeployment(from, { file: 'mcp-deploy.yaml' });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    return parsed.deployment;
  };
  const live = parse(text);
  // Said by the drills, which prove nothing of these.
  expect(leftOutOfCopy(live).map((text) => text.split(':')[0])).toEqual([
    'systemd',
    'the proxy in front',
    'Redis',
    'the certificate (files)',
  ]);
  expect(leftOutOfCopy({ ...live, service: { ...live.service, manager: 'swarm' } })[0]).toBe(
    'the containers (swarm): the copy runs as a process of this machine',
  );
  const copy = parse(editDeployment(text, changesForCopy(live, '127.0.0.1:4000')));
  expect(copy).toMatchObject({
    name: 'live',
    redis: 'off',
    tls: { source: 'private-ca' },
    service: { manager: 'none' },
    limits: { bodyBytes: 1_000_000 },
  });
  expect(copy.server).toMatchObject({ listen: '127.0.0.1:4000', behindProxy: false, upstreams: live.server.upstreams });
  expect(copy.server.sessions.store).toBe('memory');
  expect([copy.server.publicUrl, copy.server.metricsListen, copy.logs.file, copy.logs.audit]).toEqual([
    undefined,
    undefined,
    undefined,
    'off',
  ]);
});

test.each<[object, string[]]>([
  [{ source: 'private-ca' }, []],
  [{ source: 'off' }, ['plain HTTP']],
  [{ source: 'files', certificate: 'a.pem', key: 'a.key' }, ['the certificate (files)']],
  [
    { source: 'acme', email: 'ops@example.com', agreeTos: true, names: ['mcp.example.com'] },
    ['the certificate (acme)', 'ACME'],
  ],
])('of %j a copy is without what is said', (tls, expected) => {
  const parsed = parseDeployment(
    JSON.stringify({ version: 1, name: 'live', server: { listen: '127.0.0.1:4000', upstreams: {} }, tls }),
    { file: 'mcp-deploy.yaml' },
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  expect(leftOutOfCopy(parsed.deployment).map((text) => text.split(':')[0])).toEqual(expected);
});
