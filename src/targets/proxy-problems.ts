import { STATUS_CODES } from 'node:http';
import type { ProxySite } from './proxy-site.ts';

/** One error that a proxy answers by itself. */
export interface ProxyProblem {
  readonly status: number;
  /** One sentence: clients print it to their users. */
  readonly detail: string;
  readonly retryAfterSeconds?: number;
}

/** Errors of a reverse proxy as RFC 9457 problems: MCP clients parse JSON, and show HTML to their users as it is. */
export function proxyProblems(site: ProxySite): readonly ProxyProblem[] {
  const megabytes = Math.round((site.maxBodyBytes / 1_048_576) * 100) / 100;
  return [
    { status: 400, detail: 'The request is not valid HTTP, or its headers are too large, or it came without TLS.' },
    { status: 403, detail: refusal(site) },
    { status: 404, detail: `Nothing is served here; the MCP endpoint is ${site.path}.` },
    { status: 408, detail: 'The request did not arrive in time.' },
    { status: 413, detail: `The request is larger than ${megabytes} MB, the limit of this endpoint.` },
    { status: 414, detail: 'The address of the request is too long.' },
    {
      status: 429,
      detail: 'Too many requests from this address; wait a second, then try again.',
      retryAfterSeconds: 1,
    },
    { status: 502, detail: 'The MCP server behind this proxy does not answer.' },
    {
      status: 503,
      detail: 'The MCP server behind this proxy is not ready; try again in a few seconds.',
      retryAfterSeconds: 5,
    },
    { status: 504, detail: 'The MCP server behind this proxy did not answer in time.' },
  ];
}

function refusal({ clientCertificates }: ProxySite): string {
  const certificate = clientCertificates === null ? '' : ', and only with a client certificate';
  return `This is not open to every address${certificate}; the one of this request may not use it.`;
}

/** What is said for every other status. */
export const otherProblem: Omit<ProxyProblem, 'status'> = {
  detail: 'The proxy in front of the MCP server could not serve this request.',
};

/** The members of the problem object that depend on the status, as JSON without the braces. */
export function problemMembers(problem: Omit<ProxyProblem, 'status'> & { readonly status?: number }): string {
  const title = (problem.status === undefined ? undefined : STATUS_CODES[problem.status]) ?? 'Error';
  return `"title":${JSON.stringify(title)},"detail":${JSON.stringify(problem.detail)}`;
}
