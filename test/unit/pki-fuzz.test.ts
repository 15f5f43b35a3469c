import { createHmac, createPrivateKey, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { arrangeChain } from '../../src/pki/arrange-chain.ts';
import { createRequest } from '../../src/pki/create-request.ts';
import { childrenOf, decodeDer, der, encodeDer, octetsOf } from '../../src/pki/der.ts';
import { parseCertificates } from '../../src/pki/parse-certificates.ts';
import { parseRequest } from '../../src/pki/parse-request.ts';
import { derivePkcs12 } from '../../src/pki/password-encryption.ts';
import { decodePkcs12, encodePkcs12, isPkcs12 } from '../../src/pki/pkcs12.ts';
import { decodePkcs7, isPkcs7 } from '../../src/pki/pkcs7.ts';
import { isSignedBy, issueRevocationList, parseRevocationList } from '../../src/pki/revocation-list.ts';
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

/** Garbage that is not yet collected counts as well: what would run away needs more than this within one family. */
const mostGrownBytes = 400 * 1_048_576;
let before = 0;
beforeEach(() => {
  before = process.memoryUsage().rss;
});
afterEach((context) => {
  expect(process.memoryUsage().rss - before, `memory after "${context.task.name}"`).toBeLessThan(mostGrownBytes);
});

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

describe('beyond certificates', () => {
  const key = createPrivateKey(leaf.keyPem);
  const password = 'fuzz';

  /** Node's answer is a promise here. */
  async function expectAnswerOrUserErrorOf(input: Buffer, run: () => Promise<unknown>): Promise<boolean> {
    try {
      await run();
      return true;
    } catch (error) {
      if (error instanceof UserError) return false;
      throw new Error(`not a UserError for ${input.toString('base64')}`, { cause: error });
    }
  }

  test(
    '4,000 mutated PKCS#12 files, with the MAC made to fit half of them, give their content or a clear error',
    { timeout: 120_000 },
    async () => {
      const random = randomFrom(12);
      const bytes = await encodePkcs12({
        privateKey: key,
        chainPem: leaf.certificatePem,
        password,
        label: 'x',
        rounds: 10,
      });
      // A MAC of one round: the fuzzing is about what is read, not about hashing.
      const sealed = sealPkcs12(safeOf(bytes), password);
      let opened = 0;
      for (let round = 0; round < 4_000; round += 1) {
        // Behind a MAC that does not fit nothing is read: half are mutated inside and sealed anew.
        const input = round % 2 === 0 ? mutate(sealed, random) : sealPkcs12(mutate(safeOf(bytes), random), password);
        isPkcs12(input);
        if (await expectAnswerOrUserErrorOf(input, () => decodePkcs12(input, password))) opened += 1;
      }
      expect(opened).toBeGreaterThan(0);
      expect(opened).toBeLessThan(4_000);
    },
  );

  test('2,000 mutated PKCS#7 bundles give their certificates or a clear error', { timeout: 120_000 }, () => {
    const random = randomFrom(14);
    const raw = (pem: string) => decodeDer(new X509Certificate(pem).raw);
    const bundle = encodeDer(
      der.sequence(
        der.oid('1.2.840.113549.1.7.2'),
        der.wrapped(
          0,
          der.sequence(
            der.smallInteger(1),
            der.set(),
            der.sequence(der.oid('1.2.840.113549.1.7.1')),
            der.wrapped(0, raw(leaf.certificatePem), raw(ca.certificatePem)),
            der.set(),
          ),
        ),
      ),
    );
    expect(decodePkcs7(bundle)).toBe(leaf.certificatePem + ca.certificatePem);
    const pem = Buffer.from(`-----BEGIN PKCS7-----\n${bundle.toString('base64')}\n-----END PKCS7-----\n`);
    expect(decodePkcs7(pem)).toBe(leaf.certificatePem + ca.certificatePem);
    let answered = 0;
    for (let round = 0; round < 2_000; round += 1) {
      const input = mutate(round % 2 === 0 ? bundle : pem, random);
      isPkcs7(input);
      const read = expectAnswerOrUserError(input, () => {
        const found = decodePkcs7(input);
        return arrangeChain(found, leaf.keyPem, null);
      });
      if (read !== null) answered += 1;
    }
    expect(answered).toBeGreaterThan(50);
    expect(answered).toBeLessThan(1_950);
  });

  test(
    '4,000 mutated revocation lists, requests and chains to import give an answer or a clear error',
    { timeout: 120_000 },
    async () => {
      const random = randomFrom(13);
      const entry = { serial: '01AB', revokedAt: new Date(), reason: 'superseded' } as const;
      const list = Buffer.from(await issueRevocationList({ ca, revoked: [entry], number: 3, validDays: 3 }));
      const request = Buffer.from((await createRequest({ names })).requestPem);
      const [issuer] = parseCertificates(ca.certificatePem);
      const seedsHere = [list, derOf(list), request, derOf(request)];
      let answered = 0;
      for (let round = 0; round < 4_000; round += 1) {
        const input = mutate(seedsHere[round % seedsHere.length] ?? list, random);
        const found = expectAnswerOrUserError(input, () => {
          const parsed = parseRevocationList(input);
          return isSignedBy(parsed, issuer) ? 'genuine' : 'other';
        });
        const asked = expectAnswerOrUserError(input, () => parseRequest(input));
        const chain = mutate(chainPem, random);
        const arranged = expectAnswerOrUserError(chain, () => arrangeChain(chain, leaf.keyPem, null));
        if (found !== null || asked !== null || arranged !== null) answered += 1;
      }
      expect(answered).toBeGreaterThan(100);
    },
  );
});

function derOf(pem: Buffer): Buffer {
  return Buffer.from(pem.toString().replaceAll(/-----[^-]+-----/g, ''), 'base64');
}

/** The content that the MAC of a PKCS#12 file is about. */
function safeOf(pkcs12: Buffer): Buffer {
  return octetsOf(childrenOf(childrenOf(childrenOf(decodeDer(pkcs12))[1])[1])[0]);
}

function sealPkcs12(safe: Buffer, password: string): Buffer {
  const salt = Buffer.alloc(8, 7);
  const mac = createHmac('sha256', derivePkcs12('sha256', 3, password, salt, 1, 32))
    .update(safe)
    .digest();
  return encodeDer(
    der.sequence(
      der.smallInteger(3),
      der.sequence(der.oid('1.2.840.113549.1.7.1'), der.wrapped(0, der.octetString(safe))),
      der.sequence(
        der.sequence(der.sequence(der.oid('2.16.840.1.101.3.4.2.1'), der.none()), der.octetString(mac)),
        der.octetString(salt),
        der.wholeNumber(1),
      ),
    ),
  );
}

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
