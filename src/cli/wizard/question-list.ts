import { hideSecretArguments } from '../../deployment/secrets-in-arguments.ts';
import { imageReference } from '../../deployment/container-schema.ts';
import { quoteCommand } from '../quote-command.ts';
import { type AnswerKey, type Answers, type GivenAnswers } from './answers.ts';
import { certificateKinds } from './profile-ids.ts';
import type { ServerCandidate, WizardFacts } from './facts.ts';
import { profileOf } from './profiles.ts';
import { profilesFor } from './propose.ts';
import {
  judgeEmail,
  judgeListen,
  judgeName,
  judgeNames,
  judgePath,
  judgeServerName,
  judgeUrlOrCommand,
  readUrlOrCommand,
  splitNames,
  type Judgement,
} from './questions.ts';

export interface Choice {
  readonly value: string;
  readonly title: string;
  /** One sentence more, for the one that is looked at. */
  readonly about: string;
}

interface Common {
  /** What a flag or file gives in its place. */
  readonly key: AnswerKey | 'server';
  readonly message: string;
  /** Said on `?`. */
  readonly help: string;
  /** Flag and key of the answers file, for those who cannot be asked. */
  readonly flag: string;
}

/** A question as data: how it is put on a screen is not its concern. */
export type Question =
  | (Common & {
      readonly kind: 'choose';
      readonly choices: readonly Choice[];
      readonly preset: string;
      readonly take: (value: string) => GivenAnswers;
    })
  | (Common & {
      readonly kind: 'write';
      readonly preset: string;
      readonly judge: (text: string) => Judgement;
      readonly take: (text: string) => GivenAnswers;
    })
  | (Common & {
      readonly kind: 'yes-or-no';
      readonly preset: boolean;
      /** Said when the answer is one that leads nowhere. */
      readonly judge: (yes: boolean) => Judgement;
      readonly take: (yes: boolean) => GivenAnswers;
    });

/** Whether an answer means anything under the others. */
export function appliesTo(key: AnswerKey, answers: Answers): boolean {
  const { asks } = profileOf(answers.profile);
  const isPublic = asks.includes('certificate') && answers.serverName !== null;
  if (key === 'certificate') return isPublic;
  // Caddy and certbot have accounts of their own.
  if (key === 'email' || key === 'agreeTos') {
    return isPublic && answers.certificate === 'letsencrypt' && usesOwnAcme(answers);
  }
  if (key === 'certificateFile' || key === 'keyFile') return isPublic && answers.certificate === 'files';
  return true;
}

function usesOwnAcme({ profile }: Answers): boolean {
  return profile === 'linux-nginx' || profile === 'declared-tools';
}

/**
 * The questions under the answers so far, in their order: later ones depend on earlier ones.
 * @param ownServer whether the MCP server is typed, and not one of the candidates
 */
export function questionsFor(
  answers: Answers,
  facts: WizardFacts,
  candidates: readonly ServerCandidate[],
  ownServer: boolean,
): readonly Question[] {
  const asked = profileOf(answers.profile).asks.filter((key) => appliesTo(key, answers));
  return [
    profileQuestion(answers, facts),
    ...(candidates.length > 0 ? [candidateQuestion(answers, candidates)] : []),
    ...(candidates.length === 0 || ownServer ? [commandQuestion(answers)] : []),
    nameQuestion(answers),
    ...asked.map((key) => profileQuestions[key](answers)),
    keysQuestion(answers),
  ];
}

function profileQuestion(answers: Answers, facts: WizardFacts): Question {
  return {
    kind: 'choose',
    key: 'profile',
    flag: '--profile',
    message: 'Where does it run?',
    help: 'Each is a whole setup: what starts the server, what stands in front, where the certificate comes from. Everything can be changed later in mcp-deploy.yaml.',
    choices: profilesFor(facts).map(({ profile, unfit }) => ({
      value: profile.id,
      title: profile.title,
      about: unfit === null ? profile.about : `${profile.about} (${unfit})`,
    })),
    preset: answers.profile,
    take: (value) => ({ profile: value as Answers['profile'] }),
  };
}

