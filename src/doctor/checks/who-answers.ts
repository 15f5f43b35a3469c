import type { Answer } from '../observations.ts';

/** Somebody else than the MCP server, told by headers and pages that are its own. */
export interface Stranger {
  readonly kind: 'challenge' | 'parking' | 'sign-in' | 'default page';
  /** As people know it. */
  readonly name: string;
}

interface Mark extends Stranger {
  /** Header and what is in it. */
  readonly header?: readonly [name: string, value: RegExp];
  readonly body?: RegExp;
  /** Host or path that a redirect leads to. */
  readonly location?: RegExp;
}

/** Headers first: a page may be in any language. */
const marks: readonly Mark[] = [
  { kind: 'challenge', name: 'Cloudflare', header: ['cf-mitigated', /challenge/i] },
  { kind: 'challenge', name: 'AWS WAF', header: ['x-amzn-waf-action', /challenge|captcha/i] },
  { kind: 'challenge', name: 'Vercel', header: ['x-vercel-mitigated', /challenge|deny/i] },
  { kind: 'challenge', name: 'DataDome', header: ['x-datadome', /protected/i], body: /captcha-delivery\.com/i },
  { kind: 'challenge', name: 'Cloudflare', body: /challenges?\.cloudflare\.com|\/cdn-cgi\/challenge-platform\//i },
  { kind: 'challenge', name: 'Cloudflare', body: /<title>(?:Just a moment|Attention Required! \| Cloudflare)/i },
  { kind: 'challenge', name: 'Imperva', body: /_Incapsula_Resource/i },
  { kind: 'challenge', name: 'Sucuri', body: /Sucuri WebSite Firewall/i },
  { kind: 'challenge', name: 'DDoS-Guard', body: /<title>DDoS-Guard/i },
  {
    kind: 'challenge',
    name: 'Akamai',
    header: ['server', /AkamaiGHost/i],
    body: /Access Denied[\s\S]*Reference ?(?:#|&#35;)/i,
  },
  { kind: 'challenge', name: 'Anubis', body: /id="anubis_(?:version|challenge)"/i },
  { kind: 'challenge', name: 'ngrok', header: ['ngrok-error-code', /ERR_NGROK_6024/i] },
  { kind: 'sign-in', name: 'Cloudflare Access', location: /\.cloudflareaccess\.com\b/i },
  { kind: 'sign-in', name: 'Google Identity-Aware Proxy', header: ['x-goog-iap-generated-response', /true/i] },
  { kind: 'sign-in', name: 'Microsoft Entra', location: /login\.microsoftonline\.com\b/i },
  { kind: 'sign-in', name: 'Google', location: /accounts\.google\.com\b/i },
  { kind: 'sign-in', name: 'Okta', location: /\.okta(?:preview)?\.com\b/i },
  { kind: 'sign-in', name: 'Auth0', location: /\.auth0\.com\b/i },
  { kind: 'sign-in', name: 'Keycloak', location: /\/realms\/[^/]+\/protocol\/openid-connect\b/i },
  { kind: 'sign-in', name: 'oauth2-proxy', body: /OAuth2 Proxy/i },
  { kind: 'sign-in', name: 'Authelia', body: /<title>[^<]*Authelia/i },
  { kind: 'parking', name: 'Sedo', body: /sedoparking\.com|sedo\.com\/search/i },
  { kind: 'parking', name: 'ParkingCrew', body: /parkingcrew\.net/i },
  { kind: 'parking', name: 'Bodis', body: /bodis\.com\//i },
  { kind: 'parking', name: 'GoDaddy', body: /\/lander\b|wsimg\.com\/parking-lander/i },
  { kind: 'parking', name: 'HugeDomains', body: /hugedomains\.com\/domain_profile/i, location: /hugedomains\.com\b/i },
  {
    kind: 'parking',
    name: 'a domain dealer',
    body: /(?:this|the) domain (?:name )?(?:is|may be) (?:parked|for sale)|buy this domain|domain is parked/i,
  },
  { kind: 'default page', name: 'nginx', body: /<title>Welcome to nginx!/i },
  { kind: 'default page', name: 'Apache', body: /Apache2? [^<]{0,40}Default Page|<h1>It works!<\/h1>/i },
  { kind: 'default page', name: 'Caddy', body: /<title>Caddy works!/i },
  { kind: 'default page', name: 'IIS', body: /<title>IIS Windows/i },
];

/**
 * Who answered in place of the MCP server; null when nothing speaks for anybody else. JSON is never judged by its words,
 * since a server may well have a tool that speaks of these.
 */
export function whoAnswers(answer: Answer): Stranger | null {
  if (answer.kind === 'failed' || answer.json !== undefined) return null;
  const { headers, bodyStart } = answer;
  const location = headers['location'] ?? '';
  return (
    marks.find((mark) => {
      const byHeader = mark.header === undefined || mark.header[1].test(headers[mark.header[0]] ?? '');
      if (!byHeader) return false;
      if (mark.location?.test(location) === true) return true;
      return mark.body === undefined ? mark.header !== undefined : mark.body.test(bodyStart);
    }) ?? null
  );
}
