import { describe, expect, test } from 'vitest';
import { renderTarget } from '../../src/targets/index.ts';
import { targetInput } from '../helpers/target-input.ts';
import {
  haproxyDefaults,
  haproxyDropInText,
  hostProxies,
  proxyReading,
  readsHaproxyFolder,
  withCaddyImport,
  withoutCaddyImport,
} from '../../src/plan/host-proxies.ts';

describe('the proxies of a host', () => {
  test.each(hostProxies)('$name is asked for in the version that its sites are written for', ({ name, oldest }) => {
    const render = (programVersion: string) =>
      renderTarget(
        name,
        targetInput({ version: 1, proxy: { program: name, serverName: 'localhost' } }, { programVersion }),
      );
    expect(render(oldest)).not.toEqual([]);
    const [major = 0, minor = 0] = oldest.split('.').map(Number);
    expect(() => render(`${major}.${minor - 1}.9`)).toThrow(/too old/);
  });

  test.each(hostProxies)('a site of $name is known by its path, and its neighbours are nobody’s', (proxy) => {
    expect(proxyReading(`${proxy.folder}/mcp-notes${proxy.suffix}`)).toBe(proxy);
    expect(proxyReading('/etc/systemd/system/mcp-notes.service')).toBeNull();
    expect(proxyReading(`${proxy.folder}-other/x`)).toBeNull();
  });

  test.each(['', ':80 {\n}\n', ':80 {\n}'])('the line in a Caddyfile comes and goes without a trace: %j', (text) => {
    const added = withCaddyImport(text);
    expect(added).toMatch(/^import Caddyfile\.d\/\*\.caddyfile$/m);
    expect(withCaddyImport(added ?? '')).toBeNull();
    expect(withoutCaddyImport(added ?? '')).toBe(text);
  });

  test.each(['import Caddyfile.d/*', '  import /etc/caddy/Caddyfile.d/*.caddyfile  '])(
    'a line of somebody else does as well, and stays: %s',
    (line) => {
      expect(withCaddyImport(`${line}\n`)).toBeNull();
      expect(withoutCaddyImport(`${line}\n`)).toBeNull();
    },
  );

  test.each([
    ['-S /run/haproxy-master.sock', '-S /run/haproxy-master.sock -f /etc/haproxy/conf.d'],
    ['-S /run/haproxy-master.sock -f /etc/haproxy/conf.d', '-S /run/haproxy-master.sock -f /etc/haproxy/conf.d'],
    ['', '-f /etc/haproxy/conf.d'],
    ['-m 10%', '-m 10%% -f /etc/haproxy/conf.d'],
  ])('HAProxy keeps the options that it has: %j', (options, wanted) => {
    const text = haproxyDropInText(options);
    expect(text).toContain(`\nEnvironment="EXTRAOPTS=${wanted}"\n`);
    expect(readsHaproxyFolder(wanted)).toBe(true);
  });

  test.each([
    ['#EXTRAOPTS="-de"\n', null],
    ['EXTRAOPTS="-de -m 16"\n', '-de -m 16'],
    ["EXTRAOPTS='-f /etc/haproxy/conf.d'\n", '-f /etc/haproxy/conf.d'],
    [undefined, null],
  ])('options of the host are read as they are: %j', (text, options) => {
    expect(haproxyDefaults(text)).toBe(options);
  });
});
