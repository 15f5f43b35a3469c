import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readProxyConfig } from '../../src/doctor/probes/read-proxy-config.ts';
import { runDoctor, type DoctorOptions } from '../../src/doctor/run-doctor.ts';
import type { DoctorReport, Fix, Hop, Severity } from '../../src/doctor/types.ts';
import { caddyEnv, freePorts, type RunningProxy } from '../helpers/proxy-rig.ts';
import { firstKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { findProgram } from '../helpers/tools.ts';
import { issueCertificate, issueSelfSigned, makeAuthority } from '../fixtures/mcp-servers/certificates.ts';
import { startFixtureServer, type FixtureServer } from '../fixtures/mcp-servers/fixture-server.ts';
import { ca, goodCertificate, inShort } from './laboratory.ts';
import { runProgram } from '../helpers/run-program.ts';

/** A page that the bundled servers of the laboratory let in. */
const pageOrigin = 'https://app.example.com';

/** What stands behind the proxies; every address is host:port. */
export interface Backstage {
  /** The bundled server. */
  readonly server: string;
  /** A second one that shares nothing with it. */
  readonly replica: string;
  /** The bundled server again, with a limit that a burst reaches. */
  readonly limited: string;
  /** The bundled server again, whose streams are silent. */
  readonly silent: string;
  /** A server of somebody else of the legacy era only. */
  readonly legacyOnly: string;
  /** A server of somebody else that asks for no key. */
  readonly open: string;
  /** A server of somebody else with the same key. */
  readonly other: string;
  /** The same, and its streams may be changed on the way. */
  readonly transformable: string;
  /** Nobody listens there. */
  readonly dead: string;
}

/** One site of the proxy and how doctor comes to it. */
export interface SiteCase {
  /** Text of the site, as its program reads it. */
  readonly site: (at: { readonly port: number; readonly back: Backstage; readonly folder: string }) => string;
  readonly doctor?: Partial<DoctorOptions>;
  /** Which server is the one behind the proxy; null: none is named. */
  readonly upstream?: keyof Backstage | null;
  /** False: doctor is not shown the configuration. */
  readonly config?: boolean;
  readonly scheme?: 'http' | 'https';
}

export interface ProxyFault extends SiteCase {
  readonly fault: string;
  readonly code: string;
  readonly hop: Hop;
  readonly severity?: Severity;
  /** In the line of the configuration that doctor names; null where it cannot know one. */
  readonly line: RegExp | null;
  readonly twin: SiteCase & { readonly fact: string };
}

export interface ProxyKind {
  readonly program: 'nginx' | 'caddy' | 'haproxy';
  /** Starts one process for all sites; each stands in a file of its own in `folder`/sites. */
  start(folder: string, files: readonly string[], ports: readonly number[]): Promise<RunningProxy>;
  /** Lets the program check the whole configuration. */
  check(folder: string, siteFile: string): readonly string[];
  /** The file that doctor is shown for a site. */
  mainFile(folder: string, siteFile: string): string;
}

/**
 * Runs all sites of one kind of proxy in one process in front of shared
 * servers, and asks for each: is the fault named first, with its hop and its
 * line, would the diff mend it, and is nothing said of its twin?
 */
export function describeProxyFaults(
  kind: ProxyKind,
  faults: readonly ProxyFault[],
  healthySite: (which: keyof Backstage) => SiteCase['site'],
): void {
  const present = findProgram(kind.program) !== null;
  if (!present && process.env['REQUIRE_TOOLS'] !== '1') {
    test.skip(`faults of ${kind.program} (needs ${kind.program})`, () => {});
    return;
  }
  describe(kind.program, () => {
    let laboratory: Laboratory | null = null;
    const healthy = healthyCombinations(healthySite);
    const cases = [...faults.flatMap((fault): readonly SiteCase[] => [fault, fault.twin]), ...healthy];
    beforeAll(async () => {
      laboratory = await startLaboratory(kind, cases);
    });
    afterAll(() => laboratory?.stop());
    const here = (): Laboratory => {
      if (laboratory === null) throw new Error(`${kind.program} was not started`);
      return laboratory;
    };
    const looks = new Map<SiteCase, Promise<DoctorReport>>();
    const look = (which: SiteCase): Promise<DoctorReport> => {
      const report = looks.get(which) ?? here().diagnose(which);
      looks.set(which, report);
      return report;
    };

    describe.concurrent('a fault is named first, with its hop and its line', () => {
      test.each(faults.map((each) => [`${each.fault} -> ${each.code}`, each] as const))(
        '%s',
        async (_, fault) => {
          const report = await look(fault);
          const { code, hop, severity = 'error', line } = fault;
          expect(report.findings[0], inShort(report)).toMatchObject({ code, hop, severity });
          expect(report.rootCause).toBe(severity === 'error' ? code : null);
          if (line === null) return;
          const [finding] = report.findings;
          const named = finding?.evidence.find(({ source }) => /:\d+$/.test(source));
          expect(named?.observed, inShort(report)).toMatch(line);
        },
        120_000,
      );
    });

    describe.concurrent('nothing is found on what is in order', () => {
      test.each(healthy.map((each) => [each.fact, each] as const))(
        '%s',
        async (_, combination) => {
          const report = await look(combination);
          expect(report.findings, inShort(report)).toEqual([]);
          expect(report.ok, inShort(report)).toBe(true);
        },
        120_000,
      );
    });

    describe.concurrent('its healthy twin is left in peace', () => {
      test.each(faults.map((each) => [`${each.code}: ${each.twin.fact}`, each.twin] as const))(
        '%s',
        async (_, twin) => {
          const report = await look(twin);
          expect(report.findings, inShort(report)).toEqual([]);
          expect(report.ok, inShort(report)).toBe(true);
        },
        120_000,
      );
    });

    // Last, and not beside the others: the program is started anew with all that was mended.
    describe('the fix that doctor gives for it mends it', () => {
      const named = faults.filter(({ line }) => line !== null);
      const refused = new Map<ProxyFault, string>();
      beforeAll(async () => {
        for (const fault of named) {
          const { findings } = await look(fault);
          const trouble = here().mend(fault, findings[0]?.fix);
          if (trouble !== null) refused.set(fault, trouble);
        }
        await here().restart();
      }, 240_000);
      test.concurrent.each(named.map((each) => [`${each.fault} -> ${each.code}`, each] as const))(
        '%s',
        async (_, fault) => {
          expect(refused.get(fault)).toBeUndefined();
          // All checks of one, so that nothing new has come; of the others what was found.
          const only = fault === named[0] ? [] : [fault.code];
          const report = await here().diagnose({ ...fault, doctor: { ...fault.doctor, only } }, fault);
          expect(report.findings, inShort(report)).toEqual([]);
          expect(report.ok, inShort(report)).toBe(true);
        },
        120_000,
      );
    });
  });
}

const intermediate = makeAuthority('Laboratory intermediate CA', ca);
const ofIntermediate = issueCertificate(intermediate, ['localhost']);
const selfSigned = issueSelfSigned(['localhost']);

/** Files by these names; the CA that clients are given. */
const certificates = {
  site: { certificatePem: goodCertificate.certificatePem, keyPem: goodCertificate.keyPem, caPem: ca.certificatePem },
  chain: {
    certificatePem: ofIntermediate.certificatePem + intermediate.certificatePem,
    keyPem: ofIntermediate.keyPem,
    caPem: ca.certificatePem,
  },
  self: { ...selfSigned, caPem: selfSigned.certificatePem },
} as const;

/** Eras, keys and certificates, each with each: the bundled server, two of somebody else, and one without keys. */
function healthyCombinations(
  siteFor: (which: keyof Backstage) => SiteCase['site'],
): readonly (SiteCase & { readonly fact: string })[] {
  return (['server', 'other', 'legacyOnly', 'open'] as const).flatMap((upstream) =>
    Object.entries(certificates).map(([name, { caPem }]) => ({
      fact: `${upstream}, certificate ${name}`,
      upstream,
      site: (at: Parameters<SiteCase['site']>[0]) => siteFor(upstream)(at).replaceAll('/site.', `/${name}.`),
      doctor: { caPem, ...(upstream === 'open' ? { key: null } : {}) },
    })),
  );
}

export interface Laboratory {
  readonly back: Backstage;
  /** `site`: whose site it is, where the case itself is not one of the laboratory's. */
  diagnose(which: SiteCase, site?: SiteCase): Promise<DoctorReport>;
  /** Does to the files what the fix says; why that does not hold, after putting the file back, or null. */
  mend(which: SiteCase, fix: Fix | undefined): string | null;
  /** Loads what was mended. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

async function startLaboratory(kind: ProxyKind, cases: readonly SiteCase[]): Promise<Laboratory> {
  const folder = mkdtempSync(join(tmpdir(), `mcpd-lab-${kind.program}-`));
  mkdirSync(join(folder, 'sites'));
  for (const [name, { certificatePem, keyPem }] of Object.entries(certificates)) {
    writeFileSync(join(folder, `${name}.crt`), certificatePem);
    writeFileSync(join(folder, `${name}.key`), keyPem, { mode: 0o600 });
    writeFileSync(join(folder, `${name}.pem`), certificatePem + keyPem, { mode: 0o600 });
  }
  const closers: (() => Promise<void>)[] = [async () => rmSync(folder, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const close of closers.toReversed()) await close();
  };
  try {
    const back = await startBackstage(closers);
    const ports = await freePorts(cases.length);
    const files = cases.map(({ site }, index) => {
      const file = join(folder, 'sites', `${String(index).padStart(3, '0')}.conf`);
      writeFileSync(file, `${site({ port: ports[index] ?? 0, back, folder })}\n`);
      return file;
    });
    let proxy = await kind.start(folder, files, ports);
    closers.push(() => proxy.stop());
    const configOf = (which: SiteCase) => {
      const index = cases.indexOf(which);
      return readProxyConfig(kind.mainFile(folder, files[index] ?? ''), ports[index] ?? 0, runProgram);
    };
    return {
      back,
      stop,
      diagnose: async (which, site = which) => {
        const upstream = which.upstream === undefined ? 'server' : which.upstream;
        return runDoctor({
          url: `${which.scheme ?? 'https'}://localhost:${ports[cases.indexOf(site)]}/mcp`,
          caPem: ca.certificatePem,
          key: firstKey,
          own: null,
          upstreamUrl: upstream === null ? null : `http://${back[upstream]}/mcp`,
          proxyConfig: which.config === false ? null : await configOf(site),
          limits: false,
          signal: new AbortController().signal,
          onProgress: () => {},
          ...which.doctor,
          patience: {
            streamHeadMs: 1_700,
            streamWatchMs: 100,
            answerMs: 30_000,
            lookMs: 50_000,
            ...which.doctor?.patience,
          },
        });
      },
      mend: (which, fix) => {
        const file = files[cases.indexOf(which)] ?? '';
        const before = readFileSync(file, 'utf8');
        const trouble = applyFix(fix) ?? failureOf(kind.check(folder, file), folder);
        if (trouble !== null) writeFileSync(file, before);
        return trouble;
      },
      restart: async () => {
        await proxy.stop();
        proxy = await kind.start(folder, files, ports);
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The diff, or where there is none the first command, which changes the file; null when that was done. */
function applyFix(fix: Fix | undefined): string | null {
  if (fix?.diff === undefined) {
    const [command = ''] = fix?.commands ?? [];
    return command.startsWith('sed ') ? failureOf(['sh', '-c', command], '/') : `nothing changes the file: ${command}`;
  }
  return failureOf(['patch', '-p0', '--batch', '--fuzz=0', '--no-backup-if-mismatch'], '/', `${fix.diff}\n`);
}

/** What a program wrote that ended with anything but 0; null when all is well. */
function failureOf([program = '', ...args]: readonly string[], folder: string, input?: string): string | null {
  try {
    const env = folder === '/' ? process.env : caddyEnv(folder);
    execFileSync(findProgram(program) ?? program, args, { cwd: folder, env, input, encoding: 'utf8', stdio: 'pipe' });
    return null;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { readonly stdout?: string; readonly stderr?: string };
    return `${program} ${args.join(' ')}\n${input ?? ''}${stdout}${stderr}`;
  }
}

async function startBackstage(closers: (() => Promise<void>)[]): Promise<Backstage> {
  const server = { allowedHosts: ['localhost'], allowedOrigins: [pageOrigin] };
  const rigs: ServerRig[] = [];
  const rig = async (change: Parameters<typeof startRig>[0] = {}): Promise<string> => {
    const started = await startRig({ ...change, server: { ...server, ...change.server } });
    rigs.push(started);
    closers.push(() => started.stop());
    return new URL(started.origin).host;
  };
  const other: FixtureServer = await startFixtureServer({ certificate: null, key: firstKey });
  closers.push(() => other.close());
  const legacyOnly = await startFixtureServer({ certificate: null, key: firstKey, eras: 'legacy' });
  closers.push(() => legacyOnly.close());
  const open = await startFixtureServer({ certificate: null, key: null });
  closers.push(() => open.close());
  const transformable = await startFixtureServer({ certificate: null, key: firstKey, intercept: allowTransform });
  closers.push(() => transformable.close());
  const [dead = 0] = await freePorts(1);
  return {
    server: await rig(),
    replica: await rig(),
    limited: await rig({ limits: { perKey: { requests: 60, windowSeconds: 600, burst: 30 } } }),
    silent: await rig({ server: { keepAliveSeconds: 600 } }),
    legacyOnly: `127.0.0.1:${legacyOnly.port}`,
    open: `127.0.0.1:${open.port}`,
    other: `127.0.0.1:${other.port}`,
    transformable: `127.0.0.1:${transformable.port}`,
    dead: `127.0.0.1:${dead}`,
  };
}

/** Takes Cache-Control: no-transform off the answers, which the SDK servers send. */
function allowTransform(_: unknown, response: ServerResponse): false {
  const writeHead = response.writeHead.bind(response);
  response.writeHead = (status: number, ...rest: readonly unknown[]) => {
    const headers = rest.at(-1);
    if (typeof headers === 'object' && headers !== null) {
      const kept = Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'cache-control');
      return writeHead(status, Object.fromEntries(kept) as OutgoingHttpHeaders);
    }
    response.removeHeader('cache-control');
    return writeHead(status);
  };
  return false;
}
