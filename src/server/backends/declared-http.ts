import { request as requestPlain, type Agent } from 'node:http';
import { request as requestTls } from 'node:https';
import { resolve } from 'node:path';
import { fillVariables } from '../../deployment/fill-variables.ts';
import { splitPlaceholders } from '../../deployment/placeholders.ts';
import type { HttpToolCall } from '../../deployment/tool-schema.ts';
import { describeNetworkFailure } from './http-failure.ts';
import { createOutboundAgent } from './outbound-agent.ts';
import { argumentText, ToolFailure, ToolOutage, type RunTool, type ToolArguments } from './tool-runner.ts';

const maxAnswerBytes = 10 * 1_048_576;
const shownErrorCharacters = 2_000;
/** Failures before anything of the call is sent. */
const unreached = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);

/**
 * A tool that is an HTTP request. Arguments are percent-encoded in the URL,
 * cannot leave their path segment, choose no host, and add no header.
 * Rejects with an Error when a variable of its headers is not set or its `caFile` cannot be read.
 */
export async function prepareHttpTool(
  http: HttpToolCall,
  { env, baseDir }: { readonly env: NodeJS.ProcessEnv; readonly baseDir: string },
): Promise<RunTool> {
  const headers = Object.entries(http.headers).map(([name, text]) => ({ name, parts: fillTexts(name, text, env) }));
  const fillUrl = prepareUrl(http.url);
  const server = new URL(http.url.replace(/^(https?:\/\/[^/?]+).*$/s, '$1'));
  const agent = await createOutboundAgent(server, http.caFile === undefined ? null : resolve(baseDir, http.caFile));
  return async (input, { signal }) => {
    const url = fillUrl(input);
    const sent: Record<string, string> = {
      accept: 'application/json, text/*;q=0.9, */*;q=0.1',
      'accept-encoding': 'identity',
    };
    for (const { name, parts } of headers) {
      const value = fillHeader(parts, input);
      if (value === null) continue;
      if (/[^\t\x20-\x7e\x80-\xff]/.test(value))
        throw new ToolFailure(`the header ${name} would hold a character that no header may hold`);
      sent[name] = value;
    }
    const body = bodyOf(http, input);
    if (body !== null) {
      sent['content-type'] = 'application/json';
      sent['content-length'] = String(Buffer.byteLength(body));
    }
    const { status, text } = await send(url, { method: http.method, headers: sent, body, signal, agent });
    if (status >= 300 && status < 400)
      throw new ToolFailure(`the server answered with a redirect (HTTP ${status}), which is not followed`);
    if (status >= 500)
      throw new ToolOutage(`the server answered HTTP ${status}: ${text.slice(0, shownErrorCharacters)}`, true);
    if (status < 200 || status >= 300)
      throw new ToolFailure(`the server answered HTTP ${status}: ${text.slice(0, shownErrorCharacters)}`);
    return { kind: 'text', text };
  };
}

/** The template with the variables of the environment in its literal parts; arguments are never looked at for variables. */
function fillTexts(name: string, template: string, env: NodeJS.ProcessEnv): readonly string[] {
  return splitPlaceholders(template).map((part, index) => {
    if (index % 2 === 1) return part;
    const { text, missing } = fillVariables(part, env);
    if (missing.length > 0) throw new Error(`${missing.join(', ')} is not set, and headers.${name} needs it`);
    return text.replaceAll(/[\r\n]+$/g, '');
  });
}

/** Null when it is made of an argument that was left out. */
function fillHeader(parts: readonly string[], input: ToolArguments): string | null {
  let value = '';
  for (const [index, part] of parts.entries()) {
    const text = index % 2 === 0 ? part : argumentText(input, part);
    if (text === null) return null;
    value += text;
  }
  return value;
}

function prepareUrl(template: string): (input: ToolArguments) => URL {
  const question = template.indexOf('?');
  const path = splitPlaceholders(question === -1 ? template : template.slice(0, question));
  const pairs =
    question === -1
      ? []
      : template
          .slice(question + 1)
          .split('&')
          .map(splitPlaceholders);
  return (input) => {
    let filled = '';
    for (const [index, part] of path.entries()) {
      if (index % 2 === 0) {
        filled += part;
        continue;
      }
      const text = argumentText(input, part);
      if (text === null || text === '') throw new ToolFailure(`${part} must not be empty: it is part of the address`);
      filled += encode(part, text);
    }
    // URL would take these out, with the segment before them.
    const dots = filled.split('/').find((segment) => /^(?:\.|%2e){1,2}$/i.test(segment));
    if (dots !== undefined && path.length > 1)
      throw new ToolFailure('an argument must not be "." or "..": it would lead to another address');
    const query = pairs.flatMap((parts) => {
      const texts = parts.map((part, index) => {
        if (index % 2 === 0) return part;
        const text = argumentText(input, part);
        return text === null ? null : encode(part, text);
      });
      return texts.includes(null) ? [] : [texts.join('')];
    });
    return new URL(query.length === 0 ? filled : `${filled}?${query.join('&')}`);
  };
}

function encode(name: string, text: string): string {
  try {
    return encodeURIComponent(text);
  } catch {
    throw new ToolFailure(`${name} is not valid Unicode`);
  }
}

function bodyOf(http: HttpToolCall, input: ToolArguments): string | null {
  if (http.body !== undefined) return JSON.stringify(fillBody(http.body, input) ?? null);
  return http.method === 'GET' || http.method === 'DELETE' ? null : JSON.stringify(input);
}

/** Undefined: the argument was left out, and so is its member. */
function fillBody(template: unknown, input: ToolArguments): unknown {
  if (typeof template === 'string') {
    const parts = splitPlaceholders(template);
    const [before, name, after] = parts;
    if (parts.length === 3 && before === '' && after === '' && name !== undefined) {
      return Object.hasOwn(input, name) ? input[name] : undefined;
    }
    return parts.map((part, index) => (index % 2 === 0 ? part : (argumentText(input, part) ?? ''))).join('');
  }
  if (Array.isArray(template))
    return template.map((item) => fillBody(item, input)).filter((item) => item !== undefined);
  if (typeof template !== 'object' || template === null) return template;
  const entries = Object.entries(template).map(([key, value]) => [key, fillBody(value, input)] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

interface ToolRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly signal: AbortSignal;
  readonly agent: Agent;
}

function send(
  url: URL,
  { method, headers, body, signal, agent }: ToolRequest,
): Promise<{ status: number; text: string }> {
  return new Promise((resolvePromise, reject) => {
    const isTls = url.protocol === 'https:';
    const fail = (error: NodeJS.ErrnoException): void => {
      const message = describeNetworkFailure(error, url);
      // Without a code it is ours: an answer that is too large, a call that was taken back.
      reject(error.code === undefined ? new ToolFailure(message) : new ToolOutage(message, !unreached.has(error.code)));
    };
    const request = (isTls ? requestTls : requestPlain)(url, {
      method,
      headers,
      signal,
      agent,
    });
    request.on('error', fail);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= maxAnswerBytes) chunks.push(chunk);
        else request.destroy(new Error(`the server answered with more than ${maxAnswerBytes} bytes`));
      });
      response.on('error', fail);
      response.on('end', () =>
        resolvePromise({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    request.end(body ?? undefined);
  });
}
