import { randomBytes } from 'node:crypto';
import type { HttpRequest } from './http-message.ts';
import { cameFromWorker, workerHeaders } from './peer-address.ts';

/** What is copied into a header, the log and the audit file: nothing that could end a line or a field. */
const sane = /^[A-Za-z0-9._:+/=@-]{1,128}$/;

/**
 * Gives every request the id by which client, log and audit file speak of it. The id that a trusted proxy sent is
 * kept, so that its log can be joined with ours; everybody else's would let a client forge what it is known by.
 * @param trusts whether the peer of this request is a trusted proxy
 */
export function createRequestIds(trusts: (req: HttpRequest) => boolean): (req: HttpRequest) => string {
  // Random once, then counted: unique across restarts, and free for a call.
  const prefix = `${randomBytes(6).toString('hex')}-`;
  let next = 1;
  return (req) => {
    const known = req.headers[workerHeaders.requestId];
    if (typeof known === 'string' && cameFromWorker(req)) return known;
    const given = req.headers['x-request-id'];
    if (typeof given === 'string' && sane.test(given) && trusts(req)) return given;
    return prefix + (next++).toString(36);
  };
}
