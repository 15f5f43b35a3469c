import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  createTraceState,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { fillVariables } from '../../deployment/fill-variables.ts';
import type { Deployment } from '../../deployment/schema.ts';
import type { Log } from './log.ts';
import { throttledWarning } from './throttled-warning.ts';
import { refusalKind } from './trace-refusals.ts';
import { traceContextOf, traceContextOfHeaders, type TraceContext } from './trace-context.ts';
import type { CallSpan, Traces, TracesOptions } from './traces.ts';

type Settings = Exclude<Deployment['logs']['traces'], 'off'>;

/** Spans that wait for the collector; what is more is dropped. */
const mostWaiting = 2_048;
const mostPerBatch = 512;
/** One attempt with its repetitions. */
const exportTimeoutMs = 5_000;
const closeMs = 2_000;
const longestName = 128;

/**
 * Spans as the OpenTelemetry conventions for MCP have them (semantic conventions, "MCP"), sent as OTLP over HTTP in
 * JSON. A sampled parent is followed; `sampleRatio` decides for calls that come without one.
 * @throws UserError or EnvironmentError for a header or a certificate that cannot be read.
 */
export function createOtlpTraces(settings: Settings, options: TracesOptions): Traces {
  const { version, deploymentName } = options;
  const { serviceName } = settings;
  const agent = createAgent(settings);
  const exporter = new OTLPTraceExporter({
    url: settings.endpoint,
    headers: fillHeaders(settings.headers, options.env),
    timeoutMillis: exportTimeoutMs,
    httpAgentOptions: () => agent,
  });
  const provider = new BasicTracerProvider({
    // From the weakest to the strongest word on what this service is.
    resource: defaultResource()
      .merge(
        resourceFromAttributes({
          'service.name': deploymentName,
          'service.version': version,
          'process.pid': process.pid,
        }),
      )
      .merge(detectResources({ detectors: [envDetector] }))
      .merge(resourceFromAttributes(serviceName === undefined ? {} : { 'service.name': serviceName })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(settings.sampleRatio) }),
    spanProcessors: [
      new BatchSpanProcessor(sayFailures(exporter, options.log), {
        maxQueueSize: mostWaiting,
        maxExportBatchSize: mostPerBatch,
        scheduledDelayMillis: settings.everyMs,
        exportTimeoutMillis: 2 * exportTimeoutMs,
      }),
    ],
  });
  const tracer = provider.getTracer('mcp-deploy', version);

  return {
    receive({ method, isKnown, era, id, requestId, address, keyLabel, startedMs, params, headers }) {
      const inMessage = traceContextOf(params);
      const inHeaders = traceContextOfHeaders(headers);
      const parent = inMessage ?? inHeaders;
      const target = targetOf(method, params);
      const told = isKnown ? target : null;
      // The message is nearer to the caller than the connection; where both say something else, the other is linked.
      const other = inMessage !== null && inHeaders !== null && inMessage.traceparent !== inHeaders.traceparent;
      const span = tracer.startSpan(
        nameOf(method, told),
        {
          kind: SpanKind.SERVER,
          startTime: startedMs,
          attributes: {
            ...describeCall(method, told),
            'jsonrpc.request.id': String(id).slice(0, longestName),
            'client.address': address,
            'mcp_deploy.request.id': requestId,
            'mcp_deploy.key.label': keyLabel,
            'mcp_deploy.era': era,
          },
          ...(other ? { links: [{ context: spanContextOf(inHeaders) }] } : {}),
        },
        contextOf(parent),
      );
      return describeSpan(span, method, target);
    },
    refuse({ requestId, why, address, key, id, method, params, era, seconds = 0, headers }) {
      const found = traceContextOf(params) ?? (headers === undefined ? null : traceContextOfHeaders(headers));
      // Who has no key does not decide what is recorded here.
      const parent = key === undefined ? null : found;
      const { type, status } = refusalKind(why);
      const endMs = performance.now();
      const span = tracer.startSpan(
        'refused',
        {
          kind: SpanKind.SERVER,
          startTime: endMs - seconds * 1_000,
          attributes: {
            'error.type': type,
            ...(status === null ? {} : { 'http.response.status_code': status }),
            ...(method === undefined ? {} : { 'mcp.method.name': method.slice(0, longestName) }),
            ...(id === undefined ? {} : { 'jsonrpc.request.id': String(id).slice(0, longestName) }),
            ...(era === undefined ? {} : { 'mcp_deploy.era': era }),
            ...(key === undefined ? {} : { 'mcp_deploy.key.label': key }),
            'client.address': address,
            'mcp_deploy.request.id': requestId,
          },
          ...(parent === null && found !== null ? { links: [{ context: spanContextOf(found) }] } : {}),
        },
        contextOf(parent),
      );
      span.setStatus({ code: SpanStatusCode.ERROR });
      span.end(endMs);
    },
    forward(upstream, method, params) {
      const parent = traceContextOf(params);
      if (parent === null) return null;
      const span = tracer.startSpan(
        method,
        {
          kind: SpanKind.CLIENT,
          attributes: {
            ...describeCall(method, null),
            'network.transport': upstream.transport,
            'mcp_deploy.upstream': upstream.name,
            ...(upstream.transport === 'tcp' ? { 'server.address': upstream.host, 'server.port': upstream.port } : {}),
          },
        },
        contextOf(parent),
      );
      return describeSpan(span, method, targetOf(method, params));
    },
    async close() {
      await Promise.race([provider.shutdown().catch(() => {}), after(closeMs)]);
      agent.destroy();
    },
  };
}

