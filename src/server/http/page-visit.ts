import type { HttpRequest, HttpResponse } from './http-message.ts';
import type { TLSSocket } from 'node:tls';
import type { Deployment } from '../../deployment/schema.ts';
import type { PageFacts } from '../page/render-page.ts';
import type { ServedCertificate } from './certificate-files.ts';
import { send, sendOAuthError, sendProblem } from './answers.ts';

/** What the page says of the moment it is asked for. */
export interface VisitFacts {
  /** JSON of /readyz without detail. */
  readonly readiness: string;
  /** Whether /status answers this visitor without a key. */
  readonly isLocal: boolean;
}

/** Shows the page to a visitor who may see it. */
export type AnswerVisit = (req: HttpRequest, res: HttpResponse, facts: VisitFacts) => void;

/**
 * Whether a request is a person's, with a browser: it asks for HTML by name, for no event stream, and brings nothing
 * that clients of the protocol send. They never get HTML, whatever the path.
 */
export function isVisit({ method, headers }: HttpRequest): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false;
  const { accept } = headers;
  if (accept === undefined || !/\btext\/html\b/i.test(accept) || /text\/event-stream/i.test(accept)) return false;
  return (
    headers['mcp-session-id'] === undefined &&
    headers['mcp-protocol-version'] === undefined &&
    headers['last-event-id'] === undefined &&
    headers.authorization === undefined &&
    headers['x-api-key'] === undefined
  );
}

/** The page of a deployment. Its parts are put together when the first visitor comes, so that a start does not wait for them. */
export function createPageVisits(
  deployment: Deployment,
  asksForKey: boolean,
  certificate: () => ServedCertificate | null,
): AnswerVisit {
  return (req, res, facts) => {
    const url = endpointFor(req, deployment);
    if (url === null) sendOAuthError(res, 400, 'invalid_request', 'The Host header is not a host name.');
    else {
      // Behind a proxy it is the certificate of the proxy that counts.
      const chain = deployment.server.behindProxy ? null : (certificate()?.certificate ?? null);
      void sendPage(res, chain, { name: deployment.name, url, asksForKey, ...facts });
    }
  };
}

async function sendPage(
  res: HttpResponse,
  chain: Buffer | null,
  facts: Omit<PageFacts, 'hasPrivateCa'>,
): Promise<void> {
  try {
    const [{ renderPage, pageHeaders }, { isPubliclyIssued }] = await Promise.all([
      import('../page/render-page.ts'),
      import('../page/is-publicly-issued.ts'),
    ]);
    const hasPrivateCa = chain !== null && !isPubliclyIssued(chain.toString('utf8'));
    send(res, 200, 'text/html; charset=utf-8', renderPage({ ...facts, hasPrivateCa }), pageHeaders);
  } catch {
    sendProblem(res, 500, 'Internal Server Error', 'The page cannot be shown.');
  }
}

/** The endpoint as this visitor reaches it; null for a Host that is none. It was compared with the names of this server already. */
function endpointFor({ headers, socket }: HttpRequest, { server }: Deployment): string | null {
  if (server.publicUrl !== undefined) return server.publicUrl;
  const isEncrypted = server.behindProxy || (socket as Partial<TLSSocket>).encrypted === true;
  const text = `${isEncrypted ? 'https' : 'http'}://${headers.host ?? ''}${server.path}`;
  return URL.canParse(text) ? new URL(text).href : null;
}
