import { quoteYaml } from '../deployment/quote-yaml.ts';
import type { DoctorReport } from './types.ts';

/** The text of a baseline that accepts every finding of a report until a day (YYYY-MM-DD). */
export function formatBaseline(report: DoctorReport, { reason, expires }: { reason: string; expires: string }): string {
  const lines = [
    '# Findings of mcp-deploy doctor that are known and accepted for a while: mcp-deploy doctor --baseline FILE',
    'version: 1',
    report.findings.length === 0 ? 'accepted: []' : 'accepted:',
  ];
  for (const { code, hop, evidence } of report.findings) {
    const places = [...new Set(evidence.map(({ source }) => source.trim()))];
    lines.push(
      `  - code: ${code}`,
      `    hop: ${hop}`,
      '    where:',
      ...places.map((place) => `      - ${quoteYaml(place)}`),
      `    reason: ${quoteYaml(reason)}`,
      `    expires: "${expires}"`,
    );
  }
  return `${lines.join('\n')}\n`;
}
