import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { renderTarget } from '../../src/targets/index.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { targetInput } from '../helpers/target-input.ts';

// The HEALTHCHECK of the image, run as Docker runs it, against servers that are well, unwell, silent and away.

test.each<[string, number, RequestListener | null]>([
  ['a server that is ready', 0, (_request, response) => void response.end('{}')],
  [
    'a server that answers and was never ready',
    1,
    ({ url }, response) => void response.writeHead(url === '/readyz' ? 503 : 200).end('{}'),
  ],
  ['a server that never answers', 1, () => {}],
  ['nobody', 1, null],
])('the health check of %s ends with %i', async (_name, expected, handler) => {
  await withServer(handler, async (check) => expect(await check()).toBe(expected));
});

test('the health check of a server that was ready asks only whether it lives', async () => {
  let isReady = true;
  let lives = true;
  const judge = (url = ''): boolean => (url === '/livez' ? lives : isReady);
  await withServer(
    ({ url }, response) => void response.writeHead(judge(url) ? 200 : 503).end('{}'),
    async (check) => {
      expect(await check()).toBe(0);
      isReady = false;
      expect(await check()).toBe(0);
      lives = false;
      expect(await check()).toBe(1);
    },
  );
});

/** Checks of one container after another, whose /tmp is a folder of the test. */
async function withServer(
  handler: RequestListener | null,
  body: (check: () => Promise<number | null>) => Promise<void>,
): Promise<void> {
  const [port = 0] = await freePorts(1);
  const folder = mkdtempSync(join(tmpdir(), 'mcp-healthcheck-'));
  const server = createServer(handler ?? undefined);
  if (handler !== null) await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  try {
    await body(() => runHealthcheck(port, folder));
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function runHealthcheck(port: number, folder: string): Promise<number | null> {
  const files = renderTarget('docker', targetInput({ version: 1, tls: { source: 'off' } }));
  const dockerfile = files.find(({ path }) => path.endsWith('Dockerfile'))?.content ?? '';
  const [program, ...args] = JSON.parse(/^HEALTHCHECK .* CMD (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]') as string[];
  expect(program).toBe('node');
  const child = spawn(
    process.execPath,
    args.map((argument) => argument.replace('port:8080', `port:${port}`).replace('/tmp/', `${folder}/`)),
    { stdio: 'ignore' },
  );
  return new Promise((resolve) => child.once('exit', resolve));
}
