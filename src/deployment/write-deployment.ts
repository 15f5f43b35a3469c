import { inlineYaml, quoteYaml } from './quote-yaml.ts';
import { deploymentSchema, type DeploymentInput } from './schema.ts';
import { branchFor, discriminatorOf, settingsOf, unwrap, type Schema } from './schema-walk.ts';

/** What is already decided of a deployment; the version and everything that has a default may be left out. */
export type DeploymentDraft = DeepReadonly<Omit<DeploymentInput, 'version'>> & { readonly version?: number };

/**
 * The text of a new mcp-deploy.yaml: what was decided, a line on every
 * setting, and the rarely needed ones commented out with their defaults. The
 * words come from the schema, so that file, schema and error texts agree.
 */
export function formatDeployment(draft: DeploymentDraft): string {
  const values: Readonly<Record<string, unknown>> = { ...draft, version: 1 };
  const wanted = Object.entries(settingsOf(deploymentSchema) ?? {}).filter(
    ([key]) => values[key] !== undefined || isShown(key),
  );
  const blocks = wanted.map(([key, schema]) => {
    const heading = sectionTexts[key];
    const lines = settingLines({ path: [key], schema, value: values[key], depth: 0, off: null, brief: false });
    return { heading, text: layOut(lines) };
  });
  const head = blocks.filter(({ heading }) => heading === undefined).map(({ text }) => text);
  const sections = blocks.flatMap(({ heading, text }) => (heading === undefined ? [] : [`# ${heading}\n${text}`]));
  // The state folder of a service of the host is elsewhere, and root's.
  const first = draft.service?.manager === 'systemd' ? '' : `# yaml-language-server: $schema=${editorSchema}\n`;
  return `${first}${[`${header}\n${head.join('\n')}`, ...sections].join('\n\n')}\n`;
}

/** Name of the JSON Schema in the state folder, for editors. */
export const editorSchemaFile = 'mcp-deploy.schema.json';

/** As seen from mcp-deploy.yaml. */
const editorSchema = `.mcp-deploy/${editorSchemaFile}`;

const header = `# The deployment that mcp-deploy keeps up. Change it, then: mcp-deploy plan, mcp-deploy apply
# Lines that start with # show defaults and examples. All settings: mcp-deploy schema, docs/settings.md`;

const sectionTexts: Readonly<Record<string, string>> = {
  server: 'The endpoint, and the MCP servers behind it.',
  tls: 'The certificate: private-ca (made here), acme (Let’s Encrypt), files (one you have: certificate, key) or "off".',
  auth: 'Who may call: holders of a key (mcp-deploy keys list).',
  limits: 'How much one caller may ask for; more is answered with 429.',
  redis: 'Where replicas of this deployment count together.',
  logs: 'What is written to .mcp-deploy/logs.',
  proxy: 'For mcp-deploy render nginx and caddy.',
  service: 'For mcp-deploy render systemd.',
  container: 'For mcp-deploy render docker, swarm and kubernetes.',
};

/** Written with their default even when nothing was decided: the settings that people look for first. */
const alwaysWritten: ReadonlySet<string> = new Set([
  'version',
  'name',
  'server',
  'server.listen',
  'server.path',
  'tls',
  'tls.source',
  'auth',
  'auth.required',
  'limits',
  'limits.perKey',
  'limits.perKey.requests',
  'limits.perKey.windowSeconds',
  'logs',
  'logs.level',
]);

/** Shown, commented out, when nothing was decided: what many people set one day. All others are in docs/settings.md. */
const shownCommented: ReadonlySet<string> = new Set([
  'server.workers',
  'server.publicUrl',
  'server.upstreams',
  'server.upstreams.*.command',
  'server.upstreams.*.args',
  'server.upstreams.*.env',
  'server.upstreams.*.cwd',
  'server.upstreams.*.instances',
  'server.upstreams.*.callSeconds',
  'server.tools',
  'server.allowedHosts',
  'server.allowedOrigins',
  'server.allowFrom',
  'server.trustedProxies',
  'server.behindProxy',
  'server.metricsFrom',
  'tls.names',
  'tls.validDays',
  'auth.oauth',
  'auth.mtls',
  'limits.global',
  'limits.perAddress',
  'limits.perTool',
  'logs.audit',
  'proxy',
  'proxy.serverName',
  'proxy.certificate',
  'proxy.key',
  'service',
  'service.user',
]);

/** Shown, commented out, for settings without a default and for maps of the user's own names. */
const examples: Readonly<Record<string, unknown>> = {
  'server.publicUrl': 'https://mcp.example.com/mcp',
  'server.upstreams': {
    files: { command: 'npx', args: ['-y', '@modelcontextprotocol/server-filesystem', '/srv/files'] },
  },
  'server.upstreams.*.env': { API_TOKEN: '${API_TOKEN}' },
  'server.upstreams.*.cwd': '/srv/files',
  'server.upstreams.*.maxInstances': 64,
  'server.upstreams.*.warm': 0,
  'server.upstreams.*.maxMemoryMegabytes': 1_024,
  'server.upstreams.*.toolSeconds': { search: 10 },
  'server.metricsListen': '127.0.0.1:9090',
  'server.statusListen': '127.0.0.1:9091',
  'server.healthListen': '127.0.0.1:9092',
  'server.content': { path: 'content.mjs' },
  'server.allowedHosts': ['mcp.example.com'],
  'server.allowedOrigins': ['https://app.example.com'],
  'server.trustedProxies': ['127.0.0.1'],
  tls: { source: 'private-ca' },
  'tls.names': ['mcp.example.com', '127.0.0.1'],
  'auth.oauth': { issuer: 'https://login.example.com' },
  'auth.mtls': { ca: 'clients-ca.pem', required: true },
  'limits.perKey.burst': 120,
  'limits.perKey.windowMs': 60_000,
  'limits.perKey.form': 'token-bucket',
  'limits.global.burst': 1_000,
  'limits.tiers': { gold: { concurrencyPerKey: 2_000 } },
  'limits.perTool': { 'search*': { concurrency: 8 } },
  'logs.file': 'server.log',
  'logs.auditKeyFile': '/etc/mcp-deploy/audit.key',
  'logs.traces': { endpoint: 'http://localhost:4318/v1/traces' },
  'proxy.serverName': 'mcp.example.com',
  'proxy.certificate': '/etc/letsencrypt/live/mcp.example.com/fullchain.pem',
  'proxy.key': '/etc/letsencrypt/live/mcp.example.com/privkey.pem',
  'proxy.reload': ['nginx', '-s', 'reload'],
  'proxy.probe': '127.0.0.1:443',
};

