import { afterEach, expect, test } from 'vitest';
import { readServedChain } from '../../src/doctor/probes/served-chain.ts';
import { describeChain } from '../../src/pki/describe-certificate.ts';
import { issueCertificate, makeAuthority } from '../fixtures/mcp-servers/certificates.ts';
import { startFixtureServer, type FixtureOptions, type FixtureServer } from '../fixtures/mcp-servers/fixture-server.ts';

let server: FixtureServer | null = null;

afterEach(async () => {
  await server?.close();
  server = null;
});

async function chainOf(options: FixtureOptions): Promise<readonly string[]> {
  server = await startFixtureServer(options);
  const pem = await readServedChain({ host: '127.0.0.1', port: server.port, timeoutMs: 5_000 });
  return describeChain(pem).map(({ subject }) => subject);
}

test('the chain is what was sent: leaf, then intermediates, trusted or not', async () => {
  const root = makeAuthority('Root');
  const intermediate = makeAuthority('Intermediate', root);
  const certificate = issueCertificate(intermediate, ['localhost']);
  expect(await chainOf({ certificate, chainPem: intermediate.certificatePem })).toEqual([
    'CN=localhost',
    'CN=Intermediate',
  ]);
});

test('nothing is added that was not sent', async () => {
  expect(await chainOf({ certificate: issueCertificate(makeAuthority('Root'), ['localhost']) })).toEqual([
    'CN=localhost',
  ]);
});

test('a port without TLS is said in words', async () => {
  await expect(chainOf({ certificate: null })).rejects.toMatchObject({
    name: 'EnvironmentError',
    why: 'What listens there does not speak TLS.',
  });
});
