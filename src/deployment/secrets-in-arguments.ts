/**
 * The arguments that look like secrets, as they may be printed: the name of
 * the option or variable, or the first characters of a token. Every user of
 * the machine can read the arguments of a process.
 */
export function secretsInArguments(argv: readonly string[]): readonly string[] {
  return [...new Set(findSecrets(argv).map(({ label }) => label))];
}

/** The arguments with the secrets in them replaced. */
export function hideSecretArguments(argv: readonly string[], replacement: string): readonly string[] {
  const shown = [...argv];
  for (const { index, value } of findSecrets(argv)) {
    shown[index] = (shown[index] ?? '').replace(value, () => replacement);
  }
  return shown;
}

/** A text with everything in it replaced that has the form of a well-known token. */
export function hideTokens(text: string, replacement: string): string {
  return text.replaceAll(new RegExp(secretValue, 'g'), () => replacement);
}

interface Found {
  /** Of the argument that holds the value. */
  readonly index: number;
  readonly value: string;
  readonly label: string;
}

function findSecrets(argv: readonly string[]): readonly Found[] {
  return argv.flatMap((argument, index): readonly Found[] => {
    const option = /^(-{1,2}[A-Za-z][A-Za-z0-9_.-]*)(?:=(.+))?$/s.exec(argument);
    if (option?.[1] !== undefined && secretOption.test(option[1])) {
      const [, label, inline] = option;
      const value = inline ?? argv[index + 1];
      if (value === undefined || !isLiteral(value) || (inline === undefined && value.startsWith('-'))) return [];
      return [{ index: inline === undefined ? index + 1 : index, value, label }];
    }
    const assignment = /^(?:--?[A-Za-z][A-Za-z0-9-]*=)?([A-Za-z_][A-Za-z0-9_]*)=(.+)$/s.exec(argument);
    if (assignment?.[1] !== undefined && secretVariable.test(assignment[1]) && isLiteral(assignment[2] ?? '')) {
      return [{ index, value: assignment[2] ?? '', label: assignment[1] }];
    }
    const header = /^(Authorization|X-Api-Key)\s*:\s*(.+)$/is.exec(argument);
    if (header?.[1] !== undefined && isLiteral((header[2] ?? '').replace(/^(?:Bearer|Basic)\s+/i, ''))) {
      return [{ index, value: header[2] ?? '', label: `${header[1]} header` }];
    }
    const login = /^([a-z][a-z0-9+.-]*):\/\/[^/@\s:]*:([^/@\s]+)@/i.exec(argument);
    if (login?.[2] !== undefined && isLiteral(login[2])) {
      return [{ index, value: login[2], label: `${login[1]}://…@` }];
    }
    const token = secretValue.exec(argument);
    return token === null ? [] : [{ index, value: token[0], label: `${token[0].slice(0, 4)}…` }];
  });
}

const secretOption = /(?:^|[-_.])(?:api[-_]?key|key|token|secret|password|passwd|pass|credential|auth|bearer|pat)s?$/i;
const secretVariable = /(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|PAT)$/i;
/** Forms that issuers give their tokens so that scanners find them. */
const secretValue =
  /\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{20,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)/;

/** References to the environment and to files are not secrets themselves. */
function isLiteral(value: string): boolean {
  return value !== '' && !/^\$\{?[A-Za-z_]/.test(value) && !/^(?:\.{0,2}\/|@\/)/.test(value);
}