function nameOf(method: string, target: string | null): string {
  return target === null ? method : `${method} ${target.slice(0, longestName)}`;
}

function targetOf(method: string, params: Record<string, unknown> | undefined): string | null {
  const name = method === 'tools/call' || method === 'prompts/get' ? params?.['name'] : null;
  return typeof name === 'string' ? name : null;
}

function describeCall(method: string, target: string | null): Record<string, string> {
  if (target === null) return { 'mcp.method.name': method };
  const name = target.slice(0, longestName);
  return method === 'tools/call'
    ? { 'mcp.method.name': method, 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': name }
    : { 'mcp.method.name': method, 'gen_ai.prompt.name': name };
}

function contextOf(parent: TraceContext | null): Context {
  return parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContextOf(parent));
}

function spanContextOf({ traceparent, tracestate }: TraceContext) {
  const [, traceId = '', spanId = '', flags = '00'] = traceparent.split('-');
  return {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & 1,
    isRemote: true,
    ...(tracestate === null ? {} : { traceState: createTraceState(tracestate) }),
  };
}

/** @param target gets its place in the name once it has answered well: what a client invents is no name. */
function describeSpan(span: Span, method: string, target: string | null): CallSpan {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const tracestate = traceState?.serialize() ?? '';
  return {
    context: {
      traceparent: `00-${traceId}-${spanId}-${(traceFlags & 1).toString(16).padStart(2, '0')}`,
      tracestate: tracestate === '' ? null : tracestate,
    },
    end(failure) {
      if (failure === null) {
        if (target !== null) span.updateName(nameOf(method, target)).setAttributes(describeCall(method, target));
      } else {
        span.setAttribute('error.type', failure);
        if (/^-?\d+$/.test(failure)) span.setAttribute('rpc.response.status_code', failure);
        // No message: what a server says in an error may repeat arguments and secrets.
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end(performance.now());
    },
  };
}

function fillHeaders(headers: Settings['headers'], env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, given]) => {
      const { text, missing } = fillVariables(given, env);
      const value = text.trim();
      const why =
        missing.length > 0
          ? `${missing.join(', ')} is not set.`
          : /[^\t\x20-\x7e\x80-\xff]/.test(value)
            ? 'It has a character that no header may hold.'
            : null;
      if (why === null) return [name, value];
      throw new UserError(`The header ${name} of logs.traces cannot be sent`, {
        why,
        next: 'Set it in the environment of the server, or keep it in a file: ${file:PATH}.',
      });
    }),
  );
}

function createAgent({ endpoint, caFile }: Settings): HttpAgent {
  if (!endpoint.startsWith('https:')) return new HttpAgent({ keepAlive: true, maxSockets: 2 });
  return new HttpsAgent({ keepAlive: true, maxSockets: 2, ...(caFile === undefined ? {} : { ca: readCa(caFile) }) });
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new EnvironmentError(`The CA file of logs.traces cannot be read: ${file}`, {
      why: error instanceof Error ? error.message : String(error),
      next: 'Put it there, readable for the user of the server, or leave caFile out.',
      cause: error,
    });
  }
}

/** The same exporter, which says in the log when the collector does not take what it is sent. */
function sayFailures(exporter: SpanExporter, log: Log): SpanExporter {
  const warn = throttledWarning(log, 'traces.not-taken');
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        if (result.error !== undefined) warn({ lostSpans: spans.length, reason: result.error.message });
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}

function after(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
}
