import { execFileSync } from 'node:child_process';
import { waitUntil } from './wait-until.ts';

/** A real terminal, driven as a person would: tmux with a server socket of its own. */
export class Terminal {
  readonly #socket: string;

  constructor(options: { socket: string; cwd: string; command: string; columns?: number; rows?: number }) {
    this.#socket = options.socket;
    this.#tmux([
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      '-x',
      String(options.columns ?? 100),
      '-y',
      String(options.rows ?? 50),
      '-c',
      options.cwd,
      options.command,
    ]);
  }

  type(text: string): void {
    this.#tmux(['send-keys', '-l', text]);
  }

  /** A named key: Enter, C-c, Up … */
  press(key: string): void {
    this.#tmux(['send-keys', key]);
  }

  /** What is on it and was scrolled away; with `colours` also the codes that change them. */
  screen(options: { readonly colours?: boolean } = {}): string {
    return this.#tmux(['capture-pane', '-p', '-S', '-400', ...(options.colours === true ? ['-e'] : [])]);
  }

  /** Waits until the screen shows the words. */
  async shows(words: string | RegExp, deadlineMs = 20_000): Promise<string> {
    let last = '';
    await waitUntil(
      () => {
        last = this.screen();
        return typeof words === 'string' ? last.includes(words) : words.test(last);
      },
      deadlineMs,
      `the terminal showing ${String(words)}`,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n--- screen ---\n${last}`);
    });
    return last;
  }

  close(): void {
    try {
      this.#tmux(['kill-server']);
    } catch {
      // It ended with its last command.
    }
  }

  #tmux(args: readonly string[]): string {
    const { CI: _ci, TMUX: _tmux, ...env } = process.env;
    return execFileSync('tmux', ['-S', this.#socket, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...env, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' },
    });
  }
}
