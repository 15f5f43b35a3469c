import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { findProgram } from './tools.ts';
import { waitUntil } from './wait-until.ts';

/** A reverse proxy that runs for one test, in its own folder, on its own ports. */
export interface RunningProxy {
  /** What it wrote about itself. */
  readonly output: () => string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Runs nginx with this file as one site of its http block. `folder` must be empty and is written to. */
export async function startNginx(
  siteFile: string,
  folder: string,
  ports: readonly number[],
  changeMain: (file: string) => void = () => {},
): Promise<RunningProxy> {
  const main = writeNginxMain(siteFile, folder);
  changeMain(main);
  return start('nginx', ['-p', folder, '-c', main, '-g', 'daemon off;'], {}, ports);
}

/** A main configuration around a site, as a distribution ships it, with every path inside `folder`. */
export function writeNginxMain(siteFile: string, folder: string): string {
  const main = join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${folder}/${name};`)
    .join('\n');
  writeFileSync(
    main,
    [
      // Workers of their usual user could not look into the test's folder.
      ...(process.getuid?.() === 0 ? ['user root;'] : []),
      'worker_processes 1;',
      `pid ${folder}/nginx.pid;`,
      `error_log ${folder}/error.log info;`,
      'events { worker_connections 2048; }',
      'http {',
      temporary,
      `  access_log ${folder}/main.access.log;`,
      // What other people's settings may be: none of it may leak into our site.
      '  gzip on;',
      '  gzip_types application/json text/event-stream;',
      '  server_tokens on;',
      '  proxy_intercept_errors on;',
      `  include ${siteFile};`,
      '}',
      '',
    ].join('\n'),
  );
  return main;
}

/** Runs Caddy with this file imported by a main Caddyfile, which may be there already. `folder` is written to. */
export async function startCaddy(
  siteFile: string,
  folder: string,
  ports: readonly number[],
  { keepMain = false } = {},
): Promise<RunningProxy> {
  const main = keepMain ? join(folder, 'Caddyfile') : writeCaddyMain(siteFile, folder);
  return start('caddy', ['run', '--config', main, '--adapter', 'caddyfile'], caddyEnv(folder), ports);
}

/** Runs Caddy in this folder as it is told. */
export async function startCaddyWith(
  args: readonly string[],
  folder: string,
  ports: readonly number[],
): Promise<RunningProxy> {
  return start('caddy', args, caddyEnv(folder), ports, () => {}, folder);
}

/** Runs HAProxy in this folder as it is told. */
export async function startHaproxyWith(
  args: readonly string[],
  folder: string,
  ports: readonly number[],
): Promise<RunningProxy> {
  return start('haproxy', ['-db', ...args], {}, ports, () => {}, folder);
}

export function writeCaddyMain(siteFile: string, folder: string): string {
  const main = join(folder, 'Caddyfile');
  writeFileSync(main, `{\n\tadmin off\n\tskip_install_trust\n}\n\nimport ${siteFile}\n`);
  return main;
}

/** Runs HAProxy with this configuration; it keeps no files of its own. */
export async function startHaproxy(file: string, ports: readonly number[]): Promise<RunningProxy> {
  return start('haproxy', ['-db', '-f', file], {}, ports);
}

/**
 * Runs HAProxy with this file beside a main file as a distribution ships it. What it logs to syslog comes into a file of
 * the folder, since there is no syslog here.
 */
export async function startHaproxySite(
  siteFile: string,
  folder: string,
  ports: readonly number[],
  { withMaster = false } = {},
): Promise<RunningProxy> {
  const text = readFileSync(siteFile, 'utf8').replace('log /dev/log local0', 'log stdout format raw local0');
  writeFileSync(siteFile, text);
  const [, certificate = ''] = / ssl crt (\S+)/.exec(text) ?? [];
  linkKeyFor(certificate);
  // -W: a master that reads the files again on SIGUSR2, as the unit of a distribution runs it.
  const mode = withMaster ? '-W' : '-db';
  const proxy = await start('haproxy', [mode, '-f', writeHaproxyMain(folder), '-f', siteFile], {}, ports, (text) =>
    appendFileSync(join(folder, 'mcp.access.log'), text),
  );
  return proxy;
}

/** A main configuration as Debian ships it, without the parts that need root. */
export function writeHaproxyMain(folder: string): string {
  const main = join(folder, 'haproxy.cfg');
  writeFileSync(
    main,
    [
      'global',
      '    log stdout format raw local1',
      '    maxconn 500',
      'defaults',
      '    mode http',
      '    option httplog',
      '    timeout connect 5000',
      '    timeout client 50000',
      '    timeout server 50000',
      '',
    ].join('\n'),
  );
  return main;
}

/** As the command of the target does: the key beside its certificate. */
function linkKeyFor(certificate: string): void {
  const key = certificate.replace(/\.crt$/, '.key');
  if (key !== certificate && !existsSync(`${certificate}.key`)) symlinkSync(key, `${certificate}.key`);
}

/** Caddy keeps certificates and its last configuration below these. */
export function caddyEnv(folder: string): NodeJS.ProcessEnv {
  for (const name of ['home', 'data', 'config']) mkdirSync(join(folder, name), { recursive: true });
  return {
    ...process.env,
    HOME: join(folder, 'home'),
    XDG_DATA_HOME: join(folder, 'data'),
    XDG_CONFIG_HOME: join(folder, 'config'),
  };
}

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject).listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  return Promise.all(
    servers.map((server) => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      return new Promise<number>((resolve) => server.close(() => resolve(address.port)));
    }),
  );
}

async function start(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  ports: readonly number[],
  onOutput: (text: string) => void = () => {},
  cwd?: string,
): Promise<RunningProxy> {
  const path = findProgram(program);
  if (path === null) throw new Error(`${program} is not installed`);
  const child = spawn(path, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    onOutput(chunk.toString());
  });
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const listening = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}:\n${output}`);
    const answers = await Promise.all(ports.map(accepts));
    return answers.every(Boolean);
  };
  try {
    await waitUntil(listening, 15_000, `${program} on ports ${ports.join(', ')}`);
  } catch (error) {
    await stop(child);
    throw error;
  }
  return { output: () => output, pid: child.pid ?? 0, stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  // nginx and Caddy both end open streams at once on SIGINT or SIGTERM.
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(timer);
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
