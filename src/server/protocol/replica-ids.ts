import { randomUUID } from 'node:crypto';

/**
 * Gives ids that end with the name of this server: `UUID.r1`. A proxy sends a session to its server by that end, without
 * cookies, which MCP clients drop, and without having seen where the session began. A UUID has no dot, so that no id
 * without a name is taken for one with it.
 */
export function makeReplicaIds(replica: string | undefined, makeId: () => string = randomUUID): () => string {
  return replica === undefined ? makeId : () => `${makeId()}.${replica}`;
}
