import { beforeAll, expect, test } from 'vitest';
import {
  certificateInBackup,
  judgeBackedUpCertificate,
  type BackedUpCertificate,
} from '../../src/cli/judge-backed-up-certificate.ts';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import type { Deployment } from '../../src/deployment/schema.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';

interface Pair {
  readonly certificatePem: string | undefined;
  readonly keyPem: string | undefined;
}
const pairs: Record<string, Pair> = {};
const today = new Date();
const later = (days: number): Date => new Date(today.getTime() + days * 86_400_000);

beforeAll(async () => {
  const ca = await issuePrivateCa({ commonName: 'own CA', names: ['mcp.example.com'] });
  const issue = () => issueCertificate({ ca, names: ['mcp.example.com'], validDays: 30 });
  const [one, other] = [await issue(), await issue()];
  const certificatePem = one.certificatePem;
  Object.assign(pairs, {
    good: { certificatePem, keyPem: one.keyPem },
    mixed: { certificatePem, keyPem: other.keyPem },
    'no key': { certificatePem, keyPem: undefined },
    'only a key': { certificatePem: undefined, keyPem: one.keyPem },
    'broken key': { certificatePem, keyPem: 'not a key' },
    'broken certificate': { certificatePem: 'not a certificate', keyPem: one.keyPem },
    neither: { certificatePem: undefined, keyPem: undefined },
  });
});

const judge = (source: Deployment['tls']['source'], name: string, now: Date): BackedUpCertificate | null =>
  judgeBackedUpCertificate(source, pairs[name] ?? { certificatePem: undefined, keyPem: undefined }, now);

test.each<[Deployment['tls']['source'], string, number, RegExp]>([
  ['files', 'good', 1, /^its key belongs to it, valid until \d{4}-\d\d-\d\d \(\d+ days\)$/],
  ['acme', 'good', 1, /^its key belongs to it, valid until /],
  ['acme', 'good', 60, /^its key belongs to it, .* expired on .*; after a restore it has to be renewed first$/],
  ['private-ca', 'good', 60, /renewed first$/],
  ['files', 'no key', 1, /^its key is not in the backup, valid until /],
  ['files', 'only a key', 1, /has its key and not the certificate$/],
])('%s, %s, after %i days: said', (source, name, days, said) => {
  expect(judge(source, name, later(days))?.said).toMatch(said);
});

test.each<[Deployment['tls']['source'], string, number, RegExp, RegExp]>([
  ['files', 'mixed', 1, /does not belong to the key/, /tls\.certificate/],
  ['acme', 'mixed', 1, /does not belong to the key/, /cert renew --force/],
  ['files', 'broken key', 1, /does not belong to the key/, /tls\.certificate/],
  ['files', 'broken certificate', 1, /cannot be read/, /tls\.certificate/],
  ['files', 'good', 60, /no good any more/, /tls\.certificate/],
  ['files', 'good', -30, /no good any more/, /tls\.certificate/],
])('%s, %s, after %i days: refused with the next command', (source, name, days, message, next) => {
  const run = (): unknown => judge(source, name, later(days));
  expect(run).toThrow(EnvironmentError);
  expect(run).toThrow(message);
  try {
    run();
  } catch (error) {
    expect((error as EnvironmentError).next).toMatch(next);
  }
});

test('a backup without certificate and key says nothing of them', () => {
  expect(judge('files', 'neither', today)).toBeNull();
});

test('the pair lies where a backup puts it', () => {
  const of = (tls: object) => certificateInBackup({ tls } as Deployment, '/srv/mcp');
  expect(of({ source: 'off' })).toBeNull();
  expect(of({ source: 'acme' })).toEqual({ certificate: 'state/pki/server.crt', key: 'state/pki/server.key' });
  expect(of({ source: 'files', certificate: './certs/a.pem', key: '/srv/mcp/a.key' })).toEqual({
    certificate: 'beside/certs/a.pem',
    key: 'beside/a.key',
  });
});
