import { createPrivateKey } from 'node:crypto';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import { createRequest } from '../../pki/create-request.ts';
import { describeCertificate } from '../../pki/describe-certificate.ts';
import { issueCertificate, issueForRequest, issueSelfSigned } from '../../pki/issue-certificate.ts';
import { issueIntermediateCa, issuePrivateCa, type IssuedCertificate } from '../../pki/issue-private-ca.ts';
import { parseRequest } from '../../pki/parse-request.ts';
import { encryptPrivateKey } from '../../pki/password-encryption.ts';
import { readNeeded } from '../certificate-source.ts';
import type { CommandContext } from '../context.ts';
import { keyTypeFlag, numberFlag, textFlag, usageFlags, type FlagValues } from '../flag-values.ts';
import { givenPassphrase, readPassphrase } from '../read-passphrase.ts';
import { readCaInFiles } from '../signing-ca-files.ts';
import { writeTogether, type OutputFile } from '../write-together.ts';

/** Under the 398 days that browsers and Apple ask of public certificates. */
const leafDays = 397;

/** `mcp-deploy cert self-signed NAME…`: a certificate that vouches for itself. */
export async function runCertSelfSigned(
  context: CommandContext,
  names: readonly string[],
  options: FlagValues,
): Promise<number> {
  const now = nowOf(context);
  const made = await issueSelfSigned({
    names,
    validDays: numberFlag(options, 'days', '--days', leafDays),
    algorithm: keyTypeFlag(options),
    usages: usageFlags(options),
    now,
  });
  return writePair(
    context,
    options,
    'server',
    made,
    (certificate) => `mcp-deploy cert trust ${certificate}        so that clients here accept it`,
  );
}

/** `mcp-deploy cert ca NAME…`: a private CA that can sign for these names only, with --intermediate a second one below it. */
export async function runCertCa(
  context: CommandContext,
  names: readonly string[],
  options: FlagValues,
): Promise<number> {
  const constrained = options['constraints'] !== false;
  if (!constrained && names.length > 0) {
    throw new UserError('--no-constraints and names contradict each other.', {
      why: 'The names are what the CA is constrained to.',
      next: 'Leave out one of them.',
    });
  }
  const withIntermediate = options['intermediate'] === true;
  const now = nowOf(context);
  const common = {
    names,
    constrained,
    addressesConstrained: options['constrainAddresses'] === true,
    algorithm: keyTypeFlag(options),
    validDays: numberFlag(options, 'days', '--days', 3_650),
    now,
  };
  const title = textFlag(options, 'commonName') ?? `mcp-deploy CA on ${hostname()}`;
  const pathLength = numberFlag(options, 'pathLength', '--path-length', withIntermediate ? 1 : 0);
  const root = await issuePrivateCa({ ...common, commonName: title, pathLength });
  const intermediate = withIntermediate
    ? await issueIntermediateCa({
        ...common,
        commonName: `${title.slice(0, 50)} intermediate`,
        pathLength: Math.max(pathLength - 1, 0),
        ca: root,
      })
    : null;
  const wantsPassphrase = options['encrypt'] === true || givenPassphrase(context, options) !== null;
  const passphrase = wantsPassphrase ? await readPassphrase(context, options, 'the CA key', { twice: true }) : null;
  const folder = outFolder(context, options);
  const outputs: OutputFile[] = [];
  for (const [base, made] of [
    ['ca', root],
    ['intermediate', intermediate],
  ] as const) {
    if (made === null) continue;
    const keyPem = passphrase === null ? made.keyPem : await encryptPrivateKey(pkcs8Of(made.keyPem), passphrase);
    // The key first: there is never a certificate without its key.
    outputs.push({ path: join(folder, `${base}.key`), content: keyPem, mode: 0o400 });
    outputs.push({ path: join(folder, `${base}.crt`), content: made.certificatePem, mode: 0o644 });
  }
  await writeTogether(context, folder, outputs, options['force'] === true);
  const described = describeCertificate(root.certificatePem, now);
  const shown = context.output;
  shown.document({
    ok: true,
    files: outputs.map(({ path }) => path),
    encrypted: passphrase !== null,
    certificate: described,
  });
  shown.result(
    [
      `  ${shown.out.green('✓')} ${described.subject}, ${described.keyType}, ${described.daysLeft} days, signs for ${described.permittedNames?.join(', ') ?? 'any name'}`,
      ...outputs.map(({ path, mode }) => `    ${path}  ${mode.toString(8)}`),
      ...(withIntermediate
        ? ['', '  The root key (ca.key) is not needed here any more: move it to a safe place.']
        : []),
      '',
      `  Next   mcp-deploy cert issue ${names[0] ?? 'NAME'} --ca ${textFlag(options, 'out') ?? '.'} --out DIR`,
      `         mcp-deploy cert trust ${join(folder, 'ca.crt')}`,
    ].join('\n'),
  );
  if (!constrained)
    shown.warning('This CA can vouch for every site: whoever gets its key can read all traffic of those who trust it.');
  return 0;
}

