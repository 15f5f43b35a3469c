import type { Measures, MeasuredStream } from '../describe-measures.ts';
import { formatDuration } from './summarize.ts';

/** Bars of the steps: rows of a table, so that every number is there as text. */
export function drawSteps({ steps }: Measures): object {
  const longest = Math.max(1, ...steps.flatMap(({ durationMs, directMs }) => [durationMs, directMs ?? 0]));
  const compared = steps.some(({ directMs }) => directMs !== null);
  return {
    compared,
    rows: steps.map(({ name, durationMs, directMs }) => ({
      name,
      duration: formatDuration(durationMs),
      width: barWidth(durationMs, longest),
      direct: directMs === null ? (compared ? '–' : '') : formatDuration(directMs),
      directWidth: directMs === null ? '' : barWidth(directMs, longest),
    })),
  };
}

const laneHeight = 74;

/** Lanes on one scale of time; a stream that was watched for long has a picture of its own. */
export function drawStreams({ streams }: Measures): readonly object[] {
  const isLong = ({ watchedMs }: MeasuredStream): boolean => watchedMs > 20_000;
  return [streams.filter((stream) => !isLong(stream)), streams.filter(isLong)].flatMap((group) =>
    group.length === 0 ? [] : [drawLanes(group)],
  );
}

function drawLanes(streams: readonly MeasuredStream[]): object {
  const lastMs = Math.max(
    10,
    ...streams.map(({ watchedMs, headersMs, firstByteMs }) => Math.max(watchedMs, headersMs ?? 0, firstByteMs ?? 0)),
  );
  const scaleMs = lastMs * 1.04;
  const at = (ms: number): string => percent(ms / scaleMs);
  return {
    height: streams.length * laneHeight + 26,
    axisY: streams.length * laneHeight + 2,
    ticks: ticksOf(lastMs).map((ms) => ({
      x: at(ms),
      label: formatDuration(ms),
      anchor: ms === 0 ? 'start' : 'middle',
    })),
    words: streams.map((stream) => `${stream.name}: ${describeStream(stream)}`).join('. '),
    lanes: streams.map((stream, index) => ({
      name: stream.name,
      words: describeStream(stream),
      nameY: index * laneHeight + 14,
      wordsY: index * laneHeight + 31,
      y: index * laneHeight + 50,
      end: at(stream.watchedMs),
      head: stream.headersMs === null ? '' : at(stream.headersMs),
      first: stream.firstByteMs === null ? '' : at(stream.firstByteMs),
      heard: stream.heardAtMs.map((ms) => ({ x: at(ms) })),
      cut: stream.endedAtMs === null ? '' : at(stream.endedAtMs),
    })),
  };
}

function describeStream({ headersMs, firstByteMs, heardAtMs, endedAtMs, watchedMs }: MeasuredStream): string {
  const parts = [
    ...(headersMs === null ? [] : [`head ${formatDuration(headersMs)}`]),
    ...(firstByteMs === null ? [] : [`first byte ${formatDuration(firstByteMs)}`]),
    ...(heardAtMs.length === 0 ? [] : [`${heardAtMs.length} messages`]),
    ...(endedAtMs === null ? [] : [`cut after ${formatDuration(endedAtMs)}`]),
  ];
  const watched = formatDuration(watchedMs);
  return parts.length === 0 ? `nothing came within ${watched}` : parts.join(', ');
}

/** Four to six round times. */
function ticksOf(lastMs: number): readonly number[] {
  const power = 10 ** Math.floor(Math.log10(lastMs / 4));
  const step = power * ([1, 2, 5, 10].find((factor) => lastMs / (power * factor) <= 5) ?? 10);
  return Array.from({ length: Math.floor(lastMs / step) + 1 }, (_, index) => index * step);
}

const dayMs = 86_400_000;
const certificateHeight = 66;

