import { formatEntry } from './entry-text.ts';
import { caInSystemStore } from './notes.ts';
import { bridgeEntry, bridgeNotes } from './stdio-bridge.ts';
import type { McpClient } from './types.ts';

/**
 * Zed: `context_servers`. It sends headers as they stand, without filling in variables (zed-industries/zed#60459), so
 * that an endpoint with a key goes through the bridge, which keeps the key out of the settings.
 */
export const zed: McpClient = {
  id: 'zed',
  title: 'Zed',
  files: {
    linux: '~/.config/zed/settings.json',
    macos: '~/.config/zed/settings.json',
    windows: String.raw`%APPDATA%\Zed\settings.json`,
    project: '.zed/settings.json',
  },
  era: 'legacy',
  trust: 'system',
  entry: (options) => ({
    format: 'json',
    container: 'context_servers',
    name: options.name,
    value: options.keyFile === null ? { url: options.url } : bridgeEntry(options),
    inputs: [],
  }),
  snippet(options) {
    const bridged = options.keyFile !== null;
    return {
      title: this.title,
      file: '~/.config/zed/settings.json',
      format: 'json',
      text: formatEntry(this.entry(options)),
      notes: bridged ? bridgeNotes(this.title, options) : caInSystemStore(this.title, options),
    };
  },
};
