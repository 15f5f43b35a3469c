import { basename, join, resolve } from 'node:path';
import { rootCertificates } from 'node:tls';
import { UserError } from '../../deployment/errors.ts';
import { isEncryptedKey, parsePrivateKey } from '../../pki/key-pair.ts';
import { parseCertificates } from '../../pki/parse-certificates.ts';
import { encodePkcs12, randomPassword } from '../../pki/pkcs12.ts';
import { ownCertificateFiles, readNeeded } from '../certificate-source.ts';
import type { CommandContext } from '../context.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';
import { givenPassphrase, readPassphrase } from '../read-passphrase.ts';
import { writeTogether, type OutputFile } from '../write-together.ts';

const formats = ['p12', 'ca-bundle', 'fullchain'] as const;

/** `mcp-deploy cert export [CERTIFICATE]`: the same certificate in the form that another program wants. */
export async function runCertExport(
  context: CommandContext,
  named: string | undefined,
  options: FlagValues,
): Promise<number> {
  const { output } = context;
  const wanted = textFlag(options, 'format') ?? 'p12';
  const format = formats.find((each) => each === wanted);
  if (format === undefined) {
    throw new UserError(`--format ${wanted} is not one of ${formats.join(', ')}.`, { next: '--format p12' });
  }
  const own = named === undefined ? await ownCertificateFiles(context, 'mcp-deploy cert export FILE --key FILE') : null;
  const certificateFile = named ?? own?.certificate ?? '';
  const folder = resolve(context.world.cwd, textFlag(options, 'out') ?? '.');
  const base = basename(certificateFile).replace(/\.[^.]*$/, '');
  const caFile = textFlag(options, 'caFile') ?? own?.ca ?? undefined;
  const keyFile = textFlag(options, 'key') ?? own?.key;
  const outputs: OutputFile[] = [];
  const next: string[] = [];
  if (format === 'p12') {
    const chain = parseCertificates(await readNeeded(context, certificateFile), certificateFile);
    if (keyFile === undefined)
      throw new UserError('The key of the certificate is not named.', { next: 'Add --key FILE.' });
    const keyPem = (await readNeeded(context, keyFile)).toString('utf8');
    const sourcePassphrase = isEncryptedKey(keyPem) ? await readPassphrase(context, options, keyFile) : undefined;
    const privateKey = parsePrivateKey(keyPem, keyFile, sourcePassphrase);
    if (!chain[0].x509.checkPrivateKey(privateKey)) {
      throw new UserError(`${keyFile} does not belong to ${certificateFile}.`, {
        next: 'Name the key that was made together with it: --key FILE',
      });
    }
    const own12 = sourcePassphrase === undefined ? givenPassphrase(context, options) : null;
    const password = own12 ?? randomPassword();
    const chainPem = chain.map(({ x509 }) => x509.toString()).join('');
    const path = join(folder, `${base}.p12`);
    outputs.push({ path, content: await encodePkcs12({ privateKey, chainPem, password, label: base }), mode: 0o600 });
    if (own12 === null) outputs.push({ path: `${path}.password`, content: `${password}\n`, mode: 0o600 });
    next.push(`mcp-deploy cert show ${path} --passphrase-file ${own12 === null ? `${path}.password` : 'FILE'}`);
  } else if (format === 'fullchain') {
    const chain = parseCertificates(await readNeeded(context, certificateFile), certificateFile);
    const above =
      caFile === undefined
        ? []
        : parseCertificates(await readNeeded(context, caFile), caFile).filter((each) => !each.selfIssued);
    const all = new Map([...chain, ...above].map((each) => [each.x509.fingerprint256, each.x509.toString()]));
    outputs.push({ path: join(folder, 'fullchain.pem'), content: [...all.values()].join(''), mode: 0o644 });
    next.push(`mcp-deploy cert verify ${join(folder, 'fullchain.pem')}`);
  } else {
    const source = caFile ?? named;
    if (source === undefined) throw new UserError('There is no private CA to export.', { next: 'Add --ca-file FILE.' });
    const authorities = parseCertificates(await readNeeded(context, source), source).filter(({ x509 }) => x509.ca);
    if (authorities.length === 0)
      throw new UserError(`${source} holds no CA.`, { next: 'Name the CA with --ca-file FILE.' });
    const publicRoots = options['withPublic'] === true ? rootCertificates.map((pem) => `${pem}\n`).join('') : '';
    const path = join(folder, 'ca-bundle.pem');
    outputs.push({ path, content: authorities.map(({ x509 }) => x509.toString()).join('') + publicRoots, mode: 0o644 });
    next.push(`export NODE_EXTRA_CA_CERTS=${path}        Node programs; read once at their start`);
    if (publicRoots !== '')
      next.push(`export SSL_CERT_FILE=${path}        programs on OpenSSL; replaces what they trust`);
  }
  await writeTogether(context, folder, outputs, options['force'] === true);
  output.document({ ok: true, format, files: outputs.map(({ path, mode }) => ({ path, mode: mode.toString(8) })) });
  output.result(
    [
      ...outputs.map(({ path, mode }) => `  ${output.out.green('✓')} ${path}  ${mode.toString(8)}`),
      '',
      ...next.map((line, index) => `  ${index === 0 ? 'Next  ' : '      '} ${line}`),
    ].join('\n'),
  );
  return 0;
}
