import { isIP } from 'node:net';
import { isLoopback, listenAddresses } from '../../deployment/listen-address.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { UserError } from '../../deployment/errors.ts';
import { compileTemplate } from '../../render/compile-template.ts';
import { quoteShell } from '../../render/quote/shell.ts';
import { identifierOnHost, nameOnHost } from '../name-on-host.ts';
import type { RenderedFile, TargetCommands, TargetInput } from '../types.ts';

/**
 * Rules for four firewalls, of which a host has one: they are written to be read, and nothing applies them.
 * Throws a UserError when nobody outside of the machine can connect anyway.
 */
export function renderFirewallFiles(input: TargetInput): readonly RenderedFile[] {
  const { deployment, templates } = input;
  const service = nameOnHost(deployment.name);
  const ports = publicPorts(input);
  const sources = sourcesOf(deployment);
  const rules = ports.flatMap((port) =>
    sources.map((source) => ({
      port,
      source: source ?? 'any',
      match: source === null ? '' : `${source.includes(':') ? 'ip6' : 'ip'} saddr ${source} `,
      comment: quoteShell(`mcp-deploy ${deployment.name}`, 'name'),
    })),
  );
  const fill = (template: string, file: string, installPath: string, mode = 0o644): RenderedFile => ({
    path: `firewall/${file}`,
    installPath,
    mode,
    content: compileTemplate(templates(`firewall/${template}.hbs`))({
      name: deployment.name,
      installPath,
      service,
      table: `mcp_deploy_${identifierOnHost(deployment.name)}`,
      ports: ports.map((port) => ({ port })),
      rules,
    }),
  });
  return [
    fill('ufw.sh', `${service}.ufw.sh`, `/usr/local/sbin/${service}.ufw.sh`, 0o755),
    fill('nftables.nft', `${service}.nft`, `/etc/nftables.d/${service}.nft`),
    fill('firewalld.xml', `${service}.firewalld.xml`, `/etc/firewalld/services/${service}.xml`),
    fill('pf.conf', `${service}.pf.conf`, `/etc/pf.anchors/${service}`),
  ];
}

export function planFirewallCommands({ deployment }: TargetInput): TargetCommands {
  const service = nameOnHost(deployment.name);
  return {
    check: [
      { title: 'check the script for ufw', argv: ['sh', '-n', `/usr/local/sbin/${service}.ufw.sh`] },
      { title: 'check the rules for nftables', argv: ['nft', '--check', '--file', `/etc/nftables.d/${service}.nft`] },
    ],
    install: [],
    restart: [],
    remove: [],
    notices: [
      'Take the file of the firewall that this host has; none of them is applied for you.',
      'ssh is let in on port 22: change that before you apply it where yours is another, or you are locked out.',
      'Docker opens published ports before these rules are asked: publish them on loopback.',
      ...(deployment.server.allowFrom.length === 0
        ? []
        : ['firewalld knows ports here, not addresses: server.allowFrom is enforced by the server itself.']),
    ],
  };
}

/** Ports that clients from outside connect to: those of a proxy in front, else those of the server that are no loopback. */
function publicPorts({ deployment, proxyPorts }: TargetInput): readonly number[] {
  const { server, proxy } = deployment;
  const open = listenAddresses(server).flatMap((address) =>
    address.kind === 'tcp' && !isLoopback(address) ? [address.port] : [],
  );
  const behindProxy = server.behindProxy || proxy.serverName !== undefined || server.publicUrl !== undefined;
  const url = server.publicUrl === undefined ? null : new URL(server.publicUrl);
  const own = url === null || url.port === '' ? 443 : Number(url.port);
  // Port 80 sends people to 443 and answers the challenges of certificate authorities.
  const ports = behindProxy ? [proxyPorts?.https ?? own, proxyPorts?.http ?? proxy.httpPort] : open;
  if (ports.length === 0) {
    throw new UserError('There is no port to open', {
      why: 'The server listens on this machine alone, and no proxy is named in front of it.',
      next: 'Set server.listen to an address of this machine, or proxy.serverName.',
    });
  }
  return [...new Set(ports)].toSorted((one, other) => one - other);
}

/** Null stands for everybody. Words such as loopback need no rule. */
function sourcesOf({ server }: Pick<Deployment, 'server'>): readonly (string | null)[] {
  const networks = server.allowFrom
    .map((text) => text.trim())
    .filter((text) => isIP(text.split('/')[0] ?? '') !== 0 && /^[0-9a-fA-F:./]+$/.test(text));
  return server.allowFrom.length === 0 ? [null] : networks;
}
