/** Where and how a deployment runs, by the name that `--profile` takes. */
export const profileIds = [
  'local',
  'linux-nginx',
  'linux-caddy',
  'linux-haproxy',
  'linux-user',
  'macos',
  'docker',
  'kubernetes',
  'mac-desktop',
  'team-keys',
  'declared-tools',
  'api-gateway',
  'terminal-daemon',
] as const;
export type ProfileId = (typeof profileIds)[number];

export const certificateKinds = ['private-ca', 'letsencrypt', 'files'] as const;
export type CertificateKind = (typeof certificateKinds)[number];
