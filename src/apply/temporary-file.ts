const suffix = '.mcpd-tmp';

/** Name of the file that an atomic write of `path` goes through; a kill in the middle leaves it behind. */
export function temporaryFileOf(path: string): string {
  return `${path}${suffix}`;
}

/** Whether a file name is one of those. */
export function isTemporaryFile(name: string): boolean {
  return name.endsWith(suffix);
}
