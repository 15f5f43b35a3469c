import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { UserError } from '../../src/deployment/errors.ts';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { findTarget, renderTarget, targets } from '../../src/targets/index.ts';
import type { TargetInput, TargetName } from '../../src/targets/types.ts';
import { targetInput } from '../helpers/target-input.ts';

const hostile = [
  '; } {',
  'a; include /etc/passwd; #',
  '"quoted"',
  "it's",
  '`tick`',
  'line\nExecStart=/bin/evil',
  'line\r\nServer evil;',
  'back\\',
  '$host',
  '{$HOME}',
  '{http.request.uri}',
  '%h %n 100%',
  '</string><key>evil</key>',
  '&amp; <!-- -->',
  '# comment',
  'emoji 🚀',
  'nul\0',
  'half \ud83d',
  ' blank ',
  '~^.*$',
  '{{x}}',
  '__proto__',
];

/** Where a text of the user, or of their host, gets into a file. */
const places: Readonly<Record<string, (value: string) => TargetInput>> = {
  'proxy.serverName': (value) => changed({ proxy: { serverName: value } }),
  'proxy.certificate': (value) => changed({ proxy: { certificate: `/c/${value}`, key: '/c/key' } }),
  'proxy.key': (value) => changed({ proxy: { certificate: '/c/crt', key: `/c/${value}` } }),
  'tls.certificate': (value) => changed({ tls: { source: 'files', certificate: `/c/${value}`, key: '/c/key' } }),
  'tls.names': (value) => changed({ tls: { source: 'private-ca', names: [value] } }),
  'server.listen, socket': (value) => changed({ server: { listen: `unix:/run/${value}/s` } }, true),
  'server.path': (value) => changed({ server: { path: `/${value}` } }, true),
  'server.aliases': (value) => changed({ server: { aliases: [`/${value}`] } }, true),
  'server.toolPath': (value) => changed({ server: { toolPath: `/${value}` } }, true),
  'server.health.path': (value) => changed({ server: { health: { path: `/${value}`, form: 'text' } } }, true),
  'proxy.clientCa': (value) => changed({ proxy: { clientCa: `/c/${value}` } }),
  'proxy.revokedClients': (value) => changed({ proxy: { clientCa: '/c/ca', revokedClients: `/c/${value}` } }),
  'proxy.servers, socket': (value) =>
    changed({ proxy: { servers: [`unix:/run/${value}/s`, 'unix:/run/other'] } }, true),
  'server.listen, host': (value) => changed({ server: { listen: `${value}:8443` } }, true),
  'server.upstreams': (value) =>
    changed({ server: { upstreams: { up: { command: 'npx', args: [value], env: { A: value } } } } }),
  'paths.nodePath': (value) => moved({ nodePath: `/n/${value}/node` }),
  'paths.serverFile': (value) => moved({ serverFile: `/n/${value}.js` }),
  'paths.configFile': (value) => moved({ configFile: `/n/${value}.json` }),
  'paths.baseDir': (value) => moved({ baseDir: `/n/${value}` }),
  'paths.stateDir': (value) => moved({ stateDir: `/n/${value}` }),
  'paths.caFile': (value) => moved({ caFile: `/n/${value}` }),
  'paths.certificateFile': (value) => moved({ certificateFile: `/n/${value}` }),
  'paths.keyFile': (value) => moved({ keyFile: `/n/${value}` }),
  'paths.keyStoreFile': (value) => moved({ keyStoreFile: `/n/${value}` }),
  'paths.logFile': (value) => moved({ logFile: `/n/${value}` }),
  'paths.proxyLogDir': (value) => moved({ proxyLogDir: `/n/${value}` }),
};

const harmlessFor = (place: string): string =>
  /serverName|names|host/.test(place) ? 'harmless.example.com' : 'harmless';

/** The places that a format has; one that refuses what is harmless has none for it. */
function placesIn(target: TargetName): (readonly [place: string, make: (value: string) => TargetInput])[] {
  return Object.entries(places).filter(([place, make]) => {
    try {
      return renderTarget(target, make(harmlessFor(place))).length > 0;
    } catch (error) {
      if (error instanceof UserError) return false;
      throw error;
    }
  });
}

test('every place of a user is one that some format has', () => {
  const known = new Set(targets.flatMap(({ name }) => placesIn(name).map(([place]) => place)));
  expect([...known].toSorted()).toEqual(Object.keys(places).toSorted());
});

describe.each(targets.filter(({ name }) => placesIn(name).length > 0))('$name', ({ name }) => {
  test.each(placesIn(name))('a hostile %s is refused, or stays one value in its own line', (place, make) => {
    const calm = renderTarget(name, make(harmlessFor(place)));
    for (const value of hostile) {
      const rendered = renderOrRefuse(() => renderTarget(name, make(value)));
      for (const [index, file] of (rendered ?? []).entries()) {
        // Written by a YAML library; read back below.
        if (/mcp-deploy\.yaml$|configmap\.yaml$/.test(file.path)) continue;
        // XML is no format of lines: there a line break is a character like others.
        const unit = file.path.endsWith('.plist') ? /(?=<key>)/ : '\n';
        const parts = file.content.split(unit);
        const calmParts = calm[index]?.content.split(unit) ?? [];
        expect([value, parts.length]).toEqual([value, calmParts.length]);
        // The hash of a configuration changes with it.
        const isHash = /^ +(?:mcp-deploy\/config: "|name: "mcp_[a-z]+_)[0-9a-f]{12,16}"$/;
        for (const [at, part] of parts.entries())
          if (part !== calmParts[at] && !isHash.test(part)) expect(calmParts[at]).toMatch(/harmless/);
      }
    }
  });
});

