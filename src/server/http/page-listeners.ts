import type { HttpHandler } from './http-message.ts';
import { parseListenAddress, type ListenAddress } from '../../deployment/listen-address.ts';
import type { Deployment } from '../../deployment/schema.ts';
import type { Log } from '../observe/log.ts';
import type { InheritedSockets } from '../systemd/inherited-sockets.ts';
import { openListeners } from './listeners.ts';

/** Pages that can have a port of their own. */
export type OwnPage = 'metrics' | 'status' | 'health';

/** One address that answers pages and nothing else, never the endpoint; plain HTTP. */
export interface PageListener {
  readonly address: ListenAddress;
  readonly pages: readonly OwnPage[];
}

/** A listener for pages that is open. */
export interface PageSocket {
  readonly origins: readonly string[];
  close(): Promise<void>;
}

/** Opens one of planPageListeners; `number` is its place there. */
export type OpenPages = (
  number: number,
  address: ListenAddress,
  handler: HttpHandler,
  log: Log,
  inherited: InheritedSockets | null,
) => Promise<PageSocket>;

/** Opens it in this process. @throws EnvironmentError when the address is taken or not allowed. */
export const openPages: OpenPages = async (_number, address, handler, log, inherited) => {
  const listeners = await openListeners([address], null, handler, log, { inherited });
  return { origins: listeners.origins, close: () => listeners.close(0) };
};

const pathsOf: Readonly<Record<OwnPage, readonly string[]>> = {
  metrics: ['/metrics'],
  status: ['/status'],
  health: ['/livez', '/readyz', '/health'],
};

/** Addresses for pages alone, in a fixed order; pages that name the same address share it. Pure. */
export function planPageListeners({
  metrics,
  metricsListen,
  statusListen,
  healthListen,
}: Pick<Deployment['server'], 'metrics' | 'metricsListen' | 'statusListen' | 'healthListen'>): readonly PageListener[] {
  const byAddress = new Map<string, OwnPage[]>();
  const wanted: readonly (readonly [OwnPage, string | undefined])[] = [
    ['metrics', metrics ? metricsListen : undefined],
    ['status', statusListen],
    ['health', healthListen],
  ];
  for (const [page, text] of wanted) {
    if (text !== undefined) byAddress.set(text, [...(byAddress.get(text) ?? []), page]);
  }
  return Array.from(byAddress, ([text, pages]) => ({ address: parseListenAddress(text), pages }));
}

/** Whether a listener for these pages answers this path. */
export function showsPath(pages: readonly OwnPage[], path: string): boolean {
  return pages.some((page) => pathsOf[page].includes(path));
}
