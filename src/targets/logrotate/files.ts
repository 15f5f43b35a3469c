import { posix } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import { compileTemplate } from '../../render/compile-template.ts';
import { quoteLogrotate } from '../../render/quote/logrotate.ts';
import { nameOnHost } from '../name-on-host.ts';
import { unitName } from '../systemd/view.ts';
import type { RenderedFile, TargetCommands, TargetInput } from '../types.ts';

/**
 * What moves the audit file, and the log where it is a file, away every day.
 * Throws a UserError when the server rotates them itself: two that rotate lose lines.
 */
export function renderLogrotateFiles(input: TargetInput): readonly RenderedFile[] {
  const { deployment, templates } = input;
  const name = nameOnHost(deployment.name);
  const installPath = `/etc/logrotate.d/${name}`;
  const content = compileTemplate(templates('logrotate/logrotate.hbs'))({
    name: deployment.name,
    installPath,
    files: logsOf(input).join(' '),
    user: deployment.service.user,
    unit: unitName(deployment),
  });
  // logrotate reads no file that others can write.
  return [{ path: `logrotate/${name}`, installPath, mode: 0o644, content }];
}

export function planLogrotateCommands({ deployment }: TargetInput): TargetCommands {
  const file = `/etc/logrotate.d/${nameOnHost(deployment.name)}`;
  return {
    check: [{ title: 'see what would be done', argv: ['logrotate', '--debug', file] }],
    install: [],
    restart: [],
    remove: [],
    notices: ['logrotate is run once a day by its own timer or by cron; nothing has to be started.'],
  };
}

function logsOf({ deployment, paths }: TargetInput): readonly string[] {
  const { logs } = deployment;
  const whole = (path: string, setting: string): string => quoteLogrotate(posix.resolve(paths.baseDir, path), setting);
  const audit = logs.audit !== 'off' && logs.auditRotate === 'off' ? [whole(logs.audit, 'logs.audit')] : [];
  const log = logs.file !== undefined && logs.rotate === 'off' ? [whole(logs.file, 'logs.file')] : [];
  if (audit.length + log.length > 0) return [...audit, ...log];
  throw new UserError('There is no log for logrotate', {
    why: 'The server rotates its files itself (logs.auditRotate, logs.rotate), and the journal does so for what systemd keeps.',
    next: 'Set logs.auditRotate: off to leave the audit file to logrotate.',
  });
}
