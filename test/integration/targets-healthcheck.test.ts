import { spawn } from 'node:child_process';
import { createServer, type RequestListener } from 'node:http';
import { expect, test } from 'vitest';
import { renderTarget } from '../../src/targets/index.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { targetInput } from '../helpers/target-input.ts';

// The HEALTHCHECK of the image, run as Docker runs it, against servers that are well, unwell, silent and away.

test.each<[string, number, RequestListener | null]>([
  ['a server that answers 200', 0, (_request, response) => void response.end('{}')],
  ['a server that answers 503', 1, (_request, response) => void response.writeHead(503).end('{}')],
  ['a server that never answers', 1, () => {}],
  ['nobody', 1, null],
])('the health check of %s ends with %i', async (_name, expected, handler) => {
  const [port = 0] = await freePorts(1);
  const server = createServer(handler ?? undefined);
  if (handler !== null) await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  try {
    expect(await runHealthcheck(port)).toBe(expected);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

function runHealthcheck(port: number): Promise<number | null> {
  const files = renderTarget('docker', targetInput({ version: 1, tls: { source: 'off' } }));
  const dockerfile = files.find(({ path }) => path.endsWith('Dockerfile'))?.content ?? '';
  const [program, ...args] = JSON.parse(/^HEALTHCHECK .* CMD (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]') as string[];
  expect(program).toBe('node');
  const child = spawn(
    process.execPath,
    args.map((argument) => argument.replace('port:8080', `port:${port}`)),
    { stdio: 'ignore' },
  );
  return new Promise((resolve) => child.once('exit', resolve));
}
