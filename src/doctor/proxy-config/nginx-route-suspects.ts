import { hasDirective, type NginxReader } from './nginx-reader.ts';
import { prefixOf } from './nginx-scope.ts';
import type { NginxDirective } from './parse-nginx.ts';
import { isUpstream, type ConfigTarget, type Suspect } from './suspect.ts';

/** Where paths of the endpoint are passed on to. */
export function nginxRouteSuspects(at: NginxReader, target: ConfigTarget): readonly Suspect[] {
  const found: Suspect[] = [];
  const { location, levels } = at.scope;
  const server = levels[1] as NginxDirective;
  const slashed = (server.block ?? []).find(
    ({ name, args, block }) =>
      name === 'location' && prefixOf(args) === `${target.path}/` && hasDirective(block ?? [], 'proxy_pass') !== null,
  );
  if (slashed !== undefined && location?.args[1] !== target.path && location?.args[0] !== target.path) {
    found.push(
      at.suspect(slashed, {
        code: 'http/no-redirect',
        observed: `location ${target.path}/`,
        expected: `location ${target.path}`,
        cause: `a location that ends in a slash answers ${target.path} with a redirect, which loses the POST`,
        summary: 'Leave the slash out.',
        lines: [`location ${target.path} {`],
      }),
    );
  }
  const returned = hasDirective(location?.block ?? [], 'return') ?? hasDirective(server.block ?? [], 'return');
  const passes = hasDirective(location?.block ?? [], 'proxy_pass') !== null;
  const instead = passes ? [] : target.upstream === null ? null : passLines(target.upstream);
  if (returned !== null && /^30[1278]$/.test(returned.args[0] ?? '')) {
    found.push(
      at.suspect(returned, {
        code: 'http/no-redirect',
        expected: `no redirect of ${target.path}`,
        cause: 'nginx answers the path with a redirect',
        summary: `Pass ${target.path} on to the server.`,
        lines: instead,
      }),
    );
  } else if (returned !== null) {
    for (const code of ['http/json-not-html', 'http/endpoint-found']) {
      found.push(
        at.suspect(returned, {
          code,
          expected: 'proxy_pass to the server',
          cause: 'nginx answers the path itself',
          summary: `Pass ${target.path} on to the server.`,
          lines: instead,
        }),
      );
    }
  }
  return [...found, ...passedOn(at, target), ...wellKnowns(at, server)];
}

/** All that a location needs that passes the endpoint on. */
function passLines(upstream: string): readonly string[] {
  return [
    `proxy_pass http://${upstream};`,
    'proxy_http_version 1.1;',
    'proxy_set_header Host $http_host;',
    'proxy_set_header Connection "";',
    'proxy_buffering off;',
    'proxy_read_timeout 1h;',
    'client_max_body_size 10m;',
  ];
}

function passedOn(at: NginxReader, target: ConfigTarget): readonly Suspect[] {
  const { location } = at.scope;
  const pass = hasDirective(location?.block ?? [], 'proxy_pass');
  if (location === null || pass === null) return [];
  const [whole = ''] = pass.args;
  const [, scheme = '', address = ''] = /^(https?:\/\/)([^/]+)/.exec(whole) ?? [];
  const found =
    target.upstream !== null && isUpstream(address, target) === false
      ? [
          at.suspect(pass, {
            code: 'http/no-server-error',
            expected: `proxy_pass ${scheme}${target.upstream}`,
            cause: `nginx passes the path to ${address}; the server listens on ${target.upstream}`,
            summary: 'Name the address of the server.',
            lines: [`proxy_pass ${whole.replace(address, target.upstream)};`],
          }),
        ]
      : [];
  const uri = /^https?:\/\/[^/]+(\/.*)$/.exec(whole)?.[1];
  const prefix = prefixOf(location.args) ?? (location.args[0] === '=' ? location.args[1] : undefined);
  if (uri === undefined || prefix === undefined) return found;
  const mapped = uri + target.path.slice(prefix.length);
  if (mapped === target.upstreamPath) return found;
  return [
    ...found,
    at.suspect(pass, {
      code: 'http/endpoint-found',
      expected: `proxy_pass ${whole.slice(0, whole.length - uri.length)};`,
      cause: `with a path at its end proxy_pass replaces ${prefix} by it: the server is asked for ${mapped}`,
      summary: 'Leave the path out of proxy_pass.',
      lines: [`proxy_pass ${whole.slice(0, whole.length - uri.length)};`],
    }),
  ];
}

function wellKnowns(at: NginxReader, server: NginxDirective): readonly Suspect[] {
  const found = (server.block ?? []).find(
    ({ name, args, block }) =>
      name === 'location' &&
      args.some((arg) => arg.includes('.well-known')) &&
      hasDirective(block ?? [], 'proxy_pass') === null,
  );
  if (found === undefined || found.args.some((arg) => arg.includes('acme-challenge'))) return [];
  return [
    at.suspect(found, {
      code: 'http/well-knowns-json',
      observed: `location ${found.args.join(' ')}`,
      expected: 'JSON, or 404',
      cause: 'nginx answers the well-known paths itself, with a page',
      summary: 'Pass them on to the server, or limit the location to acme-challenge.',
      lines: ['location ^~ /.well-known/acme-challenge/ {'],
    }),
  ];
}
