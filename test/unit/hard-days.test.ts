import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/**
 * What breaks gateways in production, and the test of ours that lives through it, by its name: whoever renames or removes
 * one of them is told here what it was for. docs/guarantees.md says the same as promises.
 */
const days: readonly (readonly [day: string, file: string, ...names: readonly string[]])[] = [
  // Processes behind the server.
  [
    'a process dies with calls in its hands',
    'backends-supervision',
    'in mid-call: its calls fail at once as "outcome unknown", the next call works',
  ],
  [
    'and the others do not notice',
    'server-upstream-failures',
    'takes no call of another upstream with it',
    'fails that call alone, is not ready until its next process serves, and then answers again',
  ],
  [
    'a process dies again and again',
    'backends-supervision',
    'a crash loop ends in "broken" after five processes, with the last words',
  ],
  [
    'a program is not installed, or never says hello',
    'backends-supervision',
    'a command that is not there is broken for good, at once, and the sentence helps',
    'one that never answers initialize is given up after startSeconds',
  ],
  [
    'a launcher starts programs that start programs',
    'backends-trees',
    'after stop, when it was started through a shell',
    'after it has crashed',
    'when the server itself is killed with SIGKILL',
  ],
  [
    'a session ends, and so must its programs',
    'server-upstream-failures',
    'a session that ends takes the whole process tree of its upstream with it, and no other',
  ],
  ['a program ignores SIGTERM', 'backends-trees', 'after stop, when it ignores SIGTERM and the end of its input'],
  [
    'a program prints what is no protocol',
    'backends-stdio',
    'banners, CRLF, broken lines and single bytes do not harm its answers',
    'a line over the limit fails its call, the child is started again, and the next call works',
    'a flood on standard error is logged a little and without control characters',
  ],
  [
    'a program stops reading',
    'backends-stdio',
    'a child that stops reading: calls time out, memory stays bounded, and it is started again',
  ],
  [
    'a second client comes to a program that has been greeted',
    'server-upstream-failures',
    'clients of a shared upstream are answered initialize here: the upstream hears it once',
  ],
  [
    'two hundred want a process of their own at once',
    'backends-instances',
    '200 sessions at once start no more processes than allowed; the others get "busy"',
  ],
  // Clients that share a server.
  [
    'all clients count their requests from 1',
    'backends-stdio',
    '10,000 calls with equal ids and progress tokens: every caller gets its own answer and progress',
  ],
  [
    'and over HTTP',
    'server-sessions',
    'with equal ids and progress tokens in many sessions each get their own answers',
  ],
  [
    'somebody has the session id of another key',
    'server-sessions',
    'belongs to the key that made it: another key gets 404 with -32001, and that is logged',
  ],
  [
    'a key is revoked in the middle',
    'server-keys',
    'a revoked key is refused within a second, its streams and sessions end, and other keys notice nothing',
  ],
  [
    'a shared program speaks, and nobody knows to whom',
    'backends-questions',
    'a shared child asks nobody when it cannot be told whose question it is',
  ],
  [
    'a key may see a part only',
    'server-key-scopes',
    'a hidden tool is answered to the byte as one that does not exist, and no upstream hears of it',
    'the refusal is in the audit with the label of the key, and counted',
    'what one key was shown is never shown to the next',
  ],
  // Sessions.
  [
    'nobody ever says goodbye',
    'server-hardening',
    '2,000 that nobody deletes are gone after their time, and never more than the cap',
  ],
  [
    'ids are names of prototypes, broken or huge',
    'server-sessions',
    'id with a line break in it is refused before it is looked at',
  ],
  ['an id of megabytes', 'server-upstream-failures', 'a session id of 2 MB is refused and the server goes on'],
  ['a stream is opened while its forerunner half lives', 'server-sessions', 'opened again wins over the old one'],
  // HTTP.
  [
    'a client goes while it is answered',
    'server-hardening',
    '700 clients that go away at every point of a request leave no stream, no call and no place behind',
  ],
  [
    'a client reads drop by drop',
    'server-slow-readers',
    'what waits for slow readers is bounded over all of them, and the others go on',
  ],
  [
    'bodies of every bad kind',
    'server-http',
    '%s is refused in JSON',
    'a body at the limit passes and chunks without end are cut at it',
    'are refused for every other revision',
  ],
  [
    'a name twice in one object',
    'server-hardening',
    'of a key that is there twice everyone sees the last one: what is checked is what is called',
  ],
  ['a request that never ends', 'server-http', 'a client that is slow with its head or its body is timed out in JSON'],
  [
    'a page of somebody else, a name that was turned here',
    'server-doors',
    'who stays out is told in JSON, before a key is looked at and before a body is read',
  ],
  [
    'and without a list of pages',
    'server-http',
    '%s is refused',
    'an allowed origin may read the answers and make preflights',
  ],
  [
    'a client that writes itself another address',
    'server-hardening',
    'that is not trusted cannot choose the address in the audit file',
  ],
  [
    'heads of 16 kB, HEAD, OPTIONS',
    'server-http',
    'a head over 16 kB is answered with 431 in JSON',
    '%s is not allowed and says what is',
    'OPTIONS without an origin says which methods there are',
  ],
  [
    'IPv6 beside IPv4',
    'server-process',
    'several at once: localhost on both loopback addresses, and a Unix socket of mode 0660',
  ],
  [
    'a proxy with a time-out stands in front of long silence',
    'server-long-calls',
    'a call and an idle stream outlast the time-out of a real nginx, which cuts an answer that is silent',
  ],
  // Protocol.
  ['both eras in front, both behind', 'conformance', 'every required scenario passes'],
  ['an answer of megabytes', 'server-calls', 'of 10 MB comes whole, while small calls go on'],
  ['a client takes its call back', 'server-calls', 'by notifications/cancelled of its own session, and not of another'],
  [
    'a program asks its user something',
    'server-calls',
    'reach a legacy client on the stream of its call and its answer comes back',
    'are answered by the 2.x client in the modern era: input_required, and the call goes on',
  ],
  // Keys and limits.
  [
    'somebody guesses keys, or floods without one',
    'server-keys',
    'a flood of wrong keys reaches no backend, is slowed down, and fills no log',
  ],
  [
    'one key uses its limit up',
    'server-http',
    'a used-up key gets 429 with the fields of the draft, another key does not, and lists stay free',
  ],
  [
    'thirty clients of a key begin at once',
    'server-hardening',
    '30 clients of one key that begin at once are not slowed down by its limit',
  ],
  ['the key file is half written', 'server-keys', 'a half-written key file leaves the old keys in force'],
  [
    'a secret file is half written',
    'server-secrets',
    'a file that is being written is waited for, and never taken for a shorter secret',
  ],
  [
    'secrets want to get out',
    'canaries',
    'secrets of a run are in no log, old or new, audit file, metric, page, span, error hook (%s) or list of processes, and no line is forged',
  ],
  [
    'names with control characters',
    'server-hardening',
    'what a client calls things cannot forge a line of log or audit file, and no key is in either',
  ],
  [
    'the disk of the audit file is full, read-only, moved away',
    'audit-durability',
    'fail-closed: full disk gives 503, and calls go on by themselves when there is room again; no line is lost',
    'fail-open: calls go on, lost lines are counted, and the next line says how many',
    'a read-only disk stops the start with what to do',
    'servers that share a file and rotate it under load lose and tear no line',
  ],
  // Certificates.
  [
    'a certificate is renewed under load, or badly',
    'server-hardening',
    'a certificate that is replaced: open streams live, new handshakes see it; a bad pair changes nothing',
  ],
  // Life.
  [
    'SIGTERM comes in the middle of a call',
    'server-process',
    'SIGTERM finishes the call in flight, refuses new ones, stops the upstream and ends with 0',
    'a second SIGTERM ends at once',
  ],
  ['two replicas are restarted one after the other', 'server-rolling', 'two replicas behind nginx'],
  [
    'one of many upstreams is down, slow or expired',
    'backends-registry',
    'that cannot start does not stop the others',
    'that hangs in its list is left out, and its tools come with its answer',
  ],
  [
    'its certificate has run out',
    'server-upstream-failures',
    'an upstream whose certificate has expired is down with that reason, and the other one answers',
  ],
  [
    'nobody knows whether a call has run',
    'server-audit',
    'says what failed, and that the outcome of a call that was taken back is unknown',
  ],
];

test.each(days)('%s: %s', (_day, file, ...names) => {
  const text = readFileSync(new URL(`../integration/${file}.test.ts`, import.meta.url), 'utf8');
  expect(names.filter((name) => !text.includes(name))).toEqual([]);
});

test('no day is written down twice', () => {
  expect(new Set(days.map(([day]) => day)).size).toBe(days.length);
});
