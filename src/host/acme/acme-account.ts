import type { Client } from 'acme-client';
import { UserError } from '../../deployment/errors.ts';
import type { AcmeAccountSpec } from '../../apply/acme-types.ts';
import { AcmeRefusal, explainRefusal } from './acme-failure.ts';
import { createAcmeTransport, type AcmeTransport } from './acme-transport.ts';

/** The parts of acme-client that its types do not show and that are replaced or read here. */
interface Internals {
  readonly http: {
    request: (url: string, method: string, options?: { data?: unknown }) => Promise<unknown>;
    getNonce: () => Promise<string>;
    maxBadNonceRetries: number;
    getDirectory(): Promise<Directory>;
    getResourceUrl(resource: string): Promise<string>;
  };
  readonly api: {
    apiRequest(
      url: string,
      payload: unknown,
      valid: readonly number[],
    ): Promise<{
      readonly data: unknown;
      readonly headers: Readonly<Record<string, string | undefined>>;
    }>;
  };
}

/** What a directory says about itself (RFC 8555, 7.1.1; profiles: draft-ietf-acme-profiles; renewalInfo: RFC 9773). */
export interface Directory {
  readonly renewalInfo?: unknown;
  readonly meta?: {
    readonly termsOfService?: unknown;
    readonly externalAccountRequired?: unknown;
    readonly profiles?: Readonly<Record<string, unknown>>;
  };
}

export interface AcmeSession {
  readonly client: Client;
  readonly directory: Directory;
  /** POST-as-GET (RFC 8555, 6.3). */
  post(
    url: string,
  ): Promise<{ readonly data: unknown; readonly headers: Readonly<Record<string, string | undefined>> }>;
}

/** A bad nonce is answered with a fresh one this often: a CA behind several front ends may refuse many in a row. */
const mostNonceRetries = 25;

/**
 * Opens a session with a directory: the library with our transport under it, and the account found or made.
 *
 * @throws UserError when the terms are not agreed to; EnvironmentError for whatever the CA refuses
 */
export async function openAcmeSession(spec: AcmeAccountSpec, signal: AbortSignal): Promise<AcmeSession> {
  const { default: acme } = await import('acme-client');
  const transport = createAcmeTransport({ ...spec, signal });
  const client = new acme.Client({
    directoryUrl: spec.directoryUrl,
    accountKey: spec.accountKeyPem,
    ...(spec.eab === null ? {} : { externalAccountBinding: { kid: spec.eab.keyId, hmacKey: spec.eab.hmacKey } }),
  });
  const internals = client as unknown as Internals;
  useTransport(internals, transport);
  const directory = await internals.http.getDirectory();
  if (typeof directory !== 'object' || directory === null || !('newOrder' in directory)) {
    throw new UserError(`${spec.directoryUrl} is not the directory of an ACME authority.`, {
      why: 'It answers something else.',
      next: 'Set tls.directory to letsencrypt, or to the URL that your authority names.',
    });
  }
  await findOrMakeAccount(client, directory, spec);
  return { client, directory, post: (url) => internals.api.apiRequest(url, null, [200]) };
}

/** Nonces come with every answer (RFC 8555, 6.5.1): asking for each one would double the requests. */
function useTransport({ http }: Internals, transport: AcmeTransport): void {
  const nonces: string[] = [];
  http.maxBadNonceRetries = mostNonceRetries;
  http.request = async (url, method, options) => {
    const response = await transport.request(url, method, options?.data);
    const nonce = response.headers['replay-nonce'];
    if (nonce !== undefined && nonces.length < 8) nonces.push(nonce);
    return response;
  };
  http.getNonce = async () => {
    const kept = nonces.pop();
    if (kept !== undefined) return kept;
    await http.request(await http.getResourceUrl('newNonce'), 'head');
    const fresh = nonces.pop();
    if (fresh === undefined) throw new Error('the authority gives no nonce');
    return fresh;
  };
}

async function findOrMakeAccount(client: Client, directory: Directory, spec: AcmeAccountSpec): Promise<void> {
  const { host } = new URL(spec.directoryUrl);
  try {
    // Without the binding: some keys for it may be used once only.
    await client.createAccount({ onlyReturnExisting: true });
    return;
  } catch (error) {
    if (!(error instanceof AcmeRefusal)) throw error;
    if (error.problem.type !== 'accountDoesNotExist' && error.problem.type !== 'externalAccountRequired') {
      throw explainRefusal(error, `The account at ${host} cannot be used.`, spec.directoryUrl);
    }
  }
  const terms = directory.meta?.termsOfService;
  if (typeof terms === 'string' && !spec.agreeTos) {
    throw new UserError(`${host} asks you to agree to its terms: ${terms}`, {
      why: 'An account is made only for those who agree.',
      next: 'Read them, then set tls.agreeTos: true (or give --agree-tos).',
    });
  }
  if (directory.meta?.externalAccountRequired === true && spec.eab === null) {
    throw new UserError(`${host} makes accounts only for its customers.`, {
      why: 'It asks for an external account binding: a key identifier and an HMAC key that it gave you.',
      next: 'Set tls.eab: {keyId: …, keyFile: …} (or give --eab-key-id and --eab-key-file).',
    });
  }
  try {
    await client.createAccount({
      termsOfServiceAgreed: true,
      ...(spec.email === null ? {} : { contact: [`mailto:${spec.email}`] }),
    });
  } catch (error) {
    if (!(error instanceof AcmeRefusal)) throw error;
    throw explainRefusal(error, `${host} made no account.`, spec.directoryUrl);
  }
}
