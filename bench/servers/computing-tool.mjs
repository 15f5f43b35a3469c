// A tool that computes for about a millisecond on an idle core and answers with what it was given.
import { createHash } from 'node:crypto';

export default function compute({ message }) {
  // Work, not time: who waits for a core has not computed.
  let digest = Buffer.from(message);
  for (let count = 0; count < rounds; count += 1) digest = createHash('sha256').update(digest).digest();
  return digest.length === 32 ? message : '';
}

const rounds = 250;
