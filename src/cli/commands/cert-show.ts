import { EnvironmentError } from '../../deployment/errors.ts';
import { describeChain } from '../../pki/describe-certificate.ts';
import { formatCertificateText } from '../../pki/format-certificate.ts';
import { formatChainTree } from '../../pki/format-chain-tree.ts';
import { parseRevocationList } from '../../pki/revocation-list.ts';
import { ownCertificateFiles, readCertificateSource } from '../certificate-source.ts';
import type { CommandContext } from '../context.ts';
import type { FlagValues } from '../flag-values.ts';

/** `mcp-deploy cert show [FILE | HOST:PORT | URL]`: this deployment's certificates when nothing is named. */
export async function runCertShow(
  context: CommandContext,
  source: string | undefined,
  options: FlagValues,
): Promise<number> {
  const now = new Date(context.ports.clock.now());
  const shown =
    source === undefined ? await ownCertificates(context) : [await readCertificateSource(context, source, options)];
  const list = shown[0] !== undefined && isRevocationList(shown[0].bytes) ? shown[0] : null;
  if (list !== null) return showRevocationList(context, list.from, list.bytes);
  const described = shown.map(({ from, bytes }) => ({ from, certificates: describeChain(bytes, now) }));
  context.output.document({ ok: true, sources: described });
  context.output.result(
    described
      .map(
        ({ from, certificates }) =>
          `  ${from}\n\n${formatChainTree(certificates)}\n${formatCertificateText(certificates)}`,
      )
      .join('\n'),
  );
  context.output.progress(`\n  Next   mcp-deploy cert verify ${source ?? ''}`.trimEnd());
  return 0;
}

function isRevocationList(bytes: Buffer): boolean {
  return bytes.includes('-----BEGIN X509 CRL-----');
}

function showRevocationList(context: CommandContext, from: string, bytes: Buffer): number {
  const { thisUpdate, nextUpdate, number, revoked } = parseRevocationList(bytes, from);
  context.output.document({ ok: true, list: { from, number, thisUpdate, nextUpdate, revoked } });
  const until = nextUpdate === null ? 'without an end' : `until ${nextUpdate.toISOString().slice(0, 10)}`;
  context.output.result(
    [
      `  ${from}: revocation list ${number}, valid ${until}, ${revoked.length} revoked`,
      ...revoked.map(
        (entry) => `  ${entry.revokedAt.toISOString().slice(0, 10)}  ${entry.reason.padEnd(22)}  ${entry.serial}`,
      ),
    ].join('\n'),
  );
  return 0;
}

async function ownCertificates(context: CommandContext): Promise<readonly { from: string; bytes: Buffer }[]> {
  const own = await ownCertificateFiles(context, 'mcp-deploy cert show FILE');
  return Promise.all(
    [own.certificate, ...(own.ca === null ? [] : [own.ca])].map(async (from) => {
      const bytes = await context.ports.files.read(from);
      if (bytes === null)
        throw new EnvironmentError(`${from} is gone.`, { next: 'mcp-deploy apply        makes it anew' });
      return { from, bytes };
    }),
  );
}
