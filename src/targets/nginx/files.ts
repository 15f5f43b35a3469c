import { compileTemplate } from '../../render/compile-template.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { nginxView } from './view.ts';

export function renderNginxFiles(input: TargetInput): readonly RenderedFile[] {
  const template = compileTemplate(input.templates('nginx/site.conf.hbs'));
  return [
    {
      path: `nginx/${nginxFileName(input)}`,
      installPath: `/etc/nginx/conf.d/${nginxFileName(input)}`,
      mode: 0o644,
      content: template(nginxView(input)),
    },
  ];
}

/** conf.d/*.conf is read by the nginx of Debian, Red Hat and nginx.org alike. */
export function nginxFileName({ deployment }: { readonly deployment: { readonly name: string } }): string {
  return `${nameOnHost(deployment.name)}.conf`;
}
