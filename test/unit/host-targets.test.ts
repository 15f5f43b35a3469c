import { expect, test } from 'vitest';
import type { CommandContext } from '../../src/cli/context.ts';
import { readHostTargets } from '../../src/cli/host-targets.ts';
import { describeHostStatus } from '../../src/cli/output/host-status.ts';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';

const read = async (hosts: string, asked: readonly string[]) => {
  const text = `version: 1\nname: notes # ours\n${hosts}server: { replica: a }\n`;
  const parsed = parseDeployment(text, { file: 'x.yaml', env: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  // Of a context only the environment is asked for.
  const context = { world: { env: {} } } as unknown as CommandContext;
  return readHostTargets(asked, 'x.yaml', { text, deployment: parsed.deployment }, context);
};
const hosts = `hosts:
  - deploy@a:2222
  - { host: b, set: { server.replica: b, logs.level: debug } }
`;

test('all stands for the hosts of the file, each once and in its order, with what is set for one of them', async () => {
  const targets = await read(hosts, ['all', 'b', 'other']);
  expect(targets.map(({ host }) => [host.text, host.port])).toEqual([
    ['deploy@a:2222', 2222],
    ['b', null],
    ['other', null],
  ]);
  expect(targets.map(({ deployment }) => [deployment.server.replica, deployment.logs.level])).toEqual([
    ['a', 'info'],
    ['b', 'debug'],
    ['a', 'info'],
  ]);
  for (const { text } of targets) expect(text).not.toContain('hosts');
  expect(targets[0]?.text).toContain('name: notes # ours');
});

test('what is set for a host follows every rule of the file, and all needs hosts', async () => {
  const wrong = 'hosts: [{ host: b, set: { server.replca: b } }]\n';
  await expect(read(wrong, ['all'])).rejects.toThrow('With what hosts sets for b, mcp-deploy.yaml is wrong');
  await expect(read('', ['all'])).rejects.toThrow('mcp-deploy.yaml names no hosts');
});

test.each([
  'hosts: ["-oProxyCommand=x"]\n',
  'hosts: [{ host: b, set: { hosts: [] } }]\n',
  'hosts: [{ host: b, st: {} }]\n',
])('%j is no list of hosts', async (text) => {
  await expect(read(text, ['all'])).rejects.toThrow('hosts');
});

test('the status of several hosts is a table, with what went wrong in its line', () => {
  const well = {
    ok: true,
    server: { state: 'running', status: 'ok', version: '1.0.0' },
    certificate: { daysLeft: 90 },
    keys: [{}, {}],
    unfinished: null,
  };
  expect(
    describeHostStatus(
      ['a', 'long-name', 'c', 'd'],
      [
        { host: 'a', exitCode: 0, document: well },
        { host: 'long-name', exitCode: 3, document: { ok: false, error: { what: 'It cannot be reached.' } } },
        {
          host: 'c',
          exitCode: 0,
          document: { ...well, server: { state: 'stopped' }, certificate: null, unfinished: {} },
        },
      ],
    ),
  ).toBe(`  host       server                         version  certificate  keys
  a          running, ok                    1.0.0    90 days      2
  long-name  It cannot be reached.
  c          stopped; an apply was cut off  -        -            2
  d          not looked at`);
});
