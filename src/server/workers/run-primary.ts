import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { describeRisks } from '../../deployment/describe-risks.ts';
import { listenAddresses } from '../../deployment/listen-address.ts';
import { checkServer } from '../check-server.ts';
import type { GatewayOptions } from '../gateway.ts';
import { openAddresses } from '../http/open-addresses.ts';
import { planPageListeners } from '../http/page-listeners.ts';
import type { ServeFlags } from '../serve-flags.ts';
import { readConfigFile } from '../serve-settings.ts';
import type { ServeSignals } from '../serve-signals.ts';
import type { ServerConfig } from '../server-config.ts';
import type { InheritedSockets } from '../systemd/inherited-sockets.ts';
import { tellServiceManager, type ServiceManager } from '../systemd/service-manager.ts';
import { createPageGathering } from './gather-pages.ts';
import { createHandOut } from './hand-out.ts';
import type { FromWorker, StartMessage } from './messages.ts';
import { WorkerSlot, type FailedStart, type SlotEvents } from './worker-slot.ts';
import { makeWorkersFolder } from './workers-folder.ts';

export interface PrimaryOptions {
  readonly argv: readonly string[];
  readonly flags: Exclude<ServeFlags, { mode: 'help' }>;
  readonly configBytes: Buffer | null;
  readonly config: ServerConfig;
  readonly options: GatewayOptions;
  /** How many. */
  readonly workers: number;
  readonly signals: ServeSignals;
  /** Sockets that systemd handed over. */
  readonly inherited: InheritedSockets | null;
  readonly serviceManager: ServiceManager;
}

/** Beyond `drainSeconds` a worker may take this long to end its upstreams and to flush. */
const endWithinMs = 15_000;
/** A worker that does not answer a reload for this long does not hold up the next one. */
const reloadWithinMs = 30_000;

/**
 * Serves with several workers: this process holds the listening sockets, gives every connection to a worker and speaks no
 * HTTP itself. Prints where the server listens once all workers are ready.
 * @returns the exit code: 0 ended as asked, 70 no worker can start any more, else why the first start was refused.
 * @throws UserError or EnvironmentError as the start of one process would.
 */
