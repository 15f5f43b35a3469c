import { isIP } from 'node:net';
import { isCertificateName } from './host-name.ts';
import { judgeAddressBlocks } from './judge-addresses.ts';
import type { MeaningProblem } from './judge-texts.ts';
import type { Deployment } from './schema.ts';
import { quoted } from './shape-sentences.ts';

/** Names that no Host header can have. */
export function judgeAllowedHosts({ server }: Deployment): MeaningProblem[] {
  return server.allowedHosts.flatMap((text, index): MeaningProblem[] => {
    const host = text.replace(/:[0-9]{1,5}$/, '').replace(/^\[(.*)\]$/, '$1');
    if (isCertificateName(host) || isIP(text) !== 0) return [];
    const hint = 'a name or address as clients write it, for example: mcp.example.com or *.example.com';
    return [{ path: ['server', 'allowedHosts', index], message: `cannot be ${quoted(text)}`, hint }];
  });
}

/** What is no origin of a page, and all origins where no key is asked for. */
export function judgeAllowedOrigins({ server, auth }: Deployment): MeaningProblem[] {
  return server.allowedOrigins.flatMap((text, index): MeaningProblem[] => {
    const path = ['server', 'allowedOrigins', index];
    if (text === '*') {
      if (auth.required) return [];
      const message = 'cannot be "*" without keys: any web page could call';
      return [{ path, message, hint: 'list the origins, one by one, or set auth.required: true' }];
    }
    const url = URL.canParse(text) ? new URL(text) : null;
    if (url !== null && url.origin === text) return [];
    // Desktop apps have schemes of their own, of which URL knows no origin.
    if (url?.origin === 'null' && /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(text)) return [];
    const example = url === null || url.origin === 'null' ? 'https://app.example.com' : url.origin;
    const hint = `scheme, host and port only, for example: ${example}`;
    return [{ path, message: `is not an origin: ${quoted(text)}`, hint }];
  });
}

/** Proxies that are no address, or everybody. */
export function judgeTrustedProxies({ server }: Deployment): MeaningProblem[] {
  const problems = judgeAddressBlocks(['server', 'trustedProxies'], server.trustedProxies);
  for (const [index, text] of server.trustedProxies.entries()) {
    if (!/\/0+$/.test(text)) continue;
    const hint = 'name the proxies: anyone could claim any client address';
    problems.push({
      path: ['server', 'trustedProxies', index],
      message: `trusts every address: ${quoted(text)}`,
      hint,
    });
  }
  return problems;
}

/** Whoever connects could say that it is somebody else. */
export function judgeProxyProtocol({ server }: Deployment): MeaningProblem[] {
  if (server.proxyProtocol === 'off' || server.trustedProxies.length > 0) return [];
  const hint = 'name the proxy that sends the header in server.trustedProxies, for example: loopback';
  return [{ path: ['server', 'proxyProtocol'], message: 'needs a proxy that is trusted', hint }];
}

/** Entries of the lists of addresses that are none. */
export function judgeAddressLists({ server }: Deployment): MeaningProblem[] {
  const { allowFrom, denyFrom, metricsFrom, healthFrom } = server;
  return Object.entries({
    allowFrom,
    denyFrom,
    metricsFrom,
    healthFrom: healthFrom === 'everyone' ? [] : healthFrom,
  }).flatMap(([name, entries]) => judgeAddressBlocks(['server', name], entries));
}

/** The same rule as at the start of the server. */
export function judgeMetricsForAll({ server }: Deployment): MeaningProblem[] {
  if (!server.metrics) return [];
  return server.metricsFrom.flatMap((text, index): MeaningProblem[] => {
    if (!/\/0+$/.test(text)) return [];
    const hint = 'name the networks of those who read them, or let them send a key';
    return [
      { path: ['server', 'metricsFrom', index], message: `gives the metrics to everyone: ${quoted(text)}`, hint },
    ];
  });
}
