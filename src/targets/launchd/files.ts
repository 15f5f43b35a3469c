import { compileTemplate } from '../../render/compile-template.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { agentLabel, agentPath, daemonPath, launchdDaemonView, launchdView } from './view.ts';

export function renderLaunchdFiles(input: TargetInput): readonly RenderedFile[] {
  const template = compileTemplate(input.templates('launchd/agent.plist.hbs'));
  return [
    {
      path: `launchd/${agentLabel(input.deployment)}.plist`,
      installPath: agentPath(input),
      // launchd refuses a file that others can write.
      mode: 0o644,
      content: template(launchdView(input)),
    },
  ];
}

export function renderLaunchdDaemonFiles(input: TargetInput): readonly RenderedFile[] {
  const template = compileTemplate(input.templates('launchd/agent.plist.hbs'));
  return [
    {
      path: `launchd-daemon/${agentLabel(input.deployment)}.plist`,
      installPath: daemonPath(input.deployment),
      mode: 0o644,
      content: template(launchdDaemonView(input)),
    },
  ];
}
