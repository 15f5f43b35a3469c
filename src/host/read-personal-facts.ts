import { userInfo } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { isJobLoaded } from '../apply/launchd-jobs.ts';
import type { ApplyPorts } from '../apply/ports.ts';
import { showUnit } from '../apply/units.ts';
import type { PersonalFacts } from '../plan/personal-service.ts';
import type { UnitManager } from '../plan/units.ts';

/** The service of a person as it would be installed. */
export interface PersonalWish {
  readonly manager: UnitManager;
  readonly unit: string;
  readonly file: string;
}

/** Looks at the service manager of a person. Changes nothing. */
export async function readPersonalFacts(
  { manager, unit, file }: PersonalWish,
  ports: Pick<ApplyPorts, 'files' | 'processes'>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<PersonalFacts> {
  const isLaunchd = manager.type === 'launchd';
  const missing: string[] = [];
  for (const program of isLaunchd ? ['launchctl', 'plutil'] : ['systemctl', 'systemd-analyze']) {
    if (!(await isOnPath(program, ports, env))) missing.push(program);
  }
  const common = { manager, unit, file, missing, missingFolders: await readMissingFolders(dirname(file), ports) };
  if (missing.length > 0) return { ...common, isActive: false, problem: null, lingers: null };
  if (isLaunchd) {
    return { ...common, isActive: await isJobLoaded(unit, manager, ports), problem: null, lingers: null };
  }
  const asked = await ports.processes.run(['systemctl', '--user', 'show', '--property=Version'], 20_000);
  const lingering = join('/var/lib/systemd/linger', userInfo().username);
  return {
    ...common,
    isActive: asked.exitCode === 0 && (await showUnit(unit, ports, manager))['ActiveState'] === 'active',
    problem: asked.exitCode === 0 ? null : asked.lastWords.join(' '),
    lingers: (await ports.files.stat(lingering)) !== null,
  };
}

async function readMissingFolders(folder: string, { files }: Pick<ApplyPorts, 'files'>): Promise<readonly string[]> {
  if ((await files.stat(folder)) !== null || dirname(folder) === folder) return [];
  return [...(await readMissingFolders(dirname(folder), { files })), folder];
}

async function isOnPath(
  program: string,
  { files }: Pick<ApplyPorts, 'files'>,
  env: NodeJS.ProcessEnv,
): Promise<boolean> {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    if (folder !== '' && (await files.stat(join(folder, program))) !== null) return true;
  }
  return false;
}