/** `mcp-deploy cert issue NAME…`: a certificate of a private CA, for a server, a client, or for someone's request. */
export async function runCertIssue(
  context: CommandContext,
  names: readonly string[],
  options: FlagValues,
): Promise<number> {
  const { ca, certificateFile } = await readCaInFiles(context, options);
  const commonName = textFlag(options, 'commonName');
  const requestFile = textFlag(options, 'csr');
  const now = nowOf(context);
  const base = usageFlags(options)[0] === 'clientAuth' ? 'client' : 'server';
  const common = {
    ca,
    validDays: numberFlag(options, 'days', '--days', leafDays),
    usages: usageFlags(options),
    now,
    ...(commonName === undefined ? {} : { commonName }),
  };
  // Clients trust the root, which stands beside the intermediate.
  const rootFile = certificateFile.replace(/intermediate\.crt$/, 'ca.crt');
  const next = (certificate: string): string =>
    `mcp-deploy cert verify ${certificate} --ca-file ${rootFile}${base === 'client' ? ' --client' : ''}`;
  if (requestFile !== undefined) {
    const request = parseRequest(await readNeeded(context, requestFile), requestFile);
    const certificatePem = await issueForRequest({
      ...common,
      names: names.length > 0 ? names : request.names,
      request,
    });
    return writePair(context, options, base, { certificatePem, keyPem: null }, next);
  }
  const made = await issueCertificate({ ...common, names, algorithm: keyTypeFlag(options) });
  return writePair(context, options, base, made, next);
}

/** `mcp-deploy cert csr NAME…`: a key and a request for a company's CA. */
export async function runCertCsr(
  context: CommandContext,
  names: readonly string[],
  options: FlagValues,
): Promise<number> {
  const made = await createRequest({ names, usages: usageFlags(options), algorithm: keyTypeFlag(options) });
  const folder = outFolder(context, options);
  const base = baseName(options, usageFlags(options)[0] === 'clientAuth' ? 'client' : 'server');
  const [key, request] = [join(folder, `${base}.key`), join(folder, `${base}.csr`)];
  await writeTogether(
    context,
    folder,
    [
      { path: key, content: made.keyPem, mode: 0o600 },
      { path: request, content: made.requestPem, mode: 0o644 },
    ],
    options['force'] === true,
  );
  context.output.document({ ok: true, key, request, ...pick(parseRequest(Buffer.from(made.requestPem))) });
  context.output.result(
    [
      `  ${context.output.out.green('✓')} ${request}        send this to your CA; it holds nothing secret`,
      `    ${key}  600     stays here`,
      '',
      `  Next   mcp-deploy cert import CERTIFICATE --key ${key} --ca-file COMPANY-CA.crt`,
    ].join('\n'),
  );
  return 0;
}

function pick({ names, usages }: { readonly names: readonly string[]; readonly usages: readonly string[] }) {
  return { names, usages };
}

async function writePair(
  context: CommandContext,
  options: FlagValues,
  usualBase: string,
  made: { readonly certificatePem: string; readonly keyPem: IssuedCertificate['keyPem'] | null },
  next: (certificateFile: string) => string,
): Promise<number> {
  const folder = outFolder(context, options);
  const base = baseName(options, usualBase);
  const certificate = join(folder, `${base}.crt`);
  const key = made.keyPem === null ? null : join(folder, `${base}.key`);
  const outputs: readonly OutputFile[] = [
    ...(key === null || made.keyPem === null ? [] : [{ path: key, content: made.keyPem, mode: 0o600 }]),
    { path: certificate, content: made.certificatePem, mode: 0o644 },
  ];
  await writeTogether(context, folder, outputs, options['force'] === true);
  const described = describeCertificate(made.certificatePem, nowOf(context));
  context.output.document({ ok: true, certificateFile: certificate, keyFile: key, certificate: described });
  context.output.result(
    [
      `  ${context.output.out.green('✓')} ${described.names.join(', ') || described.subject}; ${described.keyType}; ${described.daysLeft} days; ${described.usages.join(', ')}`,
      ...outputs.map(({ path, mode }) => `    ${path}  ${mode.toString(8)}`),
      '',
      `  Next   ${next(certificate)}`,
    ].join('\n'),
  );
  return 0;
}

function outFolder(context: CommandContext, options: FlagValues): string {
  return resolve(context.world.cwd, textFlag(options, 'out') ?? '.');
}

function baseName(options: FlagValues, usual: string): string {
  const base = textFlag(options, 'base') ?? usual;
  if (/^[\w][\w.-]{0,63}$/.test(base)) return base;
  throw new UserError(`--base ${JSON.stringify(base)} cannot be the beginning of a file name.`, {
    next: '--base server',
  });
}

function nowOf(context: CommandContext): Date {
  return new Date(context.ports.clock.now());
}

function pkcs8Of(keyPem: string): Buffer {
  return createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
}
