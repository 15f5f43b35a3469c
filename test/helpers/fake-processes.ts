import { appendFile, rm, writeFile } from 'node:fs/promises';
import type { Processes } from '../../src/apply/ports.ts';

/**
 * Processes of a world without processes, quick enough for thousands of
 * crashes. Servers live on when the command that started them "dies".
 */
export class FakeWorld {
  readonly #servers = new Map<string, number>();
  readonly #living = new Map<number, string>();
  #nextPid = 5_000_000;

  /** A new command in this world; `die` ends it as a kill would. */
  command(): { readonly processes: Processes; readonly die: () => void } {
    const pid = this.#take();
    const identity = this.#living.get(pid) ?? '';
    return {
      processes: {
        self: { pid, identity, hostName: 'fake' },
        identity: (other) => Promise.resolve(this.#living.get(other) ?? null),
        serverState: (pidFile) => {
          const server = this.#servers.get(pidFile);
          return Promise.resolve(server === undefined ? { state: 'stopped' } : { state: 'running', pid: server });
        },
        startServer: async ({ pidFile, logFile }) => {
          if (this.#servers.has(pidFile)) throw new Error(`a second server for ${pidFile}`);
          const server = this.#take();
          this.#servers.set(pidFile, server);
          await appendFile(logFile, '{"event":"server.started"}\n', { mode: 0o600 });
          await writeFile(pidFile, JSON.stringify({ pid: server }), { mode: 0o600 });
          return { pid: server };
        },
        stopServer: async (pidFile) => {
          const server = this.#servers.get(pidFile);
          this.#servers.delete(pidFile);
          if (server !== undefined) this.#living.delete(server);
          await rm(pidFile, { force: true });
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

  #take(): number {
    this.#nextPid += 1;
    this.#living.set(this.#nextPid, `process ${this.#nextPid}`);
    return this.#nextPid;
  }
}
