import type { Deployment } from '../../deployment/schema.ts';
import { nameOnHost } from '../name-on-host.ts';

/** Name under which the image is built, pushed and pulled. */
export function imageName({ name, container }: Deployment): string {
  return container.image ?? `${nameOnHost(name)}:latest`;
}

/** The name without its tag and digest, and these two: what kustomize replaces one by one. */
export function splitImageName(image: string): { name: string; tag: string | null; digest: string | null } {
  const [, name = image, tag = null, digest = null] =
    /^(.+?)(?::([^:/@]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(image) ?? [];
  return { name, tag, digest };
}
