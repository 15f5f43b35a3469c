import { createHash } from 'node:crypto';
import { errors, jwtVerify, type JWTPayload } from 'jose';
import type { Auth } from '../../deployment/auth-schema.ts';
import type { KeyDecision } from '../types.ts';
import { compilePatterns, type Access } from './access.ts';
import { createGuessBackoff, type GuessBackoff } from './guess-backoff.ts';
import { IssuerUnavailable, type IssuerKeys } from './issuer-keys.ts';

/** Longer ones are not looked at. */
const longestToken = 8_192;
/** Characters of tokens that are remembered; the oldest go first. */
const mostRemembered = 8_388_608;
/** Tokens that are being verified at once. */
const mostPending = 256;
const labelLength = 64;
/** Three parts of base64url: a signed token (RFC 7515 section 3.1). Keys have no dots. */
const tokenSyntax = /^bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*) *$/i;
/** RFC 9068 says at+jwt; many issuers say JWT or nothing. Anything else is a token for another purpose. */
const tokenTypes: ReadonlySet<unknown> = new Set([undefined, 'at+jwt', 'application/at+jwt', 'jwt']);

type OAuth = NonNullable<Auth['oauth']>;

/** Tokens of an outside issuer, beside keys. */
export interface TokenCheck {
  /** Whether this header holds a token and not a key. */
  isToken(authorization: string | undefined): authorization is string;
  /** A token that was verified before and is still good; null for any other. */
  recall(authorization: string): KeyDecision | null;
  verify(authorization: string, address: string): Promise<KeyDecision>;
  close(): void;
}

interface Remembered {
  readonly decision: KeyDecision;
  /** Epoch ms. */
  readonly untilMs: number;
}

/**
 * Checks access tokens that are signed JWTs (RFC 9068 and what issuers make of it). A token is verified once and then
 * found by its text until it expires, or until the keys of the issuer change.
 * @param audiences who the token must be for; one of them
 * @param backoff counts wrong tokens; given where that is done for several processes, or outlives this check
 */
export function createTokenCheck(
  settings: OAuth,
  audiences: readonly string[],
  keys: IssuerKeys,
  now: () => number = Date.now,
  backoff: GuessBackoff = createGuessBackoff(now),
): TokenCheck {
  const remembered = new Map<string, Remembered>();
  let characters = 0;
  let pending = 0;
  const accesses = createAccesses(settings);
  keys.onChanged(forgetAll);

  function forgetAll(): void {
    remembered.clear();
    characters = 0;
  }

  function forget(authorization: string): void {
    if (remembered.delete(authorization)) characters -= authorization.length;
  }

  function remember(authorization: string, entry: Remembered): void {
    forget(authorization);
    remembered.set(authorization, entry);
    characters += authorization.length;
    for (const oldest of remembered.keys()) {
      if (characters <= mostRemembered) break;
      forget(oldest);
    }
  }

  async function judge(authorization: string, token: string, address: string): Promise<KeyDecision> {
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keys.find, {
        issuer: settings.issuer,
        audience: [...audiences],
        algorithms: [...settings.algorithms],
        clockTolerance: settings.clockSkewSeconds,
        requiredClaims: ['exp'],
        currentDate: new Date(now()),
      });
      const problem = judgeClaims(payload, protectedHeader.typ, settings, now());
      if (problem !== null) return { allowed: false, reason: 'invalid', detail: problem };
      const granted = readScopes(payload);
      if (settings.requiredScopes.some((scope) => !granted.has(scope))) {
        return {
          allowed: false,
          reason: 'insufficient-scope',
          scope: settings.requiredScopes.join(' '),
          detail: `The token lacks a scope that this server needs: ${settings.requiredScopes.join(' ')}.`,
        };
      }
      const subject = String(payload.sub ?? payload['client_id'] ?? payload['azp']);
      const untilMs = (Number(payload.exp) + settings.clockSkewSeconds) * 1_000;
      const decision = Object.freeze({
        allowed: true as const,
        keyId: `oauth:${createHash('sha256').update(`${settings.issuer}\n${subject}`).digest('base64url').slice(0, 32)}`,
        label: labelOf(subject),
        tier: settings.tier ?? null,
        access: accesses(granted),
        expiresAtMs: untilMs,
      });
      remember(authorization, { decision, untilMs });
      return decision;
    } catch (error) {
      return refuse(error, address);
    }
  }

  function refuse(error: unknown, address: string): KeyDecision {
    if (error instanceof IssuerUnavailable) {
      return {
        allowed: false,
        reason: 'unavailable',
        retryAfterSeconds: 30,
        detail: 'The issuer of the token cannot be reached, and the key that signed it is not known here yet.',
      };
    }
    // Whoever holds a token that once was good is not guessing.
    if (error instanceof errors.JWTExpired) {
      return { allowed: false, reason: 'expired', detail: 'The token has expired.' };
    }
    const detail = describe(error);
    const retryAfterSeconds = backoff.failed(address);
    if (retryAfterSeconds === 0) return { allowed: false, reason: 'invalid', detail };
    return {
      allowed: false,
      reason: 'backed-off',
      retryAfterSeconds,
      detail: `${detail} Too many bad tokens came from this address: wait ${retryAfterSeconds} s.`,
    };
  }

  return {
    isToken: (authorization): authorization is string =>
      authorization !== undefined && authorization.length > 64 && tokenSyntax.test(authorization),
    recall(authorization) {
      const entry = remembered.get(authorization);
      if (entry === undefined) return null;
      if (now() < entry.untilMs) return entry.decision;
      forget(authorization);
      return null;
    },
    async verify(authorization, address) {
      const token = tokenSyntax.exec(authorization)?.[1] ?? '';
      if (token.length > longestToken) {
        return { allowed: false, reason: 'invalid', detail: `The token is longer than ${longestToken} characters.` };
      }
      if (pending >= mostPending) {
        return {
          allowed: false,
          reason: 'unavailable',
          retryAfterSeconds: 2,
          detail: 'This server is checking as many new tokens as it can; try again in a moment.',
        };
      }
      pending++;
      try {
        return await judge(authorization, token, address);
      } finally {
        pending--;
      }
    },
    close() {
      forgetAll();
      keys.close();
    },
  };
}

