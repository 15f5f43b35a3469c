import type { Deployment } from '../deployment/schema.ts';
import { proxyImages } from '../targets/docker/front-proxy.ts';
import { ownFolder } from '../targets/docker/files.ts';
import type { RenderedFile } from '../targets/types.ts';
import type { ContainerFacts } from './container-facts.ts';
import { nameBelow } from './container-files.ts';
import { sha256Hex } from './server-config.ts';
import type { Step } from './types.ts';

/** Files of the build context: what the tag of the image is made from. */
const contextNames: ReadonlySet<string> = new Set(['Dockerfile', '.dockerignore', 'mcp-deploy.yaml', 'serve.js']);

/** The image that is to run, and whether it is made here. */
export interface ChosenImage {
  readonly name: string;
  readonly isBuilt: boolean;
}

/** Pulls and builds what the engine does not have. */
export function imageSteps(
  deployment: Deployment,
  image: ChosenImage,
  { images, buildx }: ContainerFacts,
  folder: string,
): readonly Step[] {
  const step = (name: string, title: string, why: string, argv: readonly string[]): Step => ({
    id: `image-${name.replaceAll(/[^a-z0-9]+/g, '-')}`,
    title,
    why,
    group: 'server',
    action: { type: 'make-image', image: name, argv },
    undo: { type: 'remove-image', image: name },
  });
  const isThere = (name: string): boolean => images.includes(name);
  const build = ['docker', 'build', '--tag', image.name, folder];
  return [
    ...(isThere(image.name)
      ? []
      : [
          ...[deployment.container.baseImage]
            .filter((name) => !isThere(name))
            .map((name) => step(name, `pull ${name}`, 'the image stands on it', ['docker', 'pull', name])),
          // Without its plugin BuildKit refuses; the older builder takes the same file.
          step(image.name, `build image ${image.name}`, 'server or settings changed', [
            ...(buildx ? [] : ['env', 'DOCKER_BUILDKIT=0']),
            ...build,
          ]),
        ]),
    ...imagesBeside(deployment)
      .filter((name) => !isThere(name))
      .map((name) => step(name, `pull ${name}`, 'not here yet', ['docker', 'pull', name])),
  ];
}

/** Other machines pull it; a name without a registry stays on this one. */
export function pushSteps({ name, isBuilt }: ChosenImage, why: string): readonly Step[] {
  if (!isBuilt || !namesRegistry(name)) return [];
  return [
    {
      id: 'push-image',
      title: `push ${name}`,
      why,
      group: 'server',
      action: { type: 'make-image', image: name, argv: ['docker', 'push', name] },
      undo: { type: 'none' },
    },
  ];
}

/** Whether the first part of an image's name is the address of a registry. Source: github.com/distribution/reference. */
export function namesRegistry(image: string): boolean {
  const [registry = ''] = image.split('/');
  return image.includes('/') && /[.:]|^localhost$/.test(registry);
}
/** Images that are looked for: what this deployment would build on, and what stands beside its server. */
export function imagesBeside({ container }: Deployment): readonly string[] {
  return [
    ...(container.proxy === 'none' ? [] : [proxyImages[container.proxy]]),
    ...(container.redis ? ['redis:8.2'] : []),
  ];
}

/** The image of the files that a deployment is built from, tagged by their content. */
export function contentTag(files: readonly RenderedFile[]): string {
  const context = files.filter((file) => isOfContext(file));
  return sha256Hex(
    context
      .map((file) => `${nameBelow(file)}\0${sha256Hex(file.content)}${file.mode === 0o755 ? ' x' : ''}`)
      .join('\n'),
  ).slice(0, 12);
}

/** Whether a file is one that the image is built from. */
export function isOfContext(file: RenderedFile): boolean {
  const name = nameBelow(file);
  return contextNames.has(name) || name.startsWith(`${ownFolder}/`);
}
