import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Socket } from 'node:net';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { Auth } from '../../deployment/auth-schema.ts';
import { ExplainedError, UserError } from '../../deployment/errors.ts';
import { judgeClientCertificate, type ClientTrust } from '../../pki/judge-client-certificate.ts';
import { parseCertificates, type ParsedCertificate } from '../../pki/parse-certificates.ts';
import { parseRevocationList } from '../../pki/revocation-list.ts';
import type { Log } from '../observe/log.ts';
import { compileAccess, compilePatterns } from '../policy/access.ts';
import type { KeyDecision } from '../types.ts';

/** A revocation list runs out and a certificate expires while its connection is open. */
const judgedAgainMs = 60_000;
const pollMs = 1_000;
const longestChain = 10;
/** Chains remembered: a resumed connection shows the first certificate only. */
const mostChains = 1_000;
const labelLength = 64;

/** What a connection has shown. */
export type ShownCertificate =
  /** `identity` null: a good certificate that no subject maps. */
  | { readonly kind: 'good'; readonly identity: (KeyDecision & { readonly allowed: true }) | null }
  | { readonly kind: 'none' }
  /** `reason` is a sentence without a full stop. */
  | { readonly kind: 'bad'; readonly reason: string };

interface Judged {
  readonly shown: ShownCertificate;
  readonly untilMs: number;
}

type Mtls = NonNullable<Auth['mtls']>;

/**
 * Client certificates: what connections have shown, held against the CA and its revocation lists. The files are watched;
 * a connection whose certificate is revoked while it is open is cut. The handshake lets everyone through, so that who is
 * refused is told why.
 */
export class ClientCertificates {
  readonly required: boolean;
  readonly #settings: Mtls;
  readonly #files: readonly string[];
  readonly #log: Log;
  readonly #judged = new Map<Socket, Judged>();
  readonly #chains = new Map<string, readonly ParsedCertificate[]>();
  readonly #timer: NodeJS.Timeout;
  readonly #identify: (certificate: ParsedCertificate) => (KeyDecision & { readonly allowed: true }) | null;
  #trust: ClientTrust;
  #authorities: Buffer;
  #seen: string;
  #changed: () => void = () => {};

  /** @throws UserError or EnvironmentError when the CA or a list cannot be used. */
  constructor(settings: Mtls, baseDir: string, log: Log) {
    this.#settings = settings;
    this.required = settings.required;
    this.#log = log;
    this.#files = [settings.ca, ...[settings.crl ?? []].flat()].map((file) => resolve(baseDir, file));
    this.#identify = createMapping(settings.subjects);
    this.#seen = this.#look();
    [this.#authorities, this.#trust] = readTrust(this.#files);
    this.#timer = setInterval(() => {
      if (this.#look() !== this.#seen) this.reload();
    }, pollMs);
    this.#timer.unref();
  }

  /** The CA, which the handshake names to clients. */
  get authorities(): Buffer {
    return this.#authorities;
  }

  /** Some certificates may see less than others. */
  get callersDiffer(): boolean {
    return this.#settings.subjects.some(({ tools, upstreams }) => tools !== undefined || upstreams !== undefined);
  }

  /** Called when the CA is another one: handshakes must name it. */
  onAuthoritiesChanged(changed: () => void): void {
    this.#changed = changed;
  }

