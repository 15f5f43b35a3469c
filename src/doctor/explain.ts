import { nearestWord } from '../deployment/nearest-word.ts';
import { catalogue } from './checks/catalogue.ts';
import { wrapText } from './report/wrap-text.ts';
import type { Category, Hop, Severity } from './types.ts';

export type Explanation =
  | {
      readonly kind: 'check';
      readonly code: string;
      readonly category: Category;
      readonly hop: Hop;
      readonly severity: Severity;
      /** The healthy fact. */
      readonly title: string;
      /** The whole explanation, ready to print, 80 columns. */
      readonly text: string;
    }
  | { readonly kind: 'unknown'; readonly suggestions: readonly string[] };

/** What a finding means and why it matters; suggestions when there is no such code. */
export function explainCode(code: string): Explanation {
  const check = catalogue.find((each) => each.code === code);
  if (check === undefined) return { kind: 'unknown', suggestions: suggestionsFor(code) };
  const { category, hop, severity, title, explanation, after } = check;
  const text = [
    `${code}   ${title}`,
    '',
    ...wrapText(explanation, 76).map((line) => `  ${line}`),
    '',
    `  When it fails: ${severity}, at the hop "${hop}".`,
    ...(after.length === 0
      ? []
      : wrapText(`Not judged while one of these is broken: ${after.join(', ')}.`, 76).map((line) => `  ${line}`)),
  ].join('\n');
  return { kind: 'check', code, category, hop, severity, title, text };
}

function suggestionsFor(code: string): readonly string[] {
  const codes = catalogue.map((check) => check.code);
  const near = nearestWord(code, codes);
  if (near !== null) return [near];
  // The word alone, or the category alone, is a fair guess too; so are all its words with a slip or two.
  const exact = codes.filter((known) => known.split('/').includes(code));
  const words = code.split(/[/-]/);
  const alike = codes.filter((known) => words.every((word) => nearestWord(word, known.split(/[/-]/)) !== null));
  return (exact.length > 0 ? exact : alike).slice(0, 5);
}
