import { posix } from 'node:path';
import { renderRenewalTimer, type RenewalTimer, type TimerKind } from './renewal-timer.ts';
import type { RenderedFile, TargetCommands, TargetInput, TargetName } from './types.ts';

/** A renewal timer as a target of render: the same files and commands that `cert renew --install-timer` installs. */
export function timerTarget(name: TargetName, kind: TimerKind, notices: readonly string[]) {
  const render = ({ deployment, paths, templates }: TargetInput): RenewalTimer => {
    const mcpDeploy = paths.cliCommand ?? ['/usr/local/bin/mcp-deploy'];
    const file = paths.deploymentFile ?? posix.join(paths.baseDir, 'mcp-deploy.yaml');
    return renderRenewalTimer(kind, {
      name: deployment.name,
      argv: [...mcpDeploy, 'cert', 'renew', '--quiet', '--file', file],
      homeDir: paths.homeDir ?? '/root',
      uid: paths.uid ?? 501,
      templates,
    });
  };
  return {
    files: (input: TargetInput): readonly RenderedFile[] =>
      render(input).files.map(({ path, mode, content }) => ({
        path: `${name}/${posix.basename(path)}`,
        installPath: path,
        mode,
        content,
      })),
    commands(input: TargetInput): TargetCommands {
      const { files, install, remove } = render(input);
      return {
        check: checksOf(
          kind,
          files.map(({ path }) => path),
        ),
        install,
        restart: [],
        remove,
        notices: [...notices, 'mcp-deploy cert renew --install-timer installs the same, and uninstall takes it away.'],
      };
    },
  };
}

function checksOf(kind: TimerKind, paths: readonly string[]): TargetCommands['check'] {
  switch (kind) {
    case 'systemd':
      return [{ title: 'check the units', argv: ['systemd-analyze', 'verify', ...paths] }];
    case 'systemd-user':
      return [{ title: 'check the units', argv: ['systemd-analyze', '--user', 'verify', ...paths] }];
    case 'launchd':
      return [{ title: 'check the property list', argv: ['plutil', '-lint', ...paths] }];
    case 'cron':
      // No cron has a checker: it says in its log what it could not read.
      return [{ title: 'see what cron said of it', argv: ['grep', '-i', 'cron', '/var/log/syslog'] }];
  }
}