  /** What this connection has shown; a look-up but for the first request and one a minute. */
  identify(socket: Socket): ShownCertificate {
    const known = this.#judged.get(socket);
    if (known !== undefined && performance.now() < known.untilMs) return known.shown;
    if (known === undefined) socket.once('close', () => this.#judged.delete(socket));
    return this.#judge(socket);
  }

  /** Reads the files now. False when they cannot be used and those read before stay. */
  reload(): boolean {
    this.#seen = this.#look();
    try {
      const [authorities, trust] = readTrust(this.#files);
      const changed = !authorities.equals(this.#authorities);
      [this.#authorities, this.#trust] = [authorities, trust];
      if (changed) this.#changed();
    } catch (error) {
      if (!(error instanceof ExplainedError)) throw error;
      this.#log.error('client-certificates.refused', {
        problem: error.message,
        why: error.why,
        consequence: 'the CA and lists read before stay in use',
      });
      return false;
    }
    let cut = 0;
    for (const [socket, { shown }] of this.#judged) {
      if (shown.kind !== 'good' || this.#judge(socket).kind === 'good') continue;
      cut++;
      socket.destroy();
    }
    this.#log.info('client-certificates.reloaded', { connectionsCut: cut });
    return true;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#judged.clear();
  }

  #judge(socket: Socket): ShownCertificate {
    const shown = this.#judgeShown(socket as TLSSocket);
    this.#judged.set(socket, { shown, untilMs: performance.now() + judgedAgainMs });
    return shown;
  }

  #judgeShown(socket: TLSSocket): ShownCertificate {
    const chain = this.#chainOf(socket);
    const [leaf] = chain;
    if (leaf === undefined) return { kind: 'none' };
    const verdict = judgeClientCertificate(chain, this.#trust, new Date());
    if (!verdict.accepted) return { kind: 'bad', reason: verdict.reason };
    return { kind: 'good', identity: this.#identify(leaf) };
  }

  #chainOf(socket: TLSSocket): readonly ParsedCertificate[] {
    if (typeof socket.getPeerCertificate !== 'function') return [];
    const raw: Buffer[] = [];
    let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
    while (certificate?.raw !== undefined && raw.length < longestChain) {
      raw.push(certificate.raw);
      // The last one names itself.
      certificate = certificate.issuerCertificate === certificate ? undefined : certificate.issuerCertificate;
    }
    const [first] = raw;
    if (first === undefined) return [];
    const id = createHash('sha256').update(first).digest('base64');
    const known = this.#chains.get(id);
    if (known !== undefined && known.length >= raw.length) return known;
    try {
      const chain = raw.flatMap((der) => parseCertificates(der, 'The certificate of the client'));
      if (this.#chains.size >= mostChains) this.#chains.clear();
      this.#chains.set(id, chain);
      return chain;
    } catch {
      return [];
    }
  }

  #look(): string {
    return this.#files
      .map((file) => {
        try {
          const { ino, size, mtimeMs, ctimeMs } = statSync(file);
          return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
        } catch {
          return 'gone';
        }
      })
      .join('|');
  }
}

function readTrust([caFile = '', ...crlFiles]: readonly string[]): [Buffer, ClientTrust] {
  const ca = readNamed(caFile, 'client CA');
  const authorities = parseCertificates(ca, caFile);
  const revocationLists = crlFiles.map((file) => parseRevocationList(readNamed(file, 'revocation list'), file));
  return [ca, { authorities, revocationLists }];
}

function readNamed(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new UserError(`The ${what} ${file} cannot be read`, {
      why: code === 'ENOENT' ? 'It does not exist.' : code === 'EACCES' ? 'This user may not read it.' : String(code),
      next: 'Put it there, readable for the user of the server.',
      cause: error,
    });
  }
}

function createMapping(
  subjects: Mtls['subjects'],
): (certificate: ParsedCertificate) => (KeyDecision & { readonly allowed: true }) | null {
  const rules = subjects.map(({ match, label, tools, upstreams, tier }) => ({
    matches: compilePatterns([match]),
    label,
    tier: tier ?? null,
    access: compileAccess({ tools, upstreams }),
  }));
  return (certificate) => {
    const names = subjectNames(certificate);
    for (const { matches, label, tier, access } of rules) {
      const name = names.find(matches);
      if (name === undefined) continue;
      const id = createHash('sha256').update(name).digest('base64url').slice(0, 32);
      const shown = label ?? name.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, labelLength);
      return Object.freeze({ allowed: true as const, keyId: `mtls:${id}`, label: shown, tier, access });
    }
    return null;
  };
}

/** `CN=…` of the subject; `DNS:…` and `URI:…` of the subjectAltName. Pure. */
export function subjectNames({ x509 }: Pick<ParsedCertificate, 'x509'>): readonly string[] {
  const { CN } = x509.toLegacyObject().subject as { CN?: string | string[] };
  const alternatives = x509.subjectAltName ?? '';
  // Node.js writes a value with anything unusual in it as a JSON string: nobody can smuggle in a second name.
  const entries = Array.from(
    alternatives.matchAll(/(?:^|, )(DNS|URI):(?:"((?:[^"\\]|\\.)*)"|([^,"]*))(?=, |$)/g),
    (found) => {
      const [, kind, quoted, plain] = found;
      return `${kind}:${quoted === undefined ? plain : (JSON.parse(`"${quoted}"`) as string)}`;
    },
  );
  return [...[CN ?? []].flat().map((name) => `CN=${name}`), ...entries];
}
