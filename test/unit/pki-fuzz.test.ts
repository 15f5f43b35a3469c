import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { describeChain } from '../../src/pki/describe-certificate.ts';
import { formatCertificateText } from '../../src/pki/format-certificate.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { keyMatchesCertificate } from '../../src/pki/key-matches-certificate.ts';
import { parseCertificateName } from '../../src/pki/names.ts';
import { judgeCertificate } from '../../src/pki/verify-certificate.ts';

/** Same mutations on every run: a failure can be looked at again (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

const names = ['localhost', '127.0.0.1', '::1', '*.example.com'];
const ca = await issuePrivateCa({ commonName: 'fuzz CA', names });
const leaf = await issueCertificate({ ca, names, validDays: 30 });
const rsa = await issueCertificate({ ca, names, validDays: 30, algorithm: 'rsa-2048' });
const chainPem = Buffer.from(leaf.certificatePem + ca.certificatePem);
const seeds: readonly Buffer[] = [
  new X509Certificate(leaf.certificatePem).raw,
  new X509Certificate(ca.certificatePem).raw,
  new X509Certificate(rsa.certificatePem).raw,
  chainPem,
  Buffer.from(leaf.keyPem + leaf.certificatePem),
];

function mutate(seed: Buffer, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(seed);
  for (let times = 1 + random(4); times > 0; times -= 1) {
    const at = random(bytes.length);
    const length = random(40);
    switch (random(7)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
        break;
      case 5:
        bytes.fill([0x00, 0xff, 0x80, 0x30][random(4)] ?? 0, at, Math.min(at + length, bytes.length));
        break;
      default:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from([0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]),
          bytes.subarray(at),
        ]);
    }
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}

function expectAnswerOrUserError(input: Buffer, run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof UserError) return null;
    throw new Error(`not a UserError for ${input.toString('base64')}`, { cause: error });
  }
}

test(
  '2,000 mutated certificates give a description, a judgement or a clear error, and never anything else',
  { timeout: 120_000 },
  () => {
    const random = randomFrom(20_261_121);
    let described = 0;
    for (let round = 0; round < 2_000; round += 1) {
      const input = mutate(seeds[round % seeds.length] ?? chainPem, random);
      const description = expectAnswerOrUserError(input, () => formatCertificateText(describeChain(input)));
      if (description !== null) described += 1;
      expectAnswerOrUserError(input, () =>
        judgeCertificate({ chainPem: input, caPem: ca.certificatePem, keyPem: leaf.keyPem, name: 'localhost' }),
      );
      expectAnswerOrUserError(input, () =>
        judgeCertificate({ chainPem: leaf.certificatePem, caPem: input, keyPem: input.toString('latin1') }),
      );
      expectAnswerOrUserError(input, () => keyMatchesCertificate(leaf.certificatePem, input.toString('utf8')));
    }
    // Both ways must be walked: mutations that are all refused at the door would prove little.
    expect(described).toBeGreaterThan(100);
    expect(described).toBeLessThan(1_900);
  },
);

test('mutated PEM around whole certificates is handled as well', () => {
  const random = randomFrom(7);
  const pieces = [
    '-----BEGIN CERTIFICATE-----',
    '-----END CERTIFICATE-----',
    '-----',
    '\n',
    'MIIB',
    '=',
    '\u0000',
    leaf.certificatePem,
    leaf.keyPem,
  ];
  for (let round = 0; round < 500; round += 1) {
    const input = Buffer.from(Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join(''));
    expectAnswerOrUserError(input, () => describeChain(input));
  }
});

test('deeply nested DER is refused, not followed', () => {
  const nested = Buffer.concat([Buffer.alloc(100_000, Buffer.from([0x30, 0x80])), Buffer.alloc(100_000)]);
  expect(() => describeChain(nested)).toThrow(UserError);
});

test('2,000 mutated names are a name or a clear error', () => {
  const random = randomFrom(42);
  const letters = 'abcxn-.*:[]/%_@ 0123456789\u00fc\u3002\u200d\u202e\ud800\n\u0000'.split('');
  for (let round = 0; round < 2_000; round += 1) {
    const text = Array.from({ length: random(20) }, () => letters[random(letters.length)]).join('');
    const name = expectAnswerOrUserError(Buffer.from(text), () => parseCertificateName(text)) as {
      value: string;
    } | null;
    if (name !== null) expect(name.value).toMatch(/^(?:\*\.)?[a-z0-9:.-]+$/);
  }
});
