/** Keys out of guides and samples: everyone who scans for MCP servers tries these first. */
const KNOWN = new Set(
  [
    'dev-key-12345',
    'dev-key-123456789',
    'test-key-1234567890',
    'your-api-key',
    'your-api-key-here',
    'your-secret-key',
    'your-secret-key-here',
    'your-secure-api-key-here',
    'my-secret-key',
    'my-super-secret-key',
    'super-secret-key',
    'change-me',
    'change-me-in-production',
    'change-this-in-production',
    'replace-me',
    'insert-key-here',
    'development-key-do-not-use',
    'secret-key-for-testing',
    'correct-horse-battery-staple',
    'abcdefghijklmnopqrstuvwxyz',
    '1234567890abcdef',
    '0123456789abcdef',
    '12345678901234567890',
    'deadbeefdeadbeef',
  ].map(plain),
);

/** Beginnings that samples have; long enough that a random key has none of them by chance. */
const SAMPLE =
  /^(?:changeme|changethis|replace|placeholder|example|sample|insert(?:your|key)|(?:your|my|demo|dev|test|dummy)[a-z]{0,20}(?:key|secret|token|password))/;

const SHORTEST = 16;

/**
 * True for a key that must not guard anything: a well-known one, a placeholder, one character repeated,
 * or anything shorter than 16 characters.
 */
export function isDemoKey(key: string): boolean {
  if (key.length < SHORTEST) return true;
  if (/^[<${[].*[>}\]]$/.test(key)) return true;
  const text = plain(key);
  return text.length === 0 || KNOWN.has(text) || SAMPLE.test(text) || /^(.{1,4})\1+$/.test(text);
}

function plain(key: string): string {
  return key.toLowerCase().replace(/[^a-z0-9]/g, '');
}
