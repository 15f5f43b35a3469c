import type { CertificateDescription } from '../../pki/describe-certificate.ts';
import type { Observations, TlsSeen } from '../observations.ts';
import type { Fix, Verdict } from '../types.ts';
import { checksOf, fail, notApplicable, notSeen, pass, unknown } from './endpoint-check.ts';
import { shellWord } from './shell-word.ts';
import { withTls } from './with-tls.ts';

const dayMs = 86_400_000;
const trustProblems = new Set(['not-trusted', 'chain-incomplete', 'name-not-permitted', 'wrong-usage']);
const dateErrors = new Set<string | null>(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

export const certificateChecks = checksOf('tls', [
  {
    code: 'tls/chain-complete',
    title: 'the server sends its intermediate certificates',
    label: 'chain complete',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake'],
    explanation:
      'A server must send its certificate and every intermediate up to the root (RFC 8446, 4.4.2). Browsers fill a gap ' +
      'from their caches and curl may too, but Node, and with it most MCP clients, says "unable to verify the first ' +
      'certificate". Usually the certificate file was configured where the full chain file belongs.',
    judge: (seen) =>
      withTls(seen, (tls) => {
        if (tls.trustedBy !== null) return pass();
        const last = tls.chain.at(-1);
        if (last === undefined) return unknown('the certificates could not be read');
        // A private CA looks the same from outside; only a certificate that says where its issuer is to be had tells.
        if (last.selfIssued || tls.issuerUrl === null) return pass();
        return fail({
          title: 'an intermediate certificate is missing',
          cause: `the server sends ${tls.chain.length === 1 ? 'its own certificate only' : `${tls.chain.length} certificates`}, and nothing that clients trust has signed the last one`,
          evidence: [
            {
              source: `certificates sent by ${tls.address}`,
              observed: tls.chain.map(({ subject }) => subject || 'without a subject').join(', then '),
              expected: `${last.issuer} behind them (${tls.issuerUrl})`,
            },
          ],
          fix: {
            summary:
              'Give the server the full chain file: certificate first, then the intermediates (fullchain.pem with certbot).',
            commands: [`curl -sO ${tls.issuerUrl}`],
          },
        });
      }),
  },
  {
    code: 'tls/trusted',
    title: 'clients trust the issuer of the certificate',
    label: 'trusted',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake', 'tls/chain-complete'],
    explanation:
      'The certificate must lead to an authority that clients trust: the CA of this deployment, the one given with ' +
      '--ca, or the public roots that come with Node. Node does not read the store of the operating system, so a ' +
      'private CA that curl and browsers know still fails in most MCP clients until they are given it ' +
      '(NODE_EXTRA_CA_CERTS; Codex wants CODEX_CA_CERTIFICATE).',
    judge: (seen) => withTls(seen, (tls) => judgeTrust(seen, tls)),
  },
  {
    code: 'tls/ca-constraints',
    title: 'every client understands the constraints of the CA',
    label: 'CA constraints',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake', 'tls/chain-complete', 'tls/trusted'],
    explanation:
      'A private CA may say in itself which names and addresses it signs for. Programs on BoringSSL, Claude Code among ' +
      'them, refuse a certificate with an address under a CA that constrains addresses ("unsupported name constraint ' +
      'type"), while curl and Node.js take it. Early versions of mcp-deploy made such CAs; now they constrain names only.',
    judge: (seen) =>
      withTls(seen, ({ constrainsAddresses, address }) => {
        if (!constrainsAddresses) return pass();
        return fail({
          title: 'Claude Code and others refuse the constraints of this CA',
          cause: 'the CA says for which addresses it may sign, which BoringSSL does not understand',
          evidence: [
            {
              source: `certificate sent by ${address}, and its CA`,
              observed: 'an address in the certificate, and address ranges among the name constraints of the CA',
              expected: 'a CA that constrains names only',
            },
          ],
          fix: seen.target.own
            ? {
                summary:
                  'Make the CA anew, issue a certificate from it, and hand the new CA certificate to the clients.',
                commands: remakeCa(seen),
              }
            : {
                summary:
                  'Have the CA made anew with constraints for names only, or leave addresses out of the certificate.',
                commands: [],
              },
        });
      }),
  },
  {
    code: 'tls/name',
    title: 'the certificate is for this name',
    label: 'name matches',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake'],
    explanation:
      'The host of the URL must stand among the subject alternative names of the certificate; the common name has not ' +
      'counted for years (RFC 9525). An address in the URL must be there as an IP address, not as a DNS name.',
    judge: (seen) =>
      withTls(seen, (tls) => {
        if (tls.nameMatches) return pass();
        const names = tls.chain[0]?.names ?? [];
        const { host, own } = seen.target;
        return fail({
          title: `the certificate is not for ${host}`,
          cause: names.length === 0 ? 'it holds no subject alternative names' : `it is for ${listOf(names)}`,
          evidence: [
            {
              source: `certificate sent by ${tls.address}`,
              observed: names.length === 0 ? 'no subject alternative names' : names.join(', '),
              expected: host,
            },
          ],
          fix: own
            ? {
                summary: `Add ${host} under tls.names in mcp-deploy.yaml, or use a name that is there.`,
                commands: ['mcp-deploy apply'],
              }
            : {
                summary: 'Use a name of the certificate in the URL, or have the certificate issued for this name too.',
                commands: [],
              },
        });
      }),
  },
  {
    code: 'tls/not-expired',
    title: 'the certificate has not expired',
    label: 'not expired',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake'],
    explanation: 'Clients refuse a certificate after its last day, and an expired intermediate just the same.',
    judge: (seen) =>
      withTls(seen, (tls) => {
        const bad = tls.chain.find(({ notAfter }) => Date.parse(notAfter) < Date.parse(seen.target.at));
        if (bad === undefined && tls.trustError !== 'CERT_HAS_EXPIRED') return judgeWhenRead(tls);
        const leaf = bad === undefined || bad === tls.chain[0];
        return fail({
          title: leaf ? 'the certificate has expired' : `the intermediate ${bad.subject} has expired`,
          cause: leaf
            ? 'it was not renewed in time, or the renewed one was not loaded'
            : 'an old intermediate is still being sent',
          evidence: [
            {
              source: `certificate sent by ${tls.address}`,
              observed: bad === undefined ? 'CERT_HAS_EXPIRED' : `valid until ${bad.notAfter}`,
              expected: `valid at ${seen.target.at}`,
            },
          ],
          fix: renewal(seen),
        });
      }),
  },
  {
    code: 'tls/not-yet-valid',
    title: 'the certificate is already valid',
    label: 'already valid',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake'],
    explanation:
      'A certificate whose first day lies ahead is refused. Nearly always a clock is wrong: that of the machine which ' +
      'issued it, or that of this one.',
    judge: (seen) =>
      withTls(seen, (tls) => {
        const bad = tls.chain.find(({ notBefore }) => Date.parse(notBefore) > Date.parse(seen.target.at));
        if (bad === undefined && tls.trustError !== 'CERT_NOT_YET_VALID') return judgeWhenRead(tls);
        return fail({
          title: 'the certificate is not valid yet',
          cause: 'a clock is wrong, here or where the certificate was issued',
          evidence: [
            {
              source: `certificate sent by ${tls.address}`,
              observed: bad === undefined ? 'CERT_NOT_YET_VALID' : `valid from ${bad.notBefore}`,
              expected: `valid at ${seen.target.at}, by the clock of this machine`,
            },
          ],
          fix: {
            summary: 'Set the clock, then issue the certificate anew if it still lies ahead.',
            commands: ['date -u'],
          },
        });
      }),
  },
  {
    code: 'tls/expires-soon',
    title: 'the certificate is not about to expire',
    label: 'enough days left',
    hop: 'tls',
    severity: 'warning',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake', 'tls/not-expired', 'tls/not-yet-valid'],
    explanation:
      'Renewal is due when a third of the life is left (half when the life is under ten days). When two ninths are left, ' +
      'or 21 days of a long life, it should have happened and something keeps it from happening.',
    judge: (seen) =>
      withTls(seen, (tls) => {
        const [leaf] = tls.chain;
        if (leaf === undefined) return unknown('the certificates could not be read');
        const leftMs = Date.parse(leaf.notAfter) - Date.parse(seen.target.at);
        const lifeMs = Date.parse(leaf.notAfter) - Date.parse(leaf.notBefore);
        const text = inDays(leftMs);
        if (leftMs >= Math.min(21 * dayMs, (lifeMs * 2) / 9)) return pass(text);
        return fail({
          title: `the certificate expires soon: ${text}`,
          cause: 'it was not renewed when a third of its life was left',
          evidence: [
            {
              source: `certificate sent by ${tls.address}`,
              observed: `valid until ${leaf.notAfter}`,
              expected: `renewed before ${new Date(Date.parse(leaf.notAfter) - Math.min(21 * dayMs, (lifeMs * 2) / 9)).toISOString()}`,
            },
          ],
          fix: renewal(seen),
        });
      }),
  },
  {
    code: 'tls/served-matches-file',
    title: 'the certificate on disk is the one that is served',
    label: 'served = file',
    hop: 'tls',
    severity: 'error',
    needs: ['tls', 'host'],
    after: ['tcp/reachable', 'tls/handshake'],
    explanation:
      'A renewed certificate helps nobody until the server has loaded it. When the fingerprints differ, either it was ' +
      'not reloaded or something else answers on the port.',
    judge: (seen) =>
      withTls(seen, (tls) => {
        const { host } = seen;
        if (!seen.target.own) return notApplicable('the files of the server are not here');
        if (host.status !== 'ok') return notSeen(host);
        const served = tls.chain[0]?.fingerprint256;
        if (served === undefined) return unknown('the served certificate could not be read');
        if (host.certificateFingerprint === null) return unknown('the certificate file could not be read');
        if (served === host.certificateFingerprint) return pass();
        return fail({
          title: 'another certificate is served than the one on disk',
          cause:
            'the certificate was replaced and the server has not loaded it, or another program answers on the port',
          evidence: [
            {
              source: `certificate sent by ${tls.address}`,
              observed: `SHA-256 ${shortFingerprint(served)}, valid until ${tls.chain[0]?.notAfter ?? ''}`,
              expected: `SHA-256 ${shortFingerprint(host.certificateFingerprint)}, as in the file`,
            },
          ],
          fix: { summary: 'Let the server load it.', commands: ['mcp-deploy restart'] },
        });
      }),
  },
]);

function judgeTrust(seen: Observations, tls: TlsSeen): Verdict {
  if (tls.trustedBy !== null) return pass(tls.trustedBy === 'given CA' ? 'trusted by the CA' : undefined);
  const problem = tls.problems.find(({ code }) => trustProblems.has(code));
  // OpenSSL reports one error; when it is a date, that is judged by its own check unless trust is missing as well.
  if (dateErrors.has(tls.trustError) && problem === undefined) return judgeWhenRead(tls);
  const { caGiven, own } = seen.target;
  const last = tls.chain.at(-1);
  const selfSigned = tls.chain.length === 1 && last?.selfIssued === true;
  return fail({
    title: selfSigned
      ? 'the certificate is self-signed'
      : `the certificate is not signed by ${caGiven ? 'the CA given' : 'an authority that clients trust'}`,
    cause:
      last === undefined
        ? 'undetermined'
        : selfSigned
          ? 'nobody vouches for it but itself'
          : caGiven
            ? `it was issued by ${last.issuer}, which is not the CA given; or an intermediate is missing between them`
            : `it was issued by ${last.issuer}: a private CA that was not given, or an intermediate that is not sent`,
    evidence: [
      {
        source: `TLS handshake with ${tls.address}`,
        observed: `${tls.trustError ?? 'not trusted'}: ${
          problem === undefined || problem.code === 'chain-incomplete'
            ? `signed by ${last?.issuer ?? 'nobody known'}`
            : problem.observed
        }`,
        expected:
          problem?.code === 'name-not-permitted' || problem?.code === 'wrong-usage'
            ? problem.expected
            : caGiven
              ? 'signed by the CA given, or by an intermediate of it that is sent as well'
              : 'a certificate that leads to a public root',
      },
    ],
    // Without a CA of ours the certificate is the user's own: no apply issues it.
    fix:
      own && caGiven
        ? {
            summary: 'Issue the certificate from the CA of this deployment again and load it.',
            commands: ['mcp-deploy apply', 'mcp-deploy restart'],
          }
        : {
            summary: caGiven
              ? 'Give the CA that signed the certificate.'
              : 'Give clients the CA of this server (NODE_EXTRA_CA_CERTS=FILE), or use a certificate from a public authority.',
            commands: [`mcp-deploy doctor ${seen.target.url} --ca FILE`],
          },
  });
}

function judgeWhenRead(tls: TlsSeen): Verdict {
  return tls.chain.length === 0 ? unknown('the certificates could not be read') : pass();
}

function renewal({ target }: Observations): Fix {
  return target.own
    ? { summary: 'Renew the certificate and load it.', commands: ['mcp-deploy apply', 'mcp-deploy restart'] }
    : { summary: 'Renew the certificate on the server, and let the server or its proxy load it.', commands: [] };
}

function inDays(ms: number): string {
  const days = Math.floor(ms / dayMs);
  if (days < 1) return 'less than a day left';
  return days === 1 ? '1 day left' : `${days} days left`;
}

function listOf(names: CertificateDescription['names']): string {
  return names.length <= 4 ? names.join(', ') : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`;
}

function shortFingerprint(fingerprint: string): string {
  return `${fingerprint.slice(0, 23)}…`;
}

/** Whoever has no CA is given a new one by apply; the old one stays beside it until the clients have the new one. */
function remakeCa({ host }: Observations): readonly string[] {
  const files = host.status === 'ok' ? host.files : [];
  const old = files
    .filter(({ what }) => what === 'CA key' || what === 'CA certificate')
    .map(({ path }) => shellWord(path));
  return [...old.map((path) => `mv ${path} ${path}.old`), 'mcp-deploy apply', 'mcp-deploy client list'];
}
