import type { HttpRequest, HttpResponse } from './http-message.ts';
import { isIP } from 'node:net';
import type { HealthAnswer } from '../observe/health.ts';
import type { KeyDecision } from '../types.ts';
import type { PageName } from '../workers/siblings.ts';
import { inertHeaders, send, sendEmpty, sendJson, sendOAuthError, sendKeyRefused, sendProblem } from './answers.ts';
import { isVisit, type AnswerVisit } from './page-visit.ts';
import type { PageAccess } from './page-access.ts';
import { showsPath, type OwnPage } from './page-listeners.ts';

/** Where the pages get what they show. */
export interface PageSources {
  readonly access: PageAccess;
  describeHealth(draining: boolean): HealthAnswer;
  /** The same at listeners for pages alone, which no proxy stands before. */
  readonly ownAccess: PageAccess;
  describeReadiness(draining: boolean, detail: boolean): HealthAnswer;
  describeStatus(draining: boolean): HealthAnswer;
  renderMetrics(): string;
  /** Whether /metrics exists. */
  readonly showsMetrics: boolean;
  readonly metricsContentType: string;
  /** The same pages for all workers together; null when this process is the whole server. Its null: ask locally. */
  readonly whole: ((page: PageName) => Promise<HealthAnswer | null>) | null;
  /** Answer to clients that look for an authorization server here. */
  readonly noOAuthHere: string;
  /** Metadata for clients that look for a way to a token at this path; null where there is none. */
  resourceMetadata(path: string): string | null;
  /** What the key of a request is worth; null where there are no keys. A guess counts as one at the endpoint. */
  judgeKey(req: HttpRequest): KeyDecision | null;
  /** The page for a person at the server's own address; null when it is off. */
  readonly page: AnswerVisit | null;
  /** Answer to a browser page that reached us under a foreign name or from a foreign origin; null when all is well. */
  refuses(req: HttpRequest): { readonly status: number; readonly message: string } | null;
}

/** How a request came in: at the listeners of the endpoint, or at one for pages alone, where keys do not count (plain HTTP). */
interface Door {
  readonly access: PageAccess;
  readonly takesKeys: boolean;
  refuses(req: HttpRequest): { readonly status: number; readonly message: string } | null;
}

type AnswerPage = (req: HttpRequest, res: HttpResponse, draining: boolean, door: Door) => void;

const healthPaths: ReadonlySet<string> = new Set(['/livez', '/readyz', '/health']);

/** Whether this is what load balancers and service managers ask. */
export function isHealthPage(url: string): boolean {
  const query = url.indexOf('?');
  return healthPaths.has(query === -1 ? url : url.slice(0, query));
}

const oauthPaths = [
  '/.well-known/oauth-protected-resource',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
];

/** Everything that is not the MCP endpoint: health, status, metrics, and the clear no for the rest. */
export class StatusPages {
  readonly #sources: PageSources;

  readonly #main: Door;
  readonly #own: Door;

  constructor(sources: PageSources) {
    this.#sources = sources;
    const refuses = (req: HttpRequest) => sources.refuses(req);
    this.#main = { access: sources.access, takesKeys: true, refuses };
    // Who asks by address is no page that brought a name of its own along.
    const refusesOwn = (req: HttpRequest) => (isAskedByAddress(req) ? null : refuses(req));
    this.#own = { access: sources.ownAccess, takesKeys: false, refuses: refusesOwn };
  }

  /** What a listener for pages alone answers. */
  answerOwn(req: HttpRequest, res: HttpResponse, url: string, shown: readonly OwnPage[], draining: boolean): void {
    const query = url.indexOf('?');
    const path = query === -1 ? url : url.slice(0, query);
    const page = showsPath(shown, path) ? this.#pages[path] : undefined;
    this.#answerWith(page, req, res, draining, this.#own);
  }

