import { checksOf, fail, notApplicable, notSeen, pass, unknown } from './endpoint-check.ts';

/** Before host/server-running in the order of judgement: a server that cannot load its key does not start. */
export const tlsKeyChecks = checksOf('tls', [
  {
    code: 'tls/key-matches',
    title: 'the private key belongs to the certificate',
    label: 'key matches',
    hop: 'host',
    severity: 'error',
    needs: ['host'],
    after: [],
    explanation:
      'Certificate and private key are made in pairs. With a key of another certificate the server keeps the old pair, ' +
      'or does not start at all.',
    judge: ({ host, target }) => {
      if (!target.own || !target.encrypted) return notApplicable('there are no certificate files to compare');
      if (host.status !== 'ok') return notSeen(host);
      if (host.keyMatches === null) return unknown('the certificate or its key could not be read');
      if (host.keyMatches) return pass();
      return fail({
        title: 'the private key does not belong to the certificate',
        cause: 'one of the two files was replaced without the other',
        evidence: [
          {
            source: host.files.find(({ what }) => what === 'server key')?.path ?? 'the key file',
            observed: 'the key of another certificate',
            expected: `the key of ${host.files.find(({ what }) => what === 'certificate')?.path ?? 'the certificate'}`,
          },
        ],
        fix: { summary: 'Put the right key there, or let a new pair be issued.', commands: ['mcp-deploy apply'] },
      });
    },
  },
]);
