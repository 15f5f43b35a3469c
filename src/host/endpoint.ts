import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { createServer } from 'node:net';
import type { Endpoint } from '../apply/ports.ts';
import { findPortHolder } from './port-holder.ts';

const readyTimeoutMs = 2_000;
const largestReadyBytes = 1_048_576;

/** The live endpoint over the network. The MCP clients are loaded when first needed. */
export function createEndpoint(): Endpoint {
  return {
    ready: getOnce,
    freePort: findFreePort,
    portHolder: (port) => findPortHolder(port, ['0.0.0.0', '::']),
    async servedFingerprint(socket, timeoutMs) {
      const [{ handshake }, { describeNetworkFailure }] = await Promise.all([
        import('../doctor/probes/tls-handshake.ts'),
        import('../doctor/network-failure.ts'),
      ]);
      const to = { address: socket.host, port: socket.port, host: socket.serverName ?? socket.host };
      try {
        const fingerprint256 = await handshake(
          to,
          { ca: [] },
          timeoutMs,
          new AbortController().signal,
          (tls) => tls.getPeerX509Certificate()?.fingerprint256 ?? '',
        );
        return { fingerprint256 };
      } catch (error) {
        return { problem: describeNetworkFailure(error).message };
      }
    },
    async verify(spec, signal) {
      const { verifyEndpoint } = await import('../doctor/probes/verify-endpoint.ts');
      return verifyEndpoint(spec, signal);
    },
  };
}

function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('a TCP listener without a port'));
      });
    });
  });
}

/** Null for whatever keeps an answer from coming, a wrong certificate included: the caller asks again until its deadline. */
function getOnce(url: string, caPem: string | null): Promise<{ status: number; body: string } | null> {
  return new Promise((resolve) => {
    const target = new URL(url);
    // Without a CA of ours the certificate is the user's, for a public name: it cannot be valid for the loopback address
    // that is asked here. Who answers is known anyway, by the process; nothing secret is sent.
    const trust = caPem === null ? { rejectUnauthorized: false } : { ca: caPem };
    const options = { agent: false, timeout: readyTimeoutMs, ...trust } as const;
    const request = (target.protocol === 'http:' ? requestHttp : requestHttps)(target, options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > largestReadyBytes) request.destroy();
        else chunks.push(chunk);
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
      response.on('close', () => resolve(null));
      response.on('error', () => resolve(null));
    });
    // The option counts silence only; a server that drips must not hold us either.
    const deadline = setTimeout(() => request.destroy(), readyTimeoutMs);
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
    request.on('close', () => {
      clearTimeout(deadline);
      resolve(null);
    });
    request.end();
  });
}
