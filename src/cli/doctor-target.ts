import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { deepIdleWatchMs } from '../doctor/probes/patience.ts';
import { readProxyConfig } from '../doctor/probes/read-proxy-config.ts';
import type { DoctorOptions, OwnFacts } from '../doctor/run-doctor.ts';
import { endpointUrl } from '../plan/endpoint-url.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import { readServerState } from './server-state.ts';
import type { CommandContext } from './context.ts';

interface Target {
  readonly url: string;
  readonly caFile: string | null;
  readonly keyFile: string | null;
  readonly own: OwnFacts | null;
  /** The server itself, when the URL is that of a proxy in front of it. */
  readonly upstreamUrl: string | null;
}

/**
 * What is looked at: the URL, or the deployment of this folder, with what the flags say of it.
 * @throws UserError when there is neither, or a flag cannot be read.
 */
export async function readDoctorTarget(
  context: CommandContext,
  url: string | undefined,
  options: Record<string, unknown>,
): Promise<Omit<DoctorOptions, 'only' | 'skip' | 'signal' | 'onProgress'>> {
  const given = {
    keyFile: typeof options['keyFile'] === 'string' ? resolve(context.world.cwd, options['keyFile']) : null,
    caFile: typeof options['ca'] === 'string' ? resolve(context.world.cwd, options['ca']) : null,
  };
  const target =
    url === undefined
      ? await ownTarget(context, given)
      : { url: parseUrl(url), own: null, upstreamUrl: null, ...given };
  const upstream = options['upstream'];
  const proxyConfig = options['proxyConfig'];
  return {
    url: target.url,
    caPem: target.caFile === null ? null : await readText(context, target.caFile, 'CA', '--ca'),
    key: target.keyFile === null ? null : (await readText(context, target.keyFile, 'key', '--key-file')).trim(),
    otherKey: await otherKeyOf(context, options['otherKeyFile']),
    own: target.own,
    ...(typeof options['resolve'] === 'string' ? { names: namesOf(options['resolve'], target.url) } : {}),
    upstreamUrl: typeof upstream === 'string' ? upstreamOf(upstream, target.url) : target.upstreamUrl,
    proxyConfig: typeof proxyConfig === 'string' ? await readConfig(context, proxyConfig, target.url) : null,
    ...(typeof options['origin'] === 'string' ? { pageOrigin: originOf(options['origin']) } : {}),
    limits: options['limits'] === true,
    patience: options['deep'] === true ? { idleWatchMs: deepIdleWatchMs } : {},
  };
}

async function ownTarget(
  context: CommandContext,
  given: { keyFile: string | null; caFile: string | null },
): Promise<Target> {
  const deployment = await readAppliedDeployment(context);
  if (deployment === null) {
    throw new UserError('There is no deployment in this folder to look at.', {
      next: 'mcp-deploy up        or name a server: mcp-deploy doctor https://HOST/mcp --key-file FILE',
    });
  }
  const { ports, stateDir } = context;
  const paths = deploymentPaths(stateDir);
  const existing = async (path: string): Promise<string | null> =>
    (await ports.files.stat(path)) === null ? null : path;
  const caFile = given.caFile ?? (deployment.tls.source === 'private-ca' ? await existing(paths.caCertificate) : null);
  const keyFile = given.keyFile ?? (deployment.auth.required ? await existing(paths.firstKey) : null);
  const certificate =
    deployment.tls.source === 'files'
      ? {
          certificateFile: resolve(context.baseDir, deployment.tls.certificate),
          keyFile: resolve(context.baseDir, deployment.tls.key),
        }
      : deployment.tls.source !== 'off'
        ? { certificateFile: paths.serverCertificate, keyFile: paths.serverKey }
        : { certificateFile: null, keyFile: null };
  const server = await readServerState(context, deployment);
  return {
    ...urlsOf(deployment),
    caFile,
    keyFile,
    own: {
      stateDir,
      caFile: deployment.tls.source === 'private-ca' ? paths.caCertificate : null,
      caKeyFile: deployment.tls.source === 'private-ca' ? paths.caKey : null,
      ...certificate,
      keyStoreFile: deployment.auth.required ? paths.keyStore : null,
      apiKeyFile: keyFile,
      logFile: paths.logFile,
      serverRunning: server.state === 'running',
      machine: {
        deploymentFile: context.deploymentFile,
        pid: server.state === 'running' ? server.pid : null,
        env: context.world.env,
        run: (argv, timeoutMs) => ports.processes.run(argv, timeoutMs),
      },
      keysRequired: deployment.auth.required,
      pageOrigin: deployment.server.allowedOrigins.find((origin) => origin !== '*') ?? null,
    },
  };
}

