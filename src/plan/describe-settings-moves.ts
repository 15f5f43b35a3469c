/** One setting that is another one in two deployments. */
export interface SettingMove {
  /** With dots, as in mcp-deploy.yaml. */
  readonly path: string;
  readonly state: 'new' | 'gone' | 'changed';
}

/**
 * What is not the same in two deployments with all defaults filled in: settings that a newer version knows, those that it knows no
 * more, and other values. Names alone, since values may be secret. Pure.
 */
export function describeSettingsMoves(before: unknown, after: unknown, path = ''): readonly SettingMove[] {
  if (isMap(before) && isMap(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
    return names.flatMap((name) =>
      describeSettingsMoves(before[name], after[name], path === '' ? name : `${path}.${name}`),
    );
  }
  if (before === undefined && after === undefined) return [];
  if (before === undefined) return [{ path, state: 'new' }];
  if (after === undefined) return [{ path, state: 'gone' }];
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, state: 'changed' }];
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
