import { chmod, mkdir, mkdtemp, readFile, readdir, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documentOf, runBin, type CliResult } from '../helpers/cli.ts';
import { tls, listen } from '../helpers/tls-server.ts';

let folder = '';
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-cert-')));
  await must(['ca', 'mcp.example.com', '127.0.0.1', '--intermediate', '--out', 'ca']);
  await must(['issue', 'mcp.example.com', '127.0.0.1', '--ca', 'ca', '--out', 'tls']);
  await must([
    'issue',
    '--client',
    '--common-name',
    'alice laptop',
    '--base',
    'alice',
    '--ca',
    'ca',
    '--out',
    'clients',
  ]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function cert(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
  return runBin(['cert', ...args], { cwd: folder, env });
}
async function must(args: readonly string[]): Promise<Record<string, unknown>> {
  return documentOf(await cert([...args, '--json']));
}
const modeOf = async (path: string): Promise<string> => ((await stat(join(folder, path))).mode & 0o777).toString(8);
const read = (path: string): Promise<string> => readFile(join(folder, path), 'utf8');

test('keys are for their owner alone, CA keys not even to be changed, and nothing else is left behind', async () => {
  expect(await readdir(join(folder, 'ca'))).toEqual(['ca.crt', 'ca.key', 'intermediate.crt', 'intermediate.key']);
  expect(await readdir(join(folder, 'tls'))).toEqual(['server.crt', 'server.key']);
  expect(await modeOf('ca')).toBe('700');
  expect([await modeOf('ca/ca.key'), await modeOf('ca/intermediate.key'), await modeOf('tls/server.key')]).toEqual([
    '400',
    '400',
    '600',
  ]);
});

describe('what is there already', () => {
  test('is never overwritten without --force, and none of the files is written then', async () => {
    const before = [await read('tls/server.key'), await read('tls/server.crt')];
    const refused = await cert(['self-signed', 'localhost', '--out', 'tls']);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('is there already; nothing was written');
    expect([await read('tls/server.key'), await read('tls/server.crt')]).toEqual(before);
    await must(['self-signed', 'localhost', '--out', 'forced']);
    const first = await read('forced/server.key');
    await must(['self-signed', 'localhost', '--out', 'forced', '--force']);
    expect(await read('forced/server.key')).not.toBe(first);
  });

  test('as a link stays, also with --force', async () => {
    await mkdir(join(folder, 'linked'));
    await writeFile(join(folder, 'elsewhere'), 'mine');
    await symlink('../elsewhere', join(folder, 'linked/server.crt'));
    const refused = await cert(['self-signed', 'localhost', '--out', 'linked', '--force']);
    expect(refused.exitCode).toBe(2);
    expect(await read('elsewhere')).toBe('mine');
    expect(await readdir(join(folder, 'linked'))).toEqual(['server.crt']);
  });
});

describe('an encrypted CA key', () => {
  const phrase = 'correct horse battery';
  test('is made and used with its passphrase from a file or the environment, which is never shown', async () => {
    await writeFile(join(folder, 'pass'), `${phrase}\n`, { mode: 0o600 });
    const made = await cert(['ca', 'a.example', '--out', 'locked', '--passphrase-file', 'pass', '--json']);
    expect(documentOf(made)).toMatchObject({ encrypted: true });
    expect(await read('locked/ca.key')).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    const issued = await cert(
      ['issue', 'a.example', '--ca', 'locked', '--out', 'l1', '--passphrase-env', 'CA_PASS', '--json'],
      {
        CA_PASS: phrase,
      },
    );
    expect(issued.exitCode).toBe(0);
    const wrong = await cert(['issue', 'a.example', '--ca', 'locked', '--out', 'l2', '--passphrase-env', 'CA_PASS'], {
      CA_PASS: 'wrong secret',
    });
    expect(wrong.exitCode).toBe(2);
    expect(wrong.stderr).toContain('passphrase does not open');
    expect(made.stdout + made.stderr + issued.stdout + wrong.stderr).not.toMatch(/correct horse|wrong secret/);
  });

  test('asks nobody when nobody can answer: exit 2 names the flags', async () => {
    const refused = await cert(['issue', 'a.example', '--ca', 'locked', '--out', 'l3']);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('--passphrase-file');
  });
});

describe('a request to a company’s CA', () => {
  test('comes back in the wrong order and is put right, which is said', async () => {
    await must(['csr', 'mcp.example.com', '--out', 'request']);
    await must(['issue', '--csr', 'request/server.csr', '--ca', 'ca', '--out', 'answer']);
    await writeFile(
      join(folder, 'upside.pem'),
      (await read('ca/ca.crt')) + chainUpsideDown(await read('answer/server.crt')),
    );
    const imported = await cert(['import', 'upside.pem', '--key', 'request/server.key', '--json']);
    const document = documentOf<{ notes: string[]; problems: unknown[] }>(imported);
    expect(document.notes[0]).toContain('wrong order; it was put right');
    expect(await read('request/server.crt')).toBe(await read('answer/server.crt'));
    expect(await modeOf('request/server.key')).toBe('600');
  });

  test.each([
    [
      'the key of another certificate',
      ['answer/server.crt', '--key', 'tls/server.key', '--ca-file', 'ca/ca.crt'],
      'key-mismatch',
    ],
    [
      'a chain without its intermediate',
      ['single.crt', '--key', 'request/server.key', '--ca-file', 'ca/ca.crt'],
      'chain-incomplete',
    ],
    [
      'another name than asked for',
      ['answer/server.crt', '--key', 'request/server.key', '--ca-file', 'ca/ca.crt', '--names', 'other.example'],
      'name-mismatch',
    ],
    ['another purpose', ['clients/alice.crt', '--key', 'clients/alice.key', '--ca-file', 'ca/ca.crt'], 'wrong-usage'],
  ])('is refused for %s, which is named, and nothing is written', async (_, args, code) => {
    const [single = ''] = (await read('answer/server.crt')).match(/-----BEGIN[^]+?END CERTIFICATE-----\n/) ?? [];
    await writeFile(join(folder, 'single.crt'), single);
    const refused = await cert(['import', ...args, '--out', 'never']);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toContain(`${code}: `);
    await expect(stat(join(folder, 'never'))).rejects.toThrow('ENOENT');
  });
});

function chainUpsideDown(pem: string): string {
  return (pem.match(/-----BEGIN[^]+?END CERTIFICATE-----\n/g) ?? []).toReversed().join('');
}

test('PKCS#12 has a random password of its own file, and can be shown, verified and imported with it', async () => {
  await must(['export', 'tls/server.crt', '--key', 'tls/server.key', '--out', 'p12']);
  expect([await modeOf('p12/server.p12'), await modeOf('p12/server.p12.password')]).toEqual(['600', '600']);
  const password = (await read('p12/server.p12.password')).trim();
  const given = ['--passphrase-file', 'p12/server.p12.password'];
  const shown = await cert(['show', 'p12/server.p12', ...given]);
  expect(shown.stdout).toMatch(
    /\(not sent along\)\n {2}└─ CN=.* intermediate .*days left\n {5}└─ mcp\.example\.com .*397 days left/,
  );
  expect(shown.stdout + shown.stderr).not.toContain(password);
  expect((await cert(['verify', 'p12/server.p12', '--ca-file', 'ca/ca.crt', ...given])).exitCode).toBe(0);
  await must(['import', 'p12/server.p12', '--ca-file', 'ca/ca.crt', '--out', 'from-p12', ...given]);
  expect(await read('from-p12/server.key')).toBe(await read('tls/server.key'));
});

test('DER is shown, a CA bundle holds the CA alone or the public roots too', async () => {
  const pem = await read('tls/server.crt');
  const [, body = ''] = /-----\n([^-]+)-----END/.exec(pem) ?? [];
  await writeFile(join(folder, 'server.der'), Buffer.from(body, 'base64'));
  expect((await cert(['show', 'server.der'])).stdout).toContain('mcp.example.com');
  await must(['export', 'ca/ca.crt', '--format', 'ca-bundle', '--out', 'bundle']);
  expect(await read('bundle/ca-bundle.pem')).toBe(await read('ca/ca.crt'));
  await must(['export', 'ca/ca.crt', '--format', 'ca-bundle', '--with-public', '--out', 'bundle2']);
  expect((await read('bundle2/ca-bundle.pem')).match(/BEGIN CERT/g)?.length).toBeGreaterThan(100);
});

test('a revoked client is on the list of its CA once, and verify says so', async () => {
  await chmod(join(folder, 'ca'), 0o700);
  const judge = ['verify', 'clients/alice.crt', '--client', '--ca-file', 'ca/ca.crt', '--crl', 'ca/intermediate.crl'];
  await must(['crl', '--ca', 'ca']);
  expect((await cert(judge)).exitCode).toBe(0);
  expect(await must(['revoke', 'clients/alice.crt', '--ca', 'ca', '--reason', 'key-compromise'])).toMatchObject({
    number: 2,
    revoked: 1,
  });
  const judged = await cert([...judge, '--json']);
  expect(documentOf(judged, 1)).toMatchObject({ ok: false, problems: [{ code: 'revoked' }] });
  expect(await must(['revoke', 'clients/alice.crt', '--ca', 'ca'])).toMatchObject({ number: 3, revoked: 1 });
  const foreign = await cert(['revoke', 'forced/server.crt', '--ca', 'ca']);
  expect(foreign.stderr).toContain('was not issued by');
  await writeFile(join(folder, 'ca/intermediate.crl'), 'rubbish');
  expect((await cert(['crl', '--ca', 'ca'])).exitCode).toBe(2);
});

test('show and verify look at host:port', async () => {
  const server = tls({ key: await read('tls/server.key'), cert: await read('tls/server.crt') });
  const port = await listen(server);
  try {
    const shown = await cert(['show', `127.0.0.1:${port}`, '--json']);
    expect(documentOf(shown)).toMatchObject({
      sources: [{ certificates: [{ names: ['mcp.example.com', '127.0.0.1'] }, {}] }],
    });
    expect((await cert(['verify', `127.0.0.1:${port}`, '--ca-file', 'ca/ca.crt'])).exitCode).toBe(0);
    const wrong = await cert(['verify', `localhost:${port}`, '--ca-file', 'ca/ca.crt', '--json']);
    expect(documentOf(wrong, 1)).toMatchObject({ problems: [{ code: 'name-mismatch' }] });
  } finally {
    server.close();
  }
});

test.each([
  [['ca', '--out', 'no'], 'at least one name'],
  [['ca', 'a.example', '--no-constraints', '--out', 'no'], 'contradict each other'],
  [['issue', 'other.example', '--ca', 'ca', '--out', 'no'], 'may not sign for other.example'],
  [['issue', 'mcp.example.com', '--ca', 'ca', '--days', '825', '--out', 'no'], 'cannot be valid for 825 days'],
  [['issue', 'mcp.example.com', '--ca', 'ca', '--days', 'ten', '--out', 'no'], 'not a whole number'],
  [['issue', 'mcp.example.com', '--out', 'no'], 'no CA in this folder'],
  [['self-signed', 'https://x.example', '--out', 'no'], 'it is a URL'],
  [['self-signed', 'localhost', '--key-type', 'dsa', '--out', 'no'], 'not a kind of key'],
  [['self-signed', 'localhost', '--base', '../x', '--out', 'no'], 'cannot be the beginning'],
  [['export', 'tls/server.crt', '--key', 'ca/ca.key', '--out', 'no'], 'does not belong to'],
  [['revoke', 'nothing', '--ca', 'ca'], 'neither a certificate file nor a serial number'],
  [['show', 'nothing'], 'neither a file nor host:port'],
] as const)('%j is refused with one sentence and a next step', async (args, sentence) => {
  const refused = await cert(args);
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr.toLowerCase()).toContain(sentence.toLowerCase());
  expect(refused.stderr).toMatch(/ next /);
  await expect(stat(join(folder, 'no'))).rejects.toThrow('ENOENT');
});

test('every command has help with examples and exit codes', async () => {
  for (const name of [
    'show',
    'verify',
    'self-signed',
    'ca',
    'issue',
    'csr',
    'import',
    'export',
    'revoke',
    'crl',
    'trust',
    'untrust',
  ]) {
    const help = await cert([name, '--help']);
    expect(help.exitCode).toBe(0);
    expect(help.stdout).toMatch(/Examples\n {2}mcp-deploy cert /);
    expect(help.stdout).toMatch(/Exit codes\n {2}0 /);
  }
});
