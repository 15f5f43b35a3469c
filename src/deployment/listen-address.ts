import type { Deployment } from './schema.ts';

/** One entry of `server.listen`, taken apart. */
export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  /** host: '' for all addresses, 'localhost' for both loopback addresses, IPv6 without brackets. */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** Takes a listen address apart; the text must have the form that the schema asks for. */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix:')) return { kind: 'unix', path: text.slice('unix:'.length) };
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[|\]$/g, '');
  return { kind: 'tcp', host: allAddresses.has(host) ? '' : host.toLowerCase(), port: Number(text.slice(colon + 1)) };
}

/** The wanted listen addresses in the order of the file. */
export function listenAddresses(server: Pick<Deployment['server'], 'listen'>): readonly ListenAddress[] {
  return [server.listen].flat().map(parseListenAddress);
}

/** Whether only this machine can reach it: a Unix socket, 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true;
  return address.host === 'localhost' || address.host === '::1' || /^127(?:\.[0-9]{1,3}){3}$/.test(address.host);
}

const allAddresses: ReadonlySet<string> = new Set(['', '*', '0.0.0.0', '::']);
