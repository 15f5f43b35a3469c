import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { rootCertificates } from 'node:tls';
import { EnvironmentError } from '../../deployment/errors.ts';
import type { Log } from '../observe/log.ts';
import type { ServerConfig } from '../server-config.ts';
import type { GuessBackoff } from './guess-backoff.ts';
import { createIssuerKeys } from './issuer-keys.ts';
import type { ProtectedResource } from './protected-resource.ts';
import { createTokenCheck, type TokenCheck } from './token-check.ts';

/**
 * The check of tokens as the deployment wants it; null without OAuth. The issuer is asked when the first token comes.
 * @throws EnvironmentError when the file of its authority cannot be read.
 */
export function createTokens(
  { deployment, baseDir }: ServerConfig,
  resource: ProtectedResource | null,
  log: Log,
  backoff: GuessBackoff,
): TokenCheck | null {
  const { oauth } = deployment.auth;
  if (oauth === undefined || resource === null) return null;
  const ca = oauth.caFile === undefined ? undefined : [...rootCertificates, readCa(resolve(baseDir, oauth.caFile))];
  const keys = createIssuerKeys({ issuer: oauth.issuer, jwksUri: oauth.jwksUri ?? null, ca, log });
  return createTokenCheck(oauth, resource.audiences, keys, Date.now, backoff);
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new EnvironmentError(`The authority of the issuer, ${file}, cannot be read`, {
      why: error instanceof Error ? error.message : String(error),
      next: 'Put its PEM file there, or leave auth.oauth.caFile out.',
      cause: error,
    });
  }
}
