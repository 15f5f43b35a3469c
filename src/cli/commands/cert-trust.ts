import { createHash } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { homedir } from 'node:os';
import { clients } from '../../clients/index.ts';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { readTrustFacts, runTrustCommand } from '../../host/trust-host.ts';
import { parseCertificates, type ParsedCertificate } from '../../pki/parse-certificates.ts';
import { planTrustStores, trustName, type TrustStore } from '../../pki/trust-stores.ts';
import { ownCertificateFiles, readNeeded } from '../certificate-source.ts';
import { confirmOrRefuse } from '../confirm.ts';
import type { CommandContext } from '../context.ts';
import { listFlag, textFlag, type FlagValues } from '../flag-values.ts';

/** What was installed where: only that is ever removed. */
interface TrustRecord {
  readonly version: 1;
  readonly installed: readonly { readonly store: string; readonly fingerprint256: string; readonly name: string }[];
}

/** `mcp-deploy cert trust [CA]`: shows the plan, asks, and adds the CA to the trust stores of this machine. */
export async function runCertTrust(
  context: CommandContext,
  named: string | undefined,
  options: FlagValues,
): Promise<number> {
  const { output } = context;
  const { certificate, file } = await readAuthority(context, named, 'trust');
  const stores = wantedStores(context, options, certificate, file);
  const record = await readRecord(context, options);
  const fingerprint256 = certificate.x509.fingerprint256;
  const name = trustName(fingerprint256);
  const missing: TrustStore[] = [];
  for (const store of stores) {
    const noted = record.installed.some((each) => each.store === store.id && each.fingerprint256 === fingerprint256);
    // Noted, and taken away by someone else since: it is put back.
    const gone = store.anchorFile !== null && (await context.ports.files.stat(store.anchorFile)) === null;
    if (!noted || gone) missing.push(store);
  }
  output.progress(describeTrustPlan('Trust', certificate, missing));
  if (missing.length === 0)
    return finish(context, { changed: false, stores: [], file, text: `${certificate.subject} is trusted already.` });
  if (options['dryRun'] === true)
    return finish(context, { changed: false, stores: missing, file, text: 'Nothing was changed.' });
  refuseWithoutRoot(missing, `mcp-deploy cert trust ${file}`);
  const agreed = await confirmOrRefuse(
    context,
    `Programs on this machine will then accept whatever ${certificate.subject} signs. Go on?`,
    'cert trust',
  );
  if (!agreed) return finish(context, { changed: false, stores: [], file, text: 'Nothing was changed.' });
  let installed = record.installed;
  for (const store of missing) {
    // Noted first: what a crash leaves behind can then still be removed.
    const before = installed.filter((each) => each.store !== store.id || each.fingerprint256 !== fingerprint256);
    installed = [...before, { store: store.id, fingerprint256, name }];
    await writeRecord(context, options, { version: 1, installed });
    try {
      await install(context, store, certificate);
    } catch (error) {
      await takeBack(context, store);
      installed = before;
      await writeRecord(context, options, { version: 1, installed });
      throw error;
    }
    output.progress(`  ${output.err.green('✓')} ${store.title}`);
  }
  return finish(context, {
    changed: true,
    stores: missing,
    file,
    text: `${certificate.subject} is trusted.   mcp-deploy cert untrust ${file}`,
  });
}

/** `mcp-deploy cert untrust [CA]`: removes the CA from where cert trust has put it, and from nowhere else. */
export async function runCertUntrust(
  context: CommandContext,
  named: string | undefined,
  options: FlagValues,
): Promise<number> {
  const { output } = context;
  const { certificate, file } = await readAuthority(context, named, 'untrust');
  const fingerprint256 = certificate.x509.fingerprint256;
  const record = await readRecord(context, options);
  const recorded = record.installed.filter((each) => each.fingerprint256 === fingerprint256);
  const nss = recorded.flatMap(({ store }) => (store.startsWith('nss:') ? store.slice(4) : []));
  const java = recorded.find(({ store }) => store.startsWith('java:'))?.store.slice(5);
  const stores = wantedStores(context, { ...options, nss, java }, certificate, file);
  const present = stores.filter((store) => recorded.some((each) => each.store === store.id));
  output.progress(describeTrustPlan('Remove', certificate, present));
  if (present.length === 0)
    return finish(context, {
      changed: false,
      stores: [],
      file: null,
      text: 'cert trust has put it nowhere on this machine; nothing was changed.',
    });
  if (options['dryRun'] === true)
    return finish(context, { changed: false, stores: present, file: null, text: 'Nothing was changed.' });
  refuseWithoutRoot(present, `mcp-deploy cert untrust ${file}`);
  let installed = record.installed;
  const kept: string[] = [];
  for (const store of present) {
    const held = await readHeld(context, store, fingerprint256);
    if (held === 'another') {
      kept.push(`${store.title} holds another certificate under this name by now; it stays.`);
    } else if (held === 'nothing') {
      output.progress(`  · ${store.title}: gone already`);
    } else {
      if (store.anchorFile !== null) await context.ports.files.removeFile(store.anchorFile);
      for (const command of store.remove)
        await runTrustCommand(withThumbprint(command, certificate), context.world.env);
      output.progress(`  ${output.err.green('✓')} ${store.title}`);
    }
    installed = installed.filter((each) => each.store !== store.id || each.fingerprint256 !== fingerprint256);
    await writeRecord(context, options, { version: 1, installed });
  }
  for (const text of kept) output.warning(text);
  return finish(context, {
    changed: true,
    stores: present,
    file: null,
    text: `${certificate.subject} is no longer trusted here.`,
  });
}