/** Sections of which only the example is shown: few need them, and docs/ has them in full. */
const shownBriefly: ReadonlySet<string> = new Set([
  'logs.traces',
  'auth.oauth',
  'auth.mtls',
  'limits.tiers',
  'limits.perTool',
  'limits.perAddress',
  'limits.freePerKey',
]);

interface Setting {
  readonly path: readonly string[];
  readonly schema: Schema;
  readonly value: unknown;
  readonly depth: number;
  /** Depth at which the enclosing lines are commented out, or null. */
  readonly off: number | null;
  /** Only what was decided: the second upstream need not repeat what can be set. */
  readonly brief: boolean;
}

interface Line {
  readonly code: string;
  readonly comment?: string;
}

function settingLines(setting: Setting): readonly Line[] {
  const { path, schema, depth } = setting;
  const name = patternOf(path);
  const decided = setting.value !== undefined;
  const off = setting.off ?? (decided || alwaysWritten.has(name) ? null : depth);
  const value = decided ? setting.value : (examples[name] ?? defaultOf(schema));
  const key = quoteYaml(path.at(-1) ?? '');
  const { description } = schema as { description?: string };
  const comment = description === undefined || setting.brief ? {} : { comment: description };
  const line = (code: string): Line => ({ code: margin(depth, off) + code, ...comment });

  const children = childSettings({ ...setting, value, off });
  if (children.length > 0) return [line(`${key}:`), ...children.flatMap(settingLines)];
  const inline = `${key}: ${inlineYaml(value)}`;
  if (!Array.isArray(value) || inline.length + 2 * depth <= longestInline) return [line(inline)];
  return [line(`${key}:`), ...value.map((item) => ({ code: `${margin(depth + 1, off)}- ${inlineYaml(item)}` }))];
}

/** The lines inside of a map: its settings, or the user's own names. */
function childSettings({ path, schema, value, depth, off, brief }: Setting): readonly Setting[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  const values = value as Readonly<Record<string, unknown>>;
  const below = (key: string, child: Schema, isBrief: boolean): Setting => {
    return { path: [...path, key], schema: child, value: values[key], depth: depth + 1, off, brief: isBrief };
  };
  const settings = settingsFor(schema, values);
  if (settings !== null) {
    const isBrief = brief || shownBriefly.has(patternOf(path));
    return Object.entries(settings)
      .filter(([key]) => values[key] !== undefined || (!isBrief && isShown(patternOf([...path, key]))))
      .map(([key, child]) => below(key, child, isBrief));
  }
  const { def } = unwrap(schema)._zod;
  if (def.type !== 'record') return [];
  return Object.keys(values)
    .filter((key) => values[key] !== undefined)
    .map((key, index) => below(key, def.valueType as Schema, brief || off !== null || index > 0));
}

function isShown(name: string): boolean {
  return alwaysWritten.has(name) || shownCommented.has(name);
}

function settingsFor(
  schema: Schema,
  values: Readonly<Record<string, unknown>>,
): Readonly<Record<string, Schema>> | null {
  const inner = unwrap(schema);
  const variants = discriminatorOf(inner);
  if (variants !== null) return variants.variants[String(values[variants.key])] ?? null;
  return settingsOf(branchFor(inner, values) ?? inner);
}

function defaultOf(schema: Schema): unknown {
  const { def } = schema._zod;
  return def.type === 'default' || def.type === 'prefault' ? def.defaultValue : undefined;
}

/** `server.upstreams.files.env` as `server.upstreams.*.env`. */
function patternOf(path: readonly string[]): string {
  const isUpstream = path[0] === 'server' && path[1] === 'upstreams';
  return path.map((part, index) => (isUpstream && index === 2 ? '*' : part)).join('.');
}

function margin(depth: number, off: number | null): string {
  return off === null ? '  '.repeat(depth) : `${'  '.repeat(off)}# ${'  '.repeat(depth - off)}`;
}

const longestInline = 78;
/** Comments are lined up behind settings up to this width; longer ones push their own comment out. */
const widestColumn = 40;
/** Comments that would pass this column stand above their setting. */
const widestLine = 110;

function layOut(lines: readonly Line[]): string {
  const widths = lines.filter((line) => line.comment !== undefined).map((line) => line.code.length);
  const column = Math.max(0, ...widths.filter((width) => width <= widestColumn));
  return lines
    .flatMap(({ code, comment }) => {
      if (comment === undefined) return [code];
      const beside = `${code.padEnd(column)}  # ${comment}`;
      if (beside.length <= widestLine) return [beside];
      return [`${/^[ #]*/.exec(code)?.[0] ?? ''}# ${comment}`, code];
    })
    .join('\n');
}

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;
