import { dirname, join, resolve } from 'node:path';
import { EnvironmentError } from '../../deployment/errors.ts';
import { arrangeChain } from '../../pki/arrange-chain.ts';
import { describeCertificate } from '../../pki/describe-certificate.ts';
import { encodePrivateKey, isEncryptedKey, parsePrivateKey } from '../../pki/key-pair.ts';
import { matchesName } from '../../pki/matches-name.ts';
import { parseRequest } from '../../pki/parse-request.ts';
import { judgeCertificate } from '../../pki/verify-certificate.ts';
import { readCertificateSource, readNeeded } from '../certificate-source.ts';
import type { CommandContext } from '../context.ts';
import { listFlag, textFlag, usageFlags, type FlagValues } from '../flag-values.ts';
import { readPassphrase } from '../read-passphrase.ts';
import { serveOwnFiles } from '../serve-own-files.ts';
import { writeTogether } from '../write-together.ts';
import { UserError } from '../../deployment/errors.ts';

/** Said, put right or left to judge; what the others say is a reason not to write the files. */
const putRight: ReadonlySet<string> = new Set(['chain-order', 'chain-unrelated']);

/**
 * `mcp-deploy cert import FILE…`: takes what a company's CA has sent, names every problem, puts the order right and
 * writes a pair that a server can use. Exit 3 with nothing written when clients would refuse it.
 */
export async function runCertImport(
  context: CommandContext,
  sources: readonly string[],
  options: FlagValues,
): Promise<number> {
  const { output } = context;
  const now = new Date(context.ports.clock.now());
  const read = [];
  for (const source of sources) read.push(await readCertificateSource(context, source, options));
  const given = Buffer.concat(read.map(({ bytes }) => asPem(bytes)));
  const keyPem = await readKey(
    context,
    read.find(({ privateKeyPem }) => privateKeyPem !== null)?.privateKeyPem ?? null,
    options,
  );
  const caFile = textFlag(options, 'caFile');
  const caPem = caFile === undefined ? null : await readNeeded(context, caFile);
  const arranged = arrangeChain(given, keyPem, caPem);
  // Without --ca-file, a root that came along is what clients will be given.
  const anchors = caPem ?? (arranged.rootPem === '' ? undefined : arranged.rootPem);
  const base = { keyPem, now, usage: usageFlags(options)[0] ?? ('serverAuth' as const) };
  const problems = judgeCertificate({
    ...base,
    chainPem: arranged.chainPem,
    ...(anchors === undefined ? {} : { caPem: anchors }),
  });
  const names = await wantedNames(context, options);
  const described = describeCertificate(arranged.chainPem, now);
  const missing = names.filter((name) => !covers(described.names, name));
  if (missing.length > 0) {
    problems.push({
      code: 'name-mismatch',
      observed: `the certificate is for ${described.names.join(', ') || 'no name'}, not for ${missing.join(', ')}`,
      expected: `a certificate for ${names.join(', ')}`,
    });
  }
  const serious = problems.filter(({ code }) => !putRight.has(code));
  const notes = [
    ...(arranged.reordered
      ? ['The chain came in the wrong order; it was put right: certificate first, then what signed it.']
      : []),
    ...arranged.leftOut.map((subject) => `${subject} signed nothing here and was left out.`),
    ...(caPem === null && arranged.rootPem !== ''
      ? ['The root in the file was taken as the CA; give --ca-file to be sure of it.']
      : []),
  ];
  if (serious.length > 0 && options['force'] !== true) {
    throw new EnvironmentError('Clients would refuse this certificate; nothing was written.', {
      why: serious.map(({ code, observed, expected }) => `${code}: ${observed}; needed: ${expected}`).join('\n'),
      next: serious.some(({ code }) => code === 'not-trusted' || code === 'chain-incomplete')
        ? 'Give the CA’s certificates with --ca-file, or ask your CA for the whole chain.'
        : 'Ask your CA for a certificate that fits, with the request: mcp-deploy cert csr',
    });
  }
  const folder = resolve(context.world.cwd, textFlag(options, 'out') ?? dirname(textFlag(options, 'key') ?? '.'));
  const [certificate, key] = [join(folder, 'server.crt'), join(folder, 'server.key')];
  const sameKey =
    resolve(context.world.cwd, textFlag(options, 'key') ?? '') === key &&
    !isEncryptedKey((await context.ports.files.read(key))?.toString('utf8') ?? '');
  await writeTogether(
    context,
    folder,
    [
      ...(sameKey ? [] : [{ path: key, content: keyPem, mode: 0o600 }]),
      { path: certificate, content: arranged.chainPem, mode: 0o644 },
    ],
    options['force'] === true,
  );
  for (const problem of serious) output.warning(`${problem.code}: ${problem.observed}`);
  const applied = options['apply'] === true;
  if (applied) await serveOwnFiles(context, { certificate, key });
  output.document({
    ok: true,
    certificateFile: certificate,
    keyFile: key,
    applied,
    notes,
    problems,
    certificate: described,
  });
  output.result(
    [
      `  ${output.out.green('✓')} ${described.names.join(', ')}; ${described.daysLeft} days; key, chain, names and purpose fit`,
      ...notes.map((note) => `  ! ${note}`),
      `    ${certificate}  644`,
      `    ${key}  600`,
      '',
      ...(applied
        ? ['  Served and proven.   mcp-deploy cert show']
        : [
            '  Next   in mcp-deploy.yaml:',
            `           tls: { source: files, certificate: ${certificate}, key: ${key} }`,
            '         mcp-deploy apply        or all of it at once: cert import … --apply',
          ]),
    ].join('\n'),
  );
  return 0;
}

async function readKey(context: CommandContext, fromPkcs12: string | null, options: FlagValues): Promise<string> {
  const file = textFlag(options, 'key');
  if (file === undefined) {
    if (fromPkcs12 !== null) return fromPkcs12;
    throw new UserError('The key of the certificate is not named.', {
      why: 'A server cannot use a certificate without the key that its request was made with.',
      next: 'Add --key FILE, the .key that cert csr wrote.',
    });
  }
  const keyPem = (await readNeeded(context, file)).toString('utf8');
  const passphrase = isEncryptedKey(keyPem) ? await readPassphrase(context, options, file) : undefined;
  return encodePrivateKey(parsePrivateKey(keyPem, file, passphrase));
}

/** --names, or what the request beside the key asked for. */
async function wantedNames(context: CommandContext, options: FlagValues): Promise<readonly string[]> {
  const named = listFlag(options, 'names');
  const key = textFlag(options, 'key');
  if (named.length > 0 || key === undefined) return named;
  const request = await context.ports.files.read(resolve(context.world.cwd, key.replace(/\.key$/, '.csr')));
  return request === null || !key.endsWith('.key') ? [] : parseRequest(request, 'The request beside the key').names;
}

function covers(names: readonly string[], wanted: string): boolean {
  return wanted.startsWith('*.') ? names.includes(wanted) : matchesName(names, wanted);
}

/** DER of several files cannot be joined; PEM can, with a line feed between. */
function asPem(bytes: Buffer): Buffer {
  if (bytes.includes('-----BEGIN ')) return Buffer.concat([bytes, Buffer.from('\n')]);
  if (bytes[0] !== 0x30) return bytes;
  const lines = bytes.toString('base64').replaceAll(/(.{64})/g, '$1\n');
  return Buffer.from(`-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`);
}