async function readAuthority(
  context: CommandContext,
  named: string | undefined,
  verb: 'trust' | 'untrust',
): Promise<{ certificate: ParsedCertificate; file: string }> {
  const source = named ?? (await ownCertificateFiles(context, `mcp-deploy cert ${verb} CA.crt`)).ca;
  if (source === null) {
    throw new UserError('This deployment has no CA of its own.', {
      why: 'Its certificate comes from files.',
      next: 'mcp-deploy cert trust CA.crt',
    });
  }
  const file = resolve(context.world.cwd, source);
  const [certificate, ...others] = parseCertificates(await readNeeded(context, file), source);
  if (others.length > 0 || !certificate.selfIssued) {
    throw new UserError(`${source} is not a root certificate alone.`, {
      why: 'A trust store takes the root, or a self-signed certificate; intermediates are sent by the server.',
      next: 'Name the ca.crt of your CA.',
    });
  }
  return { certificate, file };
}

function wantedStores(
  context: CommandContext,
  options: FlagValues,
  certificate: ParsedCertificate,
  file: string,
): readonly TrustStore[] {
  const root = textFlag(options, 'root');
  const facts = readTrustFacts({
    root: root === undefined ? '' : resolve(context.world.cwd, root),
    env: context.world.env,
    nssDatabases: listFlag(options, 'nss').map((path) => resolve(context.world.cwd, path)),
    javaKeystore: typeof options['java'] === 'string' ? resolve(context.world.cwd, options['java']) : null,
  });
  const only = listFlag(options, 'only');
  const stores = planTrustStores(facts, file, trustName(certificate.x509.fingerprint256));
  const wanted = only.length === 0 ? stores : stores.filter((store) => only.includes(store.id.split(':')[0] ?? ''));
  if (wanted.length > 0) return wanted;
  throw new EnvironmentError('There is no trust store on this machine that this tool knows.', {
    why: 'It looks for the stores of Debian, RHEL, SUSE, Arch, Alpine, macOS and Windows, NSS databases and a Java keystore.',
    next: `Give the CA to each program instead, for Node: export NODE_EXTRA_CA_CERTS=${file}`,
  });
}

async function install(context: CommandContext, store: TrustStore, certificate: ParsedCertificate): Promise<void> {
  if (store.anchorFile !== null)
    await context.ports.files.writeAtomic(store.anchorFile, certificate.x509.toString(), 0o644);
  for (const command of store.install) await runTrustCommand(command, context.world.env);
}

async function takeBack(context: CommandContext, store: TrustStore): Promise<void> {
  if (store.anchorFile === null) return;
  await context.ports.files.removeFile(store.anchorFile);
  for (const command of store.remove) await runTrustCommand(command, context.world.env).catch(() => '');
}

/** What stands by now where we had put the CA; 'ours' as well for a store that cannot be asked. */
async function readHeld(
  context: CommandContext,
  store: TrustStore,
  fingerprint256: string,
): Promise<'ours' | 'another' | 'nothing'> {
  if (store.anchorFile === null && store.read === null) return 'ours';
  const bytes =
    store.anchorFile !== null
      ? await context.ports.files.read(store.anchorFile)
      : Buffer.from(store.read === null ? '' : await runTrustCommand(store.read, context.world.env).catch(() => ''));
  if (bytes === null || bytes.length === 0) return 'nothing';
  try {
    return parseCertificates(bytes)[0].x509.fingerprint256 === fingerprint256 ? 'ours' : 'another';
  } catch (error) {
    if (error instanceof UserError) return 'another';
    throw error;
  }
}

