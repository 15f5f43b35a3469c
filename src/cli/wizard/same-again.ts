import { hideSecretArguments } from '../../deployment/secrets-in-arguments.ts';
import { inlineYaml } from '../../deployment/quote-yaml.ts';
import { quoteCommand } from '../quote-command.ts';
import type { Answers } from './answers.ts';
import { profileOf } from './profiles.ts';
import { appliesTo } from './question-list.ts';

const secretVariable = 'MCP_SERVER_SECRET';

/** Answers as a script gives them, and whether they are acted upon. */
export interface Decided {
  readonly answers: Answers;
  readonly apply: boolean;
  /** Folder of rendered files, where the profile has some and they are written. */
  readonly out: string | null;
}

/** The one command that gives the same without a question. A secret among the arguments of the server is left out. */
export function equivalentCommand({ answers, apply, out }: Decided): string {
  const { profile, name, listen, names, serverName, url, headers, env, command, keys } = answers;
  const word = (text: string): string => quoteCommand([text]);
  const asks = (key: keyof Answers): boolean => appliesTo(key, answers);
  const words = [
    'mcp-deploy init --yes',
    `--profile ${profile}`,
    `--name ${name}`,
    `--listen ${word(listen)}`,
    ...(names === null ? [] : [`--names ${word(names.join(','))}`]),
    ...(serverName === null ? [] : [`--server-name ${word(serverName)}`]),
    ...(asks('certificate') ? [`--certificate ${answers.certificate}`] : []),
    ...(asks('email') && answers.email !== null ? [`--email ${word(answers.email)}`] : []),
    ...(asks('agreeTos') && answers.agreeTos ? ['--agree-tos'] : []),
    ...(asks('certificateFile') ? [`--certificate-file ${word(answers.certificateFile ?? '')}`] : []),
    ...(asks('keyFile') ? [`--key-file ${word(answers.keyFile ?? '')}`] : []),
    ...(answers.image === null ? [] : [`--image ${word(answers.image)}`]),
    ...(keys ? [] : ['--no-keys']),
    ...(url === null ? [] : [`--url ${word(url)}`]),
    ...Object.entries(headers).map(([header, value]) => `--header ${word(`${header}=${value}`)}`),
    ...(env.length === 0 ? [] : [`--env ${env.join(' ')}`]),
    ...(out === null ? [] : [`--out ${word(out)}`]),
    apply ? '--apply' : '--no-apply',
    ...(command === null ? [] : [`-- ${quoteCommand(hideSecretArguments(command, '…'))}`]),
  ];
  return words.join(' ');
}

/**
 * The same as data of the file of `--answers`. A secret among the arguments of the server becomes a reference, which the server
 * fills from its environment: never the value.
 */
export function answersFileData({ answers, apply, out }: Decided): Readonly<Record<string, unknown>> {
  const { name, listen, names, serverName, url, headers, env, command, keys } = answers;
  const asks = (key: keyof Answers): boolean => appliesTo(key, answers);
  const shown = command === null ? null : hideSecretArguments(command, `\${${secretVariable}}`);
  const entries: readonly (readonly [string, unknown])[] = [
    ['version', 1],
    ['profile', answers.profile],
    ['name', name],
    ['command', shown],
    ['env', env.length === 0 ? null : env],
    ['url', url],
    ['headers', Object.keys(headers).length === 0 ? null : headers],
    ['serverName', serverName],
    ['certificate', asks('certificate') ? answers.certificate : null],
    ['email', asks('email') ? answers.email : null],
    ['agreeTos', asks('agreeTos') ? answers.agreeTos : null],
    ['certificateFile', asks('certificateFile') ? answers.certificateFile : null],
    ['keyFile', asks('keyFile') ? answers.keyFile : null],
    ['listen', listen],
    ['names', names],
    ['image', answers.image],
    ['keys', keys],
    ['apply', apply],
    ['out', out],
  ];
  return Object.fromEntries(entries.filter(([, value]) => value !== null));
}

/** The text of such a file, as JSON where its name says so. */
export function answersFileText(decided: Decided, file: string): string {
  const data = answersFileData(decided);
  if (file.endsWith('.json')) return `${JSON.stringify(data, null, 2)}\n`;
  const hasSecret = JSON.stringify(data).includes(`\${${secretVariable}}`);
  return [
    `# Answers for: mcp-deploy init --answers FILE`,
    `# ${profileOf(decided.answers.profile).title}`,
    ...(hasSecret ? [`# ${secretVariable} stands for a secret of the command line: set it, or better use env.`] : []),
    ...Object.entries(data).map(([key, value]) => `${key}: ${inlineYaml(value)}`),
    '',
  ].join('\n');
}
