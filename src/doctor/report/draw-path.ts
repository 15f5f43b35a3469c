import type { DoctorReport, PathHop } from '../types.ts';
import { formatDuration } from './summarize.ts';

/** The way of a request as a picture: once side by side, once from top to bottom for narrow pages. */
export interface PathDrawing {
  /** The same in words. */
  readonly words: string;
  readonly nodes: readonly PathNode[];
  readonly links: readonly PathLink[];
  readonly tallHeight: number;
}

interface PathNode {
  readonly label: string;
  readonly detail: string;
  readonly state: PathHop['state'] | 'start';
  /** The one that the root cause names. */
  readonly broken: boolean;
  /** Middle of the node across the wide picture, percent. */
  readonly x: string;
  /** The same down the tall one, pixels. */
  readonly y: number;
}

interface PathLink {
  readonly from: string;
  readonly to: string;
  readonly fromY: number;
  readonly toY: number;
  /** Nothing is known to pass here. */
  readonly cut: boolean;
}

const rowHeight = 64;

export function drawPath(report: DoctorReport): PathDrawing {
  const root = report.findings.find(({ code }) => code === report.rootCause);
  const stepOf = new Map(report.measures.steps.map(({ name, durationMs }) => [name, durationMs]));
  const hops = report.path.map((hop) => ({ ...hop, broken: root !== undefined && hop.hop === root.hop }));
  const count = hops.length + 1;
  const at = (index: number): string => `${(((index + 0.5) / count) * 100).toFixed(2)}%`;
  const down = (index: number): number => 32 + index * rowHeight;
  const nodes: readonly PathNode[] = [
    { label: 'you', detail: '', state: 'start', broken: false, x: at(0), y: down(0) },
    ...hops.map(({ hop, label, state, broken }, index) => ({
      label: label.length > 22 ? `${label.slice(0, 21)}…` : label,
      detail: broken ? `broken: ${root?.code ?? ''}` : durationOf(hop, state, stepOf),
      state,
      broken,
      x: at(index + 1),
      y: down(index + 1),
    })),
  ];
  const brokenAt = nodes.findIndex(({ broken }) => broken);
  return {
    words: `you → ${hops.map(({ label, state }) => `${label} (${stateWords[state]})`).join(' → ')}`,
    nodes,
    links: nodes.slice(1).map((_, index) => ({
      from: at(index),
      to: at(index + 1),
      fromY: down(index),
      toY: down(index + 1),
      cut: brokenAt !== -1 && index + 1 >= brokenAt,
    })),
    tallHeight: down(count - 1) + 40,
  };
}

/** Also what a screen reader says. */
const stateWords: Readonly<Record<PathHop['state'], string>> = {
  ok: 'in order',
  warning: 'with a warning',
  error: 'broken',
  unknown: 'not seen',
};

const stepsOfHops: Partial<Record<PathHop['hop'], string>> = {
  dns: 'name looked up',
  tcp: 'TCP connected',
  tls: 'TLS handshake',
  server: 'request with the key',
};

function durationOf(hop: PathHop['hop'], state: PathHop['state'], steps: ReadonlyMap<string, number>): string {
  if (state === 'unknown') return 'not seen';
  const durationMs = steps.get(stepsOfHops[hop] ?? '');
  return durationMs === undefined ? '' : formatDuration(durationMs);
}
