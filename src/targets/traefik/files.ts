import { compileTemplate } from '../../render/compile-template.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { traefikView } from './view.ts';

export function renderTraefikFiles(input: TargetInput): readonly RenderedFile[] {
  const template = compileTemplate(input.templates('traefik/dynamic.yaml.hbs'));
  const name = `${nameOnHost(input.deployment.name)}.yaml`;
  return [
    {
      path: `traefik/${name}`,
      installPath: `/etc/traefik/dynamic/${name}`,
      mode: 0o644,
      content: template(traefikView(input)),
    },
  ];
}
