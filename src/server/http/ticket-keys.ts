import { createHmac, randomBytes } from 'node:crypto';
import type { Server as TlsServer } from 'node:tls';

/** Who gets at a key can read recorded sessions that were resumed with it: no key is used for longer than this. */
const periodMs = 12 * 3_600_000;

/**
 * Keys of TLS session tickets, changed twice a day (OpenSSL alone keeps one for the life of the process). They follow
 * from one secret and the time, so that all workers of a server with the same secret resume each other's sessions.
 */
export class TicketKeys {
  readonly #secret: Buffer;
  readonly #servers: () => readonly TlsServer[];
  #timer: NodeJS.Timeout | null = null;

  /** @param secret 32 random bytes; one of its own when nobody shares it */
  constructor(servers: () => readonly TlsServer[], secret: Buffer = randomBytes(32)) {
    this.#secret = secret;
    this.#servers = servers;
  }

  /** Gives the servers their keys now and whenever a period begins. */
  start(nowMs = Date.now()): void {
    this.close();
    const keys = deriveTicketKeys(this.#secret, nowMs);
    for (const server of this.#servers()) server.setTicketKeys(keys);
    this.#timer = setTimeout(() => this.start(), periodMs - (nowMs % periodMs));
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}

/** The 48 bytes that node:tls wants (name, HMAC key, AES key) for the period that `nowMs` (epoch) is in. */
export function deriveTicketKeys(secret: Buffer, nowMs: number): Buffer {
  const period = Math.floor(nowMs / periodMs);
  return createHmac('sha512', secret).update(`mcp-deploy ticket keys ${period}`).digest().subarray(0, 48);
}
