import { request as requestPlain, type IncomingHttpHeaders } from 'node:http';
import { waitUntil } from './wait-until.ts';

export interface ServerEvent {
  readonly id: string | null;
  /** Parsed JSON; null for an event without data. */
  readonly data: Record<string, unknown> | null;
}

export interface EventReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly events: ServerEvent[];
  readonly comments: string[];
  readonly ended: boolean;
  /** Waits until `count` events with data are there and gives them. */
  take(count: number): Promise<ServerEvent[]>;
  close(): void;
}

/** Opens an event stream over plain HTTP and collects what comes. */
export function readEvents(call: {
  readonly url: string;
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}): Promise<EventReader> {
  return new Promise((resolve, reject) => {
    const request = requestPlain(
      call.url,
      { method: call.method ?? 'GET', headers: { accept: 'text/event-stream', ...call.headers }, agent: false },
      (response) => {
        const reader = {
          status: response.statusCode ?? 0,
          headers: response.headers,
          events: [] as ServerEvent[],
          comments: [] as string[],
          ended: false,
          async take(count: number) {
            await waitUntil(
              () => withData().length >= count,
              10_000,
              `event ${count} of ${JSON.stringify(reader.events)}`,
            );
            return withData();
          },
          close: () => void request.destroy(),
        };
        const withData = () => reader.events.filter(({ data }) => data !== null);
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
            takeBlock(text.slice(0, end), reader);
            text = text.slice(end + 2);
          }
        });
        response.on('error', () => {});
        response.on('close', () => {
          reader.ended = true;
        });
        resolve(reader);
      },
    );
    request.on('error', reject);
    request.end(call.body);
  });
}

function takeBlock(block: string, reader: { events: ServerEvent[]; comments: string[] }): void {
  let id: string | null = null;
  let data: string | null = null;
  for (const line of block.split('\n')) {
    if (line.startsWith(':')) reader.comments.push(line.slice(1).trim());
    else if (line.startsWith('id: ')) id = line.slice(4);
    else if (line.startsWith('data: ')) data = line.slice(6);
  }
  if (id === null && data === null) return;
  reader.events.push({ id, data: data === null || data === '' ? null : (JSON.parse(data) as Record<string, unknown>) });
}
