import { posix } from 'node:path';
import { renderBackupTimer } from './backup-timer.ts';
import type { HostTimer, TimerKind } from './host-timer.ts';
import { renderRenewalTimer } from './renewal-timer.ts';
import type { Command, RenderedFile, TargetCommands, TargetInput, TargetName } from './types.ts';

/**
 * The timers of a deployment as a target of render: renewal, and backup where `backup.every` says how often. The same files
 * and commands that `cert renew --install-timer` and `backup create --install-timer` install.
 */
export function timerTarget(name: TargetName, kind: TimerKind, notices: readonly string[]) {
  const render = ({ deployment, paths, templates }: TargetInput): HostTimer => {
    const mcpDeploy = paths.cliCommand ?? ['/usr/local/bin/mcp-deploy'];
    const file = paths.deploymentFile ?? posix.join(paths.baseDir, 'mcp-deploy.yaml');
    const timer = (...words: readonly string[]) => ({
      name: deployment.name,
      argv: [...mcpDeploy, ...words, '--quiet', '--file', file],
      homeDir: paths.homeDir ?? '/root',
      uid: paths.uid ?? 501,
      templates,
    });
    const renewal = renderRenewalTimer(kind, timer('cert', 'renew'));
    if (deployment.backup.every === undefined) return renewal;
    const backup = renderBackupTimer(kind, timer('backup', 'create'), deployment.backup);
    return {
      files: [...renewal.files, ...backup.files],
      install: distinct([...renewal.install, ...backup.install]),
      remove: [...renewal.remove, ...backup.remove],
    };
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
        notices: [
          ...notices,
          'mcp-deploy cert renew --install-timer and mcp-deploy backup create --install-timer install the same, and uninstall takes it away.',
        ],
      };
    },
  };
}

/** Units are read again once, for both. */
function distinct(commands: readonly Command[]): readonly Command[] {
  const isSame = (a: Command, b: Command): boolean => a.argv.join('\0') === b.argv.join('\0');
  return commands.filter((command, index) => commands.findIndex((other) => isSame(other, command)) === index);
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
