/** What `status --json` of each host said, as a table: a host a line. Pure. */
export function describeHostStatus(
  hosts: readonly string[],
  results: readonly { readonly host: string; readonly exitCode: number; readonly document: unknown }[],
): string {
  const rows = hosts.map((host) => [host, ...cellsOf(results.find((each) => each.host === host))]);
  const all = [['host', 'server', 'version', 'certificate', 'keys'], ...rows];
  const widths = (all[0] ?? []).map((_, at) => Math.max(...all.map((row) => row[at]?.length ?? 0)));
  return all.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd()).join('\n');
}

function cellsOf(result: { readonly exitCode: number; readonly document: unknown } | undefined): readonly string[] {
  if (result === undefined) return ['not looked at'];
  const { ok, error, server, certificate, keys, unfinished } = (result.document ?? {}) as {
    ok?: boolean;
    error?: { what?: string };
    server?: { state?: string; status?: string; version?: string };
    certificate?: { daysLeft?: number } | null;
    keys?: readonly unknown[];
    unfinished?: unknown;
  };
  if (ok !== true) return [error?.what ?? `no answer (exit ${result.exitCode})`];
  const state = server?.status === undefined ? (server?.state ?? 'not known') : `running, ${server.status}`;
  return [
    unfinished === null || unfinished === undefined ? state : `${state}; an apply was cut off`,
    server?.version ?? '-',
    certificate?.daysLeft === undefined ? '-' : `${certificate.daysLeft} days`,
    String(keys?.length ?? 0),
  ];
}