/** Stands for a server that was not found. */
export const other = 'other';

function candidateQuestion(answers: Answers, candidates: readonly ServerCandidate[]): Question {
  const now = JSON.stringify(answers.command);
  const known = candidates.findIndex(({ command }) => JSON.stringify(command) === now);
  const preset = known !== -1 ? String(known) : answers.command === null && answers.url === null ? '0' : other;
  return {
    kind: 'choose',
    key: 'server',
    flag: '-- COMMAND',
    message: 'Which MCP server?',
    help: 'These were found in this folder and in the settings of MCP clients on this machine. Only names of variables are taken over, never their values.',
    choices: [
      ...candidates.map(({ command, from, remark }, index) => ({
        value: String(index),
        title: quoteCommand(hideSecretArguments(command, '…')),
        about: `found in ${from}${remark === null ? '' : `; ${remark}`}`,
      })),
      { value: other, title: 'another one', about: 'A command or a URL to type, or the built-in tools.' },
    ],
    preset,
    take: (value) => {
      const chosen = candidates[Number(value)];
      return chosen === undefined ? {} : { command: chosen.command, env: chosen.env, url: null, headers: {} };
    },
  };
}

function commandQuestion({ command, url }: Answers): Question {
  return {
    kind: 'write',
    key: 'command',
    flag: '-- COMMAND, or --url URL',
    message: 'Command or URL of your MCP server (empty: built-in tools)',
    help: 'What you would type to start it, for example: npx -y @modelcontextprotocol/server-everything. It speaks MCP on its standard input and output; no shell is involved. Or the https URL of a server that runs elsewhere. Empty gives an endpoint with three small tools, to try it out.',
    preset: url ?? quoteCommand(command ?? []),
    judge: judgeUrlOrCommand,
    take: (text) => readUrlOrCommand(text, command),
  };
}

function nameQuestion({ name }: Answers): Question {
  return {
    kind: 'write',
    key: 'name',
    flag: '--name',
    message: 'Name of the deployment',
    help: 'It names services, folders and containers: 1 to 40 of a-z, 0-9 and -.',
    preset: name,
    judge: judgeName,
    take: (text) => ({ name: text }),
  };
}

function keysQuestion({ keys }: Answers): Question {
  return {
    kind: 'yes-or-no',
    key: 'keys',
    flag: '--no-keys',
    message: 'Require an API key?',
    help: 'With keys only their holders may call; a first one is made. Without, everyone who reaches the port may: loopback only.',
    preset: keys,
    judge: () => true,
    take: (yes) => ({ keys: yes }),
  };
}

const never = (key: string) => (): Question => {
  throw new Error(`${key} is not asked by a profile`);
};

