import { compileTemplate } from '../../render/compile-template.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { caddyView } from './view.ts';

export function renderCaddyFiles(input: TargetInput): readonly RenderedFile[] {
  const template = compileTemplate(input.templates('caddy/site.caddyfile.hbs'));
  return [
    {
      path: `caddy/${caddyFileName(input)}`,
      installPath: `/etc/caddy/Caddyfile.d/${caddyFileName(input)}`,
      mode: 0o644,
      content: template(caddyView(input)),
    },
  ];
}

export function caddyFileName({ deployment }: { readonly deployment: { readonly name: string } }): string {
  return `${nameOnHost(deployment.name)}.caddyfile`;
}
