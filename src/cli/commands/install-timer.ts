import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import type { HostFacts } from '../../plan/facts.ts';
import type { Plan, Step } from '../../plan/types.ts';
import { backupTimerJob, renderBackupTimer } from '../../targets/backup-timer.ts';
import {
  cronTimerLine,
  type HostTimer,
  type TimerInput,
  type TimerJob,
  type TimerKind,
} from '../../targets/host-timer.ts';
import { renderRenewalTimer, renewalCronLine } from '../../targets/renewal-timer.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { changeHost, lookAtHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { timerRecordFile, timerRecordOf } from '../../plan/timer-record.ts';

const kinds: readonly (TimerKind | 'print')[] = ['systemd', 'systemd-user', 'launchd', 'cron', 'print'];

interface Job {
  readonly job: TimerJob['job'];
  readonly words: readonly string[];
  readonly why: string;
  /** What it does, behind the two spaces of a result. */
  readonly says: string;
  render(kind: TimerKind, timer: TimerInput): HostTimer;
  cronLine(name: string, argv: readonly string[]): string;
}

const renewal: Job = {
  job: 'renew',
  words: ['cert', 'renew'],
  why: 'renewal twice a day',
  says: 'The certificate is looked at twice a day',
  render: renderRenewalTimer,
  cronLine: (name, argv) => renewalCronLine(name, argv, null),
};

function backupJob({ backup }: Deployment): Job {
  const { every = 'daily', at } = backup;
  return {
    job: 'backup',
    words: ['backup', 'create'],
    why: `${every} backup`,
    says: `A backup is made ${every} (${every === 'hourly' ? `minute ${at.slice(3)}` : at})`,
    render: (kind, timer) => renderBackupTimer(kind, timer, backup),
    cronLine: (_, argv) => cronTimerLine(backupTimerJob(backup), argv, null),
  };
}

/** `--install-timer [KIND]` of `cert renew` and `backup create`: what this machine has runs the command by the clock. */
export async function installTimer(
  context: CommandContext,
  deployment: Deployment,
  {
    job: name,
    kind: asked,
    dryRun,
  }: { readonly job: TimerJob['job']; readonly kind: unknown; readonly dryRun: boolean },
): Promise<number> {
  const job = name === 'renew' ? renewal : backupJob(deployment);
  const { output } = context;
  const kind = typeof asked === 'string' ? asked : await chooseKind(context);
  if (!kinds.includes(kind as TimerKind)) {
    throw new UserError(`--install-timer ${kind} is not known.`, {
      why: `There is ${kinds.join(', ')}.`,
      next: '--install-timer systemd',
    });
  }
  const bin = join(context.package.root, 'bin', 'mcp-deploy.js');
  const argv = [process.execPath, bin, ...job.words, '--quiet', '--file', context.deploymentFile];
  if (kind === 'print') {
    const line = job.cronLine(deployment.name, argv);
    output.document({ ok: true, installed: false, kind, cron: line });
    output.result(`  Nothing was installed. As a line for crontab -e:\n\n${line}`);
    return 0;
  }
  const timer = job.render(kind as TimerKind, {
    name: deployment.name,
    argv,
    homeDir: context.world.env['HOME'] ?? homedir(),
    uid: process.getuid?.() ?? 501,
    templates: (path) => readFileSync(join(context.package.templatesDir, path), 'utf8'),
  });
  const folders = await missingFolders(context, timer);
  const texts = await Promise.all(
    timer.files.map(async ({ path }) => (await context.ports.files.read(path))?.toString('utf8')),
  );
  const recorded =
    (await context.ports.files.read(timerRecordFile(context.stateDir, job.job)))?.toString('utf8') ?? null;
  if (dryRun) {
    const facts = await lookAtHost(context, deployment);
    const plan = planTimer(timer, job, { deployment, facts, folders, texts, recorded });
    output.document({ ok: true, installed: false, kind, files: timer.files, commands: timer.install });
    output.result(describePlan(plan, facts, `mcp-deploy ${job.words.join(' ')} --install-timer`));
    return 0;
  }
  const outcome = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    return { plan: planTimer(timer, job, { deployment, facts, folders, texts, recorded }), facts };
  });
  output.document({
    ok: true,
    installed: true,
    kind,
    changed: outcome.plan.steps.length > 0,
    files: timer.files.map(({ path }) => path),
  });
  const paths = timer.files.map(({ path }) => path);
  output.result(`  ${job.says} (${kind}): ${paths.join(', ')}\n\n  uninstall takes it away again.`);
  return 0;
}

