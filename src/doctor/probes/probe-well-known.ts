import type { Answer, Observed, WellKnownSeen } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import type { EndpointLook } from './probe-answers.ts';

/**
 * The documents in which clients look for OAuth (RFC 9728, RFC 8414, OpenID
 * discovery), without a key. `challenge` is the WWW-Authenticate of the 401.
 */
export async function probeWellKnown(
  look: EndpointLook,
  challenge: string | null,
  signal: AbortSignal,
): Promise<Observed<WellKnownSeen>> {
  const { pathname, origin } = new URL(look.url);
  const paths = [
    '/.well-known/oauth-protected-resource',
    ...(pathname === '/' ? [] : [`/.well-known/oauth-protected-resource${pathname}`]),
    '/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration',
  ];
  const get = (url: string): Promise<Answer> =>
    askOnce(
      {
        http: look.http,
        url,
        request: { method: 'GET', headers: { accept: 'application/json' } },
        timeoutMs: look.timeoutMs,
        secret: look.key,
      },
      signal,
    );
  const named = resourceMetadataUrl(challenge);
  const sameOrigin = named !== null && URL.canParse(named) && new URL(named).origin === origin;
  const [answers, metadata] = await Promise.all([
    Promise.all(paths.map(async (path) => ({ path, answer: await get(`${origin}${path}`) }))),
    // Another origin is somebody else's server: it was not asked for, so it is not asked.
    sameOrigin ? get(named) : null,
  ]);
  return { status: 'ok', answers, resourceMetadata: named === null ? null : { url: named, answer: metadata } };
}

function resourceMetadataUrl(challenge: string | null): string | null {
  return /resource_metadata="?([^",\s]+)/i.exec(challenge ?? '')?.[1] ?? null;
}
