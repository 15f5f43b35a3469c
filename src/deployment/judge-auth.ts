import { judgeFilePath, type MeaningProblem } from './judge-texts.ts';
import type { Deployment } from './schema.ts';

/** What of `auth` contradicts itself or the rest. */
export function judgeAuth({ auth, server, tls }: Deployment): readonly MeaningProblem[] {
  const problems: MeaningProblem[] = [];
  const { oauth } = auth;
  if (oauth !== undefined) {
    if (!auth.required) {
      const message = 'is of no use while auth.required is false';
      problems.push({ path: ['auth', 'oauth'], at: 'key', message, hint: 'set auth.required: true' });
    }
    const audiences = [oauth.audience ?? []].flat();
    if (server.publicUrl === undefined && !audiences.some((audience) => /^https?:\/\//.test(audience))) {
      problems.push({
        path: ['auth', 'oauth'],
        at: 'key',
        message: 'needs the URL that clients use: tokens are for it',
        hint: 'set server.publicUrl, or an audience that is a URL',
      });
    }
    if (oauth.caFile !== undefined) problems.push(...judgeFilePath(['auth', 'oauth', 'caFile'], oauth.caFile));
  }
  const { mtls } = auth;
  if (mtls !== undefined) {
    const path = ['auth', 'mtls'];
    if (!auth.required) {
      const message = 'is of no use while auth.required is false';
      problems.push({ path, at: 'key', message, hint: 'set auth.required: true' });
    }
    if (tls.source === 'off') {
      const message = 'needs TLS: a proxy that ends it keeps the certificates of clients to itself';
      problems.push({ path, at: 'key', message, hint: 'set tls.source, or let the proxy check certificates' });
    }
    problems.push(...judgeFilePath([...path, 'ca'], mtls.ca));
    for (const file of [mtls.crl ?? []].flat()) problems.push(...judgeFilePath([...path, 'crl'], file));
  }
  const labels = auth.keys.map(({ label }) => label);
  for (const [index, label] of labels.entries()) {
    if (labels.indexOf(label) === index) continue;
    const path = ['auth', 'keys', index, 'label'];
    problems.push({ path, message: `repeats ${JSON.stringify(label)}`, hint: 'give each key a label of its own' });
  }
  return problems;
}
