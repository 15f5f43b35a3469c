import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Authorization } from 'acme-client';
import type { AcmeOrderSpec } from '../../apply/acme-types.ts';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { encodePrivateKey, generateKeys } from '../../pki/key-pair.ts';
import { keyMatchesCertificate } from '../../pki/key-matches-certificate.ts';
import { parseCertificateName } from '../../pki/names.ts';
import type { AcmeChallenge } from '../../plan/acme-order.ts';
import { AcmeRefusal, explainRefusal, parseAcmeProblem } from './acme-failure.ts';
import { openAcmeSession, type AcmeSession } from './acme-account.ts';
import type { ChallengeSolver } from './challenge.ts';
import { createDnsSolver } from './dns-01.ts';
import { createHttpSolver, createWebrootSolver } from './http-01.ts';
import { renewalIdOf } from './renewal-info.ts';
import { createAlpnSolver } from './tls-alpn-01.ts';

export interface AcmeRun {
  readonly signal: AbortSignal;
  /** Tells which name is being proven and what is waited for. */
  readonly onDoing: (text: string) => void;
}

/**
 * One certificate from an ACME authority (RFC 8555): order, challenges, key and request, download. Whatever stood for
 * the challenges is taken away again, however it ends.
 *
 * @throws EnvironmentError that names the name, the challenge and what the CA said; AbortError on Ctrl-C
 */
export async function issueWithAcme(
  spec: AcmeOrderSpec,
  run: AcmeRun,
): Promise<{ readonly certificatePem: string; readonly keyPem: string; readonly leftBehind: readonly string[] }> {
  run.onDoing(`asking ${new URL(spec.directoryUrl).host} for an order`);
  const session = await openAcmeSession(spec, run.signal);
  refuseUnknownProfile(session, spec);
  const order = await placeOrder(session, spec);
  const solver = solverFor(spec.challenge, run);
  let leftBehind: readonly string[] = [];
  try {
    await proveNames(session, order, { spec, solver, run });
  } finally {
    leftBehind = await solver.close();
  }
  run.onDoing('waiting for the certificate');
  const keyPem = spec.keyPem ?? encodePrivateKey((await generateKeys('ec-p256')).privateKey);
  const certificatePem = await finalize(session, order, keyPem, { spec, run });
  if (!keyMatchesCertificate(certificatePem, keyPem)) {
    throw new EnvironmentError('The authority sent a certificate for another key.', {
      next: 'Run the command again; if it stays so, tell the authority.',
    });
  }
  return { certificatePem, keyPem, leftBehind };
}

interface Order {
  readonly url: string;
  readonly finalize: string;
  readonly authorizations: string[];
  readonly identifiers: { readonly type: string; readonly value: string }[];
}

function refuseUnknownProfile({ directory }: AcmeSession, { profile, directoryUrl }: AcmeOrderSpec): void {
  if (profile === null) return;
  const offered = Object.keys(directory.meta?.profiles ?? {});
  if (offered.includes(profile)) return;
  throw new UserError(`${new URL(directoryUrl).host} offers no profile “${profile}”.`, {
    why: offered.length === 0 ? 'It offers no profiles at all.' : `It offers: ${offered.join(', ')}.`,
    next:
      offered.length === 0 ? 'Leave tls.profile out.' : `Set tls.profile to one of them, for example ${offered[0]}.`,
  });
}

