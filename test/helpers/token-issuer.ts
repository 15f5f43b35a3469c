import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

/** A small authorization server: metadata, keys, and tokens signed by them. */
export interface TokenIssuer {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: string[];
  /** How often the keys were fetched. */
  keyFetches(): number;
  /** Public keys as they are served. */
  jwks: { keys: JWK[] };
  /** Private keys by id. */
  readonly keys: Map<string, CryptoKey>;
  addKey(kid: string, alg?: string): Promise<void>;
  sign(options: {
    readonly claims?: Record<string, unknown>;
    readonly header?: Record<string, unknown>;
    readonly kid?: string;
  }): Promise<string>;
  /** False: it answers 500 to everything. */
  up: boolean;
  close(): Promise<void>;
}

/** @param kind which document leads to the keys: RFC 8414 or OpenID Connect Discovery */
export async function startTokenIssuer(kind: 'oauth' | 'oidc' = 'oauth'): Promise<TokenIssuer> {
  const asked: string[] = [];
  const server = createServer((req, res) => {
    const path = req.url ?? '';
    asked.push(path);
    const answer = (status: number, body: unknown): void => {
      res.writeHead(status, { 'content-type': 'application/json' });
      res.end(JSON.stringify(body));
    };
    const name = kind === 'oauth' ? '/.well-known/oauth-authorization-server' : '/.well-known/openid-configuration';
    if (!issuer.up) answer(500, {});
    else if (path === name) answer(200, { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` });
    else if (path === '/keys') answer(200, issuer.jwks);
    else answer(404, {});
  });
  await new Promise<void>((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  const issuer: TokenIssuer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    keyFetches: () => asked.filter((path) => path === '/keys').length,
    jwks: { keys: [] },
    keys: new Map(),
    up: true,
    async addKey(kid, alg = 'ES256') {
      const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
      issuer.keys.set(kid, privateKey);
      issuer.jwks = { keys: [...issuer.jwks.keys, { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }] };
    },
    async sign({ claims = {}, header = {}, kid = 'one' }) {
      const nowSeconds = Math.floor(Date.now() / 1_000);
      const payload = { iss: issuer.url, sub: 'ada', iat: nowSeconds, exp: nowSeconds + 600, ...claims };
      const key = issuer.keys.get(kid);
      if (key === undefined) throw new Error(`there is no key ${kid}`);
      return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...header }).sign(key);
    },
    close: () =>
      new Promise<void>((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  };
  await issuer.addKey('one');
  return issuer;
}
