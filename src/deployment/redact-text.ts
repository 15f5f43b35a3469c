import { hideTokens } from './secrets-in-arguments.ts';

/** Stands in for what is not shown. */
const hidden = '[hidden]';

/**
 * A text (log, configuration, report) as it may be given to strangers: everything in it that is one of the known secrets, in
 * the ways in which it may be written, and everything that has the form of one. Rather too much than too little.
 */
export function redactText(text: string, knownSecrets: readonly string[]): string {
  let safe = text;
  for (const secret of knownSecrets.flatMap(waysToWrite).toSorted((a, b) => b.length - a.length)) {
    safe = safe.replaceAll(secret, hidden);
  }
  for (const [pattern, replacement] of forms) safe = safe.replaceAll(pattern, replacement);
  return hideTokens(safe, hidden);
}

/** Shorter ones would hide half of a text; nobody's secret should be that short. */
const shortest = 6;

function waysToWrite(secret: string): readonly string[] {
  const whole = secret.trim();
  // Of a text of many words only the long ones are secrets by themselves.
  const parts = whole.split(/\s+/).filter((word) => word.length >= 12 && !word.startsWith('-----'));
  const words = [whole, whole.replace(/^(?:Bearer|Basic|Token)\s+/i, ''), ...parts];
  const all = words.flatMap((word) => [
    word,
    JSON.stringify(word).slice(1, -1),
    encodeURIComponent(word),
    Buffer.from(word).toString('base64').replace(/=+$/, ''),
    Buffer.from(word).toString('base64url'),
    Buffer.from(word).toString('hex'),
  ]);
  return [...new Set(all)].filter((word) => word.length >= shortest);
}

const secretName = String.raw`[A-Za-z0-9_.-]{0,40}(?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key|credentials?|private[-_]?key)`;

/** In YAML, JSON, an environment file. */
const setting = String.raw`["']?${secretName}["']?[ \t]*[:=][ \t]*`;

/** Each must find its secret in YAML, JSON, an environment file, a directive of a proxy, a header, a URL. */
const forms: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // Every repetition is bounded where it could begin anywhere: a log of megabytes is read in no time.
  // A block that the text begins or ends in the middle of counts as well.
  [/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g, hidden],
  [
    /(?:^|\n)(?:[ \t]{0,20}[A-Za-z0-9+/=]{4,80}[ \t]{0,20}\r?\n){0,80}[^\n]*-----END [A-Z0-9 ]*PRIVATE KEY-----/g,
    `\n${hidden}`,
  ],
  [/\b(Bearer|Basic|Digest|Negotiate|ApiKey)([ \t]+|%20)[^\s"'`,;<>\]})\\]+/gi, `$1$2${hidden}`],
  [
    /\b((?:proxy-)?authorization|x-api-key|cookie|set-cookie)((?:["']|\\")?[ \t]*[:=]?[ \t]*)(?:"[^"\n]*"|'[^'\n]*'|\\"[^\n]*?\\"|(?!Bearer|Basic|Digest)[^\s,;}\]]+)/gi,
    `$1$2${hidden}`,
  ],
  [/([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@"'`<>]{1,500}@/gi, `$1${hidden}@`],
  [
    /([?&][^=&#\s"']{0,40}(?:key|token|secret|pass|auth|sig|code|credential)[^=&#\s"']{0,40}=)[^&#\s"'`<>]+/gi,
    `$1${hidden}`,
  ],
  [new RegExp(String.raw`(${setting})(?:"(?:[^"\\\n]|\\.){0,4000}"|'[^'\n]*')`, 'gi'), `$1"${hidden}"`],
  [new RegExp(String.raw`(${setting})(?!["']|\$\{|\[hidden\]|null\b|true\b|false\b)[^\s,}\]]+`, 'gi'), `$1${hidden}`],
  [new RegExp(String.raw`(--?${secretName}(?:[ \t]+|=))(?!\$\{|-)[^\s"',]+`, 'gi'), `$1${hidden}`],
  [/\bmcpd_[A-Za-z0-9_-]{8,}/g, `mcpd_${hidden}`],
  // What is left of a block of keys of which both ends are gone.
  [/^[A-Za-z0-9+/]{64}$/gm, hidden],
];