async function placeOrder({ client, directory }: AcmeSession, spec: AcmeOrderSpec): Promise<Order> {
  const names = spec.names.map(parseCertificateName);
  const replaces =
    spec.replacesPem === null || typeof directory.renewalInfo !== 'string' ? null : renewalIdOf(spec.replacesPem);
  const content = {
    identifiers: names.map(({ kind, value }) => ({ type: kind, value })),
    ...(spec.profile === null ? {} : { profile: spec.profile }),
  };
  const what = `${new URL(spec.directoryUrl).host} takes no order for ${spec.names.join(', ')}.`;
  try {
    return await client.createOrder({ ...content, ...(replaces === null ? {} : { replaces }) });
  } catch (error) {
    if (!(error instanceof AcmeRefusal)) throw error;
    const mayTryPlainly =
      replaces !== null && ['alreadyReplaced', 'malformed', 'notFound'].includes(error.problem.type);
    if (!mayTryPlainly) throw explainRefusal(error, what, spec.directoryUrl);
  }
  // Replaced once already, or issued by an authority that has forgotten it: an order like any other.
  try {
    return await client.createOrder(content);
  } catch (error) {
    throw error instanceof AcmeRefusal ? explainRefusal(error, what, spec.directoryUrl) : error;
  }
}

function solverFor(challenge: AcmeChallenge, { signal, onDoing }: AcmeRun): ChallengeSolver {
  switch (challenge.type) {
    case 'http-01':
      return 'webroot' in challenge ? createWebrootSolver(challenge.webroot) : createHttpSolver(challenge.listen);
    case 'dns-01':
      return createDnsSolver({ ...challenge, signal, onDoing });
    case 'tls-alpn-01':
      return createAlpnSolver(challenge.listen, async (name, keyAuthorization) => {
        const { default: acme } = await import('acme-client');
        const keyPem = encodePrivateKey((await generateKeys('ec-p256')).privateKey);
        const authorization = { identifier: { type: isIP(name) === 0 ? 'dns' : 'ip', value: name } } as Authorization;
        const [, certificate] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization, keyPem);
        return { keyPem, certificatePem: certificate.toString() };
      });
  }
}

interface Work {
  readonly spec: AcmeOrderSpec;
  readonly solver: ChallengeSolver;
  readonly run: AcmeRun;
}

/** All answers stand before the first is looked at: DNS records spread at the same time then. */
async function proveNames(session: AcmeSession, order: Order, { spec, solver, run }: Work): Promise<void> {
  const { client } = session;
  const open: { readonly name: string; readonly authorization: Authorization; readonly challenge: Challenge }[] = [];
  try {
    for (const authorization of await client.getAuthorizations(order as never)) {
      if (authorization.status === 'valid') continue;
      const { value } = authorization.identifier;
      const name = authorization.wildcard === true ? `*.${value}` : value;
      const challenge = authorization.challenges.find(({ type }) => type === spec.challenge.type);
      if (challenge === undefined) throw notOffered(name, authorization, spec);
      open.push({ name, authorization, challenge });
    }
    for (const { name, authorization, challenge } of open) {
      run.onDoing(`${name}: preparing ${challenge.type}`);
      const { value } = authorization.identifier;
      // The library hashes it for dns-01 and takes the other kinds as they are: one form for all solvers.
      const keyAuthorization = await client.getChallengeKeyAuthorization({ ...challenge, type: 'http-01' });
      await solver.present({
        name: value,
        kind: isIP(value) === 0 ? 'dns' : 'ip',
        token: challenge.token,
        keyAuthorization,
      });
    }
    for (const [index, { name, authorization, challenge }] of open.entries()) {
      run.onDoing(`${name}: waiting for the authority to check ${challenge.type} (${index + 1} of ${open.length})`);
      await client.completeChallenge(challenge);
      await waitForAuthorization(session, { name, url: authorization.url, type: challenge.type }, { spec, run });
    }
  } catch (error) {
    // Open authorizations count against limits of the authority; best effort, since the failure is what matters.
    if (!run.signal.aborted)
      await Promise.allSettled(open.map(({ authorization }) => client.deactivateAuthorization(authorization)));
    throw error instanceof AcmeRefusal
      ? explainRefusal(error, `${new URL(spec.directoryUrl).host} refuses to go on with the order.`, spec.directoryUrl)
      : error;
  }
}

type Challenge = Authorization['challenges'][number];

