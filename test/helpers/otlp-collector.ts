import { createServer as createHttp, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A span as it came in, with what tests look at made plain. */
export interface CollectedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly traceState: string | undefined;
  /** OTLP: 2 server, 3 client. */
  readonly kind: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** Milliseconds. */
  readonly duration: number;
}

export interface OtlpCollector {
  readonly url: string;
  readonly spans: CollectedSpan[];
  readonly requests: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly text: string }[];
  /** What it answers from now on; 0: nothing at all. */
  status: number;
  close(): Promise<void>;
}

/** A collector that takes OTLP over HTTP in JSON on a free loopback port. */
export async function startCollector(tls?: { readonly cert: string; readonly key: string }): Promise<OtlpCollector> {
  const take: RequestListener = (req, res) => {
    let text = '';
    req.on('data', (chunk: Buffer) => (text += chunk.toString()));
    req.on('end', () => {
      collector.requests.push({ path: req.url ?? '', headers: req.headers, text });
      if (collector.status === 0) return;
      if (collector.status === 200) collector.spans.push(...readSpans(JSON.parse(text) as OtlpBody));
      res.writeHead(collector.status, { 'content-type': 'application/json' }).end('{}');
    });
  };
  const server = tls === undefined ? createHttp(take) : createHttps(tls, take);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const collector: OtlpCollector = {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    spans: [],
    requests: [],
    status: 200,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return collector;
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<CollectedSpan, 'attributes' | 'links' | 'failed' | 'resource' | 'duration'> & {
        readonly attributes: readonly OtlpAttribute[];
        readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
        readonly status?: { readonly code?: number };
        readonly startTimeUnixNano: string;
        readonly endTimeUnixNano: string;
      })[];
    }[];
  }[];
}

function readSpans({ resourceSpans }: OtlpBody): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map(({ name, traceId, spanId, parentSpanId, traceState, kind, status, attributes, links = [], ...times }) => ({
        name,
        traceId,
        spanId,
        parentSpanId,
        traceState,
        kind,
        failed: status?.code === 2,
        attributes: readAttributes(attributes),
        resource: readAttributes(resource.attributes),
        links,
        duration: Number(BigInt(times.endTimeUnixNano) - BigInt(times.startTimeUnixNano)) / 1_000_000,
      })),
  );
}

function readAttributes(attributes: readonly OtlpAttribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