/** The times of the certificates around the life of the first; what goes beyond the picture says until when. */
export function drawCertificates({ certificates, at }: Measures): object | false {
  const [leaf] = certificates;
  if (leaf === undefined) return false;
  const now = Date.parse(at);
  const [begin, end] = [Date.parse(leaf.notBefore), Date.parse(leaf.notAfter)];
  const margin = Math.max(dayMs, (end - begin) * 0.1);
  const [from, to] = [Math.min(begin, now) - margin, Math.max(end, now) + margin];
  const at100 = (time: number): string => percent((Math.min(Math.max(time, from), to) - from) / (to - from));
  const nowPart = (now - from) / (to - from);
  return {
    height: certificates.length * certificateHeight + 24,
    nowX: percent(nowPart),
    nowAnchor: nowPart > 0.8 ? 'end' : nowPart < 0.2 ? 'start' : 'middle',
    nowDay: dayOf(at),
    axisY: certificates.length * certificateHeight + 16,
    lineEnd: certificates.length * certificateHeight + 2,
    lanes: certificates.map((certificate, index) => {
      const [start, stop] = [Date.parse(certificate.notBefore), Date.parse(certificate.notAfter)];
      const x = at100(start);
      return {
        subject: nameOf(certificate.subject),
        days: `${dayOf(certificate.notBefore)} to ${dayOf(certificate.notAfter)}`,
        nameY: index * certificateHeight + 16,
        daysY: index * certificateHeight + 34,
        y: index * certificateHeight + 42,
        x,
        width: percent((Math.min(stop, to) - Math.max(start, from)) / (to - from)),
        state: now < start || now > stop ? 'bad' : certificate.daysLeft < 21 ? 'warn' : 'good',
      };
    }),
    rows: certificates.map((certificate, index) => ({
      ...certificate,
      place: index === 0 ? 'server' : 'issuer',
      names: certificate.names.slice(0, 8).join(', ') || '–',
      notBefore: dayOf(certificate.notBefore),
      notAfter: dayOf(certificate.notAfter),
      left: leftOf(certificate.daysLeft),
    })),
  };
}

function leftOf(days: number): string {
  return days < 0 ? `expired ${-days} days ago` : `${days} days left`;
}

/** The common name, or the whole where there is none. */
function nameOf(subject: string): string {
  const name = /(?:^|[\n,]\s*)CN=([^\n,]+)/.exec(subject)?.[1] ?? subject.replaceAll('\n', ', ');
  return name.length > 44 ? `${name.slice(0, 43)}…` : name;
}

function dayOf(iso: string): string {
  return iso.slice(0, 10);
}

/** Answers added up over time, until the refusal, and the wait that the server asked for beside it, not to scale. */
export function drawLimits({ limits }: Measures): object | false {
  if (limits === null || limits.answered.length === 0) return false;
  const { answered, declared, retryAfterSeconds, sent } = limits;
  const refusedAt = answered.find(({ status }) => status === 429)?.atMs;
  const lastMs = Math.max(1, ...answered.map(({ atMs }) => atMs));
  const width = 1_000;
  const height = 120;
  const waits = refusedAt !== undefined && retryAfterSeconds !== null;
  const share = waits ? 0.76 : 1;
  let passed = 0;
  const total = answered.filter(({ status }) => status !== 429).length;
  const points = answered.flatMap(({ atMs, status }) => {
    if (status === 429) return [];
    passed += 1;
    const x = ((atMs / lastMs) * width * share).toFixed(1);
    const y = (value: number): string => (height - (value / Math.max(1, total)) * (height - 10)).toFixed(1);
    return [`${x},${y(passed - 1)}`, `${x},${y(passed)}`];
  });
  const lastX = (width * share).toFixed(1);
  return {
    line: `0,${height} ${points.join(' ')}`,
    area: `0,${height} ${points.join(' ')} ${lastX},${points.at(-1)?.split(',')[1] ?? height} ${lastX},${height}`,
    refusedX: refusedAt === undefined ? '' : percent((refusedAt / lastMs) * share),
    waits,
    waitX: percent(share),
    waitWidth: percent(1 - share),
    wait: waits ? `for ${retryAfterSeconds} s` : '',
    total,
    end: formatDuration(lastMs),
    endX: percent(share),
    words: [
      `${total} of ${sent} requests were answered within ${formatDuration(lastMs)}`,
      refusedAt === undefined
        ? 'none was refused'
        : `the first refusal (429) came ${formatDuration(refusedAt)} after the first request`,
      ...(waits ? [`Retry-After asks for ${retryAfterSeconds} s`] : []),
      ...(declared === null
        ? []
        : [
            `declared are ${declared.quota} requests${declared.windowSeconds === null ? '' : ` in ${declared.windowSeconds} s`}`,
          ]),
    ].join('; '),
  };
}

function barWidth(ms: number, longest: number): string {
  return percent(Math.max(0.004, ms / longest));
}

function percent(part: number): string {
  return `${(Math.min(1, Math.max(0, part)) * 100).toFixed(2)}%`;
}
