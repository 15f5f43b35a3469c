import { ExplainedError, UserError } from '../../deployment/errors.ts';
import { showPath } from '../client-files.ts';
import type { CommandContext } from '../context.ts';
import { numberFlag, type FlagValues } from '../flag-values.ts';
import { canRedraw, createScreen } from '../output/screen.ts';
import { damageOf, describeStatus, describeStatusLine } from '../output/status-text.ts';
import { readStatusSnapshot, type StatusSnapshot } from '../status-snapshot.ts';
import { judgeTraffic, type Traffic, type TrafficSample } from '../traffic.ts';

/** `mcp-deploy status`: one glance. Exit 0 also when it is stopped: that is an answer, not a failure. */
export async function runStatus(context: CommandContext, options: FlagValues): Promise<number> {
  if (options['watch'] === true) return watch(context, options);
  const now = await readStatusSnapshot(context);
  const traffic = now.traffic === null ? null : judgeTraffic(now.traffic, null);
  context.output.document(documentOf(now, traffic));
  context.output.result(textOf(context, now, traffic).join('\n'));
  return 0;
}

/** Until interrupted, which is the ordinary end. A terminal is redrawn; otherwise a line, or a JSON document on one line, each time. */
async function watch(context: CommandContext, options: FlagValues): Promise<number> {
  const { output, world, ports } = context;
  const seconds = numberFlag(options, 'interval', '--interval', 2);
  if (seconds < 1 || seconds > 3_600) {
    throw new UserError(`--interval ${seconds} is not between 1 and 3600 seconds.`, { next: '--interval 2' });
  }
  const redraw = canRedraw(world, output);
  const draw = createScreen(world, output);
  let former: TrafficSample | null = null;
  while (!context.signal.aborted) {
    const now = await readStatusSnapshot(context);
    if (context.signal.aborted) break;
    const traffic: Traffic | null = now.traffic === null ? null : judgeTraffic(now.traffic, former);
    former = now.traffic;
    if (output.json) output.raw(`${JSON.stringify(documentOf(now, traffic))}\n`);
    else if (redraw) {
      const lines = textOf(context, now, traffic).slice(0, -2);
      lines.push('', `  ${output.out.dim(`every ${seconds} s; Ctrl-C ends it`)}`);
      draw(lines);
    } else output.raw(`${describeStatusLine(now, traffic, ports.clock.now().slice(11, 19))}\n`);
    await ports.clock.sleep(seconds * 1_000, context.signal).catch(() => {});
  }
  return 0;
}

function textOf(context: CommandContext, now: StatusSnapshot, traffic: Traffic | null): string[] {
  return describeStatus(now, traffic, {
    style: context.output.out,
    path: (path) => showPath(context, path),
    stateDir: context.stateDir,
  });
}

function documentOf(now: StatusSnapshot, traffic: Traffic | null): object {
  const { server, live, certificate, keys, audit } = now;
  const working =
    keys instanceof ExplainedError ? [] : keys.filter(({ state }) => state === 'active' || state === 'rotating');
  return {
    ok: true,
    url: now.url,
    server: server.state === 'running' ? { ...server, ...live } : { state: 'stopped' },
    traffic,
    certificate: certificate instanceof ExplainedError ? null : certificate,
    keys: working.map(({ id, label, state, ageDays, rotationDue, expiresAt }) => ({
      id,
      label,
      state,
      ageDays,
      rotationDue,
      ...(expiresAt === undefined ? {} : { expiresAt }),
    })),
    audit,
    backup: now.backup,
    unfinished: now.unfinished,
    damaged: [damageOf(certificate), damageOf(keys)].filter((damage) => damage !== null),
  };
}