/** What a good signature does not say. Null when all is well. */
function judgeClaims(payload: JWTPayload, type: unknown, settings: OAuth, nowMs: number): string | null {
  if (!tokenTypes.has(typeof type === 'string' ? type.toLowerCase() : type)) {
    return 'The token is of a type that is no access token.';
  }
  const latestMs = nowMs + settings.clockSkewSeconds * 1_000;
  if (payload.iat !== undefined && payload.iat * 1_000 > latestMs) return 'The token was issued in the future.';
  // RFC 9449 and RFC 8705: such a token is worth nothing without the proof, which is not checked here.
  if (payload['cnf'] !== undefined)
    return 'The token is bound to a key of the client; this server takes bearer tokens.';
  const subject = payload.sub ?? payload['client_id'] ?? payload['azp'];
  return typeof subject === 'string' && subject !== '' ? null : 'The token names no subject.';
}

/** One sentence that holds nothing of the token. */
function describe(error: unknown): string {
  if (error instanceof errors.JWTClaimValidationFailed) {
    const words: Readonly<Record<string, string>> = {
      aud: 'The token is for another audience.',
      iss: 'The token is of another issuer.',
      nbf: 'The token is not valid yet.',
      exp: 'The token has no expiry.',
    };
    return words[error.claim] ?? 'A claim of the token is not as it must be.';
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'The signature of the token is wrong.';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'The token is signed with an algorithm that is not allowed.';
  if (error instanceof errors.JWKSNoMatchingKey) return 'The issuer has no key of the id that the token names.';
  return 'The token cannot be read.';
}

function readScopes(payload: JWTPayload): ReadonlySet<string> {
  const { scope, scp } = payload as { scope?: unknown; scp?: unknown };
  const given = scope ?? scp;
  const list = typeof given === 'string' ? given.split(' ') : Array.isArray(given) ? given : [];
  return new Set(list.filter((entry): entry is string => typeof entry === 'string' && entry !== ''));
}

function labelOf(subject: string): string {
  return subject.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, labelLength);
}

/** One access for all tokens with the same scopes. Null when no tool needs a scope. */
function createAccesses(settings: OAuth): (granted: ReadonlySet<string>) => Access | null {
  const rules = Object.entries(settings.scopes).map(([scope, patterns]) => ({
    scope,
    covers: compilePatterns(patterns),
  }));
  if (rules.length === 0) return () => null;
  const made = new Map<string, Access>();
  return (granted) => {
    const held = rules.filter(({ scope }) => granted.has(scope)).map(({ scope }) => scope);
    const id = held.join(' ');
    const known = made.get(id);
    if (known !== undefined) return known;
    const lacking = rules.filter(({ scope }) => !granted.has(scope));
    const access: Access = {
      hidesTool: () => false,
      hidesUpstream: () => false,
      limitsUpstreams: false,
      limits: false,
      missingScopes(tool) {
        if (!lacking.some(({ covers }) => covers(tool))) return null;
        const needed = rules.filter(({ covers }) => covers(tool)).map(({ scope }) => scope);
        return [...new Set([...settings.requiredScopes, ...needed])].join(' ');
      },
    };
    // As many as there are subsets of the configured scopes at most; tokens cannot invent any.
    if (made.size >= 1_000) made.clear();
    made.set(id, access);
    return access;
  };
}
