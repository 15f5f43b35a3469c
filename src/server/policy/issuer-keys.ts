import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Log } from '../observe/log.ts';
import { fetchJson } from './fetch-json.ts';

/** Between two looks at the issuer, whatever tokens name: nobody outside decides how often it is asked. */
const floorMs = 30_000;
/** The same while it does not answer. */
const failedFloorMs = 5_000;
/** Keys are looked at again so often: one that the issuer withdrew must not stay good for ever. */
const refreshMs = 600_000;
const mostKeys = 100;

/** The issuer cannot be asked and the key of the token is not known. */
export class IssuerUnavailable extends Error {}

/** The public keys of an issuer. */
export interface IssuerKeys {
  /** Finds the key of a token, asking the issuer when it is new and asking is allowed. @throws IssuerUnavailable */
  readonly find: JWTVerifyGetKey;
  /** Called when the keys are others than before. */
  onChanged(listener: () => void): void;
  close(): void;
}

export interface IssuerKeysOptions {
  readonly issuer: string;
  /** Where the keys are; found out from the metadata of the issuer when null. */
  readonly jwksUri: string | null;
  readonly ca: readonly string[] | undefined;
  readonly log: Log;
}

/**
 * Fetches the keys when the first token comes, keeps them, and asks again for a key that is not among them, at most
 * every 30 seconds. While the issuer is down the keys that are known stay good.
 */
export function createIssuerKeys(options: IssuerKeysOptions): IssuerKeys {
  const { log } = options;
  const listeners: (() => void)[] = [];
  let keys: ReturnType<typeof createLocalJWKSet> | null = null;
  let text = '';
  let askedAtMs = Number.NEGATIVE_INFINITY;
  let failure: string | null = null;
  let asking: Promise<void> | null = null;
  let timer: NodeJS.Timeout | null = null;

  async function ask(): Promise<void> {
    askedAtMs = performance.now();
    try {
      const found = await readKeys(options);
      const next = JSON.stringify(found);
      if (next !== text) {
        keys = createLocalJWKSet(found);
        text = next;
        log.info('oauth.keys', { issuer: options.issuer, keys: found.keys.length });
        for (const listener of listeners) listener();
      }
      failure = null;
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
      log.error('oauth.issuer-unavailable', {
        why: failure,
        consequence: keys === null ? 'no token can be checked' : 'the keys that are known stay good',
      });
    } finally {
      asking = null;
    }
  }

  /** Waits for what is under way; asks only when the last look is long enough ago. */
  async function look(): Promise<void> {
    const floor = failure === null ? floorMs : failedFloorMs;
    if (asking === null && performance.now() - askedAtMs >= floor) asking = ask();
    timer ??= setInterval(() => {
      asking ??= ask();
    }, refreshMs).unref();
    await asking;
  }

  return {
    async find(header, token) {
      if (keys === null) await look();
      if (keys === null) throw new IssuerUnavailable(failure ?? 'not asked yet');
      try {
        return await keys(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
      await look();
      try {
        return await keys(header, token);
      } catch (error) {
        // It may be a key that the issuer has made since.
        if (error instanceof errors.JWKSNoMatchingKey && failure !== null) throw new IssuerUnavailable(failure);
        throw error;
      }
    },
    onChanged: (listener) => void listeners.push(listener),
    close() {
      if (timer !== null) clearInterval(timer);
    },
  };
}

async function readKeys({ issuer, jwksUri, ca }: IssuerKeysOptions): Promise<JSONWebKeySet> {
  const uri = jwksUri ?? (await discover(issuer, ca));
  const found = await fetchJson(checkedUrl(uri), ca);
  const list = found['keys'];
  if (!Array.isArray(list) || list.length > mostKeys) throw new Error(`${uri}: it holds no list of up to 100 keys`);
  return { keys: list };
}

/** RFC 8414 section 3.1, then OpenID Connect Discovery section 4, as MCP clients look for it too. */
async function discover(issuer: string, ca: readonly string[] | undefined): Promise<string> {
  const url = new URL(issuer);
  const path = url.pathname.replace(/\/$/, '');
  const places = [
    `${url.origin}/.well-known/oauth-authorization-server${path}`,
    `${url.origin}/.well-known/openid-configuration${path}`,
    `${url.origin}${path}/.well-known/openid-configuration`,
  ];
  let problem = 'it has no metadata';
  for (const place of new Set(places)) {
    try {
      const metadata = await fetchJson(new URL(place), ca);
      // Section 3.3: metadata of another issuer must not be used.
      if (metadata['issuer'] !== issuer) {
        problem = `${place}: it is the metadata of another issuer`;
        continue;
      }
      const uri = metadata['jwks_uri'];
      if (typeof uri === 'string') return uri;
      problem = `${place}: it names no jwks_uri`;
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
  }
  throw new Error(problem);
}

function checkedUrl(text: string): URL {
  if (!URL.canParse(text)) throw new Error('jwks_uri is no URL');
  const url = new URL(text);
  const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLocal)) return url;
  throw new Error('jwks_uri is not https');
}
