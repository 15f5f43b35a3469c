import { rmSync } from 'node:fs';
import { Socket, type Server } from 'node:net';
import { join } from 'node:path';
import type { HealthAnswer } from '../observe/health.ts';
import { UserError } from '../../deployment/errors.ts';
import { createHttpServers } from '../http/http-servers.ts';
import { kindOf, type openListeners } from '../http/listeners.ts';
import type { OpenPages } from '../http/page-listeners.ts';
import { markWorkerSocket } from '../http/peer-address.ts';
import type { LimitDelta } from '../policy/limit-sharing.ts';
import type { FromWorker, StartMessage, ToWorker } from './messages.ts';
import { createWorkerChannel } from './pass-on.ts';
import type { PageName, Siblings } from './siblings.ts';
import { makeWorkerId, slotOfId } from './worker-ids.ts';

/** What a worker has in place of listening sockets and of being alone. */
export interface WorkerSide {
  readonly siblings: Siblings;
  readonly open: typeof openListeners;
  readonly openPages: OpenPages;
  /** A message of the primary that is not about the life of this worker. */
  take(message: ToWorker, socket: unknown): void;
}

/** The primary has a second to gather; it must be busy to take longer. */
const gatherMs = 1_500;
const tellClosedEveryMs = 50;
/** Nobody but the workers reaches their sockets: what watches over foreign clients would only cut kept connections. */
const amongWorkers = { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0, stalledAfterMs: 0 };

/** Path of the socket on which a worker takes what the others pass on. */
function socketOf(folder: string, slot: number): string {
  return join(folder, `${slot}.sock`);
}

/** @param send puts a message on the way to the primary */
export function createWorkerSide(start: StartMessage, send: (message: FromWorker) => void): WorkerSide {
  const { slot, count, folder } = start;
  const channel = createWorkerChannel();
  const listeners = new Map<string, (deltas: readonly LimitDelta[]) => void>();
  const asked = new Map<number, (answer: HealthAnswer) => void>();
  let report: ((page: PageName) => HealthAnswer) | null = null;
  let nextAsk = 1;
  const pageServers = new Map<number, Server>();
  let accept: ((socket: Socket, unix: boolean, pages: number | null) => void) | null = null;

  const siblings: Siblings = {
    count,
    makeId: () => makeWorkerId(slot),
    otherOwnerOf(id) {
      const owner = slotOfId(id);
      return owner === null || owner === slot || owner >= count ? null : owner;
    },
    passOn: (req, res, to, given, body) => channel.passOn(req, res, socketOf(folder, to), given, body),
    passedOn: () => channel.inFlight,
    sharing: {
      publish: (topic, deltas) => send({ kind: 'limits', topic, deltas }),
      onRemote: (topic, listener) => void listeners.set(topic, listener),
    },
    gather(page) {
      const askId = nextAsk++;
      return new Promise((resolve) => {
        const finish = (answer: HealthAnswer | null): void => {
          clearTimeout(timer);
          asked.delete(askId);
          resolve(answer);
        };
        const timer = setTimeout(() => finish(null), gatherMs);
        asked.set(askId, finish);
        send({ kind: 'gather', askId, page });
      });
    },
    onAsked(answer) {
      report = answer;
    },
  };

  return {
    siblings,
    async open(addresses, certificate, handler, log, given = {}, watch = {}) {
      const ticketSecret = Buffer.from(start.ticketSecret, 'base64');
      const servers = createHttpServers(certificate, handler, log, { ...given, ticketSecret }, watch);
      const between = createHttpServers(null, handler, log, amongWorkers, watch);
      const [tcp, unix] = [servers.create(false), servers.create(true)];
      servers.start();
      const internal = between.create(false);
      internal.on('connection', markWorkerSocket);
      await listenAfresh(internal, socketOf(folder, slot));
      const counter = countClosed(send);
      accept = (socket, isUnix, pages) => {
        counter.watch(socket);
        const server = pages === null ? (isUnix ? unix : tcp) : pageServers.get(pages);
        if (server === undefined) socket.destroy();
        else server.emit('connection', socket);
      };
      return {
        origins: start.origins,
        ports: start.ports,
        prepare(wanted, next, treatment) {
          const [first] = addresses;
          const kind = (secure: boolean, how: typeof given): string =>
            first === undefined ? '' : kindOf(first, secure, how);
          const isSame =
            JSON.stringify(wanted) === JSON.stringify(addresses) &&
            kind(certificate !== null, given) === kind(next !== null, treatment);
          if (isSame) return Promise.resolve({ commit() {}, discard: () => Promise.resolve() });
          return Promise.reject(
            new UserError('Workers cannot move to other addresses while they run', {
              why: 'Listen addresses, TLS on or off, its profile and the PROXY protocol belong to the process above them.',
              next: 'Restart the server for these, or run it with one worker.',
            }),
          );
        },
        useCertificate: (next) => servers.useCertificate(next),
        drain: () => servers.drain(),
        handOver: () => (start.handsOver ? servers.lastCalls() : Promise.resolve()),
        async close(flushMs) {
          accept = null;
          counter.close();
          await Promise.all([servers.close(flushMs), between.close(flushMs)]);
          channel.close();
        },
      };
    },
    openPages(number, address, handler, log) {
      const servers = createHttpServers(null, handler, log, {}, {});
      pageServers.set(number, servers.create(address.kind === 'unix'));
      servers.start();
      // The process above says where it listens.
      return Promise.resolve({ origins: [], close: () => servers.close(0) });
    },
    take(message, socket) {
      if (message.kind === 'connection') {
        // It can be closed by the time that it arrives.
        if (!(socket instanceof Socket)) return;
        // node:http wants to answer also when the client has said that it will send no more.
        socket.allowHalfOpen = true;
        if (accept === null) socket.destroy();
        else accept(socket, message.unix, message.pages);
      } else if (message.kind === 'limits') {
        listeners.get(message.topic)?.(message.deltas);
      } else if (message.kind === 'gathered') {
        asked.get(message.askId)?.({ status: message.status, body: message.body });
      } else if (message.kind === 'report' && report !== null) {
        send({ kind: 'reported', askId: message.askId, ...report(message.page) });
      }
    },
  };
}

/** The socket file of a worker that was killed is in the way of its successor. */
async function listenAfresh(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, backlog: 1_024 }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

/** Lets the primary know how many connections are left here, a few times a second at most. */
function countClosed(send: (message: FromWorker) => void): { watch(socket: Socket): void; close(): void } {
  let closed = 0;
  let timer: NodeJS.Timeout | null = null;
  const tell = (): void => {
    timer = null;
    send({ kind: 'closed', connections: closed });
    closed = 0;
  };
  const onClose = (): void => {
    closed++;
    timer ??= setTimeout(tell, tellClosedEveryMs).unref();
  };
  return {
    watch(socket) {
      socket.once('close', onClose);
    },
    close() {
      if (timer !== null) clearTimeout(timer);
    },
  };
}
