import { spawn, spawnSync } from 'node:child_process';
import { appendFile, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApplyPorts, FileSystem, Processes } from '../../src/apply/ports.ts';

/**
 * Everything that changes the world goes through a handful of methods of the
 * ports. These wrappers number the calls from 0 and do harm at the k-th.
 */
export interface Effect {
  readonly index: number;
  readonly name: keyof FileSystem | keyof Processes;
  readonly args: readonly unknown[];
  run(): Promise<unknown>;
  /** Leaves what a crash in the middle of it would leave; nothing for what is atomic. */
  runPartly(): Promise<void>;
}

const fileEffects = [
  'writeAtomic',
  'linkAtomic',
  'appendDurably',
  'createExclusive',
  'makeDirectory',
  'removeFile',
  'removeEmptyDirectory',
  'removeTree',
  'rename',
  'chmod',
  'chown',
] as const satisfies readonly (keyof FileSystem)[];
const processEffects = [
  'startServer',
  'stopServer',
  'replaceServer',
  'run',
] as const satisfies readonly (keyof Processes)[];

/** Programs that only look: a kill before, in and after them is one and the same. */
const looking = /^(?:systemctl (?:--user )?show|journalctl|nginx -t|haproxy -c|systemd-analyze|runuser|\S*node -e) ?/;

export type Moment = 'before' | 'during' | 'after';

/** Ports whose every effect goes through `around`. */
export function interceptEffects(ports: ApplyPorts, around: (effect: Effect) => Promise<unknown>): ApplyPorts {
  let count = 0;
  function wrap<T extends object>(target: T, names: readonly (keyof T)[]): T {
    const wrapped = Object.create(target) as T;
    for (const name of names) {
      const original = target[name] as (...args: unknown[]) => Promise<unknown>;
      const replacement = (...args: unknown[]): Promise<unknown> => {
        if (name === 'run' && looking.test((args[0] as readonly string[]).join(' ')))
          return original.apply(target, args);
        const index = count;
        count += 1;
        return around({
          index,
          name: name as Effect['name'],
          args,
          run: () => original.apply(target, args),
          runPartly: () => leaveHalf(name as Effect['name'], args, ports),
        });
      };
      Object.defineProperty(wrapped, name, { value: replacement });
    }
    return wrapped;
  }
  return { ...ports, files: wrap(ports.files, fileEffects), processes: wrap(ports.processes, processEffects) };
}

/** Kills this very process (SIGKILL) right before, in the middle of or right after the k-th effect. */
export function killAtEffect(ports: ApplyPorts, k: number, when: Moment): ApplyPorts {
  return interceptEffects(ports, async (effect) => {
    if (effect.index !== k) return effect.run();
    if (when === 'during') await effect.runPartly();
    if (when === 'after') await effect.run();
    process.kill(process.pid, 'SIGKILL');
    // The signal is on its way; nothing more may happen.
    return new Promise(() => {});
  });
}

/**
 * The same without a process: from the k-th effect on nothing happens any
 * more and no promise settles. `crashed` resolves when that point is reached.
 */
export function freezeAtEffect(
  ports: ApplyPorts,
  k: number,
  when: Moment,
): { readonly ports: ApplyPorts; readonly crashed: Promise<'crashed'> } {
  let reached: (value: 'crashed') => void = () => {};
  const crashed = new Promise<'crashed'>((resolve) => {
    reached = resolve;
  });
  let frozen = false;
  const wrapped = interceptEffects(ports, async (effect) => {
    if (!frozen && effect.index < k) return effect.run();
    if (!frozen) {
      frozen = true;
      if (when === 'during') await effect.runPartly();
      if (when === 'after') await effect.run();
      reached('crashed');
    }
    return new Promise(() => {});
  });
  return { ports: wrapped, crashed };
}

/** Throws `error` at the k-th effect; with `forever` at every later effect that passes `forever` as well. */
export function failAtEffect(
  ports: ApplyPorts,
  k: number,
  options: { error: () => Error; forever?: (effect: Effect) => boolean; partly?: boolean },
): ApplyPorts {
  return interceptEffects(ports, async (effect) => {
    const fails = effect.index === k || (effect.index > k && options.forever?.(effect) === true);
    if (!fails) return effect.run();
    if (options.partly === true) await effect.runPartly();
    throw options.error();
  });
}

/** How many effects a run has. */
export async function countEffects(ports: ApplyPorts, run: (counted: ApplyPorts) => Promise<unknown>): Promise<number> {
  let count = 0;
  await run(
    interceptEffects(ports, (effect) => {
      count = effect.index + 1;
      return effect.run();
    }),
  );
  return count;
}

async function leaveHalf(name: Effect['name'], args: readonly unknown[], ports: ApplyPorts): Promise<void> {
  const path = String(args[0]);
  const content = args[1] as Buffer | string;
  // What is not named here is one system call: it is done or not.
  if (name === 'writeAtomic') {
    await writeFile(`${path}.mcpd-tmp`, content.slice(0, content.length / 2), { mode: 0o600 });
  } else if (name === 'linkAtomic') {
    await symlink(String(args[1]), `${path}.mcpd-tmp`);
  } else if (name === 'appendDurably') {
    await appendFile(path, content.slice(0, content.length / 2));
  } else if (name === 'createExclusive') {
    await writeFile(`${path}.${deadPid()}-1.mcpd-tmp`, content.slice(0, content.length / 2), { mode: 0o600 });
  } else if (name === 'makeDirectory') {
    await mkdir(path, { mode: 0o700 }).catch(() => {});
  } else if (name === 'run') {
    // It goes on when who started it is gone.
    const [program = '', ...words] = args[0] as readonly string[];
    spawn(program, words, { stdio: 'ignore', detached: true }).unref();
  } else if (name === 'removeTree') {
    await removeFirstFile(path);
  } else if (name === 'stopServer') {
    const state = await ports.processes.serverState(path);
    // A fake server has no process.
    if (state.state === 'running' && (await ports.processes.identity(state.pid))?.startsWith('process') === false) {
      process.kill(state.pid, 'SIGTERM');
    }
  }
}

async function removeFirstFile(folder: string): Promise<void> {
  const [first] = await readdir(folder, { withFileTypes: true }).catch(() => []);
  if (first === undefined) return;
  if (first.isDirectory()) await removeFirstFile(join(folder, first.name));
  else await rm(join(folder, first.name));
}

/** A pid that nobody has now: that of a process which has just ended. */
export function deadPid(): number {
  return spawnSync('true').pid;
}
