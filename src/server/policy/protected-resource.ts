import { UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';

const wellKnown = '/.well-known/oauth-protected-resource';

/** What clients are told of the way to a token (RFC 9728). */
export interface ProtectedResource {
  /** Who tokens must be for. */
  readonly audiences: readonly string[];
  /** Paths at which the metadata is found. */
  readonly paths: ReadonlySet<string>;
  readonly metadataJson: string;
  readonly metadataUrl: string;
  /** Challenge of a 401 or 403 (RFC 6750 section 3, RFC 9728 section 5.1). */
  challenge(error: string | null, description: string | null, scope: string | null): string;
}

/** Null without OAuth. Pure. @throws UserError when it is not known what tokens are for. */
export function describeProtectedResource({ auth, server, name }: Deployment): ProtectedResource | null {
  const { oauth } = auth;
  if (oauth === undefined || !auth.required) return null;
  const given = oauth.audience === undefined ? [] : [oauth.audience].flat();
  // RFC 8707: the canonical URI of the server is what tokens are for.
  const resource = server.publicUrl ?? given.find((audience) => /^https?:\/\//.test(audience)) ?? '';
  const audiences = given.length > 0 ? given : [resource];
  if (resource === '') {
    throw new UserError('auth.oauth needs the URL that clients use', {
      why: 'Tokens are for it.',
      next: 'Set server.publicUrl, or an audience that is a URL.',
    });
  }
  const url = new URL(resource);
  const path = url.pathname === '/' ? '' : url.pathname.replace(/\/$/, '');
  const metadataUrl = `${url.origin}${wellKnown}${path}`;
  const scopes = [...new Set([...oauth.requiredScopes, ...Object.keys(oauth.scopes)])];
  const metadata = {
    resource,
    authorization_servers: [oauth.issuer],
    bearer_methods_supported: ['header'],
    ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
    resource_name: name,
  };
  return {
    audiences,
    paths: new Set([wellKnown, wellKnown + path, wellKnown + server.path]),
    metadataJson: JSON.stringify(metadata),
    metadataUrl,
    challenge(error, description, scope) {
      const wanted = scope ?? (oauth.requiredScopes.length === 0 ? null : oauth.requiredScopes.join(' '));
      return [
        'Bearer realm="mcp"',
        ...(error === null ? [] : [`error="${error}"`]),
        ...(description === null ? [] : [`error_description="${description.replaceAll(/["\\]/g, "'")}"`]),
        ...(wanted === null ? [] : [`scope="${wanted}"`]),
        `resource_metadata="${metadataUrl}"`,
      ].join(', ');
    },
  };
}