/** Null when it is refused: always by a sentence for the user, never by a bug. */
function renderOrRefuse<T>(render: () => T): T | null {
  try {
    return render();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return null;
  }
}

test('the deployment in the container is the one that was given, whatever its texts', () => {
  for (const value of hostile.filter((text) => !/\0|\ud83d$/.test(text))) {
    const files = renderTarget('docker', places['server.upstreams']?.(value) ?? changed({}));
    const text = files.find(({ path }) => path.endsWith('mcp-deploy.yaml'))?.content ?? '';
    expect(parse(text)).toMatchObject({ server: { upstreams: { up: { args: [value], env: { A: value } } } } });
  }
});

test('paths of secrets reach Compose and Swarm as they are, whatever is in them', () => {
  for (const value of hostile.filter((text) => !/\0|\ud83d$/.test(text))) {
    for (const proxy of ['nginx', 'caddy', 'haproxy', 'traefik'] as const) {
      const input = changed({
        proxy: { serverName: 'mcp.example.com', certificate: `/c/${value}.crt`, key: `/c/${value}.key` },
        container: { proxy, redis: true, watch: true },
      });
      for (const [target, name] of [
        ['docker', 'compose.yaml'],
        ['swarm', 'stack.yaml'],
      ] as const) {
        const text = renderTarget(target, input).find(({ path }) => path.endsWith(name))?.content ?? '';
        // Docker reads YAML 1.1, and fills $NAME unless the sign is doubled.
        const { secrets } = parse(text, { version: '1.1' }) as { secrets: Record<string, { file: string }> };
        expect(secrets['mcp_tls_key']?.file.replaceAll('$$', '$')).toBe(`/c/${value}.key`);
        expect(secrets['mcp_tls_certificate']?.file.replace(/\$\$/g, '')).not.toContain('$');
      }
    }
  }
});

test('a secret that is written out is named before it gets into an image', () => {
  const env = { API_KEY: 'sk-123', TOKEN: '${TOKEN}', MODE: 'fast', DB_PASSWORD: '' };
  const { notices } = findTarget('docker').commands(
    changed({ server: { upstreams: { up: { command: 'npx', env } } } }),
  );
  expect(notices.filter((notice) => notice.includes('written out'))).toEqual([
    expect.stringContaining('server.upstreams.up.env.API_KEY'),
  ]);
});

test('variables that upstreams refer to are handed through by name, without a value', () => {
  const upstreams = {
    up: { command: 'npx', env: { A: '${TOKEN}', B: '${LEVEL:-info}', C: '$${NOT}' }, args: ['${NOT_FILLED}'] },
  };
  const files = renderTarget('docker', changed({ server: { upstreams } }));
  const compose = parse(files.find(({ path }) => path.endsWith('compose.yaml'))?.content ?? '') as {
    services: { server: { environment: string[] } };
  };
  expect(compose.services.server.environment).toEqual(['TOKEN', 'LEVEL']);
});

test('a server name that is none is refused by name, for every proxy', () => {
  for (const target of ['nginx', 'caddy', 'haproxy', 'traefik']) {
    for (const name of [
      '; } {',
      'a b',
      '$host',
      '*.com',
      '-a.example',
      'ä.example',
      '🚀.example',
      'a..b',
      '1.2.3',
      '',
    ]) {
      expect(() => renderTarget(target, changed({ proxy: { serverName: name } }))).toThrow(
        /proxy\.serverName is not a host name/,
      );
    }
  }
});

test('an unknown target is refused with the likely one', () => {
  expect(() => findTarget('ngnix')).toThrow(UserError);
  try {
    findTarget('ngnix');
  } catch (error) {
    expect(error).toMatchObject({ next: 'mcp-deploy render nginx', why: expect.stringContaining('docker') as unknown });
  }
  expect(() => findTarget('nomad')).toThrow(/"nomad" is not a target/);
});

test('half a certificate is refused: a certificate without its key, or the other way round', () => {
  for (const proxy of [{ certificate: '/c' }, { key: '/k' }]) {
    expect(() => renderTarget('nginx', changed({ proxy }))).toThrow(/works|proxy\.(?:certificate|key) is set/);
  }
});

test('versions that are too old, or none, are refused', () => {
  expect(() => renderTarget('nginx', { ...changed({}), programVersion: '1.14.2' })).toThrow(
    /nginx 1\.14\.2 is too old/,
  );
  expect(() => renderTarget('caddy', { ...changed({}), programVersion: 'v2.4.6' })).toThrow(/too old/);
  expect(() => renderTarget('nginx', { ...changed({}), programVersion: 'newest' })).toThrow(/is not a version/);
});

/** `raw` skips the schema, as a mistake elsewhere might. */
function changed(deployment: Partial<DeploymentInput>, raw = false): TargetInput {
  const input = targetInput({ version: 1, ...(raw ? {} : deployment) });
  if (!raw) return input;
  const server = { ...input.deployment.server, ...(deployment.server as object) };
  const proxy = { ...input.deployment.proxy, ...(deployment.proxy as object) };
  return { ...input, deployment: { ...input.deployment, server, proxy } };
}

function moved(paths: Partial<TargetInput['paths']>): TargetInput {
  const input = targetInput({ version: 1 });
  return { ...input, paths: { ...input.paths, ...paths } };
}
