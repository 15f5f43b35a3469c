/** An object of a cluster as it comes in JSON. */
export interface LiveObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly generation?: number;
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

/** What the server writes, and not who wants something. */
const ofServer: ReadonlySet<string> = new Set([
  'metadata.managedFields',
  'metadata.resourceVersion',
  'metadata.generation',
  'metadata.uid',
  'metadata.creationTimestamp',
  'metadata.selfLink',
  'status',
]);
const shownCharacters = 40;

/** As kubectl names it: `deployment.apps/notes`, `service/notes`. */
export function objectName({
  apiVersion,
  kind,
  metadata,
}: Pick<LiveObject, 'apiVersion' | 'kind' | 'metadata'>): string {
  const group = apiVersion.includes('/') ? `.${apiVersion.slice(0, apiVersion.indexOf('/'))}` : '';
  return `${kind.toLowerCase()}${group}/${metadata.name}`;
}

/** The fields in which a live object is not as it would be after our manifest was applied, with both values. */
export function compareObjects(live: LiveObject, applied: LiveObject): readonly string[] {
  return fieldsThatDiffer(live, applied, '');
}

function fieldsThatDiffer(now: unknown, wanted: unknown, path: string): readonly string[] {
  if (ofServer.has(path)) return [];
  if (isRecord(now) && isRecord(wanted)) {
    const keys = [...new Set([...Object.keys(now), ...Object.keys(wanted)])].toSorted();
    return keys.flatMap((key) => fieldsThatDiffer(now[key], wanted[key], path === '' ? key : `${path}.${key}`));
  }
  if (Array.isArray(now) && Array.isArray(wanted) && now.length === wanted.length) {
    return now.flatMap((each, index) => fieldsThatDiffer(each, wanted[index] as unknown, `${path}[${index}]`));
  }
  if (JSON.stringify(now) === JSON.stringify(wanted)) return [];
  return [`${path}: ${shown(now)} in place of ${shown(wanted)}`];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const [first = ''] = text.split('\n');
  return first.length > shownCharacters || first !== text ? `${first.slice(0, shownCharacters)}…` : first;
}
