import { compileTemplate } from '../../render/compile-template.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { haproxyView } from './view.ts';

export function renderHaproxyFiles(input: TargetInput): readonly RenderedFile[] {
  const template = compileTemplate(input.templates('haproxy/site.cfg.hbs'));
  return [
    {
      path: `haproxy/${haproxyFileName(input)}`,
      installPath: `/etc/haproxy/conf.d/${haproxyFileName(input)}`,
      mode: 0o644,
      content: template(haproxyView(input)),
    },
  ];
}

export function haproxyFileName(input: TargetInput): string {
  return `${nameOnHost(input.deployment.name)}.cfg`;
}