  answer(req: HttpRequest, res: HttpResponse, url: string, draining: boolean): void {
    const query = url.indexOf('?');
    const path = query === -1 ? url : url.slice(0, query);
    const metadata = this.#sources.resourceMetadata(path);
    if (metadata !== null) {
      answerMetadata(req, res, metadata);
      return;
    }
    if (path === '/register' || oauthPaths.some((known) => path === known || path.startsWith(`${known}/`))) {
      // Clients look here first and drop their key when they find an answer that is not a plain 404 in JSON.
      sendOAuthError(res, 404, 'not_found', this.#sources.noOAuthHere);
      return;
    }
    if (path === '/' && this.#sources.page !== null && isVisit(req)) {
      this.visit(req, res, draining);
      return;
    }
    const hidden = (path === '/metrics' && !this.#sources.showsMetrics) || !Object.hasOwn(this.#pages, path);
    this.#answerWith(hidden ? undefined : this.#pages[path], req, res, draining, this.#main);
  }

  #answerWith(page: AnswerPage | undefined, req: HttpRequest, res: HttpResponse, draining: boolean, door: Door): void {
    if (page === undefined) {
      sendOAuthError(res, 404, 'not_found', 'There is nothing at this path.');
    } else if (req.method !== 'GET' && req.method !== 'HEAD') {
      sendJson(res, 405, '{"error":"method_not_allowed","error_description":"This path takes GET."}', [
        'Allow',
        'GET, HEAD',
      ]);
    } else {
      page(req, res, draining, door);
    }
  }

  readonly #pages: Readonly<Record<string, AnswerPage>> = {
    '/livez': (_req, res) => sendJson(res, 200, '{"status":"ok"}', noStore),
    '/health': (_req, res, draining) => {
      const { status, body, type } = this.#sources.describeHealth(draining);
      // A word that every worker says alike.
      if (type === undefined) this.#answerPage(res, 'health', draining);
      else send(res, status, type, body, noStore);
    },
    '/readyz': (req, res, draining, door) => {
      // A foreign page in the operator's browser learns whether, not why.
      const detail = door.access.isLocal(req) && door.refuses(req) === null;
      this.#answerPage(res, detail ? 'readyz-detail' : 'readyz', draining);
    },
    '/status': (req, res, draining, door) => {
      if (!door.access.isLocal(req)) {
        const decision = door.takesKeys ? this.#sources.judgeKey(req) : null;
        if (decision?.allowed !== true) {
          refuseStatus(res, decision);
          return;
        }
      }
      if (this.#refusedAsForeign(req, res, door)) return;
      this.#answerPage(res, 'status', draining);
    },
    '/metrics': (req, res, draining, door) => {
      const hasKey = (): boolean => door.takesKeys && presentsKey(req) && this.holdsKey(req);
      if (!door.access.mayReadMetrics(req) && !hasKey()) {
        sendOAuthError(res, 403, 'access_denied', 'Metrics are given to the addresses of metricsFrom, and for a key.');
        return;
      }
      if (this.#refusedAsForeign(req, res, door)) return;
      this.#answerPage(res, 'metrics', draining);
    },
  };

  /** Shows a person the page, unless they came under a foreign name. */
  visit(req: HttpRequest, res: HttpResponse, draining: boolean): void {
    const { page } = this.#sources;
    if (page === null || this.#refusedAsForeign(req, res, this.#main)) return;
    const { body } = this.#sources.describeReadiness(draining, false);
    page(req, res, { readiness: body, isLocal: this.#main.access.isLocal(req) });
  }

  /** Whether the request carries an accepted key. */
  holdsKey(req: HttpRequest): boolean {
    return this.#sources.judgeKey(req)?.allowed === true;
  }

  /** What this process alone has to say. */
  describe(page: PageName, draining: boolean): HealthAnswer {
    const sources = this.#sources;
    switch (page) {
      case 'metrics':
        return { status: 200, body: sources.renderMetrics() };
      case 'status':
        return sources.describeStatus(draining);
      case 'health':
        return sources.describeHealth(draining);
      case 'readyz':
      case 'readyz-detail':
        return sources.describeReadiness(draining, page === 'readyz-detail');
    }
  }

  #answerPage(res: HttpResponse, page: PageName, draining: boolean): void {
    const answer = ({ status, body }: HealthAnswer): void => {
      const type = page === 'metrics' ? this.#sources.metricsContentType : 'application/json';
      send(res, status, type, body, status === 503 ? ['Retry-After', '2', ...noStore] : noStore);
    };
    const { whole } = this.#sources;
    if (whole === null) answer(this.describe(page, draining));
    else void whole(page).then((gathered) => answer(gathered ?? this.describe(page, draining)));
  }

  /** A page in the operator's own browser is local too: it must not read these under a name that it brought along. */
  #refusedAsForeign(req: HttpRequest, res: HttpResponse, door: Door): boolean {
    const refusal = door.refuses(req);
    if (refusal === null) return false;
    sendOAuthError(res, refusal.status, 'access_denied', refusal.message);
    return true;
  }
}

function refuseStatus(res: HttpResponse, decision: KeyDecision | null): void {
  if (decision?.allowed === false && decision.reason === 'backed-off') {
    const seconds = String(Math.max(1, Math.ceil(decision.retryAfterSeconds ?? 1)));
    const detail = decision.detail ?? 'Too many wrong keys came from this address.';
    sendProblem(res, 429, 'Too Many Requests', detail, ['Retry-After', seconds, ...noStore.slice(0, 2)]);
    return;
  }
  const isWrong = decision?.allowed === false && decision.reason !== 'missing';
  const description = isWrong ? (decision.detail ?? 'The key is not accepted.') : 'The status needs a key.';
  sendKeyRefused(res, description, !isWrong);
}

/** RFC 9728 section 3.2. Pages of any origin may read it: there is nothing of a caller in it. */
function answerMetadata(req: HttpRequest, res: HttpResponse, json: string): void {
  const cors = ['Access-Control-Allow-Origin', '*', 'Cache-Control', 'max-age=300'];
  if (req.method === 'GET' || req.method === 'HEAD') sendJson(res, 200, json, cors);
  else if (req.method === 'OPTIONS') {
    const allowed = ['Access-Control-Allow-Methods', 'GET', 'Access-Control-Allow-Headers', 'mcp-protocol-version'];
    sendEmpty(res, 204, [...cors, ...allowed]);
  } else {
    sendJson(res, 405, '{"error":"method_not_allowed","error_description":"This path takes GET."}', [
      'Allow',
      'GET, HEAD',
    ]);
  }
}

/** `Host: 10.0.0.5:9090`, and no page that sends its origin. */
function isAskedByAddress({ headers }: HttpRequest): boolean {
  if (headers.origin !== undefined) return false;
  const host = (headers.host ?? '').replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1');
  return isIP(host) !== 0;
}

/** Who sends none has not tried a wrong one. */
function presentsKey({ headers }: HttpRequest): boolean {
  return headers.authorization !== undefined || headers['x-api-key'] !== undefined;
}

const noStore: readonly string[] = ['Cache-Control', 'no-store', ...inertHeaders];
