import { inspect } from 'node:util';

/**
 * A value that must not be printed. It shows as `[secret]` in template
 * strings, JSON, console output and inspect(); only host/ and server/ call
 * `reveal()`.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value in clear. Never pass it to argv, a log, a plan or an error message. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