function notOffered(name: string, { challenges }: Authorization, { challenge }: AcmeOrderSpec): EnvironmentError {
  return new EnvironmentError(`The authority does not check ${name} by ${challenge.type}.`, {
    why: `It offers ${challenges.map(({ type }) => type).join(', ')}.`,
    next: 'Set tls.challenge to one of them.',
  });
}

async function waitForAuthorization(
  session: AcmeSession,
  { name, url, type }: { readonly name: string; readonly url: string; readonly type: string },
  { spec, run }: Omit<Work, 'solver'>,
): Promise<void> {
  const authorization = (await poll(session, url, { spec, run, what: `its check of ${name} by ${type}` })) as {
    readonly status?: string;
    readonly challenges?: readonly { readonly error?: unknown }[];
  };
  if (authorization.status === 'valid') return;
  const failed = authorization.challenges?.find(({ error }) => error !== undefined)?.error;
  const problem = parseAcmeProblem(failed, 403);
  throw explainRefusal(
    new AcmeRefusal(
      failed === undefined ? { ...problem, detail: `The authorization is ${authorization.status}.` } : problem,
      403,
      null,
    ),
    `The authority could not check ${name} by ${type}.`,
    spec.directoryUrl,
  );
}

async function finalize(
  session: AcmeSession,
  order: Order,
  keyPem: string,
  { spec, run }: Omit<Work, 'solver'>,
): Promise<string> {
  const { default: acme } = await import('acme-client');
  const altNames = order.identifiers.map(({ value }) => value);
  const [, request] = await acme.crypto.createCsr({ altNames }, keyPem);
  const what = `The authority issued no certificate for ${spec.names.join(', ')}.`;
  try {
    // An order becomes ready a moment after its last authorization.
    await poll(session, order.url, { spec, run, what: 'its order' });
    await session.client.finalizeOrder(order as never, request);
    const done = (await poll(session, order.url, { spec, run, what: 'the certificate', until: ['valid'] })) as {
      readonly status?: string;
      readonly certificate?: string;
      readonly error?: unknown;
    };
    if (done.status !== 'valid' || done.certificate === undefined) {
      throw new AcmeRefusal(parseAcmeProblem(done.error, 403), 403, null);
    }
    return String((await session.post(done.certificate)).data);
  } catch (error) {
    throw error instanceof AcmeRefusal ? explainRefusal(error, what, spec.directoryUrl) : error;
  }
}

/** Asks until the thing is decided, as seldom as its Retry-After wants and as often as its time allows. */
async function poll(
  session: AcmeSession,
  url: string,
  options: { spec: AcmeOrderSpec; run: AcmeRun; what: string; until?: readonly string[] },
): Promise<unknown> {
  const { spec, run, what } = options;
  const decided = new Set([...(options.until ?? ['ready', 'valid']), 'invalid', 'deactivated', 'expired', 'revoked']);
  const startedAt = performance.now();
  for (let pauseMs = 200; ; pauseMs = Math.min(pauseMs * 1.5, 3_000)) {
    const { data, headers } = await session.post(url);
    const { status } = data as { status?: string };
    if (status !== undefined && decided.has(status)) return data;
    const leftMs = startedAt + spec.timeoutMs - performance.now();
    if (leftMs <= 0) {
      throw new EnvironmentError(`The authority did not decide on ${what} within ${spec.timeoutMs / 1_000} s.`, {
        why: `Its state is still ${status ?? 'unknown'}.`,
        next: 'Run the command again later, or give it longer with tls.timeoutSeconds.',
      });
    }
    const askedMs = Number(headers['retry-after'] ?? 0) * 1_000;
    const waitMs = Math.min(leftMs, Number.isFinite(askedMs) ? Math.max(pauseMs, Math.min(askedMs, 10_000)) : pauseMs);
    await delay(waitMs, undefined, { signal: run.signal });
  }
}
