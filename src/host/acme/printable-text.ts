/** Text from outside as one line of bounded length, without control characters. */
export function printableText(text: string): string {
  return text
    .slice(0, 2_000)
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
    .trim();
}
