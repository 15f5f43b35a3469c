import { UserError } from '../deployment/errors.ts';
import { nearestWord } from '../deployment/nearest-word.ts';
import { planCaddyCommands } from './caddy/commands.ts';
import { renderCaddyFiles } from './caddy/files.ts';
import { planDockerCommands } from './docker/commands.ts';
import { renderDockerFiles } from './docker/files.ts';
import { planFirewallCommands, renderFirewallFiles } from './firewall/files.ts';
import { planGrafanaCommands, renderGrafanaFiles } from './grafana/files.ts';
import { planHaproxyCommands } from './haproxy/commands.ts';
import { renderHaproxyFiles } from './haproxy/files.ts';
import { planKubernetesCommands } from './kubernetes/commands.ts';
import { renderKubernetesFiles } from './kubernetes/files.ts';
import { planLaunchdCommands, planLaunchdDaemonCommands } from './launchd/commands.ts';
import { renderLaunchdDaemonFiles, renderLaunchdFiles } from './launchd/files.ts';
import { planLogrotateCommands, renderLogrotateFiles } from './logrotate/files.ts';
import { planNginxCommands } from './nginx/commands.ts';
import { renderNginxFiles } from './nginx/files.ts';
import { planPrometheusCommands, renderPrometheusFiles } from './prometheus/files.ts';
import { tryCaddy, tryHaproxy, tryNginx } from './proxy-trial.ts';
import { planSwarmCommands } from './swarm/commands.ts';
import { renderSwarmFiles } from './swarm/files.ts';
import { planSystemdCommands, planSystemdUserCommands } from './systemd/commands.ts';
import { renderSystemdFiles, renderSystemdUserFiles } from './systemd/files.ts';
import { planTraefikCommands } from './traefik/commands.ts';
import { renderTraefikFiles } from './traefik/files.ts';
import { timerTarget } from './timer-targets.ts';
import type { RenderedFile, Target, TargetInput } from './types.ts';

/** Everything we write configuration for, in the order in which `render --list` shows it. */
export const targets: readonly Target[] = [
  {
    name: 'nginx',
    summary: 'reverse proxy: TLS, the public name and its limits in front of the server',
    program: 'nginx',
    checkedBy: 'nginx -t',
    trial: tryNginx,
    files: renderNginxFiles,
    commands: planNginxCommands,
  },
  {
    name: 'caddy',
    summary: 'reverse proxy that gets the certificate of a public name by itself',
    program: 'caddy',
    checkedBy: 'caddy validate',
    trial: tryCaddy,
    files: renderCaddyFiles,
    commands: planCaddyCommands,
  },
  {
    name: 'haproxy',
    summary: 'reverse proxy and load balancer, where HAProxy is what the host has',
    program: 'haproxy',
    checkedBy: 'haproxy -c',
    trial: tryHaproxy,
    files: renderHaproxyFiles,
    commands: planHaproxyCommands,
  },
  {
    name: 'traefik',
    summary: 'reverse proxy of container hosts, by a file of its file provider',
    program: 'traefik',
    files: renderTraefikFiles,
    commands: planTraefikCommands,
  },
  {
    name: 'systemd',
    summary: 'service of a Linux host: starts at boot, restarts, is confined to what it needs',
    program: 'systemd',
    checkedBy: 'systemd-analyze verify',
    files: renderSystemdFiles,
    commands: planSystemdCommands,
  },
  {
    name: 'systemd-user',
    summary: 'service of one person on Linux, without root',
    program: 'systemd',
    files: renderSystemdUserFiles,
    commands: planSystemdUserCommands,
  },
  {
    name: 'systemd-timer',
    summary: 'looks twice a day whether the certificate is due, on Linux with systemd',
    program: 'systemd',
    ...timerTarget('systemd-timer', 'systemd', []),
  },
  {
    name: 'launchd',
    summary: 'agent of a Mac: starts at login and restarts',
    program: 'launchd',
    checkedBy: 'plutil -lint',
    files: renderLaunchdFiles,
    commands: planLaunchdCommands,
  },
  {
    name: 'launchd-daemon',
    summary: 'daemon of a Mac: starts at boot, as a user of its own',
    program: 'launchd',
    files: renderLaunchdDaemonFiles,
    commands: planLaunchdDaemonCommands,
  },
  {
    name: 'launchd-timer',
    summary: 'looks twice a day whether the certificate is due, on a Mac',
    program: 'launchd',
    ...timerTarget('launchd-timer', 'launchd', []),
  },
  {
    name: 'cron',
    summary: 'looks twice a day whether the certificate is due, on hosts without systemd',
    program: 'cron',
    ...timerTarget('cron', 'cron', [
      'For a crontab of your own: leave out the word root, and SHELL and PATH stand for all lines below them.',
    ]),
  },
  {
    name: 'logrotate',
    summary: 'moves the audit file and the log away every day, where the server does not',
    program: 'logrotate',
    files: renderLogrotateFiles,
    commands: planLogrotateCommands,
  },
  {
    name: 'firewall',
    summary: 'rules for ufw, nftables, firewalld and pf, to be read and applied by you',
    program: 'nft',
    files: renderFirewallFiles,
    commands: planFirewallCommands,
  },
  {
    name: 'prometheus',
    summary: 'scrape configuration, recorded series and alerts, and an example for Alertmanager',
    program: 'prometheus',
    files: renderPrometheusFiles,
    commands: planPrometheusCommands,
  },
  {
    name: 'grafana',
    summary: 'dashboards: overview, tools, sessions and streams, upstreams, TLS and security',
    program: 'grafana',
    files: renderGrafanaFiles,
    commands: planGrafanaCommands,
  },
  {
    name: 'docker',
    summary: 'container image and Compose file: not root, read-only, secrets as files',
    program: 'docker',
    checkedBy: 'docker compose config',
    files: renderDockerFiles,
    commands: planDockerCommands,
  },
  {
    name: 'swarm',
    summary: 'stack of a Docker Swarm: copies that are replaced one after another, HAProxy in front',
    program: 'docker',
    files: renderSwarmFiles,
    commands: planSwarmCommands,
  },
  {
    name: 'kubernetes',
    summary: 'manifests of a cluster, plain and for kustomize: restricted pods, probes, scaling, routes',
    program: 'kubectl',
    files: renderKubernetesFiles,
    commands: planKubernetesCommands,
  },
];

/** The target of this name. Throws a UserError that suggests the likely one. */
export function findTarget(name: string): Target {
  const found = targets.find((target) => target.name === name);
  if (found !== undefined) return found;
  const names = targets.map((target) => target.name);
  const near = nearestWord(name, names);
  throw new UserError(`"${name}" is not a target of render.`, {
    why: `${near === null ? '' : `Did you mean ${near}? `}Known are ${names.join(', ')}.`,
    next: near === null ? 'mcp-deploy render --list' : `mcp-deploy render ${near}`,
  });
}

/** The files of one target. Throws a UserError for an unknown name or a deployment that its format cannot carry. */
export function renderTarget(name: string, input: TargetInput): readonly RenderedFile[] {
  return findTarget(name).files(input);
}
