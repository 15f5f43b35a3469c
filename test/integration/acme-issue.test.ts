import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AcmeOrderSpec } from '../../src/apply/acme-types.ts';
import { ExplainedError } from '../../src/deployment/errors.ts';
import { issueWithAcme } from '../../src/host/acme/issue-with-acme.ts';
import { encodePrivateKey, generateKeys } from '../../src/pki/key-pair.ts';
import { freePorts, startPebble, type Pebble } from '../helpers/pebble.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

const tools = ['pebble', 'pebble-challtestsrv'];
const installed = tools.every((tool) => findProgram(tool) !== null) || process.env['REQUIRE_TOOLS'] === '1';
let pebble: Pebble;
let accountKeyPem = '';

const newKey = async (): Promise<string> => encodePrivateKey((await generateKeys('ec-p256')).privateKey);

beforeAll(async () => {
  if (!installed) return;
  pebble = await startPebble();
  accountKeyPem = await newKey();
}, 30_000);

afterAll(() => (installed ? pebble.stop() : undefined));

function orderOf(change: Partial<AcmeOrderSpec> = {}, authority: Pebble = pebble): AcmeOrderSpec {
  return {
    directoryUrl: authority.directoryUrl,
    caPem: authority.caPem,
    accountKeyPem,
    agreeTos: true,
    email: 'ops@example.com',
    eab: null,
    userAgent: 'mcp-deploy test',
    names: ['mcp.example.com'],
    challenge: { type: 'http-01', listen: `127.0.0.1:${authority.httpPort}` },
    profile: null,
    keyPem: null,
    replacesPem: null,
    timeoutMs: 30_000,
    ...change,
  };
}

function issue(spec: AcmeOrderSpec, said: string[] = [], signal = new AbortController().signal) {
  return issueWithAcme(spec, { signal, onDoing: (text) => said.push(text) });
}

async function failureOf(run: Promise<unknown>): Promise<ExplainedError> {
  const error = await run.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ExplainedError);
  return error as ExplainedError;
}

