import type { Observations } from '../observations.ts';
import { caddySuspects } from './caddy-suspects.ts';
import { haproxySuspects } from './haproxy-suspects.ts';
import { nginxSuspects } from './nginx-suspects.ts';
import type { ConfigTarget, Suspect } from './suspect.ts';

/** Lines of the proxy's configuration that can explain a finding with this code, the likeliest first. */
export function suspectsFor(code: string, { proxyConfig, target, direct }: Observations): readonly Suspect[] {
  if (proxyConfig.status !== 'ok') return [];
  const { pathname } = new URL(target.url);
  const of: ConfigTarget = {
    host: target.host,
    port: target.port,
    path: pathname,
    upstreamPath: direct.status === 'ok' ? new URL(direct.url).pathname : pathname,
    upstream: direct.status === 'ok' ? new URL(direct.url).host : null,
  };
  const read = { nginx: nginxSuspects, caddy: caddySuspects, haproxy: haproxySuspects }[proxyConfig.program];
  return read(proxyConfig, of).filter((suspect) => suspect.code === code);
}
