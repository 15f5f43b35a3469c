import { checksOf, fail, notApplicable, pass, unknown } from './endpoint-check.ts';

export const nameChecks = checksOf('name', [
  {
    code: 'name/resolves',
    title: 'the host name has an address',
    label: 'resolves',
    hop: 'dns',
    severity: 'error',
    needs: ['name'],
    after: [],
    explanation:
      'Every client first turns the host name into an IP address. Without one nothing can be reached. ' +
      'The name is looked up as Node does it, so /etc/hosts and the search domains of this machine count.',
    judge: ({ name, target }) => {
      if (name.status === 'skipped') return unknown(name.reason);
      if (name.status === 'ok') {
        if (name.literal) return notApplicable('the URL holds an address');
        const count = name.v4.length + name.v6.length;
        if (count > 0) return pass([...name.v4, ...name.v6].slice(0, 2).join(', '));
      }
      const failure = name.status === 'failed' ? name.failure : null;
      const slow = failure?.kind === 'timed-out';
      return fail({
        title: slow ? `the look-up of ${target.host} got no answer` : `${target.host} has no address`,
        cause: slow
          ? 'the name server of this machine did not answer in time'
          : failure?.code === 'EAI_AGAIN'
            ? 'the name server of this machine could not be asked'
            : 'the name is misspelt, not registered, or known only inside another network',
        evidence: [
          {
            source: `look-up of ${target.host}`,
            observed: failure === null ? 'an empty answer' : `${failure.code ?? 'error'}: ${failure.message}`,
            expected: 'at least one IPv4 or IPv6 address',
          },
        ],
        fix: {
          summary: 'Correct the name in the URL, or add its A or AAAA record where its zone is kept.',
          commands: [`getent ahosts ${target.host}`],
        },
      });
    },
  },
]);