const profileQuestions: Readonly<Record<AnswerKey, (answers: Answers) => Question>> = {
  profile: never('profile'),
  command: never('command'),
  env: never('env'),
  url: never('url'),
  headers: never('headers'),
  name: never('name'),
  keys: never('keys'),
  listen: ({ listen }) => ({
    kind: 'write',
    key: 'listen',
    flag: '--listen',
    message: 'Listen on',
    help: 'localhost:8443 is for programs of this machine alone; 0.0.0.0:8443 for everyone who reaches it. Also [IPv6]:port, and unix:/path for a socket.',
    preset: listen,
    judge: judgeListen,
    take: (text) => ({ listen: text }),
  }),
  names: ({ names }) => ({
    kind: 'write',
    key: 'names',
    flag: '--names',
    message: 'Names and addresses of the certificate',
    help: 'Every name under which a client reaches the server, separated by commas: a certificate is good for these alone.',
    preset: shownNames(names),
    judge: judgeNames,
    take: (text) => ({ names: names === null && text === shownNames(names) ? null : splitNames(text) }),
  }),
  serverName: ({ serverName, profile }) => {
    const isNeeded = profileOf(profile).publicName === 'needed';
    return {
      kind: 'write',
      key: 'serverName',
      flag: '--server-name',
      message: isNeeded ? 'Public name' : 'Public name (empty: this machine only)',
      help: 'The DNS name that clients use, for example mcp.example.com; it has to lead to this host. localhost is fine to try it out.',
      preset: serverName ?? '',
      judge: (text) =>
        text === '' && isNeeded ? 'give a DNS name, for example mcp.example.com' : judgeServerName(text),
      take: (text) => ({ serverName: text === '' ? null : text }),
    };
  },
  certificate: ({ certificate }) => ({
    kind: 'choose',
    key: 'certificate',
    flag: '--certificate',
    message: 'Certificate',
    help: "Let's Encrypt is trusted by every client and needs a public name that leads here. A private CA works at once and everywhere, but each client has to be given its certificate.",
    choices: certificateKinds.map((value) => ({ value, ...certificateTexts[value] })),
    preset: certificate,
    take: (value) => ({ certificate: value as Answers['certificate'] }),
  }),
  email: ({ email }) => ({
    kind: 'write',
    key: 'email',
    flag: '--email',
    message: "E-mail for Let's Encrypt (empty: none)",
    help: 'The authority writes there when something is wrong with the certificate.',
    preset: email ?? '',
    judge: judgeEmail,
    take: (text) => ({ email: text === '' ? null : text }),
  }),
  agreeTos: ({ agreeTos }) => ({
    kind: 'yes-or-no',
    key: 'agreeTos',
    flag: '--agree-tos',
    message: "Do you accept the terms of Let's Encrypt (letsencrypt.org/repository)?",
    help: 'The authority gives certificates to those alone who do.',
    preset: agreeTos,
    judge: (yes) => yes || 'without that there is no certificate from there; < goes back to another kind',
    take: (yes) => ({ agreeTos: yes }),
  }),
  certificateFile: ({ certificateFile }) => ({
    kind: 'write',
    key: 'certificateFile',
    flag: '--certificate-file',
    message: 'Certificate file (PEM, with its chain)',
    help: 'The certificate first, then its intermediates; relative to the folder of mcp-deploy.yaml.',
    preset: certificateFile ?? '',
    judge: judgePath,
    take: (text) => ({ certificateFile: text }),
  }),
  keyFile: ({ keyFile }) => ({
    kind: 'write',
    key: 'keyFile',
    flag: '--key-file',
    message: 'Private key file (PEM)',
    help: 'It stays where it is and is read by the server alone: mode 0600.',
    preset: keyFile ?? '',
    judge: judgePath,
    take: (text) => ({ keyFile: text }),
  }),
  image: ({ image, name }) => ({
    kind: 'write',
    key: 'image',
    flag: '--image',
    message: 'Name of the image',
    help: 'What it is built, pushed and pulled as, for example registry.example.com/team/mcp:1.0.0.',
    preset: image ?? `mcp-${name}:latest`,
    judge: (text) => imageReference.safeParse(text).success || 'for example registry.example.com/team/mcp:1.0.0',
    // What it is called anyway need not stand in the file.
    take: (text) => ({ image: text === `mcp-${name}:latest` ? null : text }),
  }),
};

function shownNames(names: readonly string[] | null): string {
  return (names ?? ['localhost', '127.0.0.1', '::1']).join(', ');
}

const certificateTexts = {
  'private-ca': { title: 'a private CA', about: 'Made here, at once; clients are given its certificate.' },
  letsencrypt: { title: "Let's Encrypt", about: 'Trusted everywhere; the public name has to lead here.' },
  files: { title: 'files I have', about: 'A certificate of your company or another authority.' },
} as const;
