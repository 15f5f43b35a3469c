import type { Answer, Observations, WaySeen } from './observations.ts';

/** What was measured on the way, as plain numbers: what the plots of a report are drawn from. */
export interface Measures {
  /** ISO 8601, UTC: when the look began. */
  readonly at: string;
  readonly steps: readonly MeasuredStep[];
  readonly streams: readonly MeasuredStream[];
  /** As served, leaf first. */
  readonly certificates: readonly MeasuredCertificate[];
  readonly limits: MeasuredLimits | null;
}

/** One step that a client takes, and the same at the server itself where that was asked. */
export interface MeasuredStep {
  readonly name: string;
  readonly durationMs: number;
  readonly directMs: number | null;
}

/** A stream from its request on; a null was not seen while it was watched. */
export interface MeasuredStream {
  readonly name: string;
  readonly headersMs: number | null;
  readonly firstByteMs: number | null;
  /** What came after the first byte. */
  readonly heardAtMs: readonly number[];
  readonly endedAtMs: number | null;
  readonly watchedMs: number;
}

export interface MeasuredCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly string[];
  readonly keyType: string;
  /** ISO 8601, UTC. */
  readonly notBefore: string;
  readonly notAfter: string;
  readonly daysLeft: number;
}

export interface MeasuredLimits {
  readonly sent: number;
  readonly durationMs: number;
  readonly answered: readonly { readonly atMs: number; readonly status: number }[];
  /** What Retry-After said; null when nothing was refused or it said nothing. */
  readonly retryAfterSeconds: number | null;
  readonly declared: { readonly quota: number; readonly windowSeconds: number | null } | null;
}

/** Takes the numbers out of what the probes saw; what was not seen is left out. */
export function describeMeasures(seen: Observations): Measures {
  return {
    at: seen.target.at,
    steps: describeSteps(seen),
    streams: describeStreams(seen),
    certificates: seen.tls.status === 'ok' ? seen.tls.chain.map(describeCertificate) : [],
    limits: describeLimits(seen),
  };
}

function describeSteps(seen: Observations): readonly MeasuredStep[] {
  const { name, tcp, tls, direct } = seen;
  const fastest =
    tcp.status === 'ok'
      ? tcp.attempts
          .flatMap(({ outcome }) => (outcome.connected ? [outcome.durationMs] : []))
          .toSorted((a, b) => a - b)[0]
      : undefined;
  const before: readonly (readonly [name: string, durationMs: number | undefined])[] = [
    ['name looked up', name.status === 'ok' ? name.durationMs : undefined],
    ['TCP connected', fastest],
    ['TLS handshake', tls.status === 'ok' ? tls.durationMs : undefined],
  ];
  const directly = direct.status === 'ok' ? new Map(wayDurations(direct.way)) : new Map<string, number>();
  return [
    ...before.flatMap(([step, durationMs]) =>
      durationMs === undefined ? [] : [{ name: step, durationMs, directMs: null }],
    ),
    ...wayDurations(seen).map(([step, durationMs]) => ({
      name: step,
      durationMs,
      directMs: directly.get(step) ?? null,
    })),
  ];
}

function wayDurations({ answers, modern, legacy, sizes, stream }: WaySeen): readonly (readonly [string, number])[] {
  const durationOf = (answer: Answer | null): number | undefined =>
    answer?.kind === 'answered' ? answer.durationMs : undefined;
  const all: readonly (readonly [string, number | undefined])[] = [
    ['request without a key', answers.status === 'ok' ? durationOf(answers.noKey) : undefined],
    ['request with the key', answers.status === 'ok' ? durationOf(answers.bearer) : undefined],
    ['modern client connected', modern.status === 'ok' ? modern.connectMs : undefined],
    ['legacy client connected', legacy.status === 'ok' ? legacy.connectMs : undefined],
    ['tool called', modern.status === 'ok' ? modern.called?.durationMs : undefined],
    ['request of 1.2 MB', sizes.status === 'ok' ? durationOf(sizes.body) : undefined],
    ['stream opened', stream.status === 'ok' ? (stream.opened?.headersMs ?? undefined) : undefined],
  ];
  return all.flatMap(([step, durationMs]) => (durationMs === undefined ? [] : [[step, durationMs] as const]));
}

function describeStreams(seen: Observations): readonly MeasuredStream[] {
  const { direct, idle } = seen;
  return [
    ...openedStream(seen, 'as a client opens it'),
    ...compressedStream(seen),
    ...(direct.status === 'ok' ? openedStream(direct.way, 'directly at the server') : []),
    ...(idle.status === 'ok' && idle.heardAtMs !== undefined
      ? [
          {
            name: 'idle, watched for long',
            headersMs: null,
            firstByteMs: null,
            heardAtMs: idle.heardAtMs,
            endedAtMs: idle.endedAfterMs,
            watchedMs: idle.watchedMs,
          },
        ]
      : []),
  ];
}

function openedStream({ stream }: WaySeen, name: string): readonly MeasuredStream[] {
  if (stream.status !== 'ok' || stream.opened === null) return [];
  return [{ name, heardAtMs: [], ...stream.opened, endedAtMs: null }];
}

function compressedStream({ stream }: WaySeen): readonly MeasuredStream[] {
  const compressed = stream.status === 'ok' ? stream.compressed : null;
  if (compressed == null) return [];
  const { encoding, headersMs, watchedMs } = compressed;
  return [
    {
      name: `with Accept-Encoding${encoding === null ? '' : ` (${encoding})`}`,
      headersMs,
      firstByteMs: null,
      heardAtMs: [],
      endedAtMs: null,
      watchedMs,
    },
  ];
}

function describeCertificate({
  subject,
  issuer,
  names,
  keyType,
  notBefore,
  notAfter,
  daysLeft,
}: MeasuredCertificate): MeasuredCertificate {
  return { subject, issuer, names, keyType, notBefore, notAfter, daysLeft };
}

function describeLimits({ limits }: Observations): MeasuredLimits | null {
  if (limits.status !== 'ok' || limits.answered === undefined) return null;
  const { sent, durationMs, answered, declared, refusal } = limits;
  const retryAfter = refusal?.kind === 'answered' ? refusal.headers['retry-after'] : undefined;
  const seconds = /^\d{1,9}$/.test(retryAfter ?? '') ? Number(retryAfter) : null;
  return { sent, durationMs, answered, declared, retryAfterSeconds: seconds };
}
