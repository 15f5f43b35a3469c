/** What a load is made of: bodies and headers of one era, and what a right answer looks like. Pure. */

export type Era = 'modern' | 'legacy';

/** Stands in a text for the number of the call, so that the answer to another call is told apart. */
export const callNumber = '\u0000call\u0000';
const writtenCallNumber = JSON.stringify(callNumber).slice(1, -1);

/** What every call asks for. */
export type Work =
  | { readonly kind: 'list' }
  | {
      readonly kind: 'call';
      readonly tool: string;
      readonly args: Readonly<Record<string, unknown>>;
      /** A text that has to come back; null where nothing is known of the answer. */
      readonly expected: string | null;
    };

/** A message, cut where the number of a call belongs: as its id, and in what it says. And the headers that go with it. */
export interface MessageTemplate {
  readonly parts: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
}

const modernRevision = '2026-07-28';
const legacyRevision = '2025-11-25';
const clientInfo = { name: 'mcp-deploy bench', version: '1' };

/** The message of one kind of request. */
function renderMessage(
  era: Era,
  method: string,
  params: Readonly<Record<string, unknown>>,
  sessionId: string | null,
): MessageTemplate {
  const envelope = {
    'io.modelcontextprotocol/protocolVersion': modernRevision,
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/clientInfo': clientInfo,
  };
  const whole = era === 'modern' ? { ...params, _meta: envelope } : params;
  const { name } = params;
  return {
    parts: [
      '{"jsonrpc":"2.0","id":',
      ...`,"method":${JSON.stringify(method)},"params":${JSON.stringify(whole)}}`.split(writtenCallNumber),
    ],
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(era === 'modern'
        ? {
            'mcp-protocol-version': modernRevision,
            'mcp-method': method,
            ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
          }
        : {}),
      ...(era === 'legacy' && method !== 'initialize' ? { 'mcp-protocol-version': legacyRevision } : {}),
      ...(sessionId === null ? {} : { 'mcp-session-id': sessionId }),
    },
  };
}

/** initialize of the legacy era. */
export function renderInitialize(): MessageTemplate {
  const params = { protocolVersion: legacyRevision, capabilities: {}, clientInfo };
  return renderMessage('legacy', 'initialize', params, null);
}

export function renderWork(era: Era, work: Work, sessionId: string | null): MessageTemplate {
  return work.kind === 'list'
    ? renderMessage(era, 'tools/list', {}, sessionId)
    : renderMessage(era, 'tools/call', { name: work.tool, arguments: work.args }, sessionId);
}

/** A body of JSON, or of an event stream that holds the answer; null when there is no answer to this id in it. */
export function readRpcAnswer(type: string, body: string, id: number): Record<string, unknown> | null {
  const texts = /^text\/event-stream/i.test(type) ? body.split(/\r?\n\r?\n/).map(dataOf) : [body];
  for (const text of texts) {
    const message = parseObject(text);
    if (message?.['id'] === id && ('result' in message || 'error' in message)) return message;
  }
  return null;
}

/** Null when the answer is right; else the kind of mistake, in few words of a bounded number. */
export function judgeAnswer(answer: Record<string, unknown> | null, work: Work): string | null {
  if (answer === null || answer['jsonrpc'] !== '2.0') return 'no answer in the body';
  const { error, result } = answer;
  if (error !== undefined) return `error ${String(asObject(error)?.['code']).slice(0, 12)}`;
  const members = asObject(result);
  if (members === null) return 'no result in the answer';
  if (work.kind === 'list') return Array.isArray(members['tools']) ? null : 'no list of tools in the answer';
  if (members['isError'] === true) return 'the tool reports a failure';
  if (!Array.isArray(members['content'])) return 'no content in the answer';
  const expected = work.expected?.replaceAll(callNumber, String(answer['id'])) ?? null;
  const texts = (members['content'] as unknown[]).map((entry) => asObject(entry)?.['text']);
  const isWhole = expected === null || texts.some((text) => typeof text === 'string' && text.includes(expected));
  return isWhole ? null : 'another text than was sent came back';
}

/** A tool as a list of tools tells it. */
export interface ListedTool {
  readonly name: string;
  readonly readsOnly: boolean;
  /** The one text that it needs; null when it needs something else. */
  readonly soleText: string | null;
}

/** The tools of an answer to tools/list. */
export function readTools(answer: Record<string, unknown> | null): readonly ListedTool[] {
  const tools = asObject(answer?.['result'])?.['tools'];
  if (!Array.isArray(tools)) return [];
  return (tools as unknown[]).flatMap((entry): ListedTool[] => {
    const tool = asObject(entry);
    const name = tool?.['name'];
    if (tool === null || typeof name !== 'string') return [];
    const schema = asObject(tool['inputSchema']);
    const required = schema?.['required'];
    const [first, ...more] = Array.isArray(required) ? (required as unknown[]) : [];
    const property = asObject(asObject(schema?.['properties'])?.[String(first)]);
    const soleText = typeof first === 'string' && more.length === 0 && property?.['type'] === 'string' ? first : null;
    return [{ name, readsOnly: asObject(tool['annotations'])?.['readOnlyHint'] === true, soleText }];
  });
}

function dataOf(event: string): string {
  return event
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart())
    .join('\n');
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return null;
  }
}

function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}
