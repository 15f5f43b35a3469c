import { join } from 'node:path';
import { changesForCopy, leftOutOfCopy } from '../../backup/plan-copy.ts';
import { EnvironmentError, ExplainedError, UserError } from '../../deployment/errors.ts';
import { childrenOf } from '../../host/children-of.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import type { CommandContext } from '../context.ts';
import { readDeployment } from '../deployment-folder.ts';
import { callCopy, clientOfCopy, inCopy } from '../drill-copy.ts';
import type { FlagValues } from '../flag-values.ts';
import { makeBackup } from '../make-backup.ts';
import { noteMaintenance } from '../maintenance-record.ts';
import { proveBackup, restoreThroughJournal } from '../restore-backup.ts';

interface Recovery {
  readonly what: string;
  readonly pid: number;
  /** Until a client was answered again and as many processes ran as before; null when that did not come in time. */
  readonly backMs: number | null;
}

const longestMs = 120_000;

/**
 * `mcp-deploy drill failover`: a copy of this deployment as it is now loses each of its processes in turn, by SIGKILL: MCP servers
 * and workers. Measured is how long it takes until clients are served again. The live deployment is not touched.
 */
export async function runDrillFailover(context: CommandContext, _options: FlagValues): Promise<number> {
  const { output, ports } = context;
  const deployment = (await readDeployment(context))?.deployment;
  if (deployment === undefined) {
    throw new UserError(`There is no deployment in ${context.baseDir}.`, { next: 'mcp-deploy up' });
  }
  try {
    return await inCopy(context, async (copy, remove) => {
      // Unencrypted, in a folder of this user alone, for as long as it takes to read it again.
      const folder = join(copy.baseDir, 'taken');
      const { file } = await makeBackup(context, deployment, { secrets: true, withLogs: false, lock: null, folder });
      const listen = `127.0.0.1:${await ports.endpoint.freePort()}`;
      const proven = await proveBackup(copy, file, null, (found) => changesForCopy(found, listen, { workers: true }));
      await restoreThroughJournal(copy, { file, key: null, proven });
      const client = await clientOfCopy(copy, proven.deployment);
      await callCopy(copy, client);
      output.progress(`  ${output.err.green('✓')} copy       ${endpointUrl(proven.deployment)}`);
      const recoveries = await killEach(copy, client);
      if (recoveries.length === 0) {
        throw new EnvironmentError('There is nothing in this deployment that could fail alone.', {
          why: 'It has no MCP server as a process of its own, and one worker.',
          next: 'mcp-deploy drill restore        tries the way back of the whole',
        });
      }
      await remove();
      return await report(context, recoveries, leftOutOfCopy(deployment));
    });
  } catch (error) {
    if (error instanceof ExplainedError && !context.signal.aborted) {
      await noteMaintenance(context, 'failover-drill', { ok: false, said: error.message });
    }
    throw error;
  }
}

async function killEach(copy: CommandContext, client: Parameters<typeof callCopy>[1]): Promise<readonly Recovery[]> {
  const { ports, stateDir, signal } = copy;
  const server = await ports.processes.serverState(deploymentPaths(stateDir).pidFile);
  if (server.state !== 'running')
    throw new EnvironmentError('The server of the copy has ended.', { next: 'mcp-deploy doctor' });
  const recoveries: Recovery[] = [];
  for (const { pid, name } of await childrenOf(server.pid)) {
    signal.throwIfAborted();
    const others = await childrenOf(server.pid);
    // An earlier kill has taken it along, as a worker does with its own servers.
    if (!others.some((other) => other.pid === pid)) continue;
    const killedAt = ports.clock.elapsed();
    process.kill(pid, 'SIGKILL');
    let backMs: number | null = null;
    while (backMs === null && ports.clock.elapsed() - killedAt < longestMs) {
      const now = await childrenOf(server.pid);
      const isBack = now.length >= others.length && !now.some((other) => other.pid === pid);
      const isServed =
        isBack &&
        (await ports.endpoint.verify(client, signal).then(
          () => true,
          () => false,
        ));
      signal.throwIfAborted();
      if (isServed) backMs = Math.round(ports.clock.elapsed() - killedAt);
      else await ports.clock.sleep(50, signal);
    }
    recoveries.push({ what: name, pid, backMs });
  }
  return recoveries;
}

async function report(
  context: CommandContext,
  recoveries: readonly Recovery[],
  notTried: readonly string[],
): Promise<number> {
  const { output } = context;
  const ok = recoveries.every(({ backMs }) => backMs !== null);
  const slowest = Math.max(...recoveries.map(({ backMs }) => backMs ?? longestMs));
  const said = ok
    ? `${recoveries.length} processes killed, the slowest was back in ${(slowest / 1_000).toFixed(1)} s`
    : `${recoveries.filter(({ backMs }) => backMs === null).length} of ${recoveries.length} processes did not come back`;
  await noteMaintenance(context, 'failover-drill', { ok, said });
  output.document({ ok, slowestMs: ok ? slowest : null, recoveries, notTried });
  output.result(
    [
      ...recoveries.map(({ what, backMs }) =>
        backMs === null
          ? `  ${output.out.red('✗')} ${what}  not back within ${longestMs / 1_000} s`
          : `  ${output.out.green('✓')} ${what}  served again after ${(backMs / 1_000).toFixed(1)} s`,
      ),
      ...notTried.map((what) => `  - not tried: ${what}`),
      '',
      `  Next   ${ok ? 'mcp-deploy maintenance' : 'mcp-deploy doctor'}`,
    ].join('\n'),
  );
  return ok ? 0 : 1;
}
