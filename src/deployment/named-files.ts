import type { Deployment, Upstream } from './schema.ts';
import type { DeclaredTool } from './tool-schema.ts';
import { parseSecretReference, secretReferencesIn } from './secret-reference.ts';

/** A path in mcp-deploy.yaml that something reads or runs. */
export interface NamedFile {
  /** Where it stands in the file, e.g. `server.tools.greet.module.path`. */
  readonly setting: string;
  /** As it is written there. */
  readonly path: string;
  /** The folder that a relative path starts from, itself relative to that of mcp-deploy.yaml. */
  readonly from: string;
  /**
   * file = is read; secret = the same, and gives power to who has it; code = is run or imported, with what it imports;
   * word = one of a command line, a file only when there is one of that name; folder = something is started in it.
   */
  readonly role: 'file' | 'secret' | 'code' | 'word' | 'folder';
}

/** Every file that a deployment names, in the order of its settings. What it writes, such as logs, is none of them. Pure. */
export function namedFiles({ server, tls, auth, redis, logs, proxy, service, backup }: Deployment): NamedFile[] {
  const { traces, errorHook } = logs;
  return [
    ...Object.entries(server.upstreams).flatMap(([name, upstream]) => ofUpstream(`server.upstreams.${name}`, upstream)),
    ...Object.entries(server.tools).flatMap(([name, tool]) => ofTool(`server.tools.${name}`, tool)),
    ...named('code', 'server.content.path', server.content?.path),
    ...ofTls(tls),
    ...auth.keys.flatMap(({ secret }, at) => ofReference(`auth.keys[${at}].secret`, secret)),
    ...named('file', 'auth.oauth.caFile', auth.oauth?.caFile),
    ...named('file', 'auth.mtls.ca', auth.mtls?.ca),
    ...[auth.mtls?.crl].flat().flatMap((path) => named('file', 'auth.mtls.crl', path)),
    ...(redis === 'off'
      ? []
      : [...ofReference('redis.url', redis.url), ...named('file', 'redis.caFile', redis.caFile)]),
    ...named('secret', 'logs.auditKeyFile', logs.auditKeyFile),
    ...(errorHook !== 'off' && 'command' in errorHook ? ofCommand('logs.errorHook.command', errorHook.command) : []),
    ...(traces === 'off'
      ? []
      : [...named('file', 'logs.traces.caFile', traces.caFile), ...ofTexts('logs.traces.headers', traces.headers)]),
    // These a proxy reads, from a folder of its own: only an absolute path says which file it is.
    ...[
      ...named('file', 'proxy.certificate', proxy.certificate),
      ...named('secret', 'proxy.key', proxy.key),
      ...named('file', 'proxy.clientCa', proxy.clientCa),
      ...named('file', 'proxy.revokedClients', proxy.revokedClients),
    ].filter(({ path }) => path.startsWith('/')),
    ...Object.entries(service.credentials).flatMap(([name, path]) =>
      named('secret', `service.credentials.${name}`, path),
    ),
    ...named('secret', 'backup.passphraseFile', backup.passphraseFile),
    ...ofCommand('backup.afterwards', backup.afterwards ?? []),
  ];
}

function named(role: NamedFile['role'], setting: string, path: string | undefined, from = '.'): NamedFile[] {
  return path === undefined ? [] : [{ setting, path, from, role }];
}

function ofUpstream(setting: string, upstream: Upstream): NamedFile[] {
  if ('url' in upstream) {
    return [...named('file', `${setting}.caFile`, upstream.caFile), ...ofTexts(`${setting}.headers`, upstream.headers)];
  }
  return [
    ...named('folder', `${setting}.cwd`, upstream.cwd),
    ...ofCommand(setting, [upstream.command, ...upstream.args], upstream.cwd),
    ...ofTexts(`${setting}.env`, upstream.env),
  ];
}

function ofTool(setting: string, tool: DeclaredTool): NamedFile[] {
  if ('module' in tool) return named('code', `${setting}.module.path`, tool.module.path);
  if ('http' in tool) {
    const { caFile, headers } = tool.http;
    return [...named('file', `${setting}.http.caFile`, caFile), ...ofTexts(`${setting}.http.headers`, headers)];
  }
  const { command, args, cwd, env } = tool.command;
  return [
    ...named('folder', `${setting}.command.cwd`, cwd),
    ...ofCommand(`${setting}.command`, [command, ...args], cwd),
    ...ofTexts(`${setting}.command.env`, env),
  ];
}

function ofTls(tls: Deployment['tls']): NamedFile[] {
  if (tls.source === 'files') {
    return [...named('file', 'tls.certificate', tls.certificate), ...named('secret', 'tls.key', tls.key)];
  }
  if (tls.source !== 'acme') return [];
  return [
    ...named('file', 'tls.caFile', tls.caFile),
    ...named('secret', 'tls.eab.keyFile', tls.eab?.keyFile),
    ...ofCommand('tls.dnsHook', tls.dnsHook ?? []),
  ];
}

/** A program with a slash in its name is a file; without one it is looked up on PATH. */
function ofCommand(setting: string, [program, ...args]: readonly string[], cwd = '.'): NamedFile[] {
  return [
    ...(program?.includes('/') === true ? named('code', setting, program, cwd) : []),
    // --config=settings.json names a file, too.
    ...args
      .map((word) => word.replace(/^-[^=]*=/, ''))
      .filter((word) => word !== '' && !word.startsWith('-') && !/^[a-z][a-z0-9+.-]*:\/\//i.test(word))
      .flatMap((word) => named('word', setting, word, cwd)),
  ];
}

function ofTexts(setting: string, texts: Readonly<Record<string, string>>): NamedFile[] {
  return Object.entries(texts).flatMap(([name, text]) => ofReference(`${setting}.${name}`, text, false));
}

/** @param alone whether `file:PATH` counts where it is the whole text, and not only as `${file:PATH}` */
function ofReference(setting: string, text: string, alone = true): NamedFile[] {
  const references = alone && parseSecretReference(text) !== null ? [text] : secretReferencesIn(text);
  return references.flatMap((reference) => {
    const parsed = parseSecretReference(reference);
    if (parsed === null || typeof parsed === 'string') return [];
    if (parsed.kind === 'exec') return ofCommand(setting, parsed.argv);
    // What systemd hands over lies where service.credentials says.
    return parsed.path.startsWith('$CREDENTIALS_DIRECTORY/') ? [] : named('secret', setting, parsed.path);
  });
}
