import { connect } from 'node:net';
import { describeNetworkFailure } from '../network-failure.ts';
import type { NameSeen, Observed, TcpAttempt, TcpSeen } from '../observations.ts';
import { within } from './within.ts';

/** A name with more addresses is judged by the first ones. */
const maxAddresses = 8;

/** One connection to every address, all at once. */
export async function probeTcp(
  name: NameSeen,
  port: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Observed<TcpSeen>> {
  const addresses = [...name.v4, ...name.v6].slice(0, maxAddresses);
  return {
    status: 'ok',
    attempts: await Promise.all(addresses.map((address) => attempt(address, port, timeoutMs, signal))),
  };
}

async function attempt(address: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<TcpAttempt> {
  const family = address.includes(':') ? 6 : 4;
  const startedAt = performance.now();
  const socket = connect({ host: address, port });
  try {
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    await within(connected, timeoutMs, signal);
    return { address, family, outcome: { connected: true, durationMs: performance.now() - startedAt } };
  } catch (error) {
    signal.throwIfAborted();
    return { address, family, outcome: { connected: false, failure: describeNetworkFailure(error) } };
  } finally {
    // A late error of a socket that was given up must not end the process.
    socket.on('error', () => {});
    socket.destroy();
  }
}
