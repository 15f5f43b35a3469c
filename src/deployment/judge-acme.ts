import { isIP } from 'node:net';
import type { AcmeTls } from './acme-schema.ts';
import { judgeFilePath, type MeaningProblem } from './judge-texts.ts';
import { quoted } from './shape-sentences.ts';

/** Settings of `tls: {source: acme}` that contradict each other, or that no CA would serve. */
export function judgeAcme(tls: AcmeTls): readonly MeaningProblem[] {
  return [
    ...(tls.agreeTos
      ? []
      : [
          {
            path: ['tls', 'agreeTos'],
            message: 'must be true to ask for a certificate',
            hint: 'read the terms of the authority (Let’s Encrypt: https://letsencrypt.org/repository/), then set it',
          },
        ]),
    ...judgeChallenge(tls),
    ...(['caFile', 'webroot'] as const).flatMap((setting) => {
      const path = tls[setting];
      return path === undefined ? [] : judgeFilePath(['tls', setting], path);
    }),
    ...(tls.eab === undefined ? [] : judgeFilePath(['tls', 'eab', 'keyFile'], tls.eab.keyFile)),
  ];
}

function judgeChallenge(tls: AcmeTls): MeaningProblem[] {
  const { challenge, names } = tls;
  const problems: MeaningProblem[] = [];
  const challengePath = ['tls', 'challenge'];
  if (challenge === 'dns-01' && tls.dnsHook === undefined) {
    const message = 'is dns-01, and there is no tls.dnsHook';
    problems.push({
      path: challengePath,
      message,
      hint: 'name the program that sets the record: dnsHook: [/path/to/hook]',
    });
  }
  if (challenge !== 'dns-01') {
    const wildcard = names.find((name) => name.startsWith('*.'));
    if (wildcard !== undefined) {
      const message = `cannot prove ${quoted(wildcard)}`;
      problems.push({ path: challengePath, message, hint: 'a wildcard is proven with challenge: dns-01 only' });
    }
  }
  if (challenge === 'dns-01') {
    const address = names.find((name) => isIP(name) !== 0);
    if (address !== undefined) {
      const message = `cannot prove the address ${quoted(address)}`;
      problems.push({ path: challengePath, message, hint: 'an address is proven with http-01 or tls-alpn-01' });
    }
  }
  if (tls.webroot !== undefined && (challenge !== 'http-01' || tls.listen !== undefined)) {
    const message = challenge === 'http-01' ? 'and tls.listen exclude each other' : 'is of use with http-01 only';
    problems.push({ path: ['tls', 'webroot'], at: 'key', message, hint: 'keep one of the two' });
  }
  return problems;
}
