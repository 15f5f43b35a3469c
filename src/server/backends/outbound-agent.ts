import { readFile } from 'node:fs/promises';
import { Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';

/** Below the 5 s after which Node's own servers close idle connections, so that none dies under a request. */
const idleSocketMs = 4_000;

/**
 * Connections to one server outside, kept for a moment. They go straight there: an agent of its own knows nothing of
 * proxies in the environment. `caFile` is absolute, or null; it stands beside the well-known authorities. Rejects with
 * an Error when it cannot be read.
 */
export async function createOutboundAgent(url: URL, caFile: string | null): Promise<PlainAgent> {
  const options = { keepAlive: true, maxFreeSockets: 64, timeout: idleSocketMs };
  if (url.protocol === 'http:') return new PlainAgent(options);
  const ca = caFile === null ? {} : { ca: [...rootCertificates, await readAuthority(caFile)] };
  return new TlsAgent({ ...options, ...ca, minVersion: 'TLSv1.2' });
}

async function readAuthority(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`its caFile ${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`, {
      cause: error,
    });
  }
}
