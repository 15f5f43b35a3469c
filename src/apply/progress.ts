import type { ListrTaskObject } from 'listr2';
import type { Plan, Step } from '../plan/types.ts';
import type { ApplyResult } from './apply-plan.ts';
import type { OnProgress, ProgressEvent } from './progress-event.ts';

export interface ProgressOptions {
  readonly plan: Plan;
  /** Where the lines go: stderr. Stdout belongs to the result. */
  readonly stream: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  /** Shows nothing (--quiet). */
  readonly silent?: boolean;
  /** Colours, or functions that return their text where colour is not wanted. */
  readonly style: Record<'green' | 'red' | 'yellow' | 'dim', (text: string) => string>;
  readonly signal?: AbortSignal;
}

/**
 * Runs a plan and shows one line for each group of its steps, the fact that
 * is now true on the right. On a terminal the line of the group at work says
 * what is being done; elsewhere each line is written once, when it is true.
 */
export async function runWithProgress(
  options: ProgressOptions,
  run: (onProgress: OnProgress) => Promise<ApplyResult>,
): Promise<ApplyResult> {
  if (options.silent === true) return run(() => {});
  const lines = new ProgressLines(options.plan);
  const list = await createList(lines, options);
  const shown = list.run();
  try {
    return await run((event) => lines.note(event));
  } finally {
    lines.end();
    await shown;
  }
}

/** More removed things than these are counted, not named. */
const mostNamed = 3;

type RenderedTask = ListrTaskObject<unknown>;

async function createList(lines: ProgressLines, options: ProgressOptions): Promise<{ run(): Promise<unknown> }> {
  const { Listr, ListrTaskEventType, ListrTaskState } = await import('listr2');
  const screen = new Screen(options);

  /** Each line is written when its task ends; listr2's own renderers would also write that it started. */
  class LineRenderer {
    static readonly nonTTY = true;
    static readonly rendererOptions = {};
    static readonly rendererTaskOptions = {};
    readonly #tasks: readonly RenderedTask[];

    constructor(tasks: readonly RenderedTask[]) {
      this.#tasks = tasks;
    }

    render(): void {
      for (const [index, task] of this.#tasks.entries()) {
        const line = lines.all[index];
        if (line === undefined) continue;
        task.on(ListrTaskEventType.STATE, (state) => {
          if (state === ListrTaskState.COMPLETED) screen.write(line.isGood ? '✓' : '!', line.title, line.fact);
          if (state === ListrTaskState.FAILED) screen.write('✗', line.title, line.fact);
        });
        // What is being done at this moment; a terminal shows it until the line is complete.
        task.on(ListrTaskEventType.OUTPUT, (doing) => screen.showDoing(line.title, doing));
      }
    }

    end(): void {
      screen.clearDoing();
    }
  }

  return new Listr(
    lines.all.map((line) => ({
      title: line.title,
      task: async (_context: unknown, task: { output: string; skip(): void }) => {
        line.showDoing((text) => {
          task.output = text;
        });
        const end = await line.ended;
        if (end === 'skipped') task.skip();
        if (end === 'failed') throw new Error(line.fact);
      },
    })),
    // Signals are the command line's: listr2 would end the process in the middle of an undo.
    // All lines wait at once, so that each is written at the moment it is true.
    { renderer: LineRenderer, concurrent: true, exitOnError: false, registerSignalListeners: false },
  );
}

type LineEnd = 'completed' | 'failed' | 'skipped';

class Line {
  readonly title: string;
  readonly ended: Promise<LineEnd>;
  fact = '';
  isGood = true;
  #doing: string | null = null;
  #show: ((text: string) => void) | null = null;
  #end: (end: LineEnd) => void = () => {};

