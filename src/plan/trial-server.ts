import { quoteSystemdExec } from '../render/quote/systemd.ts';

/**
 * The configuration of a server that is only tried: the same upstreams, keys and certificate, on a port of its own, and
 * without the files and addresses that the running one has.
 */
export function trialConfigText(
  configText: string,
  port: number,
): { readonly text: string; readonly scheme: 'http' | 'https' } {
  const config = JSON.parse(configText) as {
    deployment?: {
      server?: Record<string, unknown>;
      logs?: Record<string, unknown>;
      tls?: { source?: string };
    };
  };
  const { deployment = {} } = config;
  const { metricsListen: _metrics, statusListen: _status, healthListen: _health, ...server } = deployment.server ?? {};
  const { file: _file, auditKeyFile: _key, ...logs } = deployment.logs ?? {};
  const tried = {
    ...config,
    deployment: {
      ...deployment,
      server: { ...server, listen: `127.0.0.1:${port}`, workers: 1, proxyProtocol: 'off' },
      logs: { ...logs, audit: 'off', errorHook: 'off', traces: 'off' },
    },
  };
  return { text: `${JSON.stringify(tried)}\n`, scheme: deployment.tls?.source === 'off' ? 'http' : 'https' };
}

/**
 * The unit of the service as one that is tried: the same user and the same walls around it, another command, no sockets and no
 * folder that its end would take away from the running one.
 */
export function trialUnitText(unitText: string, argv: readonly string[]): string {
  const dropped =
    /^(?:Requires|Sockets|Also|Alias|WantedBy|RequiredBy|Restart|RestartSec|RuntimeDirectory\w*|ExecReload|ExecStartPre|ExecStartPost|PIDFile|WatchdogSec|FileDescriptorStoreMax)=/;
  const lines = unitText.split('\n').flatMap((line): readonly string[] => {
    if (line.startsWith('ExecStart=')) {
      return [`ExecStart=${argv.map((each) => quoteSystemdExec(each, 'the server command')).join(' ')}`, 'Restart=no'];
    }
    if (line.startsWith('ReadWritePaths=')) return [line];
    return dropped.test(line) || line.startsWith('[Install]') ? [] : [line];
  });
  return lines.join('\n');
}

/** Where the files of a trial lie: gone after a reboot. */
export function trialFiles(unitName: string): { unit: string; unitFile: string; configFile: string } {
  const name = `${unitName.replace(/\.service$/, '')}-trial`;
  return {
    unit: `${name}.service`,
    unitFile: `/run/systemd/system/${name}.service`,
    configFile: `/run/${name}.json`,
  };
}
