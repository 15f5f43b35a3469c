import type { Action } from '../plan/action.ts';
import { trialConfigText } from '../plan/trial-server.ts';
import { readOwner } from './accounts.ts';
import type { ActContext } from './act.ts';
import { runCommand } from './run-command.ts';
import { waitUntilReady } from './wait-until-ready.ts';
import type { ApplyPorts } from './ports.ts';

type TrialAction = Extract<Action, { type: 'trial-server' }>;

/**
 * Starts the new release beside the old one, by the same user and under the same restrictions, and waits until it can serve.
 * Nothing of it is left afterwards. Its files lie below /run: a power cut takes them away too.
 */
export async function trialServer(action: TrialAction, context: ActContext): Promise<string> {
  const { ports } = context;
  const { files, endpoint } = ports;
  const port = await endpoint.freePort();
  const wanted = (await files.read(action.configOf))?.toString('utf8') ?? '{}';
  const { text, scheme } = trialConfigText(wanted, port);
  await files.writeAtomic(action.configFile, text, 0o640, await readOwner(files, action.owner));
  await files.writeAtomic(action.unitFile, action.unitText, 0o644);
  try {
    await runCommand(['systemctl', 'daemon-reload'], ports);
    await runCommand(['systemctl', 'start', '--no-block', action.unit], ports);
    const ready = await waitUntilReady(
      {
        type: 'wait-until-ready',
        readyUrl: `${scheme}://127.0.0.1:${port}/readyz`,
        pidFile: '',
        logFile: '',
        unit: action.unit,
        timeoutMs: action.timeoutMs,
      },
      context,
    );
    return `started beside it, ${ready}`;
  } finally {
    await endTrial({ unit: action.unit, files: [action.unitFile, action.configFile] }, ports);
  }
}

/** Ends a trial and takes its files away; may be repeated. */
export async function endTrial(
  trial: { readonly unit: string; readonly files: readonly string[] },
  ports: Pick<ApplyPorts, 'files' | 'processes'>,
): Promise<void> {
  const patienceMs = 60_000;
  // Nothing of worth runs in it: it need not drain.
  await ports.processes.run(['systemctl', 'kill', '--signal=SIGKILL', trial.unit], patienceMs);
  await ports.processes.run(['systemctl', 'stop', trial.unit], patienceMs);
  for (const path of trial.files) await ports.files.removeFile(path);
  await ports.processes.run(['systemctl', 'reset-failed', trial.unit], patienceMs);
  await ports.processes.run(['systemctl', 'daemon-reload'], patienceMs);
}
