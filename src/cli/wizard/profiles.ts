import { profileIds, type ProfileId } from './profile-ids.ts';
import { appliedNext, composeDraft, hostDraft, kubernetesDraft, localDraft } from './drafts.ts';
import type { Profile } from './profile.ts';
import { productProfiles } from './product-profiles.ts';

const onHost = (program: 'nginx' | 'caddy' | 'haproxy', title: string, about: string): Profile => ({
  id: `linux-${program}`,
  title,
  about,
  asks: ['serverName', 'certificate', 'email', 'agreeTos', 'certificateFile', 'keyFile'],
  needs: [program, 'systemctl'],
  asRoot: true,
  platform: 'linux',
  publicName: 'needed',
  renders: [],
  next: () => [],
  draft: (answers) => hostDraft(answers, program),
});

/** In the order in which they are offered. */
export const profiles: readonly Profile[] = [
  {
    id: 'local',
    title: 'Try it on this machine',
    about: 'A process of this folder with a certificate of its own; nothing outside of the folder is touched.',
    asks: ['listen'],
    needs: [],
    publicName: 'possible',
    renders: [],
    next: () => [],
    draft: localDraft,
  },
  onHost(
    'nginx',
    'Linux host, nginx in front',
    'A systemd service with nginx before it, installed as one change that can be undone.',
  ),
  onHost(
    'caddy',
    'Linux host, Caddy in front',
    "A systemd service with Caddy before it, which gets certificates from Let's Encrypt by itself.",
  ),
  onHost(
    'haproxy',
    'Linux host, HAProxy in front',
    'A systemd service with HAProxy before it, for hosts that balance by it already.',
  ),
  {
    id: 'linux-user',
    title: 'Linux service of yours, no root',
    about: 'A service of systemd --user: it runs while you are logged in, or from boot on if lingering is allowed.',
    asks: ['listen'],
    needs: ['systemctl'],
    platform: 'linux',
    publicName: 'possible',
    renders: [],
    next: () => [],
    draft: (answers) => ({ ...localDraft(answers), service: { manager: 'systemd-user' } }),
  },
  {
    id: 'macos',
    title: 'Mac, started by launchd',
    about: 'A server on this Mac that starts when you log in, with a certificate for its name in the network.',
    asks: ['listen', 'names'],
    needs: ['launchctl'],
    platform: 'darwin',
    publicName: 'possible',
    renders: [],
    next: () => [],
    draft: (answers) => ({ ...localDraft(answers), service: { manager: 'launchd' } }),
  },
  {
    id: 'docker',
    title: 'Docker Compose',
    about: 'An image with the server, and a Compose file with a proxy where there is a public name.',
    asks: ['serverName', 'certificate', 'certificateFile', 'keyFile', 'image'],
    needs: ['docker'],
    publicName: 'possible',
    renders: ['docker'],
    next: appliedNext,
    draft: (answers) => ({ ...composeDraft(answers), service: { manager: 'docker' } }),
  },
  {
    id: 'kubernetes',
    title: 'Kubernetes',
    about: 'Manifests with probes, network policy, autoscaling and an Ingress for the public name.',
    asks: ['serverName', 'image'],
    needs: [],
    publicName: 'needed',
    renders: ['docker', 'kubernetes'],
    next: appliedNext,
    draft: (answers) => ({ ...kubernetesDraft(answers), service: { manager: 'kubernetes' } }),
  },
  ...productProfiles,
];

/** The profile of an id that has been judged. */
export function profileOf(id: ProfileId): Profile {
  const found = profiles.find((profile) => profile.id === id);
  if (found === undefined) throw new Error(`no profile ${id} among ${profileIds.join(', ')}`);
  return found;
}
