import { compileTemplate } from '../../render/compile-template.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { systemdView, unitName, unitPath } from './view.ts';

export function renderSystemdFiles(input: TargetInput): readonly RenderedFile[] {
  const template = compileTemplate(input.templates('systemd/service.hbs'));
  return [
    {
      path: `systemd/${unitName(input.deployment)}`,
      installPath: unitPath(input.deployment),
      mode: 0o644,
      content: template(systemdView(input)),
    },
  ];
}
