import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Processes } from '../../src/apply/ports.ts';

/**
 * Processes of a world without processes, quick enough for thousands of
 * crashes. Servers live on when the command that started them "dies".
 */
export class FakeWorld {
  readonly #servers = new Map<string, number>();
  readonly #configs = new Map<string, string | null>();
  readonly #living = new Map<number, string>();
  #nextPid = 5_000_000;

  /** A new command in this world; `die` ends it as a kill would. */
  command(): { readonly processes: Processes; readonly die: () => void } {
    const pid = this.#take();
    const identity = this.#living.get(pid) ?? '';
    const startServer: Processes['startServer'] = async ({ pidFile, logFile }) => {
      if (this.#servers.has(pidFile)) throw new Error(`a second server for ${pidFile}`);
      const server = this.#take();
      this.#servers.set(pidFile, server);
      this.#configs.set(pidFile, await readConfig(pidFile));
      await appendFile(logFile, '{"event":"server.started"}\n', { mode: 0o600 });
      await writeFile(pidFile, JSON.stringify({ pid: server }), { mode: 0o600 });
      return { pid: server };
    };
    const stopServer: Processes['stopServer'] = async (pidFile) => {
      const server = this.#servers.get(pidFile);
      this.#servers.delete(pidFile);
      if (server !== undefined) this.#living.delete(server);
      await rm(pidFile, { force: true });
    };
    return {
      processes: {
        self: { pid, identity, hostName: 'fake' },
        identity: (other) => Promise.resolve(this.#living.get(other) ?? null),
        serverState: (pidFile) => {
          const server = this.#servers.get(pidFile);
          return Promise.resolve(server === undefined ? { state: 'stopped' } : { state: 'running', pid: server });
        },
        reloadServer: () => Promise.resolve(),
        run: () => Promise.resolve({ exitCode: 0, lastWords: [], output: '' }),
        runBeside: () => Promise.reject(new Error('nothing runs beside in this world')),
        variable: () => null,
        startServer,
        stopServer,
        replaceServer: async (spec) => {
          await stopServer(spec.pidFile, spec.graceMs);
          return { ...(await startServer({ ...spec, type: 'start-server' })), handedOver: true };
        },
      },
      die: () => {
        this.#living.delete(pid);
      },
    };
  }

  isRunning(pidFile: string): boolean {
    return this.#servers.has(pidFile);
  }

  /** Whether the server runs with server.json as it is on disk now; true when it does not run. */
  async isUpToDate(pidFile: string): Promise<boolean> {
    return !this.isRunning(pidFile) || this.#configs.get(pidFile) === (await readConfig(pidFile));
  }

  #take(): number {
    this.#nextPid += 1;
    this.#living.set(this.#nextPid, `process ${this.#nextPid}`);
    return this.#nextPid;
  }
}

function readConfig(pidFile: string): Promise<string | null> {
  return readFile(join(dirname(pidFile), '../server.json'), 'utf8').catch(() => null);
}
