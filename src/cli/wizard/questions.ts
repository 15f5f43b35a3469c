import { listenAddress } from '../../deployment/schema.ts';
import { parseCertificateName } from '../../pki/names.ts';
import { slugFrom } from '../slug.ts';

/** What the wizard asks, in this order; every answer has a flag. */
export interface Answers {
  readonly command: readonly string[] | null;
  readonly name: string;
  readonly listen: string;
  readonly names: readonly string[];
  readonly serverName: string | null;
  readonly keys: boolean;
}

/** True, or the sentence that says what is wrong: the form that prompts want. */
export type Judgement = true | string;

export function judgeName(text: string): Judgement {
  return slugFrom(text, '') === text || `use 1 to 40 of a-z, 0-9 and -, for example ${slugFrom(text, 'mcp')}`;
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
