import { canonicalName, isCertificateName } from './host-name.ts';
import { judgeAcme } from './judge-acme.ts';
import { judgeFilePath, type MeaningProblem } from './judge-texts.ts';
import type { Deployment } from './schema.ts';
import { quoted } from './shape-sentences.ts';

/** Files and names of the certificate. */
export function judgeTls({ tls }: Deployment): MeaningProblem[] {
  if (tls.source === 'files') {
    return [...judgeFilePath(['tls', 'certificate'], tls.certificate), ...judgeFilePath(['tls', 'key'], tls.key)];
  }
  if (tls.source === 'off' || tls.names === undefined) return [];
  return [...(tls.source === 'acme' ? judgeAcme(tls) : []), ...judgeNames(tls.names)];
}

function judgeNames(names: readonly string[]): MeaningProblem[] {
  return names.flatMap((name, index): MeaningProblem[] => {
    const path = ['tls', 'names', index];
    if (!isCertificateName(name)) {
      const hint = /[^\x20-\x7e]/.test(name)
        ? `write it as ${asciiName(name)}`
        : 'a DNS name or an IP address alone, for example: mcp.example.com';
      return [{ path, message: `cannot be the name of a certificate: ${quoted(name)}`, hint }];
    }
    const first = names.findIndex((other) => canonicalName(other) === canonicalName(name));
    return first === index ? [] : [{ path, message: `repeats ${quoted(names[first])}`, hint: 'keep one of the two' }];
  });
}

function asciiName(name: string): string {
  return URL.canParse(`http://${name}/`) ? new URL(`http://${name}/`).hostname : 'its xn-- form';
}