function planTimer(
  timer: HostTimer,
  { job, why }: Job,
  options: {
    readonly deployment: Deployment;
    readonly facts: HostFacts;
    readonly folders: readonly string[];
    readonly texts: readonly (string | undefined)[];
    readonly recorded: string | null;
  },
): Plan {
  const { deployment, facts, folders, texts, recorded } = options;
  const changed = timer.files.filter(({ content }, index) => texts[index] !== content);
  const record = timerRecordOf(timer, facts.stateDir, job);
  const common = { why, group: 'configuration' } as const;
  const restore = { type: 'restore' } as const;
  const steps: readonly Step[] =
    changed.length === 0 && recorded === record.content
      ? []
      : [
          ...folders.map((path, index): Step => ({
            ...common,
            id: `timer-folder-${index}`,
            title: `make folder ${path}`,
            action: { type: 'make-directory', path, mode: 0o755 },
            undo: restore,
          })),
          ...changed.map((file, index): Step => ({
            ...common,
            id: `timer-file-${index}`,
            title: `write ${file.path}`,
            action: { type: 'write-file', ...file },
            undo: restore,
          })),
          {
            ...common,
            id: 'timer-record',
            title: 'note what was installed',
            action: { type: 'write-file', ...record },
            undo: restore,
          },
          ...timer.install.map(({ title, argv }, index): Step => {
            const back = index === timer.install.length - 1 ? timer.remove[0] : undefined;
            return {
              ...common,
              id: `timer-command-${index}`,
              title,
              action: { type: 'run-command', argv },
              undo: back === undefined ? { type: 'none' } : { type: 'run-command', argv: back.argv },
            };
          }),
        ];
  const release = facts.release?.release ?? 0;
  return {
    schemaVersion: 1,
    deployment: deployment.name,
    purpose: 'apply',
    release: steps.length === 0 ? release : release + 1,
    steps,
    notices: [],
    desired: facts.release?.desired ?? null,
  };
}

async function chooseKind({ ports, world }: CommandContext): Promise<TimerKind | 'print'> {
  const isRoot = process.getuid?.() === 0;
  if (process.platform === 'darwin') return 'launchd';
  if (isRoot && (await ports.files.stat('/run/systemd/system')) !== null) return 'systemd';
  const runtime = world.env['XDG_RUNTIME_DIR'];
  if (!isRoot && runtime !== undefined && (await ports.files.stat(join(runtime, 'systemd'))) !== null)
    return 'systemd-user';
  if (isRoot && (await ports.files.stat('/etc/cron.d'))?.kind === 'directory') return 'cron';
  return 'print';
}

/** Folders above the files that are not there yet, outermost first. */
async function missingFolders({ ports }: CommandContext, { files }: HostTimer): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const { path } of files) {
    for (let folder = dirname(path); !missing.includes(folder); folder = dirname(folder)) {
      const stat = await ports.files.stat(folder);
      if (stat !== null && stat.kind === 'file') {
        throw new EnvironmentError(`${folder} is a file, not a folder.`, {
          next: `Move it away: mv ${folder} ${folder}.old`,
        });
      }
      if (stat !== null) break;
      missing.unshift(folder);
    }
  }
  return missing;
}
