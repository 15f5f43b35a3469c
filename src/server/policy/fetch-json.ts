import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';

const timeoutMs = 5_000;
const mostBytes = 262_144;

/**
 * A JSON document of an issuer. Follows no redirect: where keys come from is the deployment's to say.
 * @param ca authorities to trust; those of Node.js when undefined
 * @throws Error with one sentence for the log
 */
export function fetchJson(url: URL, ca: readonly string[] | undefined): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`${url.href}: ${why}`));
    const send = url.protocol === 'https:' ? requestTls : requestPlain;
    const request = send(
      url,
      {
        headers: { accept: 'application/json' },
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
        ...(ca === undefined ? {} : { ca: [...ca] }),
      },
      (response) => {
        const status = response.statusCode ?? 0;
        if (status !== 200) {
          response.destroy();
          fail(status >= 300 && status < 400 ? 'it redirects, which is not followed' : `it answered HTTP ${status}`);
          return;
        }
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          chunks.push(chunk);
          if (length > mostBytes) {
            response.destroy();
            fail('its answer is longer than 256 kB');
          }
        });
        response.on('error', (error) => fail(error.message));
        response.on('end', () => {
          try {
            const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
            if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
              resolve(value as Record<string, unknown>);
            } else fail('its answer is no JSON object');
          } catch {
            fail('its answer is no JSON');
          }
        });
      },
    );
    request.on('error', (error: NodeJS.ErrnoException) =>
      fail(error.name === 'TimeoutError' || error.name === 'AbortError' ? 'it did not answer in 5 s' : error.message),
    );
    request.end();
  });
}
