import type { CertificateDescription } from './describe-certificate.ts';

const width = 80;
const labelWidth = 13;

/** What `cert show` prints: one block a certificate, at most 80 columns, without colour; ends with a line feed. */
export function formatCertificateText(descriptions: readonly CertificateDescription[]): string {
  const blocks = descriptions.map((description, index) => {
    const title =
      descriptions.length > 1 ? `${index + 1} of ${descriptions.length}: ${roleOf(description)}` : roleOf(description);
    const rows: readonly (readonly [string, string])[] = [
      ['names', description.names.join(', ')],
      ['subject', description.subject],
      ['signs for', (description.permittedNames ?? []).join(', ')],
      ['issuer', description.selfIssued ? 'itself' : description.issuer],
      [
        'valid',
        `${dayOf(description.notBefore)} to ${dayOf(description.notAfter)}, ${describeDaysLeft(description.daysLeft)}`,
      ],
      ['key', description.keyType],
      ['for', description.usages.join(', ')],
      ['serial', description.serial],
      ['fingerprint', description.fingerprint256],
    ];
    const lines = rows.filter(([, value]) => value !== '').flatMap(([label, value]) => formatRow(label, value));
    return [title, ...lines].join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

function roleOf(description: CertificateDescription): string {
  if (description.isCa)
    return description.selfIssued ? 'root certificate authority' : 'intermediate certificate authority';
  return description.selfIssued ? 'self-signed certificate' : 'certificate';
}

function formatRow(label: string, value: string): string[] {
  return wrap(value, width - labelWidth - 2).map(
    (line, index) => `  ${(index === 0 ? label : '').padEnd(labelWidth)}${line}`,
  );
}

/** Breaks behind commas and colons where possible: between names, and inside a fingerprint. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > columns) {
    const head = rest.slice(0, columns);
    const byComma = head.lastIndexOf(', ') + 2;
    const byColon = head.lastIndexOf(':') + 1;
    const at = byComma > 1 ? byComma : byColon > columns / 2 ? byColon : columns;
    lines.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at);
  }
  return [...lines, rest];
}

function dayOf(iso: string): string {
  return iso.slice(0, 10);
}

/** "12 days left", "expired 3 days ago". */
export function describeDaysLeft(daysLeft: number): string {
  if (daysLeft === -1) return 'expired within the last day';
  if (daysLeft < 0) return daysLeft === -2 ? 'expired 1 day ago' : `expired ${-daysLeft - 1} days ago`;
  if (daysLeft === 0) return 'ends within a day';
  return daysLeft === 1 ? '1 day left' : `${daysLeft} days left`;
}
