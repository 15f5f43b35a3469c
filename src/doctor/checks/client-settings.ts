import type { ClientSettingSeen } from '../machine-observations.ts';
import type { FailVerdict } from '../types.ts';
import { checksOf, fail, pass, type EndpointCheck } from './endpoint-check.ts';
import { shellWord } from './shell-word.ts';
import { withMachine } from './with-machine.ts';

type Kind = ClientSettingSeen['problem']['kind'];

/** Clients on the machine of the deployment: the server is well, and they cannot reach it. */
export const clientSettingChecks = checksOf('host', [
  check({
    code: 'host/client-url',
    title: 'clients on this machine have the URL of the endpoint',
    label: 'URL of clients',
    kinds: ['old-url'],
    explanation:
      'Settings of clients keep the URL of the day on which they were written. When the name, the port or the path of the ' +
      'endpoint changed since, as the records of earlier releases tell, a client goes on to ask where nobody answers.',
    say: (found) => ({
      title: `${found.client} still asks at an earlier URL`,
      cause: 'the endpoint moved after the entry was written',
      observed: found.problem.kind === 'old-url' ? found.problem.url : '',
      expected: 'the URL of today',
    }),
  }),
  check({
    code: 'host/client-key',
    title: 'clients on this machine have a key that works',
    label: 'keys of clients',
    kinds: ['wrong-key'],
    explanation:
      'A key that stands in the settings of a client in clear is held against the store. One that was revoked, rotated away ' +
      'or copied with a mistake makes the client say that it is not authorised. References to variables are not followed.',
    say: (found) => ({
      title: `${found.client} has a key that is not accepted`,
      cause: 'the key was revoked or rotated away, or copied with a mistake',
      observed: 'a key that the store does not accept',
      expected: 'a reference to a key that works',
    }),
  }),
  check({
    code: 'host/client-ca',
    title: 'clients on this machine are given what they need to connect',
    label: 'CA of clients',
    kinds: ['no-ca', 'missing-file'],
    explanation:
      'A bridge that a client starts is a Node.js program: it trusts the private CA only when NODE_EXTRA_CA_CERTS in its ' +
      'entry names the file, and reads the key from a file that must be there. Otherwise the client says "fetch failed".',
    say: (found) => ({
      title:
        found.problem.kind === 'missing-file'
          ? `${found.client} is to read a file that is not there`
          : `${found.client} is not given the private CA`,
      cause:
        found.problem.kind === 'missing-file'
          ? 'it was moved or deleted'
          : 'its entry has no, or another, CA in NODE_EXTRA_CA_CERTS',
      observed:
        found.problem.kind === 'missing-file'
          ? `no file ${found.problem.file}`
          : 'the CA of this deployment is not given',
      expected: 'NODE_EXTRA_CA_CERTS with the CA of this deployment, and a key file',
    }),
  }),
]);

function check(spec: {
  readonly code: string;
  readonly title: string;
  readonly label: string;
  readonly kinds: readonly Kind[];
  readonly explanation: string;
  readonly say: (
    found: ClientSettingSeen,
  ) => Pick<FailVerdict, 'title' | 'cause'> & { observed: string; expected: string };
}): Omit<EndpointCheck, 'category'> {
  const { kinds, say, ...rest } = spec;
  return {
    ...rest,
    hop: 'client',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    judge: (seen) =>
      withMachine(seen, ({ clients }) => {
        const found = clients.filter(({ problem }) => kinds.includes(problem.kind));
        const [first] = found;
        if (first === undefined) return pass();
        const { title, cause } = say(first);
        return fail({
          title,
          cause,
          evidence: found.map((each) => {
            const { observed, expected } = say(each);
            return { source: `${each.path}, entry "${each.entry}"`, observed, expected };
          }),
          fix: {
            summary: 'Write the entry anew; the rest of the file keeps its bytes.',
            commands: found.map(({ id, entry }) => `mcp-deploy client add ${id} --name ${shellWord(entry)} --force`),
          },
        });
      }),
  };
}
