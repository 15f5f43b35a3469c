import { isDnsName } from '../../deployment/host-name.ts';
import { isPublicName } from '../../targets/proxy-site.ts';
import { slugFrom } from '../slug.ts';
import type { Answers, GivenAnswers } from './answers.ts';
import type { ProfileId } from './profile-ids.ts';
import type { WizardFacts } from './facts.ts';
import { profileOf, profiles } from './profiles.ts';
import type { Profile } from './profile.ts';

/**
 * Every answer: what was given, else what stands in the deployment that is there, else what this machine suggests. Pure.
 * An answer may be empty where only a person knows it (the public name): `missingAnswers` names those.
 */
export function settleAnswers(given: GivenAnswers, existing: GivenAnswers | null, facts: WizardFacts): Answers {
  const known: GivenAnswers = { ...existing, ...withoutHoles(given) };
  const profile = known.profile ?? proposeProfile(facts);
  const { publicName } = profileOf(profile);
  const serverName =
    publicName === 'none'
      ? null
      : known.serverName !== undefined
        ? known.serverName
        : publicName === 'needed'
          ? proposeServerName(facts)
          : null;
  // A command that is given takes the place of the URL that stood there, and the other way round.
  const usesUrl = given.url !== undefined && given.url !== null;
  const usesCommand = given.command !== undefined && given.command !== null;
  return {
    profile,
    command: usesUrl ? null : (known.command ?? null),
    env: usesUrl ? [] : (known.env ?? []),
    url: usesCommand ? null : (known.url ?? null),
    headers: usesCommand ? {} : (known.headers ?? {}),
    name: known.name ?? slugFrom(facts.folderName, 'mcp'),
    listen: known.listen ?? proposeListen(profile, facts),
    names: known.names ?? proposeNames(profile, facts),
    serverName,
    certificate: known.certificate ?? 'private-ca',
    email: known.email ?? facts.email,
    agreeTos: known.agreeTos ?? false,
    certificateFile: known.certificateFile ?? null,
    keyFile: known.keyFile ?? null,
    image: known.image ?? null,
    keys: known.keys ?? true,
  };
}

/** What fits here: the host that this machine seems to be, or a try-out. */
function proposeProfile(facts: WizardFacts): ProfileId {
  if (facts.platform === 'darwin') return 'macos';
  // Somebody's own machine is left alone; who works as root on a host with a proxy most likely sets one up.
  const proxy = (['nginx', 'caddy', 'haproxy'] as const).find((program) => facts.programs[program] !== null);
  return facts.systemdRuns && facts.isRoot && proxy !== undefined ? `linux-${proxy}` : 'local';
}

/** Why a profile does not fit this machine, in a few words; null when it does. */
function whyUnfit(profile: Profile, facts: WizardFacts): string | null {
  const why = whyNotHere(profile, facts);
  if (why !== null) return why;
  if (profile.needs.includes('docker') && !facts.dockerUsable) return 'this user may not use Docker';
  return profile.asRoot === true && !facts.isRoot ? 'applied as root' : null;
}

/** Why nobody could apply it on this machine as it is; null where somebody could. */
export function whyNotHere({ needs, platform }: Profile, facts: WizardFacts): string | null {
  if (platform === 'darwin' && facts.platform !== 'darwin') return 'for a Mac';
  if (platform === 'linux' && facts.platform !== 'linux') return 'for Linux';
  if (needs.includes('systemctl') && !facts.systemdRuns) return 'systemd does not run here';
  const missing = needs.find((program) => facts.programs[program] === null);
  return missing === undefined ? null : `no ${missing} here`;
}

/** The profiles that this machine can run at once come first; the order is theirs otherwise. */
export function profilesFor(
  facts: WizardFacts,
): readonly { readonly profile: Profile; readonly unfit: string | null }[] {
  return profiles.map((profile) => ({ profile, unfit: whyUnfit(profile, facts) }));
}

/** The whole name of this machine where it has a public one: its host name, or what /etc/hosts adds to it. */
function proposeServerName({ hostName, hostsFile }: WizardFacts): string | null {
  const own = hostName.toLowerCase();
  if (isDnsName(own) && isPublicName(own)) return own;
  for (const line of (hostsFile ?? '').split('\n').slice(0, 1_000)) {
    const [, ...names] = (line.split('#')[0] ?? '').trim().toLowerCase().split(/\s+/);
    if (!names.includes(own)) continue;
    const whole = names.find((name) => name.startsWith(`${own}.`) && isDnsName(name) && isPublicName(name));
    if (whole !== undefined) return whole;
  }
  return null;
}

/** What is offered for a name: what every client trusts, where a public authority signs for it. */
export function publicCertificate({ serverName }: Pick<Answers, 'serverName'>): Answers['certificate'] {
  return serverName !== null && isPublicName(serverName) ? 'letsencrypt' : 'private-ca';
}

function proposeListen(profile: ProfileId, { freePort }: WizardFacts): string {
  // Those of a container, where nothing else is, need not be free here.
  return fixedListen[profile] ?? `localhost:${freePort}`;
}

const fixedListen: Readonly<Partial<Record<ProfileId, string>>> = {
  'api-gateway': 'localhost:8000',
  'terminal-daemon': 'localhost:3456',
  docker: 'localhost:8443',
  kubernetes: 'localhost:8443',
  'team-keys': 'localhost:8443',
};

/** On a Mac others find it as NAME.local. */
function proposeNames(profile: ProfileId, { hostName }: WizardFacts): readonly string[] | null {
  if (profileOf(profile).platform !== 'darwin') return null;
  const short = hostName.toLowerCase().split('.')[0] ?? '';
  const own = isDnsName(short) && short !== 'localhost' ? [short, `${short}.local`] : [];
  return [...new Set(['localhost', ...own, '127.0.0.1', '::1'])];
}

function withoutHoles(given: GivenAnswers): GivenAnswers {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
