import type { Answer, CorsSeen, ErrorsSeen, GuardsSeen, Observed, SizesSeen } from '../observations.ts';
import { askOnce, type AskSpec } from './ask-once.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { initializeRequest, modernRequest, type RpcRequest } from './rpc-request.ts';

/** An image or a file in a tool call; more than the 1 MB that nginx lets through by itself. */
const bodyBytes = 1_200_000;
/** A token of an identity provider with many groups. Every common server and proxy takes 8 KB in a line. */
const headerBytes = 6_000;
/** Reserved by RFC 6761: nobody can ever own a page there. */
const strangerName = 'doctor.mcp-deploy.invalid';

/** How a request is asked that does nothing: server/discover, or initialize where the server knows no other. */
export interface HarmlessLook extends EndpointLook {
  readonly era: 'modern' | 'legacy';
}

/** The harmless request in the size of a call with a picture, and with the header of a long token. */
export async function probeSizes(look: HarmlessLook, signal: AbortSignal): Promise<Observed<SizesSeen>> {
  const [body, header] = await Promise.all([
    ask(look, {}, signal, { 'io.mcp-deploy/padding': 'x'.repeat(bodyBytes) }),
    ask(look, { 'x-doctor-padding': 'x'.repeat(headerBytes) }, signal),
  ]);
  return { status: 'ok', bodyBytes, body, headerBytes, header };
}

/** A body that ends in the middle of its JSON. */
export async function probeErrors(look: HarmlessLook, signal: AbortSignal): Promise<Observed<ErrorsSeen>> {
  const request = { ...requestOf(look, {}), body: '{"jsonrpc":"2.0","id":' };
  return { status: 'ok', malformed: await send(look, request, signal) };
}

/** Requests that a page of a stranger could make the browser of a user send. */
export async function probeGuards(
  look: HarmlessLook,
  rebindable: boolean,
  signal: AbortSignal,
): Promise<Observed<GuardsSeen>> {
  const [foreignOrigin, foreignHost] = await Promise.all([
    ask(look, { origin: `https://${strangerName}` }, signal),
    rebindable ? ask(look, { host: strangerName }, signal) : null,
  ]);
  return { status: 'ok', foreignOrigin, foreignHost };
}

/** What a browser asks before it lets a page call, and what it looks at in the answer to the call. */
export async function probeCors(
  look: HarmlessLook,
  page: Pick<CorsSeen, 'origin' | 'promised'>,
  signal: AbortSignal,
): Promise<Observed<CorsSeen>> {
  const { origin } = page;
  const askBefore = (method: string): Promise<Answer> => {
    const asked = { 'access-control-request-method': method, 'access-control-request-headers': sentByPages.join(',') };
    return send(look, { method: 'OPTIONS', headers: { origin, ...asked } }, signal);
  };
  const [preflight, preflightDelete, actual] = await Promise.all([
    askBefore('POST'),
    askBefore('DELETE'),
    ask(look, { origin }, signal),
  ]);
  return { status: 'ok', ...page, preflight, preflightDelete, actual };
}

/** What a page has to be allowed to send, in both eras together. */
const sentByPages: readonly string[] = [
  'authorization',
  'content-type',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'mcp-session-id',
];

/** Sends it, and ends the session that an initialize may have opened. */
async function ask(
  look: HarmlessLook,
  headers: Record<string, string>,
  signal: AbortSignal,
  meta: Record<string, string> = {},
): Promise<Answer> {
  const answer = await send(look, requestOf(look, headers, meta), signal);
  const session = answer.kind === 'answered' ? answer.headers['mcp-session-id'] : undefined;
  if (look.era === 'legacy' && session !== undefined) {
    await send(look, { method: 'DELETE', headers: { ...keyHeaders(look.key), 'mcp-session-id': session } }, signal);
  }
  return answer;
}

function requestOf(
  { era, key }: HarmlessLook,
  headers: Record<string, string>,
  meta: Record<string, string> = {},
): RpcRequest {
  const all = { ...keyHeaders(key), ...headers };
  return era === 'modern' ? modernRequest('server/discover', {}, all, meta) : initializeRequest(all, meta);
}

function send(look: HarmlessLook, request: AskSpec['request'], signal: AbortSignal): Promise<Answer> {
  return askOnce({ http: look.http, url: look.url, request, timeoutMs: look.timeoutMs, secret: look.key }, signal);
}
