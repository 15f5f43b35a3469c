import { EnvironmentError, type ErrorDetail } from '../../deployment/errors.ts';
import { describeNetworkFailure, type NetworkFailure } from '../network-failure.ts';
import { ClientLookError, exchangeRecorder, lookWithClient, type ClientLook, type Era } from './look-with-client.ts';
import { createFetch, type Exchange } from './https-fetch.ts';

export interface VerifiedEndpoint {
  readonly modern: boolean;
  readonly legacy: boolean;
  readonly tools: number;
  /** The tool that was called and how long it took; null when none is safe to call. */
  readonly called: { readonly tool: string; readonly durationMs: number } | null;
}

/** One look takes milliseconds on a healthy endpoint; a tool may need a slow upstream. */
const lookTimeoutMs = 20_000;

/**
 * Uses the endpoint as its clients will: real clients of both eras, at once,
 * over TLS with the key; tools/list in each and one safe tool call. Throws
 * an EnvironmentError that names what failed.
 */
export async function verifyEndpoint(
  spec: { readonly url: string; readonly caPem: string | null; readonly key: string | null },
  signal: AbortSignal,
): Promise<VerifiedEndpoint> {
  const [modern, legacy] = await Promise.allSettled([
    lookOnce('modern', spec, signal),
    lookOnce('legacy', spec, signal),
  ]);
  signal.throwIfAborted();
  if (modern.status === 'rejected') throw modern.reason;
  if (legacy.status === 'rejected') throw legacy.reason;
  if (modern.value.era !== 'modern') {
    throw new EnvironmentError(`${spec.url} answers clients of the legacy era only`, {
      why: 'server/discover was not answered as revision 2026-07-28 asks, so a modern client fell back to initialize',
      next: 'mcp-deploy doctor says what the endpoint answered',
    });
  }
  return {
    modern: true,
    legacy: true,
    tools: modern.value.tools?.length ?? 0,
    called: modern.value.called,
  };
}

async function lookOnce(
  era: Era,
  spec: { readonly url: string; readonly caPem: string | null; readonly key: string | null },
  signal: AbortSignal,
): Promise<ClientLook> {
  const recorder = exchangeRecorder();
  const http = createFetch({ caPem: spec.caPem, timeoutMs: lookTimeoutMs, signal, onExchange: recorder.onExchange });
  try {
    return await lookWithClient(
      era,
      { url: spec.url, key: spec.key, http, call: era === 'modern', timeoutMs: lookTimeoutMs },
      signal,
    );
  } catch (error) {
    throw explainLook(era, spec, error, recorder.all);
  } finally {
    http.close();
  }
}

function explainLook(
  era: Era,
  spec: { readonly url: string; readonly caPem: string | null; readonly key: string | null },
  error: unknown,
  exchanges: readonly Exchange[],
): EnvironmentError {
  const stage = error instanceof ClientLookError ? error.stage : 'connect';
  const tool = error instanceof ClientLookError ? error.tool : null;
  const doing = {
    connect: `connect to ${spec.url}`,
    list: `list the tools of ${spec.url}`,
    call: `call the tool "${tool ?? 'unknown'}" of ${spec.url}`,
  }[stage];
  const what = `a ${era} MCP client could not ${doing}`;

  const last = exchanges.findLast((exchange) => exchange.method === 'POST');
  const detail =
    last === undefined || !('status' in last.answer)
      ? explainNetwork(new URL(spec.url), describeNetworkFailure(error), spec.caPem !== null)
      : (explainStatus(last.answer.status, last.answer.headers, spec.key !== null) ?? {
          why: firstLine(describeNetworkFailure(error).message),
          next: 'mcp-deploy doctor looks at every hop on the way',
        });
  return new EnvironmentError(what, { ...detail, cause: error });
}

function explainNetwork(url: URL, failure: NetworkFailure, privateCa: boolean): ErrorDetail {
  const doctor = 'mcp-deploy doctor looks at every hop on the way';
  switch (failure.kind) {
    case 'name-unknown':
      return { why: `the name ${url.hostname} has no address here (${failure.code})`, next: doctor };
    case 'refused':
      return {
        why: `nothing listens on ${url.host} (${failure.code})`,
        next: 'mcp-deploy status says whether the server runs; mcp-deploy logs shows its last words',
      };
    case 'unreachable':
      return { why: `there is no way to ${url.host} (${failure.code})`, next: doctor };
    case 'timed-out':
      return {
        why: `no answer came within ${lookTimeoutMs / 1000} seconds`,
        next: 'mcp-deploy logs shows what the server does',
      };
    case 'reset':
      return {
        why: `the connection was cut (${failure.code})`,
        next: 'mcp-deploy logs shows the last words of the server',
      };
    case 'not-tls':
      return { why: `what listens on ${url.host} does not speak TLS`, next: `try http:// or see what listens there` };
    case 'tls-refused':
      return { why: `the TLS handshake was refused: ${firstLine(failure.message)}`, next: doctor };
    case 'untrusted':
      return {
        why: `TLS: the certificate is not signed by ${privateCa ? 'the CA of this deployment' : 'an authority that this machine trusts'} (${failure.code})`,
        next: privateCa
          ? 'another server may answer there; mcp-deploy doctor compares the certificates'
          : 'give its CA: --ca FILE',
      };
    case 'wrong-name':
      return {
        why: `TLS: the certificate is not for the name ${url.hostname}`,
        next: 'add the name under tls.names and run mcp-deploy apply',
      };
    case 'expired':
      return { why: 'TLS: the certificate has expired', next: 'mcp-deploy apply issues a new one' };
    case 'not-yet-valid':
      return { why: 'TLS: the certificate is not valid yet', next: 'set the clock of this machine or of the server' };
    case 'aborted':
    case 'too-large':
    case 'other':
      return { why: firstLine(failure.message), next: doctor };
  }
}

/** Null when the status itself is fine and the fault lies in what was answered. */
function explainStatus(
  status: number,
  headers: Readonly<Record<string, string>>,
  withKey: boolean,
): ErrorDetail | null {
  const doctor = 'mcp-deploy doctor looks at every hop on the way';
  const contentType = headers['content-type'] ?? 'no content type';
  if (status === 401) {
    return withKey
      ? { why: 'it refused the key (401)', next: 'mcp-deploy keys list shows which keys are valid' }
      : { why: 'it asks for a key (401) and none was given', next: 'give one: --key-file FILE' };
  }
  if (status >= 300 && status < 400) {
    return {
      why: `it redirects to ${headers['location'] ?? 'nowhere'} (${status}), and clients do not follow`,
      next: doctor,
    };
  }
  if (contentType.includes('text/html')) {
    return { why: `an HTML page was answered (${status}) where JSON belongs`, next: doctor };
  }
  if (status >= 400) return { why: `it answered ${status} (${contentType})`, next: 'mcp-deploy logs shows why' };
  return null;
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').slice(0, 300);
}
