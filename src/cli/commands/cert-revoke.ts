import { dirname, relative, resolve } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import { deploymentSchema } from '../../deployment/schema.ts';
import { isIssuedBy } from '../../pki/certificate-path.ts';
import { parseCertificates } from '../../pki/parse-certificates.ts';
import {
  isSignedBy,
  issueRevocationList,
  parseRevocationList,
  revocationReasons,
  type RevocationReason,
  type RevokedCertificate,
} from '../../pki/revocation-list.ts';
import { planRevocation } from '../../plan/plan-revocation.ts';
import { changeHost } from '../apply-desired.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import type { CommandContext } from '../context.ts';
import { numberFlag, textFlag, type FlagValues } from '../flag-values.ts';
import { readCaInFiles, type CaInFiles } from '../signing-ca-files.ts';
import { writeTogether } from '../write-together.ts';

/** A list is made anew at each revocation; in between it must not run out unseen. */
const listDays = 90;

/** `mcp-deploy cert revoke FILE|SERIAL`: puts a certificate on the list of its CA, and signs the list anew. */
export async function runCertRevoke(context: CommandContext, what: string, options: FlagValues): Promise<number> {
  const reason = reasonFlag(options);
  const found = await readCaInFiles(context, options);
  const serial = await serialFrom(context, what, found);
  return reviseList(context, options, found, (revoked) => {
    if (revoked.some((entry) => entry.serial === serial)) return { revoked, text: `${serial} is revoked already.` };
    const entry = { serial, revokedAt: new Date(context.ports.clock.now()), reason };
    return { revoked: [...revoked, entry], text: `${serial} is revoked (${reason}).` };
  });
}

/** `mcp-deploy cert crl`: signs the revocation list of a CA anew, also an empty one. */
export async function runCertCrl(context: CommandContext, options: FlagValues): Promise<number> {
  const found = await readCaInFiles(context, options);
  return reviseList(context, options, found, (revoked) => ({ revoked, text: 'The list was signed anew.' }));
}

async function reviseList(
  context: CommandContext,
  options: FlagValues,
  found: CaInFiles,
  change: (revoked: readonly RevokedCertificate[]) => {
    readonly revoked: readonly RevokedCertificate[];
    readonly text: string;
  },
): Promise<number> {
  const { output, ports } = context;
  const validDays = numberFlag(options, 'days', '--days', listDays);
  let made = { number: 0, count: 0, text: '' };
  const make = async (): Promise<string> => {
    const before = await readListBefore(context, found);
    const { revoked, text } = change(before?.revoked ?? []);
    made = { number: (before?.number ?? 0) + 1, count: revoked.length, text };
    return issueRevocationList({
      ca: found.ca,
      revoked,
      number: made.number,
      validDays,
      now: new Date(ports.clock.now()),
    });
  };
  if (found.isOwn) {
    const deployment = (await readAppliedDeployment(context)) ?? deploymentSchema.parse({ version: 1 });
    await changeHost(context, 'cert', async (look) => {
      const facts = await look(null);
      return { plan: planRevocation(facts, deployment.name, found.listFile, await make()), facts };
    });
  } else {
    await writeTogether(
      context,
      dirname(found.listFile),
      [{ path: found.listFile, content: await make(), mode: 0o644 }],
      true,
    );
  }
  const shown = relative(context.world.cwd, found.listFile) || found.listFile;
  output.document({ ok: true, list: found.listFile, number: made.number, revoked: made.count });
  output.result(
    [
      `  ${output.out.green('✓')} ${made.text} List ${made.number} names ${made.count}, for ${validDays} days: ${shown}`,
      '',
      `  Next   mcp-deploy cert show ${shown}`,
    ].join('\n'),
  );
  return 0;
}

/** A list that is not the CA's own is never built upon: it could bring a revoked certificate back. */
async function readListBefore(context: CommandContext, found: CaInFiles) {
  const bytes = await context.ports.files.read(found.listFile);
  if (bytes === null) return null;
  const list = parseRevocationList(bytes, found.listFile);
  if (isSignedBy(list, parseCertificates(found.ca.certificatePem)[0])) return list;
  throw new UserError(`${found.listFile} was not signed by this CA.`, {
    why: 'Building upon it could leave out a certificate that was revoked.',
    next: 'Bring back the right list, or move this one away to begin a new one.',
  });
}

async function serialFrom(context: CommandContext, what: string, found: CaInFiles): Promise<string> {
  const bytes = await context.ports.files.read(resolve(context.world.cwd, what));
  if (bytes !== null) {
    const [certificate] = parseCertificates(bytes, what);
    if (isIssuedBy(certificate, parseCertificates(found.ca.certificatePem)[0])) return certificate.x509.serialNumber;
    throw new UserError(`${what} was not issued by ${found.certificateFile}.`, {
      why: `Its issuer is ${certificate.issuer}; only that CA can revoke it.`,
      next: 'Name that CA with --ca DIR.',
    });
  }
  const serial = what.replaceAll(':', '').toUpperCase();
  if (/^[0-9A-F]{1,40}$/.test(serial)) return serial.length % 2 === 0 ? serial : `0${serial}`;
  throw new UserError(`${what} is neither a certificate file nor a serial number.`, {
    next: 'mcp-deploy cert show FILE        shows the serial number of a certificate',
  });
}

function reasonFlag(options: FlagValues): RevocationReason {
  const text = textFlag(options, 'reason') ?? 'unspecified';
  const reasons = Object.keys(revocationReasons) as RevocationReason[];
  const found = reasons.find((reason) => reason === text);
  if (found !== undefined) return found;
  throw new UserError(`--reason ${text} is not a reason to revoke.`, { next: `Give one of ${reasons.join(', ')}.` });
}
