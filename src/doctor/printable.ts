/**
 * Text from outside without what could steer a terminal or turn the reading
 * direction: C0 and C1 controls (tab and line feed stay), line and paragraph
 * separators, bidirectional overrides.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '');
}
