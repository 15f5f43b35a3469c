import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { issueSelfSigned } from '../pki/issue-certificate.ts';
import { issuePrivateCa } from '../pki/issue-private-ca.ts';
import { issueRevocationList } from '../pki/revocation-list.ts';
import { isAtLeast, parseVersion } from '../targets/parse-version.ts';
import type { ScratchFiles, Target, TargetInput } from '../targets/types.ts';
import type { CommandContext } from './context.ts';

/** What the program said that the files are for. */
export interface Judgement {
  readonly target: string;
  /** `unknown`: the program is not here, is older than the files are for, or cannot be asked. */
  readonly verdict: 'accepted' | 'refused' | 'unknown';
  readonly words: string;
}

/** Lets the program of each target judge its files before they are written anywhere; leaves nothing behind. */
export async function checkRendered(
  context: CommandContext,
  inputs: readonly { readonly target: Target; readonly input: TargetInput }[],
): Promise<readonly Judgement[]> {
  const judgements: Judgement[] = [];
  for (const { target, input } of inputs) judgements.push(await judgeOne(context, target, input));
  return judgements;
}

async function judgeOne(context: CommandContext, target: Target, input: TargetInput): Promise<Judgement> {
  const unknown = (words: string): Judgement => ({ target: target.name, verdict: 'unknown', words });
  if (target.trial === undefined) return unknown('it can be checked only where it is installed');
  const folder = await mkdtemp(join(tmpdir(), 'mcp-deploy-check-'));
  try {
    const trial = target.trial(input, await writeScratchFiles(context, folder));
    const [name = ''] = trial.versionArgv;
    const program = await findProgram(context, name);
    if (program === null) return unknown(`${name} is not on this machine`);
    const absolute = (argv: readonly string[]): string[] => argv.map((word) => (word === name ? program : word));
    const { processes, files } = context.ports;
    const here = (await processes.run(absolute(trial.versionArgv), 10_000)).lastWords.join(' ');
    const wanted = input.programVersion;
    if (wanted !== undefined && !isAtLeast(parseVersion(here), parseVersion(wanted))) {
      return unknown(`the files are for ${name} ${wanted}, and an older one is here`);
    }
    for (const { path, content } of trial.files) await files.writeAtomic(path, content, 0o600);
    const { exitCode, lastWords } = await processes.run(absolute(trial.argv), 30_000);
    const accepted = exitCode === 0 && !lastWords.some((line) => trial.complaint.test(line));
    return {
      target: target.name,
      verdict: accepted ? 'accepted' : 'refused',
      words: accepted ? `${target.checkedBy ?? name} accepts it` : lastWords.join('\n').replaceAll(folder, ''),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function writeScratchFiles({ ports }: CommandContext, folder: string): Promise<ScratchFiles> {
  const scratch: ScratchFiles = {
    folder,
    certificateFile: join(folder, 'certificate.pem'),
    keyFile: join(folder, 'key.pem'),
    caFile: join(folder, 'ca.pem'),
    crlFile: join(folder, 'crl.pem'),
  };
  const leaf = await issueSelfSigned({ names: ['localhost'], validDays: 30 });
  const ca = await issuePrivateCa({ commonName: 'stand-in', names: ['localhost'] });
  const crl = await issueRevocationList({ ca, revoked: [], number: 1, validDays: 30 });
  await ports.files.writeAtomic(scratch.certificateFile, leaf.certificatePem, 0o600);
  await ports.files.writeAtomic(scratch.keyFile, leaf.keyPem, 0o600);
  await ports.files.writeAtomic(`${scratch.certificateFile}.key`, leaf.keyPem, 0o600);
  await ports.files.writeAtomic(scratch.caFile, ca.certificatePem, 0o600);
  await ports.files.writeAtomic(scratch.crlFile, crl, 0o600);
  return scratch;
}

/** Proxies lie in sbin, which is not on the PATH of everybody. */
async function findProgram({ ports, world }: CommandContext, name: string): Promise<string | null> {
  const folders = [...(world.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  for (const folder of folders.filter((each) => each.startsWith('/'))) {
    const found = await ports.files.stat(join(folder, name)).catch(() => null);
    if (found !== null && found.kind !== 'directory') return join(folder, name);
  }
  return null;
}
