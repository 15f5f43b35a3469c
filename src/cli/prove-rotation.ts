import { randomBytes } from 'node:crypto';
import { EnvironmentError, ExplainedError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { createFetch, type HttpsFetch } from '../doctor/probes/https-fetch.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { endpointUrl } from '../plan/endpoint-url.ts';
import { createKeyIn, rotateKeyIn } from '../server/policy/key-store.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import type { CommandContext } from './context.ts';

/** What calls to the live endpoint have shown. */
export interface RotationProof {
  readonly ok: boolean;
  /** Facts, each with how it was found. */
  readonly facts: readonly { readonly what: string; readonly ok: boolean }[];
}

export interface Rotated {
  /** Of the store as it is now. */
  readonly storeText: string;
  readonly newKey: string;
  /** Null where nobody has the old one in the clear. */
  readonly oldKey: string | null;
  readonly overlapMs: number;
}

/** Who asks the live endpoint whether it takes a key. */
export interface KeyProbe {
  /** Null when the answer says neither, as under a limit. */
  accepts(key: string): Promise<boolean | null>;
  close(): void;
}

/**
 * Opens a way to the running server of this deployment.
 * @throws EnvironmentError (exit 3) when it does not run or does not answer
 */
export async function openKeyProbe(context: CommandContext): Promise<KeyProbe> {
  const { ports, stateDir, signal } = context;
  const paths = deploymentPaths(stateDir);
  const deployment = await readAppliedDeployment(context);
  const server = await ports.processes.serverState(paths.pidFile);
  if (deployment === null || server.state !== 'running') {
    throw new EnvironmentError('The server does not run, so nothing could be proven; no key was changed.', {
      next: 'mcp-deploy start        or leave --prove out',
    });
  }
  const ca = await readCa(context, deployment);
  const http = createFetch({ caPem: ca, timeoutMs: 5_000 });
  const url = endpointUrl(deployment);
  try {
    if ((await asks(http, url, `mcpd_${randomBytes(24).toString('base64url')}`, signal)) === true) {
      throw new EnvironmentError('The endpoint takes any key, so nothing could be proven; no key was changed.', {
        why: 'auth.required is false.',
        next: 'Leave --prove out.',
      });
    }
  } catch (error) {
    http.close();
    if (error instanceof ExplainedError) throw error;
    signal.throwIfAborted();
    throw new EnvironmentError(`${url} does not answer, so nothing could be proven; no key was changed.`, {
      why: error instanceof Error ? error.message : String(error),
      next: 'mcp-deploy doctor        or leave --prove out',
    });
  }
  return { accepts: (key) => asks(http, url, key, signal), close: () => http.close() };
}

/**
 * Proves a rotation by calls: the new key works, the old one works until the end of the overlap and then stops. Where that end
 * is far away, or nobody has the old key, a stand-in key goes through the same on the same server within seconds; it is
 * gone afterwards.
 * @param writeStore puts another text in the place of the key store; the last one is that of `rotated`
 */
export async function proveRotation(
  context: CommandContext,
  probe: KeyProbe,
  rotated: Rotated,
  writeStore: (text: string) => Promise<void>,
): Promise<RotationProof> {
  const { ports, signal } = context;
  const facts: { what: string; ok: boolean }[] = [];
  const within = async (what: string, wanted: boolean, key: string, ms: number): Promise<boolean> => {
    const until = ports.clock.elapsed() + ms;
    let ok = (await probe.accepts(key)) === wanted;
    while (!ok && ports.clock.elapsed() < until) {
      await ports.clock.sleep(500, signal);
      ok = (await probe.accepts(key)) === wanted;
    }
    facts.push({ what, ok });
    return ok;
  };
  const { newKey, oldKey, overlapMs } = rotated;
  await within('the new key works', true, newKey, takeUpMs);
  if (oldKey !== null) {
    if (overlapMs > 0) await within('the old key works too', true, oldKey, 0);
    if (overlapMs <= longestWaitMs)
      await within('the old key is refused after the overlap', false, oldKey, overlapMs + takeUpMs);
  }
  if (oldKey === null || overlapMs > longestWaitMs) {
    try {
      const label = `rotation-proof-${randomBytes(4).toString('hex')}`;
      // What a kill would leave in the store works no longer than this, and nobody has ever seen it.
      const expiresAt = new Date(Date.parse(ports.clock.now()) + standInLivesMs).toISOString();
      const first = createKeyIn(rotated.storeText, { label, now: ports.clock.now(), expiresAt });
      await writeStore(first.storeText);
      await within('a stand-in key works', true, first.key, takeUpMs);
      const overlapSeconds = standInOverlapMs / 1_000;
      const rotatedAt = ports.clock.elapsed();
      const second = rotateKeyIn(first.storeText, { label, overlapSeconds, now: ports.clock.now() });
      await writeStore(second.storeText);
      await within('after its rotation its new one works', true, second.key, takeUpMs);
      // On a machine that is slower than the overlap there is nothing to see.
      if (ports.clock.elapsed() - rotatedAt < standInOverlapMs / 2) {
        await within('its old one works during the overlap', true, first.key, 0);
      }
      await within('its old one is refused after an overlap', false, first.key, standInOverlapMs + takeUpMs);
    } finally {
      await writeStore(rotated.storeText);
    }
  }
  return { ok: facts.every(({ ok }) => ok), facts };
}

/** The server looks at its key file twice a second, and waits until it is still. */
const takeUpMs = 15_000;
/** Longer overlaps are not waited for. */
const longestWaitMs = 60_000;
const standInOverlapMs = 5_000;
const standInLivesMs = 120_000;

/** A ping of the legacy era: every server has an answer to it, and before it there is the key. */
async function asks(http: HttpsFetch, url: string, key: string, signal: AbortSignal): Promise<boolean | null> {
  const response = await http(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
    signal,
  });
  await response.text();
  if (response.status === 401) return false;
  // Too many wrong keys from this address, too many calls, or a server that drains.
  return response.status === 429 || response.status >= 500 ? null : true;
}

async function readCa({ ports, stateDir }: CommandContext, { tls }: Deployment): Promise<string | null> {
  if (tls.source !== 'private-ca') return null;
  return (await ports.files.read(deploymentPaths(stateDir).caCertificate))?.toString('utf8') ?? null;
}
