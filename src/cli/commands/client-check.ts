import { rootCertificates } from 'node:tls';
import { listWrittenEntries, urlOf, type WrittenEntry } from '../../clients/client-settings.ts';
import { clientEntry, describeClient } from '../../clients/index.ts';
import type { McpClient, SettingTable, SnippetOptions } from '../../clients/types.ts';
import { describeKeySource, describeTrustSource } from '../../clients/what-a-client-sends.ts';
import { describeNetworkFailure } from '../../doctor/network-failure.ts';
import { createFetch, type Exchange } from '../../doctor/probes/https-fetch.ts';
import { exchangeRecorder, lookWithClient, type ClientLook } from '../../doctor/probes/look-with-client.ts';
import { readClientEndpoint } from '../client-endpoint.ts';
import { readingSettings, readSettingsFile, settingsPath, showPath } from '../client-files.ts';
import { chooseSettings } from '../client-settings-choice.ts';
import type { CommandContext } from '../context.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';

/** One thing that was looked at, as it goes right or wrong in the client. */
interface Remark {
  readonly what: 'entry' | 'key' | 'trust' | 'connect';
  readonly state: 'right' | 'wrong' | 'unknown';
  readonly text: string;
  readonly fix?: string;
}

const lookTimeoutMs = 20_000;
/** Where Linux distributions keep what their programs trust. */
const systemBundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** `mcp-deploy client check NAME`: the client's entry, key, trust and protocol era, with a real client. Exit 1 when it would not work. */
export async function runClientCheck(context: CommandContext, id: string, options: FlagValues): Promise<number> {
  const client = describeClient(id);
  const { output } = context;
  const endpoint = await readClientEndpoint(context, options);
  const found = await findEntry(context, client, endpoint, options);
  const remarks: Remark[] = [found.remark];
  let look: ClientLook | null = null;
  if (found.entry !== null) {
    const value = found.entry.value as SettingTable;
    const key = await readKey(context, client, endpoint, value);
    const trust = await readTrust(context, client, endpoint, value);
    remarks.push(key.remark, ...trust.remarks);
    const tried = await connect(context, client, { url: found.entry.url ?? endpoint.url, key: key.key, ca: trust.ca });
    look = tried.look;
    // A key that cannot be had explains the refusal; it is not said twice.
    const explained = tried.remark.what === 'key' && key.remark.state === 'wrong';
    if (!explained) remarks.push(...advise(tried.remark, client, endpoint, trust.from));
  }
  const right = remarks.every(({ state }) => state !== 'wrong');
  output.document({
    ok: right,
    client: id,
    url: endpoint.url,
    file: found.path,
    remarks,
    connected:
      look === null ? null : { era: look.era, protocolVersion: look.protocolVersion, tools: look.tools?.length ?? 0 },
  });
  const { green, red, yellow } = output.out;
  const glyph = { right: green('✓'), wrong: red('✗'), unknown: yellow('!') };
  const fixes = remarks.flatMap(({ fix, state }) => (fix === undefined || state === 'right' ? [] : [fix]));
  output.result(
    [
      ...remarks.map(({ what, state, text }) => `  ${glyph[state]} ${what.padEnd(9)} ${text}`),
      '',
      ...(fixes.length === 0
        ? [`  Next   start ${client.title}: it will find "${found.entry?.name ?? endpoint.name}"`]
        : fixes.map((fix, index) => `  ${index === 0 ? 'Next  ' : '      '} ${fix}`)),
    ].join('\n'),
  );
  return right ? 0 : 1;
}

interface Found {
  readonly entry: WrittenEntry | null;
  readonly path: string;
  readonly remark: Remark;
}

