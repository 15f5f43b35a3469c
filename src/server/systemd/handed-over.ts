import type { ListenAddress } from '../../deployment/listen-address.ts';
import type { InheritedPlace } from './inherited-places.ts';

/** Names the socket at which a server is asked to leave its place; only apply sets it, for servers in a folder. */
export const doorVariable = 'MCP_DEPLOY_HAND_OVER_SOCKET';

/** Says which descriptors a server of before has handed to this process. */
export const successorVariable = 'MCP_DEPLOY_HANDED_OVER';

/**
 * The sockets that a server of before handed to this process; null when there was none. Resolves when that one has ended: it had
 * files open that only one process may write.
 */
export async function awaitPredecessor(env: NodeJS.ProcessEnv): Promise<readonly InheritedPlace[] | null> {
  const text = env[successorVariable];
  // For this process, and for none that it starts.
  delete env[successorVariable];
  if (text === undefined || process.send === undefined) return null;
  if (process.connected) {
    await new Promise<void>((resolve) => {
      process.once('disconnect', resolve);
    });
  }
  return parsePlaces(text);
}

function parsePlaces(text: string): readonly InheritedPlace[] {
  const places = JSON.parse(text) as readonly { readonly fd: number; readonly address: ListenAddress }[];
  return places.filter(({ fd }) => Number.isInteger(fd) && fd > 2);
}