describe('against a real authority', () => {
  testWithTools(tools, 'http-01 by an own listener: the chain leads to the root, the key is its own', async () => {
    const said: string[] = [];
    const { certificatePem, keyPem, leftBehind } = await issue(
      orderOf({ names: ['mcp.example.com', 'two.example.com'] }),
      said,
    );
    const leaf = new X509Certificate(certificatePem);
    expect(leaf.subjectAltName?.split(', ').toSorted()).toEqual(['DNS:mcp.example.com', 'DNS:two.example.com']);
    expect(certificatePem.match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(1);
    expect(keyPem).toContain('PRIVATE KEY');
    expect(leftBehind).toEqual([]);
    expect(said.filter((text) => text.startsWith('two.example.com:')).length).toBeGreaterThan(0);
    const intermediate = new X509Certificate(certificatePem.slice(certificatePem.lastIndexOf('-----BEGIN')));
    expect(intermediate.verify(new X509Certificate(await pebble.rootPem()).publicKey)).toBe(true);
  });

  testWithTools(tools, 'http-01 by a folder that a web server serves, which is as before afterwards', async () => {
    const webroot = await mkdtemp(join(tmpdir(), 'mcpd-webroot-'));
    const server = createServer((request, response) => {
      void readFile(join(webroot, request.url ?? '')).then(
        (bytes) => response.end(bytes),
        () => response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => server.listen(pebble.httpPort, '127.0.0.1', resolve));
    try {
      await issue(orderOf({ challenge: { type: 'http-01', webroot } }));
      expect(await readdir(webroot)).toEqual([]);
      await mkdir(join(webroot, '.well-known'));
      await issue(orderOf({ names: ['other.example.com'], challenge: { type: 'http-01', webroot } }));
      expect(await readdir(join(webroot, '.well-known'))).toEqual([]);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(webroot, { recursive: true });
    }
  });

  testWithTools(tools, 'tls-alpn-01 proves two names at once', async () => {
    const challenge = { type: 'tls-alpn-01', listen: `127.0.0.1:${pebble.tlsPort}` } as const;
    const { certificatePem } = await issue(orderOf({ names: ['a.alpn.example.com', 'b.alpn.example.com'], challenge }));
    expect(new X509Certificate(certificatePem).subjectAltName).toContain('b.alpn.example.com');
  });

  testWithTools(
    tools,
    'dns-01 by a hook proves a wildcard beside its base name; both records are removed',
    async () => {
      const challenge = {
        type: 'dns-01',
        hook: pebble.dnsHook,
        cwd: tmpdir(),
        dnsServers: [pebble.dns],
        propagationMs: 10_000,
      } as const;
      const { certificatePem } = await issue(orderOf({ names: ['dns.example.com', '*.dns.example.com'], challenge }));
      expect(new X509Certificate(certificatePem).subjectAltName).toContain('*.dns.example.com');
      const calls = (await readFile(pebble.hookLog, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => line.split(' '));
      expect(calls.map(([verb, record]) => `${verb} ${record}`).toSorted()).toEqual([
        'add _acme-challenge.dns.example.com',
        'add _acme-challenge.dns.example.com',
        'remove _acme-challenge.dns.example.com',
        'remove _acme-challenge.dns.example.com',
      ]);
    },
  );

  testWithTools(
    tools,
    'a name that cannot be reached is named with the challenge, what the CA said and what to do',
    async () => {
      const error = await failureOf(
        issue(
          orderOf({
            names: ['lost.example.com'],
            challenge: { type: 'http-01', listen: `127.0.0.1:${(await freePorts(1))[0]}` },
          }),
        ),
      );
      expect(error.message).toBe('The authority could not check lost.example.com by http-01.');
      expect(error.why).toContain(new URL(pebble.directoryUrl).host);
      expect(error.why).toContain('connection');
      expect(error.next).toContain('firewall');
    },
  );

  testWithTools(tools, 'a hook that fails is shown with its words and how to try it by hand', async () => {
    const hook = [process.execPath, '-e', 'console.error("no such zone");process.exit(3)'];
    const challenge = { type: 'dns-01', hook, cwd: tmpdir(), dnsServers: [pebble.dns], propagationMs: 0 } as const;
    const error = await failureOf(issue(orderOf({ names: ['hook.example.com'], challenge })));
    expect(error.message).toContain('_acme-challenge.hook.example.com');
    expect(error.why).toContain('ended with 3');
    expect(error.excerpt).toEqual(['no such zone']);
  });

  testWithTools(tools, 'Ctrl-C in the middle ends at once and leaves no listener and no record', async () => {
    const interruption = new AbortController();
    const challenge = {
      type: 'dns-01',
      hook: pebble.dnsHook,
      cwd: tmpdir(),
      // Nobody answers there, so the wait lasts until it is cut off.
      dnsServers: [`127.0.0.1:${(await freePorts(1))[0]}`],
      propagationMs: 60_000,
    } as const;
    const run = issueWithAcme(orderOf({ names: ['stopped.example.com'], challenge }), {
      signal: interruption.signal,
      onDoing: (text) => {
        if (text.startsWith('waiting for _acme')) interruption.abort();
      },
    });
    await expect(run).rejects.toThrow(/abort/i);
    expect(await readFile(pebble.hookLog, 'utf8')).toMatch(/remove _acme-challenge\.stopped\.example\.com/);
  });

  testWithTools(
    tools,
    'a port that is taken is said with its holder; a profile that is not offered is refused',
    async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(pebble.httpPort, '127.0.0.1', resolve));
      const taken = await failureOf(issue(orderOf({ names: ['taken.example.com'] })));
      await new Promise((resolve) => server.close(resolve));
      expect(taken.message).toContain(`Port ${pebble.httpPort} is taken`);
      expect(taken.next).toContain('webroot');
      const profile = await failureOf(issue(orderOf({ profile: 'shortlived' })));
      expect(profile.message).toContain('shortlived');
    },
  );

  testWithTools(tools, 'an authority that nobody trusts here, or that is not there, is explained', async () => {
    const untrusted = await failureOf(issue(orderOf({ caPem: null })));
    expect(untrusted.next).toContain('tls.caFile');
    const absent = await failureOf(
      issue(orderOf({ directoryUrl: `https://127.0.0.1:${(await freePorts(1))[0]}/dir` })),
    );
    expect(absent.message).toContain('cannot be reached');
  });

  testWithTools(
    tools,
    'most nonces refused: it goes through all the same',
    async () => {
      const strict = await startPebble({ env: { PEBBLE_WFE_NONCEREJECT: '60' } });
      try {
        const { certificatePem } = await issue(orderOf({}, strict));
        expect(new X509Certificate(certificatePem).subjectAltName).toBe('DNS:mcp.example.com');
      } finally {
        await strict.stop();
      }
    },
    60_000,
  );

  testWithTools(
    tools,
    'external account binding: without it the way is named, with it the account is made',
    async () => {
      const hmacKey = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W';
      const bound = await startPebble({ eab: { 'kid-1': hmacKey } });
      try {
        const without = await failureOf(issue(orderOf({}, bound)));
        expect(without.next).toContain('tls.eab');
        const wrong = await failureOf(issue(orderOf({ eab: { keyId: 'kid-9', hmacKey } }, bound)));
        expect(wrong.message).toContain('made no account');
        const { certificatePem } = await issue(orderOf({ eab: { keyId: 'kid-1', hmacKey } }, bound));
        expect(certificatePem).toContain('BEGIN CERTIFICATE');
      } finally {
        await bound.stop();
      }
    },
    60_000,
  );
});

test.skipIf(installed)('the tests of this file need pebble', () => {});
