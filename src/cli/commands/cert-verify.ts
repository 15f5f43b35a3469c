import { describeCertificate } from '../../pki/describe-certificate.ts';
import { judgeCertificate } from '../../pki/verify-certificate.ts';
import { ownCertificateFiles, readCertificateSource, readNeeded } from '../certificate-source.ts';
import type { CommandContext } from '../context.ts';
import { listFlag, textFlag, usageFlags, type FlagValues } from '../flag-values.ts';

/**
 * `mcp-deploy cert verify [SOURCE]`: everything that would make a client refuse the certificate. Exit 0 when nothing
 * would, 1 when something would.
 */
export async function runCertVerify(
  context: CommandContext,
  source: string | undefined,
  options: FlagValues,
): Promise<number> {
  const { output } = context;
  const now = new Date(context.ports.clock.now());
  const own = source === undefined ? await ownCertificateFiles(context, 'mcp-deploy cert verify FILE') : null;
  const shown = await readCertificateSource(context, source ?? own?.certificate ?? '', options);
  const caFile = textFlag(options, 'caFile') ?? own?.ca;
  const keyFile = textFlag(options, 'key') ?? own?.key;
  const keyPem = keyFile === undefined ? shown.privateKeyPem : (await readNeeded(context, keyFile)).toString('utf8');
  const name = textFlag(options, 'name') ?? shown.host ?? undefined;
  const lists = await Promise.all(listFlag(options, 'crl').map((file) => readNeeded(context, file)));
  const usage = usageFlags(options)[0] ?? 'serverAuth';
  const problems = judgeCertificate({
    chainPem: shown.bytes,
    usage,
    now,
    revocationLists: lists,
    ...(caFile === undefined || caFile === null ? {} : { caPem: await readNeeded(context, caFile) }),
    ...(keyPem === null ? {} : { keyPem }),
    ...(name === undefined ? {} : { name }),
  });
  const certificate = describeCertificate(shown.bytes, now);
  output.document({ ok: problems.length === 0, from: shown.from, certificate, problems });
  if (problems.length === 0) {
    const trusted = caFile === undefined || caFile === null ? 'the public roots' : caFile;
    const named = name === undefined ? '' : ` for ${name}`;
    output.result(
      `  ${output.out.green('✓')} ${shown.from}: clients that trust ${trusted} accept it${named}; ${certificate.daysLeft} days left`,
    );
    return 0;
  }
  output.result(
    [
      `  ${output.out.red('✗')} ${shown.from}: ${problems.length === 1 ? 'one problem' : `${problems.length} problems`}`,
      ...problems.flatMap(({ code, observed, expected }) => [
        `    ${code.padEnd(18)} ${observed}`,
        `    ${''.padEnd(18)} needed: ${expected}`,
      ]),
    ].join('\n'),
  );
  const untrusted = problems.some(({ code }) => code === 'not-trusted' || code === 'chain-incomplete');
  if (untrusted && caFile === undefined)
    output.progress('\n  Next   mcp-deploy cert verify … --ca-file CA.crt     when it is from a private CA');
  return 1;
}
