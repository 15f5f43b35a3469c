/** Field names whose value is never shown, compared without case, `-` and `_`. */
const SECRET_FIELD =
  /^(?:(?:proxy)?authorization|key|cookie|setcookie|credentials?|passwd|.*(?:apikey|privatekey|password|passphrase|secret|token))$/;

/** Texts that are, or are followed by, something that must not be shown. */
const SECRET_TEXTS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, '[secret]'],
  [/mcpd_[A-Za-z0-9_-]*/g, 'mcpd_[secret]'],
  [/\b((?:bearer|basic)(?:\s+(?:bearer|basic))*)\s+[^\s"',;]+/gi, '$1 [secret]'],
  [/((?:api[-_]?key|password|passwd|secret|token)["']?\s*[:=]\s*["']?)[^\s"',;&]+/gi, '$1[secret]'],
  [/(:\/\/)[^\s/:@]*:[^\s/@]+@/g, '$1[secret]@'],
  [/\b(?:sk-|ghp_|gho_|github_pat_|xox[abp]-|glpat-)[A-Za-z0-9_-]{8,}/g, '[secret]'],
];

/** True for a field that holds a secret by its name: authorization, x-api-key, key, token, password and the like. */
export function isSecretField(name: string): boolean {
  return SECRET_FIELD.test(name.toLowerCase().replace(/[-_]/g, ''));
}

/** The text with everything that looks like a key, a bearer token, a password or a private key taken out. */
export function redactText(text: string): string {
  let clean = text;
  for (const [pattern, replacement] of SECRET_TEXTS) clean = clean.replace(pattern, replacement);
  return clean;
}