/** The project's settings count before the user's, as in the clients. */
async function findEntry(
  context: CommandContext,
  client: McpClient,
  endpoint: SnippetOptions,
  options: FlagValues,
): Promise<Found> {
  const { format, container } = clientEntry(client.id, endpoint);
  const chosen = chooseSettings(context, client, options);
  const project = settingsPath(context, client, true);
  const paths = options['settings'] === undefined && project !== null ? [...new Set([project, chosen])] : [chosen];
  const url = urlOf({ url: endpoint.url });
  let other: Found | null = null;
  for (const path of paths) {
    const file = await readSettingsFile(context, path);
    const written = readingSettings(file, () => listWrittenEntries(file.text ?? '', format, container));
    const wanted = textFlag(options, 'name');
    const entry = written.find((each) => each.url === url && (wanted === undefined || each.name === wanted));
    const shown = showPath(context, path);
    if (entry !== undefined) {
      return { entry, path, remark: { what: 'entry', state: 'right', text: `"${entry.name}" in ${shown}` } };
    }
    const taken = written.find(({ name }) => name === endpoint.name);
    if (taken !== undefined) {
      const leads = taken.url === null ? 'starts a program of its own' : `leads to ${taken.url}`;
      other ??= {
        entry: null,
        path,
        remark: {
          what: 'entry',
          state: 'wrong',
          text: `"${taken.name}" in ${shown} ${leads}, not to ${endpoint.url}`,
          fix: `mcp-deploy client add ${client.id} --force`,
        },
      };
    }
  }
  return (
    other ?? {
      entry: null,
      path: chosen,
      remark: {
        what: 'entry',
        state: 'wrong',
        text: `no entry for ${endpoint.url} in ${showPath(context, chosen)}`,
        fix: `mcp-deploy client add ${client.id}`,
      },
    }
  );
}

async function readKey(
  context: CommandContext,
  client: McpClient,
  endpoint: SnippetOptions,
  value: SettingTable,
): Promise<{ readonly key: string | null; readonly remark: Remark }> {
  const source = describeKeySource(value, context.world.env);
  const keyFile = endpoint.keyFile;
  switch (source.kind) {
    case 'none':
      return keyFile === null
        ? { key: null, remark: { what: 'key', state: 'right', text: 'none is sent, and none is asked for' } }
        : {
            key: null,
            remark: {
              what: 'key',
              state: 'wrong',
              text: 'the entry sends no key',
              fix: `mcp-deploy client add ${client.id}`,
            },
          };
    case 'value':
      return { key: source.key, remark: { what: 'key', state: 'right', text: `from ${source.from}` } };
    case 'missing-variable':
      return {
        key: null,
        remark: {
          what: 'key',
          state: 'wrong',
          text: `${source.variable} is not set in this shell: ${client.title} started from it would send no key`,
          fix: `export ${source.variable}="$(cat ${keyFile === null ? 'KEY-FILE' : showPath(context, keyFile)})"`,
        },
      };
    case 'asked': {
      const key = keyFile === null ? null : await readKeyFile(context, keyFile);
      return {
        key,
        remark: {
          what: 'key',
          state: key === null ? 'unknown' : 'right',
          text: `${client.title} asks for it once and keeps it${key === null ? '' : '; tried with the one of this deployment'}`,
          ...(key === null ? { fix: 'give the key to try with: --key-file FILE' } : {}),
        },
      };
    }
    case 'file': {
      const key = await readKeyFile(context, source.path);
      return key === null
        ? {
            key,
            remark: {
              what: 'key',
              state: 'wrong',
              text: `${source.path} is not there, so the bridge does not start`,
              fix: `mcp-deploy client add ${client.id} --force`,
            },
          }
        : { key, remark: { what: 'key', state: 'right', text: `from ${showPath(context, source.path)}` } };
    }
  }
}

async function readKeyFile(context: CommandContext, path: string): Promise<string | null> {
  return (await context.ports.files.read(path))?.toString('utf8').trim() ?? null;
}

/** What the client would trust: PEM text, or null for what Node trusts by itself. */
async function readTrust(
  context: CommandContext,
  client: McpClient,
  endpoint: SnippetOptions,
  value: SettingTable,
): Promise<{ readonly ca: string; readonly from: string; readonly remarks: readonly Remark[] }> {
  const { files } = context.ports;
  const builtIn = rootCertificates.join('\n');
  if (client.trust === 'system' && !Array.isArray(value['args'])) {
    for (const path of systemBundles) {
      const bytes = await files.read(path);
      if (bytes !== null) return { ca: bytes.toString('utf8'), from: 'the operating system', remarks: [] };
    }
    const text = `${client.title} trusts what the operating system trusts, which cannot be read here`;
    const ca = endpoint.caFile === null ? null : await files.read(endpoint.caFile);
    return {
      ca: ca === null ? builtIn : `${builtIn}\n${ca.toString('utf8')}`,
      from: 'the operating system',
      remarks: [{ what: 'trust', state: 'unknown', text, fix: 'mcp-deploy cert trust' }],
    };
  }
  const source = describeTrustSource(client, value, context.world.env);
  if (source === null) return { ca: builtIn, from: 'the public authorities', remarks: [] };
  const bytes = await files.read(source.path);
  if (bytes === null) {
    const text = `${source.variable} names ${source.path}, which is not there`;
    const fix = endpoint.caFile === null ? `unset ${source.variable}` : `export ${source.variable}=${endpoint.caFile}`;
    return { ca: builtIn, from: source.variable, remarks: [{ what: 'trust', state: 'wrong', text, fix }] };
  }
  return { ca: `${builtIn}\n${bytes.toString('utf8')}`, from: source.variable, remarks: [] };
}

