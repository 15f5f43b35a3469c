import type { TargetInput } from './types.ts';

/** Settings of the server without which it works, but not rightly, behind a proxy on the same machine. */
export function proxyNotices({ deployment }: TargetInput): readonly string[] {
  const { listen, trustedProxies } = deployment.server;
  const notices: string[] = [];
  if (trustedProxies.length === 0) {
    notices.push(
      'server.trustedProxies is empty: the server takes the address of the proxy for that of every client. ' +
        'Set it to [127.0.0.1, "::1"] when the proxy is on this machine.',
    );
  }
  const servers = Object.entries(deployment.proxy.servers ?? {});
  if (servers.length > 1) {
    const names = servers.map(([name]) => (Array.isArray(deployment.proxy.servers) ? `r${Number(name) + 1}` : name));
    notices.push(
      `Start every server under its own name (server.replica, or MCP_REPLICA): ${names.join(', ')}. ` +
        'Its sessions find it by that name. Scrape the metrics of each at its own address.',
    );
  }
  if ([listen].flat().some((address) => address.startsWith('unix:'))) {
    notices.push(
      `The Unix socket is open to the group of the server: put the user of the proxy into it, ` +
        `for example: usermod -aG ${deployment.service.user} www-data`,
    );
  }
  return notices;
}