/** Behind a proxy clients use the public URL, and the server can be asked past it. */
function urlsOf(deployment: Deployment): Pick<Target, 'url' | 'upstreamUrl'> {
  const direct = endpointUrl(deployment);
  const { publicUrl, behindProxy } = deployment.server;
  const proxied = behindProxy || deployment.proxy.serverName !== undefined;
  return proxied && publicUrl !== undefined && direct.startsWith('http')
    ? { url: publicUrl, upstreamUrl: direct }
    : { url: direct, upstreamUrl: null };
}

/** A file that was named and is not there is a mistake to say; `auto` finds one or says why not in the report. */
async function readConfig(context: CommandContext, from: string, url: string) {
  const { port, protocol } = new URL(url);
  const config = await readProxyConfig(
    from === 'auto' ? from : resolve(context.world.cwd, from),
    Number(port || (protocol === 'https:' ? 443 : 80)),
    (argv, timeoutMs) => context.ports.processes.run(argv, timeoutMs),
  );
  if (typeof config !== 'string' || from === 'auto') return config;
  throw new UserError(`The proxy configuration ${from} cannot be read.`, {
    next: 'Name the main file, for example --proxy-config /etc/nginx/nginx.conf, or --proxy-config auto.',
  });
}

function parseUrl(text: string): string {
  // URL.parse would do, but Node.js 20 does not have it.
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && (url.protocol === 'https:' || url.protocol === 'http:')) {
    if (url.username === '' && url.password === '') return url.href;
    throw new UserError('A key or password in the URL is refused.', {
      why: 'It would end up in logs and in the process list.',
      next: 'mcp-deploy doctor URL --key-file FILE',
    });
  }
  throw new UserError(`${text} is not an http or https URL.`, {
    next: `mcp-deploy doctor https://${/^[\w.:[\]-]+(\/\S*)?$/.test(text) && !text.includes('://') ? text : 'HOST/mcp'}`,
  });
}

async function readText(context: CommandContext, file: string, what: string, flag: string): Promise<string> {
  const bytes = await context.ports.files.read(file);
  if (bytes === null)
    throw new UserError(`The ${what} file ${file} does not exist.`, { next: `Name an existing file with ${flag}.` });
  if (bytes.length > 1_048_576)
    throw new UserError(`The ${what} file ${file} is larger than 1 MiB.`, { next: `Check ${flag}.` });
  return bytes.toString('utf8');
}

async function otherKeyOf(context: CommandContext, file: unknown): Promise<string | null> {
  if (typeof file !== 'string') return null;
  return (await readText(context, resolve(context.world.cwd, file), 'key', '--other-key-file')).trim();
}

/** The way past the proxy, which cannot be the way through it. */
function upstreamOf(text: string, url: string): string {
  const upstream = parseUrl(text);
  if (upstream !== url) return upstream;
  throw new UserError('--upstream names the URL that is looked at.', {
    why: 'It is the server itself, past its proxy: what differs there is the doing of the proxy.',
    next: 'Name the address that the proxy passes requests to, for example --upstream http://127.0.0.1:8080/mcp',
  });
}

/** `mcp.example.com:192.0.2.1,2001:db8::1` */
function namesOf(text: string, url: string): Readonly<Record<string, readonly string[]>> {
  const [, name = '', list = ''] = /^([^:]+):(.+)$/.exec(text) ?? [];
  const addresses = list.split(',').map((address) => address.trim());
  const { hostname } = new URL(url);
  if (name !== '' && addresses.every((address) => isIP(address) !== 0)) {
    if (name.toLowerCase() === hostname) return { [hostname]: addresses };
    throw new UserError(`--resolve gives an address for ${name}, and the URL names ${hostname}.`, {
      next: `--resolve ${hostname}:${addresses[0]}`,
    });
  }
  throw new UserError(`--resolve ${text} names no address for a name.`, {
    next: 'Write NAME:ADDRESS, for example --resolve mcp.example.com:192.0.2.1',
  });
}

function originOf(text: string): string {
  const { origin, href } = new URL(parseUrl(text));
  if (href !== `${origin}/`) throw new UserError(`${text} is not an origin.`, { next: `--origin ${origin}` });
  return origin;
}
