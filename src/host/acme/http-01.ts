import { createServer, type Server } from 'node:http';
import { mkdir, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../deployment/errors.ts';
import type { ChallengeSolver } from './challenge.ts';
import { listenForChallenges } from './challenge-listener.ts';

const prefix = '/.well-known/acme-challenge/';

/**
 * http-01 (RFC 8555, 8.3) by a listener of our own that stands only while the order is open and knows its tokens only.
 *
 * @param listen `:80`, `host:port`
 */
export function createHttpSolver(listen: string): ChallengeSolver {
  const answers = new Map<string, string>();
  let server: Server | null = null;
  return {
    async present({ token, keyAuthorization }) {
      answers.set(token, keyAuthorization);
      if (server !== null) return;
      const made = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (request, response) => {
        const path = (request.url ?? '').split('?')[0] ?? '';
        const answer = path.startsWith(prefix) ? answers.get(path.slice(prefix.length)) : undefined;
        response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'text/plain', connection: 'close' });
        response.end(answer ?? 'This listener answers ACME challenges only.\n');
      });
      await listenForChallenges(made, listen, 'http-01');
      server = made;
    },
    async close() {
      server?.closeAllConnections();
      await new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())));
      server = null;
      return [];
    },
  };
}

/** http-01 by files in the folder that a web server on port 80 serves. Folders that were made are removed again. */
export function createWebrootSolver(webroot: string): ChallengeSolver {
  const folder = join(webroot, '.well-known', 'acme-challenge');
  const files: string[] = [];
  const madeFolders: string[] = [];
  return {
    async present({ token, keyAuthorization }) {
      // A token becomes a file name: RFC 8555 gives it the base64url alphabet, and nothing else may come through.
      if (!/^[A-Za-z0-9_-]+$/.test(token)) throw new Error('the CA sent a token that is not base64url');
      if ((await stat(webroot).catch(() => null))?.isDirectory() !== true) {
        throw new EnvironmentError(`The folder of tls.webroot is not there: ${webroot}`, {
          why: 'The CA fetches the answer from the web server that serves this folder.',
          next: 'Name the folder that your web server serves on port 80.',
        });
      }
      for (const path of [join(webroot, '.well-known'), folder]) {
        if ((await stat(path).catch(() => null)) !== null) continue;
        await mkdir(path, { mode: 0o755 });
        madeFolders.unshift(path);
      }
      const file = join(folder, token);
      files.push(file);
      await writeFile(file, keyAuthorization, { mode: 0o644 });
    },
    async close() {
      const left: string[] = [];
      for (const file of files) await rm(file, { force: true }).catch(() => left.push(file));
      // Somebody else's answer may be in them by now: then they stay.
      for (const path of madeFolders) await rmdir(path).catch(() => {});
      return left;
    },
  };
}
