import { EnvironmentError } from '../deployment/errors.ts';
import type { Action } from '../plan/action.ts';
import type { ActContext } from './act.ts';

/** Starts or stops the bundled server. Whether it serves is the business of the step that waits for it. */
export async function actServer(
  action: Extract<Action, { type: 'start-server' | 'stop-server' | 'replace-server' }>,
  context: ActContext,
): Promise<string | null> {
  const { files, processes } = context.ports;
  if (action.type === 'stop-server') {
    await processes.stopServer(action.pidFile, action.graceMs);
    return 'stopped';
  }
  if (action.type === 'replace-server') {
    context.logStart.set(action.logFile, (await files.stat(action.logFile))?.size ?? 0);
    const { pid, handedOver } = await processes.replaceServer(action);
    context.serverPid = pid;
    return `${handedOver ? 'took over, no call refused' : 'started anew'}, pid ${pid}`;
  }
  const now = await processes.serverState(action.pidFile);
  if (now.state === 'running') {
    throw new EnvironmentError(`A server of this deployment is running already (pid ${now.pid}).`, {
      why: 'It was started while this command was at work.',
      next: 'mcp-deploy status',
    });
  }
  context.logStart.set(action.logFile, (await files.stat(action.logFile))?.size ?? 0);
  const { pid } = await processes.startServer(action);
  context.serverPid = pid;
  return `started, pid ${pid}`;
}
