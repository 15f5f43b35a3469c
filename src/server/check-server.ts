import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { describeRisks } from '../deployment/describe-risks.ts';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';
import { parseSecretReference } from '../deployment/secret-reference.ts';
import { readAcceptedHosts } from './accepted-hosts.ts';
import { createBackends } from './create-backends.ts';
import type { GatewayOptions } from './gateway.ts';
import { readCertificate } from './http/certificate-files.ts';
import { createAddressGate } from './policy/address-gate.ts';
import { createAddressReader } from './policy/client-address.ts';
import { createKeyCheck } from './policy/key-check.ts';
import { createOriginGuard } from './policy/origin-guard.ts';
import type { ServerConfig } from './server-config.ts';
import { readRedisTarget } from './shared-state/redis-target.ts';
import { judgeStartup } from './startup-checks.ts';
import { findUnsetReferences } from './unset-references.ts';

/**
 * Judges all that can be judged without starting: start-up rules, certificate, keys, hosts and origins, upstreams, the
 * place of the audit file. Opens no port, starts no process, writes nothing.
 * @returns what would be served, for standard output
 * @throws UserError or EnvironmentError as the start would.
 */
export function checkServer(config: ServerConfig, options: GatewayOptions, stdio: boolean): string {
  const { deployment } = config;
  const where = stdio ? 'standard input and output' : checkListening(config, options);
  const upstreams = createBackends(config, options).backends.map(({ name }) => name);
  checkRedis(config);
  if (deployment.logs.audit !== 'off') checkAuditPlace(deployment.logs.audit);
  const risks = [
    ...(stdio ? [] : describeRisks(deployment)),
    ...Array.from(
      findUnsetReferences(deployment, options.env),
      ([name, setting]) => `${name} is not set here; ${setting} needs it at the start`,
    ),
  ].map((risk) => `warning: ${risk}\n`);
  return `ok: ${deployment.name} can be served on ${where}; behind it: ${upstreams.join(', ')}\n${risks.join('')}`;
}

function checkListening(config: ServerConfig, { extraKeys, log }: GatewayOptions): string {
  const { deployment, keyStoreFile } = config;
  const { server, tls, auth } = deployment;
  const refusal = judgeStartup(deployment, listenAddresses(server), extraKeys, keyStoreFile !== null);
  if (refusal !== null) throw new UserError(refusal.what, refusal);
  createAddressReader(server.trustedProxies);
  createAddressGate(server);
  createOriginGuard({
    allowedHosts: readAcceptedHosts(deployment, certificateNames(tls)),
    allowedOrigins: server.allowedOrigins,
    cors: server.cors,
  });
  if (auth.required) createKeyCheck({ storeFile: keyStoreFile, extraKeys, log }).close();
  return [server.listen].flat().join(', ');
}

/** What is kept elsewhere is read by the start alone. */
function checkRedis({ deployment, baseDir }: ServerConfig): void {
  const { redis, name } = deployment;
  if (redis === 'off') return;
  const isKeptElsewhere = parseSecretReference(redis.url) !== null || redis.url.includes('${');
  readRedisTarget(isKeptElsewhere ? { ...redis, url: 'redis://127.0.0.1' } : redis, name, baseDir);
}

function certificateNames(tls: Deployment['tls']): readonly string[] {
  if (tls.source === 'off') return [];
  if (tls.source === 'files') return readCertificate(tls).names;
  throw new UserError('The certificate of this deployment is not made yet', { next: 'Run: mcp-deploy apply' });
}

function checkAuditPlace(file: string): void {
  try {
    accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
  } catch (error) {
    throw new EnvironmentError(`The audit file ${file} cannot be written`, {
      why: error instanceof Error ? error.message : String(error),
      next: 'Make its folder writable for the user of the server, or choose another file.',
      cause: error,
    });
  }
}
