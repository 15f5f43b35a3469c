import { EnvironmentError } from '../deployment/errors.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import { deploymentSchema, type Deployment } from '../deployment/schema.ts';
import type { HostFacts } from './facts.ts';
import { isAtLeast, parseVersion } from '../targets/parse-version.ts';
import { hostProxies, hostProxyOf, proxyReading } from './host-proxies.ts';
import { refuseTakenPorts } from './plan-service.ts';
import type { SystemFacts } from './system-facts.ts';

export function requireSystem({ system }: HostFacts): SystemFacts {
  if (system === undefined) throw new Error('a plan for a host without facts of the host');
  return system;
}

const leastFreeBytes = 64 * 1024 * 1024;

/** Refuses, before anything is changed, what this host cannot carry. @throws EnvironmentError (exit 3) */
export function refuseHost(deployment: Deployment, facts: HostFacts, system: SystemFacts): void {
  const proxy = hostProxyOf(deployment);
  for (const name of ['systemctl', 'systemd-analyze', 'useradd', 'runuser']) {
    if (system.programs[name] !== undefined) continue;
    throw new EnvironmentError(`There is no ${name} on this host.`, {
      why: 'mcp-deploy.yaml asks for systemd (service.manager).',
      next: 'Set service.manager: none.',
    });
  }
  if (proxy !== null && system.programs[proxy.name] === undefined) {
    throw new EnvironmentError(`There is no ${proxy.name} on this host.`, {
      why: `mcp-deploy.yaml asks for ${proxy.title} (proxy.program).`,
      next: `apt-get install ${proxy.name}        or set proxy.program: none`,
    });
  }
  refuseClosedFolders(system);
  refuseFront(deployment, facts, system);
  if (system.freeBytes < leastFreeBytes) {
    throw new EnvironmentError('The disk of /opt is almost full.', {
      why: `${Math.floor(system.freeBytes / 1_048_576)} MB are free; a release needs ${leastFreeBytes / 1_048_576} MB to be made safely.`,
      next: 'Make room, then run the command again: df -h /opt',
    });
  }
  if (/^\/(?:root|home)(?:\/|$)/.test(facts.baseDir)) {
    throw new EnvironmentError(`${facts.baseDir} is in a home folder.`, {
      why: `The service runs as ${deployment.service.user}, starts its MCP servers in the folder of mcp-deploy.yaml, and may not enter homes.`,
      next: `Move it: mkdir -p /srv/${deployment.name} && mv ${facts.deploymentFile.path} /srv/${deployment.name}/`,
    });
  }
  refuseTakenPorts(facts, deployment);
  const { serverCertificate: certificate } = facts;
  if (deployment.tls.source === 'files' && certificate !== null && certificate.daysLeft < 0) {
    throw new EnvironmentError('Your certificate has expired.', {
      why: `${deployment.tls.certificate} ended on ${certificate.notAfter.slice(0, 10)}: no client would connect.`,
      next: 'Put a new one in its place, then run the command again.',
    });
  }
}

function refuseClosedFolders({ closed = [] }: SystemFacts): void {
  const [first] = closed;
  if (first === undefined) return;
  const { path, why } = first;
  throw new EnvironmentError(why === 'full' ? `The disk of ${path} is full.` : `${path} is read-only.`, {
    why: 'Files of this deployment are written there.',
    next:
      why === 'full'
        ? `Make room, then run the command again: df -h ${path}`
        : `Make it writable, then run the command again: findmnt --target ${path}`,
  });
}

/** The proxy is new enough, and what it listens on is free, or its own, or left by who goes in this very plan. */
function refuseFront(deployment: Deployment, facts: HostFacts, { front, isRoot }: SystemFacts): void {
  const proxy = hostProxyOf(deployment);
  if (proxy === null || front === undefined) return;
  const { name, title, oldest, unit } = proxy;
  if (front.version !== null && !isAtLeast(parseVersion(front.version), parseVersion(oldest))) {
    throw new EnvironmentError(`${title} is too old: ${front.version.trim()}`, {
      why: `Its site is written for ${title} ${oldest} or newer.`,
      next: `apt-get install --only-upgrade ${name}        or set proxy.program: none`,
    });
  }
  const leaving = hostProxies.filter((each) =>
    Object.keys(facts.release?.files ?? {}).some((path) => proxyReading(path) === each),
  );
  const ours = new Set([unit, ...leaving.map((each) => each.unit)]);
  // The server may have listened there itself until now.
  const before = deploymentSchema.safeParse(facts.release?.desired);
  const served = before.success ? listenAddresses(before.data.server) : [];
  const taken = front.held.find(
    ({ port, pid, unit: holder }) =>
      pid !== null &&
      !(holder !== null && ours.has(holder)) &&
      !served.some((address) => address.kind === 'tcp' && address.port === port),
  );
  // Others than root do not see who it is.
  if (taken === undefined || !isRoot) return;
  const { port, holder, unit: other } = taken;
  const isService = other?.endsWith('.service') === true;
  throw new EnvironmentError(
    `Port ${port} is held by ${holder ?? 'another program'}, and ${title} is to listen there.`,
    {
      why: `Two programs cannot own one port${isService ? `; this one belongs to ${other}` : ''}.`,
      next: !isService
        ? `Stop that program, or choose other ports: server.publicUrl, proxy.httpPort`
        : `systemctl disable --now ${other}        or choose other ports: server.publicUrl, proxy.httpPort`,
    },
  );
}

/** Refused as late as possible, so that everyone may look at a plan. @throws EnvironmentError (exit 3) */
export function refuseWithoutRights(facts: HostFacts, command: string): void {
  if (facts.system === undefined || facts.system.isRoot) return;
  throw new EnvironmentError('This changes the host, and that is for root.', {
    why: 'service.manager: systemd writes below /etc, /opt and /var, and starts services.',
    next: `sudo ${command}`,
  });
}
