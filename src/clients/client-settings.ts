import { isDeepStrictEqual } from 'node:util';
import {
  addJsonElement,
  dropJsonValue,
  jsonNodeAt,
  jsonValueOf,
  parseJsonSettings,
  setJsonValue,
} from './json-settings.ts';
import { addTomlTable, changeTomlTable, dropTomlTable, tomlValueOf } from './toml-settings.ts';
import type { ClientEntry, SettingTable } from './types.ts';

type Format = ClientEntry['format'];

/** A server in the settings of a client, as somebody wrote it. */
export interface WrittenEntry {
  readonly name: string;
  readonly value: unknown;
  /** The endpoint it leads to; null for a program of its own. */
  readonly url: string | null;
}

/** What adding an entry means for a text of settings. */
export type Addition =
  | { readonly kind: 'same' }
  | { readonly kind: 'added' | 'changed' | 'replaced'; readonly text: string }
  /** An entry of that name leads elsewhere; `text` is what it would be replaced with. */
  | { readonly kind: 'taken'; readonly by: WrittenEntry; readonly text: string };

/** The servers that settings name. Throws SettingsSyntaxError for settings that cannot be read. */
export function listWrittenEntries(text: string, format: Format, container: string): readonly WrittenEntry[] {
  const servers = containerOf(text, format, container);
  return Object.entries(servers ?? {}).map(([name, value]) => ({ name, value, url: urlOf(value) }));
}

/**
 * Puts an entry into settings: everything else keeps its bytes. An entry of the same name that leads to the same endpoint
 * is brought up to date and keeps what is not ours; one that leads elsewhere is only replaced with `force`.
 * Throws SettingsSyntaxError for settings that cannot be read.
 */
export function addEntry(text: string, entry: ClientEntry, force = false): Addition {
  const there = listWrittenEntries(text, entry.format, entry.container).find(({ name }) => name === entry.name);
  if (there === undefined) return { kind: 'added', text: proven(text, entry, write(text, entry, null)) };
  if (there.url === null || there.url !== urlOf(entry.value)) {
    const replaced = proven(text, entry, write(drop(text, entry), entry, null));
    return force ? { kind: 'replaced', text: replaced } : { kind: 'taken', by: there, text: replaced };
  }
  const changed = proven(text, entry, write(text, entry, there.value as SettingTable));
  return changed === text ? { kind: 'same' } : { kind: 'changed', text: changed };
}

/**
 * Takes an entry out again. With the text from before it was added, and nothing else changed since, exactly that comes
 * back, whatever its last line ended with; null when there was no file at all.
 */
export function removeEntry(text: string, entry: ClientEntry, before: string | null): string | null {
  const value = listWrittenEntries(text, entry.format, entry.container).find(({ name }) => name === entry.name)?.value;
  if (value === undefined) return text;
  const written = { ...entry, value: value as SettingTable };
  for (const origin of [before, null]) {
    if (bytesAfter(origin ?? '', written) === text) return origin;
  }
  const dropped = drop(text, entry);
  const emptied = entry.format === 'json' && isDeepStrictEqual(containerOf(dropped, 'json', entry.container), {});
  const wasThere = before === null || containerOf(before, entry.format, entry.container) !== null;
  return emptied && !wasThere ? dropJsonValue(dropped, [entry.container]) : dropped;
}

/** The endpoint that an entry leads to, also through a bridge. */
export function urlOf(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const { url, serverUrl, httpUrl, args } = value as Record<string, unknown>;
  const words = [url, serverUrl, httpUrl, ...(Array.isArray(args) ? (args as unknown[]) : [])];
  const found = words.find((word) => typeof word === 'string' && /^https?:\/\//i.test(word));
  return typeof found === 'string' && URL.canParse(found) ? new URL(found).href : null;
}

function bytesAfter(text: string, entry: ClientEntry): string | null {
  try {
    const addition = addEntry(text, entry);
    return addition.kind === 'added' ? addition.text : null;
  } catch {
    return null;
  }
}

function containerOf(text: string, format: Format, container: string): Readonly<Record<string, unknown>> | null {
  const document = documentOf(text, format);
  const servers: unknown = Object.getOwnPropertyDescriptor(document, container)?.value;
  if (servers === undefined) return null;
  // Its place is told by the look-up, where there is one.
  if (format === 'json') jsonNodeAt(parseJsonSettings(text), [container, '']);
  return typeof servers === 'object' && servers !== null ? (servers as Record<string, unknown>) : null;
}

function documentOf(text: string, format: Format): object {
  if (format === 'toml') return tomlValueOf(text);
  const { root } = parseJsonSettings(text);
  return root === null ? {} : (jsonValueOf(root) as object);
}

function write(text: string, entry: ClientEntry, there: SettingTable | null): string {
  const { container, name, value } = entry;
  const changes = Object.fromEntries(
    Object.entries(value).filter(([key, wanted]) => there === null || !isDeepStrictEqual(there[key], wanted)),
  );
  let result = text;
  if (entry.format === 'toml') {
    if (there === null) return addTomlTable(text, container, name, value);
    if (Object.keys(changes).length === 0) return text;
    const changed = changeTomlTable(text, container, name, changes);
    return changed ?? addTomlTable(dropTomlTable(text, container, name), container, name, { ...there, ...changes });
  }
  if (there === null) result = setJsonValue(text, [container, name], value);
  else
    for (const [key, wanted] of Object.entries(changes)) result = setJsonValue(result, [container, name, key], wanted);
  for (const input of entry.inputs) {
    if (!inputsOf(result).some((each) => each['id'] === input['id'])) result = addJsonElement(result, 'inputs', input);
  }
  return result;
}

function drop(text: string, entry: ClientEntry): string {
  if (entry.format === 'toml') return dropTomlTable(text, entry.container, entry.name);
  let result = dropJsonValue(text, [entry.container, entry.name]);
  for (const { id } of entry.inputs) {
    const index = inputsOf(result).findIndex((each) => each['id'] === id);
    if (index === -1 || typeof id !== 'string' || result.includes(`\${input:${id}}`)) continue;
    result = dropJsonValue(result, ['inputs'], index);
    if (inputsOf(result).length === 0) result = dropJsonValue(result, ['inputs']);
  }
  return result;
}

function inputsOf(text: string): readonly Record<string, unknown>[] {
  const inputs: unknown = Object.getOwnPropertyDescriptor(documentOf(text, 'json'), 'inputs')?.value;
  return Array.isArray(inputs) ? (inputs as Record<string, unknown>[]) : [];
}

/** An edit that changed more, or less, than it should is never written: the text is read back and compared. */
function proven(before: string, entry: ClientEntry, after: string): string {
  const read = (text: string): [Map<string, unknown>, Map<string, unknown>] => {
    const top = new Map(Object.entries(documentOf(text, entry.format)));
    const servers = new Map(Object.entries((top.get(entry.container) ?? {}) as object));
    for (const key of [entry.container, ...(entry.inputs.length > 0 ? ['inputs'] : [])]) top.delete(key);
    return [top, servers];
  };
  const [oldTop, oldServers] = read(before);
  const [newTop, newServers] = read(after);
  const written = newServers.get(entry.name) as Record<string, unknown>;
  const ours = Object.entries(entry.value).every(([key, value]) => isDeepStrictEqual(written[key], value));
  oldServers.delete(entry.name);
  newServers.delete(entry.name);
  if (ours && isDeepStrictEqual(oldTop, newTop) && isDeepStrictEqual(oldServers, newServers)) return after;
  throw new Error('an entry for a client could not be written without touching something else');
}