/** Windows finds a certificate by the SHA-1 of its DER. */
function withThumbprint<T extends { readonly argv: readonly string[] }>(command: T, certificate: ParsedCertificate): T {
  const sha1 = createHash('sha1').update(certificate.x509.raw).digest('hex');
  return { ...command, argv: command.argv.map((word) => (word === '{sha1}' ? sha1 : word)) };
}

function refuseWithoutRoot(stores: readonly TrustStore[], command: string): void {
  if (!stores.some((store) => store.needsRoot) || process.getuid?.() === 0 || process.platform === 'win32') return;
  throw new EnvironmentError('The trust store of the system can be changed by root only.', {
    why: stores
      .filter((store) => store.needsRoot)
      .map((store) => store.title)
      .join(', '),
    next: `sudo ${command}        or leave it out: --only nss`,
  });
}

function describeTrustPlan(verb: string, certificate: ParsedCertificate, stores: readonly TrustStore[]): string {
  return [
    `  ${verb} ${certificate.subject}, SHA-256 ${certificate.x509.fingerprint256.slice(0, 23)}…`,
    ...stores.flatMap((store) => [
      `    ${verb === 'Trust' ? '+' : '-'} ${store.title}${store.needsRoot ? ' (root)' : ''}${store.untested ? ' (not tested by us on such a system)' : ''}`,
      ...(store.anchorFile === null ? [] : [`        ${store.anchorFile}`]),
      ...(verb === 'Trust' ? store.install : store.remove).map(({ argv }) => `        ${argv.join(' ')}`),
    ]),
    '',
  ].join('\n');
}

function finish(
  context: CommandContext,
  done: {
    readonly changed: boolean;
    readonly stores: readonly TrustStore[];
    readonly file: string | null;
    readonly text: string;
  },
): number {
  const { output } = context;
  // What trusts the system needs nothing more; the others say what they need in their own words.
  const notes = done.file === null ? [] : clientNotes(done.file);
  output.document({
    ok: true,
    changed: done.changed,
    stores: done.stores.map(({ id, anchorFile, untested }) => ({ id, anchorFile, untested })),
    clients: notes,
  });
  output.result(
    [
      `  ${done.text}`,
      ...(notes.length === 0 ? [] : ['', '  What MCP clients need beyond that']),
      ...notes.map(({ title, note }) => `    ${title.padEnd(16)} ${note}`),
    ].join('\n'),
  );
  return 0;
}

/** Of each client's notes those about the CA. */
function clientNotes(caFile: string): readonly { readonly title: string; readonly note: string }[] {
  return clients.map((client) => {
    const { notes, text } = client.snippet({
      name: 'mcp',
      url: 'https://localhost:8443/mcp',
      keyFile: null,
      caFile,
      keyVariable: 'MCP_KEY',
    });
    const own = notes.find((note) => note.includes(caFile));
    const variable = /\b(NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)\b/.exec(text)?.[1];
    const fromText =
      variable === undefined
        ? 'nothing: it trusts what the system trusts'
        : `${variable}=${caFile} where it is started`;
    return { title: client.title, note: own ?? fromText };
  });
}

function recordFile(context: CommandContext, options: FlagValues): string {
  const root = textFlag(options, 'root');
  if (root !== undefined) return join(resolve(context.world.cwd, root), 'var/lib/mcp-deploy/trust.json');
  if (process.getuid?.() === 0) return '/var/lib/mcp-deploy/trust.json';
  const { env } = context.world;
  return join(env['XDG_STATE_HOME'] ?? join(env['HOME'] ?? homedir(), '.local/state'), 'mcp-deploy/trust.json');
}

async function readRecord(context: CommandContext, options: FlagValues): Promise<TrustRecord> {
  const file = recordFile(context, options);
  const bytes = await context.ports.files.read(file);
  if (bytes === null) return { version: 1, installed: [] };
  try {
    const record = JSON.parse(bytes.toString('utf8')) as Partial<TrustRecord> | null;
    if (record?.version === 1 && Array.isArray(record.installed)) return record as TrustRecord;
  } catch {
    // said below
  }
  throw new EnvironmentError(`${file} is damaged.`, {
    why: 'It says what was added to the trust stores; without it nothing is removed.',
    next: `Look into it, or move it away: mv ${file} ${file}.old`,
  });
}

async function writeRecord(context: CommandContext, options: FlagValues, record: TrustRecord): Promise<void> {
  const file = recordFile(context, options);
  const { files } = context.ports;
  const missing: string[] = [];
  for (let folder = dirname(file); (await files.stat(folder)) === null; folder = dirname(folder))
    missing.unshift(folder);
  for (const folder of missing) await files.makeDirectory(folder, 0o755);
  await files.writeAtomic(file, `${JSON.stringify(record, null, 2)}\n`, 0o644);
}
