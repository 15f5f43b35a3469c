/** Help that a command's own definition leaves out: examples, and the exit codes that it can end with. */
interface Footer {
  readonly examples?: readonly string[];
  readonly exitCodes?: string;
}

const shown = '0 shown   2 wrong input';
const changed = `0 done or nothing to do   2 deployment file wrong   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone`;
const keyChanged = '0 done   2 wrong input   3 refused before any change';
const auditShown = '0 shown   2 wrong input, or no audit file';

const footers: Readonly<Record<string, Footer>> = {
  init: { exitCodes: changed },
  plan: { examples: ['mcp-deploy plan', 'mcp-deploy plan --check --json'] },
  apply: { examples: ['mcp-deploy apply', 'mcp-deploy apply --yes --json'] },
  rollback: { examples: ['mcp-deploy rollback', 'mcp-deploy rollback 3'] },
  history: { examples: ['mcp-deploy history', 'mcp-deploy history --json'], exitCodes: shown },
  logs: { examples: ['mcp-deploy logs', 'mcp-deploy logs --follow --lines 200'], exitCodes: shown },
  start: { examples: ['mcp-deploy start'], exitCodes: changed },
  stop: { examples: ['mcp-deploy stop'], exitCodes: changed },
  restart: { examples: ['mcp-deploy restart'], exitCodes: changed },
  explain: { examples: ['mcp-deploy explain tls/name'], exitCodes: '0 explained   2 no such code' },
  'keys create': { exitCodes: keyChanged },
  'keys list': { examples: ['mcp-deploy keys list', 'mcp-deploy keys list --json'], exitCodes: shown },
  'keys rotate': {
    exitCodes: `${keyChanged}\n  1 rotated, and --prove saw that the endpoint does not do as it should`,
  },
  'keys revoke': { examples: ['mcp-deploy keys revoke laptop'], exitCodes: keyChanged },
  'cert renew': { examples: ['mcp-deploy cert renew', 'mcp-deploy cert renew --install-timer'] },
  'audit tail': {
    examples: ['mcp-deploy audit tail --follow', 'mcp-deploy audit tail --since 1h'],
    exitCodes: auditShown,
  },
  'audit errors': { examples: ['mcp-deploy audit errors --since 1d'], exitCodes: auditShown },
  'audit slow': { examples: ['mcp-deploy audit slow --top 5 --tool search'], exitCodes: auditShown },
  'audit rotate-key': {
    examples: ['mcp-deploy audit rotate-key', 'mcp-deploy audit rotate-key --json'],
    exitCodes: keyChanged,
  },
  'audit tools': { examples: ['mcp-deploy audit tools --since 7d'], exitCodes: auditShown },
  'backup list': { examples: ['mcp-deploy backup list', 'mcp-deploy backup list --json'], exitCodes: shown },
  'backup key': { examples: ['mcp-deploy backup key --out ./backup.key'], exitCodes: keyChanged },
  'backup verify': { examples: ['mcp-deploy backup verify', 'mcp-deploy backup verify --identity ./backup.key'] },
  render: {
    examples: ['mcp-deploy render nginx', 'mcp-deploy render nginx systemd --out ./files', 'mcp-deploy render --list'],
    exitCodes: '0 printed or written   2 wrong input   3 refused before any change',
  },
  schema: { examples: ['mcp-deploy schema > mcp-deploy.schema.json'], exitCodes: '0 printed' },
};

/**
 * Text behind the options of a command, by its words.
 * Empty for a command whose own definition says everything.
 */
export function helpFooterOf(name: string): string {
  const footer = Object.hasOwn(footers, name) ? footers[name] : undefined;
  if (footer === undefined) return '';
  const { examples, exitCodes } = footer;
  return [
    ...(examples === undefined ? [] : ['\nExamples', ...examples.map((example) => `  ${example}`)]),
    ...(exitCodes === undefined ? [] : ['\nExit codes', `  ${exitCodes}`]),
    '',
  ].join('\n');
}
