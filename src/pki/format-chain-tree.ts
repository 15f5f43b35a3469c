import { describeDaysLeft } from './format-certificate.ts';
import type { CertificateDescription } from './describe-certificate.ts';

const width = 80;

/**
 * A chain as a small tree, the CA above what it signed, with the days left on the right; ends with a line feed. What
 * signed the topmost and is not among them is named too, so that a missing intermediate is seen.
 */
export function formatChainTree(descriptions: readonly CertificateDescription[]): string {
  const rows: { readonly label: string; readonly left: string }[] = [];
  const top = descriptions.at(-1);
  if (top !== undefined && !top.selfIssued) rows.push({ label: `${top.issuer}  (not sent along)`, left: '' });
  for (const description of descriptions.toReversed()) {
    const kind = description.isCa ? (description.selfIssued ? 'root' : 'intermediate') : 'certificate';
    const name = description.isCa ? description.subject : (description.names[0] ?? description.subject);
    rows.push({ label: `${name}  (${kind})`, left: describeDaysLeft(description.daysLeft) });
  }
  return rows
    .map(({ label, left }, depth) => {
      const branch = depth === 0 ? '' : `${'   '.repeat(depth - 1)}└─ `;
      const room = width - 4 - branch.length - left.length;
      const shown = label.length > room ? `${label.slice(0, Math.max(room - 1, 8))}…` : label;
      return `  ${branch}${left === '' ? shown : `${shown.padEnd(room)}  ${left}`}\n`;
    })
    .join('');
}
