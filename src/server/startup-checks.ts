import { isLoopback, parseListenAddress, type ListenAddress } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { Scope } from './policy/access.ts';
import { isDemoKey } from './policy/demo-keys.ts';

/** A key from outside of the key file, in clear. */
export interface ExtraKey {
  readonly label: string;
  readonly key: string;
  /** What it may reach; everything when absent. */
  readonly scope?: Scope;
  readonly tier?: string | null;
  /** RFC 3339; null when it never stops working. */
  readonly expiresAt?: string | null;
}

export interface StartupRefusal {
  readonly what: string;
  readonly why: string;
  readonly next: string;
}

/** Callers that need no key: those with a token or a certificate. */
export function hasOtherIdentities({ auth }: Pick<Deployment, 'auth'>): boolean {
  return auth.oauth !== undefined || (auth.mtls?.subjects.length ?? 0) > 0;
}

/** Why this server must not start: it would be open to others without TLS, without keys, or with a key that everyone knows. Pure. */
export function judgeStartup(
  deployment: Deployment,
  addresses: readonly ListenAddress[],
  extraKeys: readonly ExtraKey[],
  hasKeyFile: boolean,
): StartupRefusal | null {
  const { server } = deployment;
  const open = addresses.find((address) => !isLoopback(address));
  if (open !== undefined && open.kind === 'tcp') {
    const where = `${open.host === '' ? 'all addresses' : open.host}, port ${open.port}`;
    if (!deployment.auth.required) {
      return {
        what: `The server will not listen on ${where} without keys`,
        why: 'Everyone who can reach that address could call every tool.',
        next: 'Leave keys on (auth.required: true), or listen on localhost.',
      };
    }
    if (deployment.tls.source === 'off' && !server.behindProxy) {
      return {
        what: `The server will not listen on ${where} without TLS`,
        why: 'Keys would travel in the clear.',
        next: 'Give it a certificate, listen on localhost, or say that a proxy ends TLS (server.behindProxy: true).',
      };
    }
  }
  const status = server.statusListen === undefined ? null : parseListenAddress(server.statusListen);
  if (status !== null && !isLoopback(status)) {
    return {
      what: `The server will not give its status on ${server.statusListen}`,
      why: 'That address speaks plain HTTP and asks for no key, and other machines reach it.',
      next: 'Take an address of this machine; others ask /status of the endpoint with a key.',
    };
  }
  const world = server.metricsFrom.find((entry) => /\/0+$/.test(entry.trim()));
  if (world !== undefined && server.metrics) {
    return {
      what: `The server will not give its metrics to ${world}`,
      why: 'That is every address there is, and metrics name tools and upstreams.',
      next: 'Name the networks of those who read them in server.metricsFrom, or let them send a key.',
    };
  }
  if (!deployment.auth.required && server.allowedOrigins.includes('*')) {
    return {
      what: 'The server will not let pages of every origin in without keys',
      why: 'Any web page that somebody on this machine opens could call every tool.',
      next: 'Name the origins one by one, or leave keys on.',
    };
  }
  if (deployment.auth.required && extraKeys.length === 0 && !hasKeyFile && !hasOtherIdentities(deployment)) {
    return {
      what: 'The server has no keys, so nobody could call it',
      why: 'Keys are required and none was given.',
      next: 'Give --key-file F, or --no-auth on loopback.',
    };
  }
  const demo = deployment.auth.required ? extraKeys.find(({ key }) => isDemoKey(key)) : undefined;
  if (demo === undefined) return null;
  return {
    what: `The key "${demo.label}" is not safe`,
    why: 'It is a well-known example, or shorter than 16 characters.',
    next: "Make one with: node -p \"require('crypto').randomBytes(32).toString('base64url')\"",
  };
}
