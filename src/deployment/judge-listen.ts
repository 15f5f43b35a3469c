import { canonicalName } from './host-name.ts';
import { judgeAddressForms, type NamedAddress } from './judge-addresses.ts';
import type { MeaningProblem } from './judge-texts.ts';
import { isLoopback, parseListenAddress, type ListenAddress } from './listen-address.ts';
import type { Deployment } from './schema.ts';
import { quoted } from './shape-sentences.ts';

/** Addresses of the endpoint that are none. */
export function judgeListenForms(deployment: Deployment): MeaningProblem[] {
  return judgeAddressForms(listenEntries(deployment));
}

/** Two addresses of the endpoint that ask for one port. */
export function judgeListenOverlap(deployment: Deployment): MeaningProblem[] {
  const entries = listenEntries(deployment);
  return entries.flatMap(({ path, address }, index): MeaningProblem[] => {
    const earlier = entries.slice(0, index).find((other) => sharesSocket(other.address, address));
    if (earlier === undefined) return [];
    return [{ path, message: `asks for the same port as ${quoted(earlier.text)}`, hint: 'keep one of the two' }];
  });
}

/** An endpoint that other machines reach and that asks for no key. */
export function judgeOpenWithoutKeys(deployment: Deployment): MeaningProblem[] {
  if (deployment.auth.required) return [];
  return listenEntries(deployment)
    .filter(({ address }) => !isLoopback(address))
    .map(({ path, text }) => ({
      path,
      message: `opens ${quoted(text)} to other machines without keys`,
      hint: 'set auth.required: true, or listen on localhost',
    }));
}

/** An endpoint that other machines reach in clear, with no proxy that would end TLS before it. */
export function judgeOpenWithoutTls(deployment: Deployment): MeaningProblem[] {
  if (deployment.tls.source !== 'off' || deployment.server.behindProxy) return [];
  return listenEntries(deployment)
    .filter(({ address }) => !isLoopback(address))
    .map(({ path, text }) => ({
      path,
      message: `opens ${quoted(text)} to other machines without TLS`,
      hint: 'set tls.source: private-ca, or server.behindProxy: true when a proxy in front ends TLS',
    }));
}

/** Addresses for pages alone: no TLS there and no keys, so what is secret stays on this machine. */
export function judgePageListeners(deployment: Deployment): MeaningProblem[] {
  const { server } = deployment;
  const entries = (['metricsListen', 'statusListen', 'healthListen'] as const).flatMap((name): NamedAddress[] => {
    const text = server[name];
    return text === undefined ? [] : [{ path: ['server', name], text, address: parseListenAddress(text) }];
  });
  const problems = judgeAddressForms(entries);
  const isOpen = (name: string): NamedAddress | undefined =>
    entries.find(({ path, address }) => path[1] === name && !isLoopback(address));
  const status = isOpen('statusListen');
  if (status !== undefined) {
    const message = `opens ${quoted(status.text)} to other machines`;
    problems.push({
      path: status.path,
      message,
      hint: 'write an address of this machine; others ask /status with a key',
    });
  }
  const metrics = isOpen('metricsListen');
  if (metrics !== undefined && server.metricsFrom.every((entry) => entry === 'loopback' || entry === 'unix')) {
    const message = 'listens to other machines, but server.metricsFrom names none that may read';
    problems.push({ path: metrics.path, message, hint: 'list the networks of those who read in server.metricsFrom' });
  }
  for (const { path, address } of entries) {
    const taken = listenEntries(deployment).find((other) => sharesSocket(other.address, address));
    if (taken === undefined) continue;
    const message = `asks for the same port as ${quoted(taken.text)}, where the endpoint is`;
    problems.push({ path, message, hint: 'take another port, or leave it out: the endpoint answers pages too' });
  }
  for (const [index, { path, text, address }] of entries.entries()) {
    const taken = entries.slice(0, index).find((other) => other.text !== text && sharesSocket(other.address, address));
    if (taken === undefined) continue;
    const message = `asks for the same port as ${quoted(taken.text)}`;
    problems.push({ path, message, hint: 'write both alike, or take another port' });
  }
  return problems;
}

function listenEntries({ server }: Deployment): readonly NamedAddress[] {
  return [server.listen].flat().map((text, index) => ({
    path: Array.isArray(server.listen) ? ['server', 'listen', index] : ['server', 'listen'],
    text,
    address: parseListenAddress(text),
  }));
}

function sharesSocket(one: ListenAddress, other: ListenAddress): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') {
    return one.kind === 'unix' && other.kind === 'unix' && one.path === other.path;
  }
  if (one.port !== other.port) return false;
  if (one.host === '' || other.host === '') return true;
  const addresses = (host: string): string[] => (host === 'localhost' ? ['127.0.0.1', '::1'] : [canonicalName(host)]);
  return addresses(one.host).some((address) => addresses(other.host).includes(address));
}
