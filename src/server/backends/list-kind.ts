import type { ListKind } from '../types.ts';

/** The list that a change notice is about; null for other notifications. */
export function listKindOf(method: string): ListKind | null {
  switch (method) {
    case 'notifications/tools/list_changed':
      return 'tools';
    case 'notifications/resources/list_changed':
      return 'resources';
    case 'notifications/prompts/list_changed':
      return 'prompts';
    default:
      return null;
  }
}
