import type { SecretSeen } from '../machine-observations.ts';
import type { Verdict } from '../types.ts';
import { checksOf, fail, pass, type EndpointCheck } from './endpoint-check.ts';
import { shellWord } from './shell-word.ts';
import { withMachine } from './with-machine.ts';

/** Keys of this deployment are replaced with one command. */
const rotate = 'mcp-deploy keys rotate NAME';

export const secretChecks = checksOf('host', [
  check({
    code: 'host/secrets-in-settings',
    title: 'mcp-deploy.yaml holds no secret',
    label: 'no secret in settings',
    where: 'settings',
    explanation:
      'mcp-deploy.yaml is made to be shared and kept in version control. Secrets stand there as references, ${NAME}, ' +
      '${file:PATH} or ${exec:COMMAND}, which are filled when the server starts. A private key or an API key of the ' +
      'deployment in it is an error, any other value that looks like a token a warning.',
    judge: (found) =>
      fail({
        title:
          found.length === 1
            ? `mcp-deploy.yaml holds ${found[0]?.what ?? 'a secret'}`
            : 'mcp-deploy.yaml holds secrets',
        cause: 'it was written out in the place of a reference',
        severity: found.every(({ what }) => what === 'a secret in clear') ? 'warning' : 'error',
        evidence: found.map(({ place, what }) => ({ source: place, observed: what, expected: 'a reference: ${NAME}' })),
        fix: {
          summary:
            'Put a reference in its place, give the value in the environment of the server, and replace the secret.',
          commands: ['mcp-deploy apply'],
          diff: '-      TOKEN: …\n+      TOKEN: ${TOKEN}',
        },
      }),
  }),
  check({
    code: 'host/secrets-in-git',
    title: 'git keeps no secret of the deployment',
    label: 'no secret in git',
    where: 'git',
    explanation:
      'A key that was committed once is in every copy of the repository for good, also after it was deleted. Looked for are ' +
      'the keys of the deployment, files of environment, and settings of clients that belong to the project and hold a key.',
    judge: (found) =>
      fail({
        title:
          found.length === 1
            ? `git keeps ${found[0]?.place ?? 'a secret'}`
            : `git keeps ${found.length} files with secrets`,
        cause: 'it was added to the repository, by hand or with everything else',
        evidence: found.map(({ place, what }) => ({
          source: place,
          observed: `${what}, kept by git`,
          expected: 'ignored by git',
        })),
        fix: {
          summary:
            'Take it out of the repository, have git ignore it, and replace the secret: its history keeps the old one.',
          commands: [...found.map(({ place }) => `git rm --cached ${shellWord(place)}`), rotate],
        },
      }),
  }),
  check({
    code: 'host/environment-files',
    title: 'only the owner can read .env files with secrets',
    label: 'environment files',
    where: 'environment file',
    explanation:
      'What an MCP server needs to know is often kept in .env beside mcp-deploy.yaml. With the modes that editors give, ' +
      'everyone who has an account on the machine, and every service that runs on it, can read the secrets in it.',
    judge: (found) =>
      fail({
        title:
          found.length === 1
            ? `${found[0]?.path ?? 'a file'} can be read by everyone`
            : 'files of environment can be read by everyone',
        cause: 'it was made with the usual modes',
        evidence: found.map(({ place, what, mode }) => ({
          source: place,
          observed: `${what}, mode ${(mode ?? 0).toString(8).padStart(4, '0')}`,
          expected: '0600',
        })),
        fix: {
          summary: 'Close it; replace secrets that others on this machine may have read.',
          commands: found.map(({ path }) => `chmod 600 ${shellWord(path ?? '')}`),
        },
      }),
  }),
  check({
    code: 'host/secrets-in-arguments',
    title: 'no API key stands in the arguments of a process',
    label: 'no key in arguments',
    where: 'arguments',
    explanation:
      'Everyone on a machine can read the arguments of every process (ps), and monitoring keeps them. A key belongs into a ' +
      'file or a variable that the program reads; where a client is a bridge, into its environment.',
    judge: (found) =>
      fail({
        title: `an API key stands in the arguments of ${found[0]?.place ?? 'a process'}`,
        cause: 'a client or a script was started with the key on its command line',
        evidence: found.map(({ place, what }) => ({ source: place, observed: what, expected: 'a variable or a file' })),
        fix: {
          summary: 'Start it with the key in a variable or a file (client print shows how), then replace the key.',
          commands: ['mcp-deploy client print claude-code', rotate],
        },
      }),
  }),
]);

function check(spec: {
  readonly code: string;
  readonly title: string;
  readonly label: string;
  readonly where: SecretSeen['where'];
  readonly explanation: string;
  readonly judge: (found: readonly SecretSeen[]) => Verdict;
}): Omit<EndpointCheck, 'category'> {
  const { where, judge, ...rest } = spec;
  return {
    ...rest,
    hop: 'host',
    severity: 'error',
    needs: ['machine'],
    after: [],
    judge: (seen) =>
      withMachine(seen, ({ secrets }) => {
        const found = secrets.filter((each) => each.where === where);
        return found.length === 0 ? pass() : judge(found);
      }),
  };
}
