import { listenAddress } from '../../deployment/listen-schema.ts';
import { parseCertificateName } from '../../pki/names.ts';
import { slugFrom } from '../slug.ts';
import type { GivenAnswers } from './answers.ts';

/** True, or the sentence that says what is wrong: the form that prompts want. */
export type Judgement = true | string;

export function judgeName(text: string): Judgement {
  return (
    (text !== '' && slugFrom(text, '') === text) ||
    `use 1 to 40 of a-z, 0-9 and -, for example ${slugFrom(text, 'mcp')}`
  );
}

export function judgeListen(text: string): Judgement {
  return (
    listenAddress.safeParse(text).success || 'write host:port, [IPv6]:port or unix:/path, for example localhost:8443'
  );
}

export function judgeNames(text: string): Judgement {
  const names = splitNames(text);
  if (names.length === 0) return 'give at least one name, for example localhost';
  for (const name of names) {
    const judged = judgeCertificateName(name);
    if (judged !== true) return judged;
  }
  return true;
}

export function judgeServerName(text: string): Judgement {
  if (text === '') return true;
  return text.includes('*') ? 'one name without *, for example mcp.example.com' : judgeCertificateName(text);
}

export function judgeEmail(text: string): Judgement {
  return (
    text === '' || /^[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+$/.test(text) || 'write an address, for example ops@example.com'
  );
}

export function judgePath(text: string): Judgement {
  return (text.trim() !== '' && !text.includes('\0')) || 'give the path of a PEM file';
}

export function judgeUrlOrCommand(text: string): Judgement {
  if (!isUrl(text)) return splitCommand(text) !== null || 'a quote is not closed';
  if (!URL.canParse(text)) return 'that is not a whole URL, for example https://mcp.example.com/mcp';
  const { username, password } = new URL(text);
  return (username === '' && password === '') || 'leave name and password out of the URL: use --header and a variable';
}

/** What the words mean: a URL, a command, or nothing. Variables stay with the command that they were given for. */
export function readUrlOrCommand(text: string, before: readonly string[] | null): GivenAnswers {
  if (isUrl(text)) return { url: text.trim(), command: null, env: [] };
  const command = splitCommand(text) ?? [];
  const isSame = JSON.stringify(command) === JSON.stringify(before);
  return { url: null, headers: {}, command: command.length === 0 ? null : command, ...(isSame ? {} : { env: [] }) };
}

function isUrl(text: string): boolean {
  return /^\s*https?:\/\//i.test(text);
}

/** Splits a command line as a shell would for plain words and quotes; no variables, no operators. Null when a quote stays open. */
export function splitCommand(text: string): string[] | null {
  const words: string[] = [];
  let word = '';
  let started = false;
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (quote !== '') {
      if (character === quote) quote = '';
      else if (character === '\\' && quote === '"' && '"\\'.includes(text[at + 1] ?? ' '))
        word += text[(at += 1)] ?? '';
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      started = true;
    } else if (character === '\\') {
      word += text[(at += 1)] ?? '';
      started = true;
    } else if (/\s/.test(character)) {
      if (started) words.push(word);
      word = '';
      started = false;
    } else {
      word += character;
      started = true;
    }
  }
  if (quote !== '') return null;
  if (started) words.push(word);
  return words;
}

export function splitNames(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

function judgeCertificateName(name: string): Judgement {
  try {
    parseCertificateName(name);
    return true;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