async function connect(
  context: CommandContext,
  client: McpClient,
  spec: { readonly url: string; readonly key: string | null; readonly ca: string },
): Promise<{ readonly look: ClientLook | null; readonly remark: Remark }> {
  const recorder = exchangeRecorder();
  const http = createFetch({
    caPem: spec.ca,
    timeoutMs: lookTimeoutMs,
    signal: context.signal,
    onExchange: recorder.onExchange,
  });
  try {
    const look = await lookWithClient(
      client.era,
      { url: spec.url, key: spec.key, http, call: false, timeoutMs: lookTimeoutMs },
      context.signal,
    );
    const text = `as a ${look.era} client, ${look.protocolVersion}: ${look.tools?.length ?? 0} tools in ${Math.round(look.connectMs)} ms`;
    return { look, remark: { what: 'connect', state: 'right', text } };
  } catch (error) {
    context.signal.throwIfAborted();
    return { look: null, remark: explain(error, recorder.all, spec.url) };
  } finally {
    http.close();
  }
}

function explain(error: unknown, exchanges: readonly Exchange[], url: string): Remark {
  const answer = exchanges.findLast(({ method }) => method === 'POST')?.answer;
  if (answer !== undefined && 'status' in answer && answer.status === 401) {
    return { what: 'key', state: 'wrong', text: 'refused by the endpoint (401)', fix: 'mcp-deploy keys list' };
  }
  if (answer !== undefined && 'status' in answer) {
    const text = `the endpoint answered ${answer.status}: ${firstLine(error)}`;
    return { what: 'connect', state: 'wrong', text, fix: 'mcp-deploy doctor' };
  }
  const failure = describeNetworkFailure(error);
  const { host } = new URL(url);
  const known: Partial<Record<typeof failure.kind, Remark>> = {
    untrusted: {
      what: 'trust',
      state: 'wrong',
      text: `the certificate is not trusted (${failure.code ?? 'unknown issuer'})`,
    },
    'wrong-name': {
      what: 'trust',
      state: 'wrong',
      text: `the certificate is not for ${host}`,
      fix: 'mcp-deploy doctor',
    },
    expired: { what: 'trust', state: 'wrong', text: 'the certificate has expired', fix: 'mcp-deploy cert renew' },
    refused: { what: 'connect', state: 'wrong', text: `nothing listens on ${host}`, fix: 'mcp-deploy start' },
  };
  const other: Remark = { what: 'connect', state: 'wrong', text: firstLine(failure.message), fix: 'mcp-deploy doctor' };
  return known[failure.kind] ?? other;
}

/** Trust that went right is said too; trust that went wrong names the variable that this client reads. */
function advise(remark: Remark, client: McpClient, endpoint: SnippetOptions, from: string): readonly Remark[] {
  if (remark.what === 'trust' && remark.fix === undefined) {
    if (client.trust === 'system')
      return [{ ...remark, fix: 'mcp-deploy cert trust        puts the CA where the system looks' }];
    const fix = `export ${client.trust[0] ?? 'SSL_CERT_FILE'}=${endpoint.caFile ?? 'CA-FILE'}`;
    return [{ ...remark, text: `${remark.text} by ${from}`, fix }];
  }
  const reached = remark.state === 'right' || remark.what === 'key';
  if (!reached || !endpoint.url.startsWith('https:')) return [remark];
  return [{ what: 'trust', state: 'right', text: `the certificate, by ${from}` }, remark];
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return (text.split('\n')[0] ?? '').slice(0, 200);
}