export async function runPrimary(primary: PrimaryOptions): Promise<number> {
  const { argv, config, options, workers: count, signals, inherited, serviceManager } = primary;
  const { log } = options;
  const { server, tls } = config.deployment;
  // What a look can refuse is refused before a port is open.
  checkServer(config, options, false);
  for (const risk of describeRisks(config.deployment)) log.warn('config.risk', { risk });
  const folder = makeWorkersFolder();
  const ticketSecret = randomBytes(32).toString('base64');
  let configText = primary.configBytes?.toString('utf8') ?? null;
  let origins: readonly string[] = [];
  let ports: readonly (number | null)[] = [];
  const servers: Server[] = [];
  const pageOrigins: string[] = [];

  let stopping = false;
  let announced = false;
  let settleStart: (failure: FailedStart | null) => void = () => {};
  const firstStart = new Promise<FailedStart | null>((resolve) => {
    settleStart = resolve;
  });
  let giveUp: () => void = () => {};
  const gaveUp = new Promise<void>((resolve) => {
    giveUp = resolve;
  });
  let lastWords: FailedStart | null = null;
  const reloads = new Map<WorkerSlot, (accepted: boolean) => void>();

  const events: SlotEvents = {
    startMessage: (slot): StartMessage => ({
      kind: 'start',
      slot,
      count,
      argv,
      config: configText,
      folder,
      origins,
      ports,
      ticketSecret,
      handsOver: inherited !== null,
    }),
    ready() {
      handOut.release();
      if (slots.every(({ state }) => state === 'ready')) settleStart(null);
    },
    message: onMessage,
    ended(slot) {
      pages.ended(slot);
      reloads.get(slot)?.(false);
      if (slots.every(({ state }) => state === 'ended')) settleEnd();
    },
    failedToStart(_slot, why, broken) {
      if (!announced) {
        settleStart(why);
      } else if (broken && !slots.some(({ state }) => state === 'ready')) {
        lastWords = why;
        giveUp();
      }
    },
  };
  const slots = Array.from({ length: count }, (_, number) => new WorkerSlot(number, events, log));
  const handOut = createHandOut(slots);
  const pages = createPageGathering(slots);
  let settleEnd: () => void = () => {};

  function onMessage(from: WorkerSlot, message: FromWorker): void {
    if (message.kind === 'limits') {
      for (const slot of slots) if (slot !== from && slot.state === 'ready') slot.send(message);
    } else if (message.kind === 'gather') {
      const { askId } = message;
      pages.gather(message.page, (answer) => from.send({ kind: 'gathered', askId, ...answer }));
    } else if (message.kind === 'reported') {
      pages.reported(from, message.askId, { status: message.status, body: message.body });
    } else if (message.kind === 'reloaded') {
      reloads.get(from)?.(message.accepted);
    }
  }

  /**
   * One after the other, so that there is always one that is not busy with it. False when one of them keeps what was in
   * force before, or did not say in time.
   */
  async function reload(): Promise<boolean> {
    let allAccepted = true;
    for (const slot of slots) {
      if (slot.state !== 'ready') continue;
      const accepted = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), reloadWithinMs);
        reloads.set(slot, (is) => {
          clearTimeout(timer);
          resolve(is);
        });
        slot.send({ kind: 'reload' });
      });
      reloads.delete(slot);
      allAccepted &&= accepted;
    }
    return allAccepted;
  }

  async function reloadAfter(before: Promise<void>): Promise<void> {
    await before;
    const accepted = await reload();
    // A worker that is replaced starts with what is in force, not with what was refused.
    if (!accepted || primary.flags.mode !== 'config' || stopping) return;
    try {
      // A worker that starts from now on reads what the others have read.
      configText = readConfigFile(primary.flags.configFile).toString('utf8');
    } catch (error) {
      log.warn('server.config-unreadable', { error });
    }
  }

  async function stop(now: boolean): Promise<void> {
    stopping = true;
    inherited?.close();
    const ended = new Promise<void>((resolve) => {
      settleEnd = resolve;
    });
    for (const slot of slots) slot.stop(now);
    const limitMs = (now ? 0 : server.drainSeconds * 1_000) + endWithinMs;
    const timer = setTimeout(() => {
      log.error('workers.killed', { why: 'they did not end in time' });
      for (const slot of slots) slot.kill();
    }, limitMs);
    if (slots.some(({ state }) => state !== 'ended')) await ended;
    clearTimeout(timer);
    handOut.close();
    for (const each of servers) each.close();
    rmSync(folder, { recursive: true, force: true });
  }

  let reloading: Promise<void> = Promise.resolve();
  let stopped: Promise<void> | null = null;
  const whole = {
    reload() {
      reloading = reloadAfter(reloading);
      return reloading;
    },
    async drain() {
      stopped ??= stop(false);
      await stopped;
    },
    async stopNow() {
      if (stopped === null) stopped = stop(true);
      else for (const slot of slots) slot.stop(true);
      await stopped;
    },
  };

  try {
    const giveTo =
      (pages: number | null) =>
      (unix: boolean): Server => {
        const each = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true });
        each.on('connection', (socket) => handOut.give(socket, unix, pages));
        servers.push(each);
        return each;
      };
    const open = await openAddresses(listenAddresses(server), giveTo(null), inherited);
    for (const [number, { address }] of planPageListeners(server).entries()) {
      const opened = await openAddresses([address], giveTo(number), inherited);
      pageOrigins.push(...opened.map(({ shown, port }) => (port === null ? `unix:${shown}` : `http://${shown}`)));
    }
    const scheme = tls.source === 'off' ? 'http' : 'https';
    origins = open.map(({ shown, port }) => (port === null ? `unix:${shown}` : `${scheme}://${shown}`));
    ports = open.map(({ port }) => port);
    inherited?.warnOfUnused(log);
  } catch (error) {
    await whole.stopNow();
    throw error;
  }
  for (const slot of slots) slot.start();
  void announceWhenReady();
  const told = tellServiceManager(whole, serviceManager, () => `Serving on ${origins.join(', ')}`);
  const code = await signals.untilStopped(told, log, gaveUp);
  const words = lastWords as FailedStart | null;
  if (words === null) return code;
  process.stderr.write(words.text);
  return announced ? 70 : words.exitCode;

  async function announceWhenReady(): Promise<void> {
    const refused = await firstStart;
    if (stopping) return;
    if (refused !== null) {
      lastWords = refused;
      giveUp();
      return;
    }
    announced = true;
    for (const origin of origins) {
      process.stdout.write(`listening ${origin.startsWith('unix:') ? `${origin} ` : origin}${server.path}\n`);
    }
    serviceManager.ready(`Serving on ${origins.join(', ')} with ${count} workers`);
    // One that hangs is ended and started again from here; one that cannot be helped that way ends in a new start of all.
    serviceManager.beatWhile(() => slots.every(({ isLate }) => !isLate));
    log.info('server.listening', {
      urls: origins,
      pages: pageOrigins,
      workers: count,
      version: options.version,
      pid: process.pid,
    });
  }
}