  constructor(title: string) {
    this.title = title;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** What is being done now. */
  do(text: string): void {
    this.#doing = text;
    this.#show?.(text);
  }

  /** Called when the list has started, which may be after the work has. */
  showDoing(show: (text: string) => void): void {
    this.#show = show;
    if (this.#doing !== null) show(this.#doing);
  }

  /** Only the first end counts. */
  end(end: LineEnd, fact = ''): void {
    if (fact !== '') this.fact = fact;
    this.#end(end);
  }
}

/** Turns the events of a run into its lines: one for each group in the order of the plan, and one for an undo. */
class ProgressLines {
  readonly all: readonly Line[];
  readonly #plan: Plan;
  readonly #groups: ReadonlyMap<
    Step['group'],
    { line: Line; steps: readonly Step[]; details: Map<string, string>; done: number }
  >;
  readonly #undo = new Line('undone');
  #undoSteps = 0;
  #waitedSeconds = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    const names = [...new Set(plan.steps.map(({ group }) => group))];
    this.#groups = new Map(
      names.map((name) => [
        name,
        { line: new Line(name), steps: plan.steps.filter(({ group }) => group === name), details: new Map(), done: 0 },
      ]),
    );
    this.all = [...[...this.#groups.values()].map(({ line }) => line), this.#undo];
  }

  note(event: ProgressEvent): void {
    switch (event.type) {
      case 'step-start':
        this.#groups.get(event.step.group)?.line.do(event.step.title);
        return;
      case 'step-doing':
        this.#noteWait(event.step, event.text, event.sinceMs);
        return;
      case 'step-done':
        this.#stepDone(event.step, event.detail);
        return;
      case 'step-failed':
        this.#groups.get(event.step.group)?.line.end('failed', firstLine(event.error));
        this.#skipOpen();
        return;
      case 'interrupted':
        this.#skipOpen();
        return;
      case 'undo-start':
        this.#skipOpen();
        this.#undoSteps = event.steps;
        this.#undo.do(`taking back ${countOf(event.steps, 'step')}`);
        return;
      case 'undo-step':
        this.#undo.do(event.title);
        return;
      case 'undo-done':
        if (event.leftovers.length === 0) this.#undo.end('completed', `${countOf(this.#undoSteps, 'step')} taken back`);
        else this.#undo.end('failed', `not all: ${countOf(event.leftovers.length, 'thing')} could not be put back`);
        return;
    }
  }

  /** No line may stay open, or the list would never end. */
  end(): void {
    for (const line of this.all) line.end('skipped');
  }

  /** A wait is worth a word each second; shorter ones are over before they are read. */
  #noteWait(step: Step, text: string, sinceMs: number): void {
    const seconds = Math.floor(sinceMs / 1_000);
    if (seconds === this.#waitedSeconds) return;
    this.#waitedSeconds = seconds;
    if (seconds > 1) this.#groups.get(step.group)?.line.do(`${text}, ${seconds} s`);
  }

  #stepDone(step: Step, detail: string | null): void {
    const group = this.#groups.get(step.group);
    if (group === undefined) return;
    group.done += 1;
    if (detail !== null) group.details.set(step.id, detail);
    if (group.done === group.steps.length)
      group.line.end('completed', describeGroup(group.steps, group.details, this.#plan));
  }

  #skipOpen(): void {
    for (const { line } of this.#groups.values()) line.end('skipped');
  }
}

/** The fact on the right of a group's line, from the details of its steps. */
function describeGroup(steps: readonly Step[], details: ReadonlyMap<string, string>, plan: Plan): string {
  const said = steps.flatMap(({ id }) => details.get(id) ?? []);
  switch (steps[0]?.group) {
    case 'certificate':
      return said.join(' + ');
    case 'server':
      return describeServer(steps, said, plan);
    case 'removal':
      return said.length <= mostNamed ? said.join(', ') : `${said.length} files and folders`;
    case 'configuration':
    case 'keys':
    case 'verified':
    case undefined:
      return said.join(', ');
  }
}

/** `running, pid 4711, https://localhost:8443/mcp` once it answers. */
function describeServer(steps: readonly Step[], said: readonly string[], plan: Plan): string {
  const isReady = steps.some(({ action }) => action.type === 'wait-until-ready');
  const pid = said.map((detail) => /^started, (pid \d+)$/.exec(detail)?.[1]).find((match) => match !== undefined);
  if (!isReady || pid === undefined) return said.join(', ');
  const url = plan.steps.flatMap(({ action }) => (action.type === 'verify-endpoint' ? [action.url] : []));
  return ['running', pid, ...url.slice(0, 1)].join(', ');
}

/** The one place of this folder that writes; two columns, as everything that mcp-deploy prints. */
class Screen {
  readonly #options: ProgressOptions;
  readonly #isLive: boolean;
  #isDoingShown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#isLive = options.stream.isTTY === true && process.env['TERM'] !== 'dumb';
  }

  write(glyph: '✓' | '✗' | '!', title: string, fact: string): void {
    const { stream, style } = this.#options;
    const colour = { '✓': style.green, '✗': style.red, '!': style.yellow }[glyph];
    this.clearDoing();
    stream.write(`  ${colour(glyph)} ${fact === '' ? title : `${title.padEnd(23)}${fact}`}\n`);
  }

  showDoing(title: string, doing: string): void {
    const { stream, style } = this.#options;
    if (!this.#isLive) {
      // In a log each line stays: a sign of life now and then is enough.
      if (/, \d*0 s$/.test(doing)) stream.write(`  · ${title.padEnd(23)}${doing}\n`);
      return;
    }
    const text = `  · ${title.padEnd(23)}${doing}`.slice(0, (stream.columns ?? 80) - 1);
    stream.write(`\r\u001b[K${style.dim(text)}`);
    this.#isDoingShown = true;
  }

  clearDoing(): void {
    if (this.#isDoingShown) this.#options.stream.write('\r\u001b[K');
    this.#isDoingShown = false;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}

function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
