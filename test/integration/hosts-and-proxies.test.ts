import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bootDebianWithinMs, bootedDebianTools } from '../helpers/booted-debian.ts';
import { bootSystemHost, siteFolder, type SystemHost } from '../helpers/system-host.ts';
import { binFile, runProgram, type CliResult } from '../helpers/cli.ts';
import { makePackage } from '../helpers/other-package.ts';
import { findProgram } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** One host: each proxy beside sites of others, and a person without the rights of root. All of it is gone again each time. */
let host: SystemHost;

const canBoot = bootedDebianTools.every((tool) => findProgram(tool) !== null);
const withinMs = 900_000;

beforeAll(async () => {
  if (!canBoot && process.env['REQUIRE_TOOLS'] !== '1') return;
  host = await bootSystemHost();
  await host.sh('systemctl stop nginx');
}, bootDebianWithinMs);

afterAll(async () => {
  await host?.debian.stop();
});

interface Proxy {
  readonly program: 'caddy' | 'haproxy';
  /** A site of others, whose answer is "theirs". */
  readonly theirs: string;
  readonly theirPort: number;
  readonly theirFolder: string;
  /** Something that the program does not understand. */
  readonly nonsense: { readonly file: string; readonly text: string };
}

const proxies: readonly Proxy[] = [
  {
    program: 'caddy',
    theirs: "printf ':8081 {\\n\\trespond theirs\\n}\\n' >> /etc/caddy/Caddyfile",
    theirPort: 8081,
    theirFolder: '/etc/caddy',
    nonsense: { file: '/etc/caddy/Caddyfile', text: ':8082 {\\n\\tnonsense\\n}\\n' },
  },
  {
    program: 'haproxy',
    theirs:
      "printf '\\nfrontend theirs\\n  bind :8081\\n  http-request return status 200 content-type text/plain string theirs\\n' >> /etc/haproxy/haproxy.cfg",
    theirPort: 8081,
    theirFolder: '/etc/haproxy',
    nonsense: { file: '/etc/haproxy/haproxy.cfg', text: '\\nnonsense\\n' },
  },
];

// The trial beside what runs is not what these are about.
function yaml({ program }: Pick<Proxy, 'program'>, more = ''): string {
  return `version: 1
name: notes
service: { manager: systemd, trial: false }
proxy: { program: ${program}, serverName: localhost }
${more}`;
}

async function ask(...args: readonly string[]): Promise<string> {
  return (await host.debian.exec(['curl', '-sS', '-m', '20', ...args])).stdout;
}

/** Through the proxy, as far as the server lets somebody without a key. */
function status(path = '/mcp'): Promise<string> {
  return ask(
    '--cacert',
    '/etc/mcp-deploy/notes/pki/ca.crt',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    '-X',
    'POST',
    `https://localhost${path}`,
  );
}

describe.skipIf(!canBoot && process.env['REQUIRE_TOOLS'] !== '1').each(proxies)(
  '$program in front of a service',
  (proxy) => {
    const { program, theirs, theirPort, theirFolder, nonsense } = proxy;
    const answerOfTheirs = (): Promise<string> => ask(`http://localhost:${theirPort}/`);

    test(
      'is given a site beside those of others, takes another one, is left alone when something is broken, and forgets all of it',
      async () => {
        const folders = `/etc /opt /srv /var/lib/mcp-deploy /var/log/mcp-deploy`;
        const look = `find ${folders} \\( -name '*-' -o -name .pwd.lock -o -name journal -o -name mcp-deploy.yaml \\) -prune -o -printf '%p %y %m %U:%G %l\\n' 2>/dev/null | sort
          find /etc \\( -name '*-' -o -name .pwd.lock \\) -prune -o -type f -print0 | xargs -0 sha256sum | sort -k2; systemctl is-enabled ${program} || true`;
        await host.sh(`cp -a ${theirFolder} /root/theirs; ${theirs}; systemctl start ${program}`);
        await waitUntil(async () => (await answerOfTheirs()) === 'theirs', 20_000, 'the site of others');
        const untouched = await host.sh(look);

        await host.write(`${siteFolder}/mcp-deploy.yaml`, yaml(proxy));
        expect(await host.must('apply')).toContain('Endpoint');
        expect(await status()).toBe('401');
        expect(await answerOfTheirs()).toBe('theirs');
        expect((await host.cli('plan', '--check')).status).toBe(0);

        // Another site by a reload: connections to the sites of others are not cut.
        const pid = await host.sh(`systemctl show --property=MainPID ${program}`);
        await host.write(`${siteFolder}/mcp-deploy.yaml`, yaml(proxy, 'server: { path: /tools }\n'));
        await host.must('apply');
        expect(await status('/tools')).toBe('401');
        expect(await host.sh(`systemctl show --property=MainPID ${program}`)).toBe(pid);

        // A fault of others is called theirs, and changes nothing.
        const before = await host.sh(look);
        await host.sh(`cp -p ${nonsense.file} /root/kept; printf '${nonsense.text}' >> ${nonsense.file}`);
        const broken = await host.sh(look);
        await host.write(`${siteFolder}/mcp-deploy.yaml`, yaml(proxy));
        const refused = await host.cli('apply');
        expect(refused.stderr).toContain('as it is, without anything new of mcp-deploy');
        expect(refused.stderr).toContain('nonsense');
        expect(refused.status).toBe(4);
        expect(await host.sh(look)).toBe(broken);
        await host.sh(`mv /root/kept ${nonsense.file}`);
        expect(await host.sh(look)).toBe(before);
        expect(await status('/tools')).toBe('401');

        // The certificate is renewed, and the proxy shows the new one.
        const first = await host.sh(
          'openssl s_client -connect localhost:443 </dev/null 2>/dev/null | openssl x509 -serial -noout',
        );
        await host.must('cert', 'renew', '--force');
        expect(
          await host.sh('openssl s_client -connect localhost:443 </dev/null 2>/dev/null | openssl x509 -serial -noout'),
        ).not.toBe(first);

        await host.must('uninstall', '--yes', '--purge');
        expect(await answerOfTheirs()).toBe('theirs');
        await host.sh(`rm ${siteFolder}/mcp-deploy.yaml`);
        expect(await host.sh(look)).toBe(untouched);
        expect(await host.sh('find /etc /opt /var/lib /var/log -name "*mcp*"')).toBe('');
        await host.sh(`systemctl stop ${program}; rm -r ${theirFolder}; mv /root/theirs ${theirFolder}`);
      },
      withinMs,
    );
  },
);

describe.skipIf(!canBoot && process.env['REQUIRE_TOOLS'] !== '1')('the proxy of a deployment', () => {
  // Left out are links by which Debian's systemctl repeats in the manner of System V what is enabled.
  const look = `find /etc /opt /srv \\( -name .pwd.lock -o -name journal -o -path '/etc/rc?.d' -o -name mcp-deploy.yaml \\) -prune -o -printf '%p %y %m %U:%G %l\\n' | sort
    find /etc -name .pwd.lock -prune -o -type f -print0 | xargs -0 sha256sum | sort -k2
    for each in nginx caddy haproxy mcp-notes; do systemctl is-active $each || :; systemctl is-enabled $each || :; done`;
  const want = (program: string, more = ''): Promise<void> =>
    host.write(
      `${siteFolder}/mcp-deploy.yaml`,
      `version: 1\nname: notes\nservice: { manager: systemd, trial: false }\nproxy: { program: ${program}, serverName: localhost }\n${more}`,
    );
  const holdersOf = async (port: number): Promise<readonly string[]> => {
    const lines = await host.sh(`ss -Hltnp 'sport = :${port}'`);
    return [...new Set([...lines.matchAll(/\(\("([^"]+)"/g)].map(([, name = '']) => name))];
  };

  beforeAll(async () => {
    // What Debian serves on port 80 has to go first, as for everybody who changes the proxy.
    await host?.sh('mv /etc/nginx/sites-enabled/default /root/default; systemctl disable --quiet nginx');
  });
  afterAll(async () => {
    await host?.sh('mv /root/default /etc/nginx/sites-enabled/default; systemctl enable --quiet nginx');
  });

  test(
    'is refused before any change while a port belongs to another program, or while the proxy is too old',
    async () => {
      await want('nginx');
      const before = await host.sh(look);
      await host.sh(`systemd-run --quiet --unit=holder /usr/bin/node -e "require('net').createServer().listen(443)"
        until ss -ltn | grep -q :443; do sleep 0.1; done`);
      const held = await host.cli('apply');
      expect(held.stderr).toMatch(/Port 443 is held by node \(pid \d+\), and nginx is to listen there/);
      expect(held.stderr).toContain('systemctl disable --now holder.service');
      expect(held.status).toBe(3);
      await host.sh('systemctl stop holder');

      await host.write('/run/old-nginx', '#!/bin/sh\necho "nginx version: nginx/1.14.2" >&2\n');
      await host.sh('chmod 755 /run/old-nginx; mount --bind /run/old-nginx /usr/sbin/nginx');
      const old = await host.cli('apply');
      await host.sh('umount /usr/sbin/nginx');
      expect(old.stderr).toContain('nginx is too old: nginx version: nginx/1.14.2');
      expect(old.status).toBe(3);
      expect(await host.sh(look)).toBe(before);
    },
    withinMs,
  );

  test(
    'changes from nginx to Caddy to HAProxy to none: each leaves its ports to the next one, and who does not start is undone',
    async () => {
      const before = await host.sh(look);
      let last: string | null = null;
      for (const next of ['nginx', 'caddy', 'haproxy'] as const) {
        await want(next);
        const applied = await host.cli('apply');
        expect(`${next}: ${applied.status} ${applied.stderr}`).toContain(`${next}: 0 `);
        expect(applied.stderr).toContain(`${next}.service started`);
        expect(await status(), next).toBe('401');
        expect(await holdersOf(443)).toEqual([next]);
        expect(await host.sh(`systemctl is-enabled ${next}`)).toBe('enabled\n');
        if (last !== null) {
          // It ran for this deployment alone.
          expect((await host.debian.exec(['systemctl', 'is-active', last])).stdout).toBe('inactive\n');
          expect((await host.debian.exec(['systemctl', 'is-enabled', last])).stdout).toBe('disabled\n');
        }
        last = next;
      }
      expect((await host.cli('plan', '--check')).status).toBe(0);
      const report = JSON.parse((await host.cli('doctor', '--json', '--only', 'host')).stdout) as { findings: unknown };
      expect(report.findings).toEqual([]);

      // The next one does not start: the former one has its ports again.
      await want('haproxy');
      await host.sh(`mkdir -p /etc/systemd/system/caddy.service.d
        printf '[Service]\\nExecStartPre=/bin/false\\n' > /etc/systemd/system/caddy.service.d/zz.conf; systemctl daemon-reload`);
      const was = await host.sh(look);
      await want('caddy');
      const failed = await host.cli('apply');
      expect(failed.stderr).toContain('undone');
      expect(failed.status).toBe(4);
      expect(await holdersOf(443)).toEqual(['haproxy']);
      expect(await status()).toBe('401');
      expect(await host.sh(look)).toBe(was);
      await host.sh('rm -r /etc/systemd/system/caddy.service.d; systemctl daemon-reload');

      await host.write(`${siteFolder}/mcp-deploy.yaml`, 'version: 1\nname: notes\nservice: { manager: systemd }\n');
      await host.must('apply');
      expect(await holdersOf(443)).toEqual([]);
      expect(await ask('-k', '-o', '/dev/null', '-w', '%{http_code}', '-X', 'POST', 'https://localhost:8443/mcp')).toBe(
        '401',
      );
      await host.must('uninstall', '--yes', '--purge');
      const copies = /etc\/(?:passwd|group|shadow|gshadow)-/;
      const without = (text: string): readonly string[] => text.split('\n').filter((line) => !copies.test(line));
      expect(without(await host.sh(look))).toEqual(without(before));
    },
    withinMs,
  );
});

/** A person of the host, with a service manager of their own. */
const person = {
  home: '/home/ada',
  folder: '/home/ada/notes',
  run(argv: readonly string[]) {
    const env = ['HOME=/home/ada', 'USER=ada', 'XDG_RUNTIME_DIR=/run/user/2000'];
    return host.debian.exec(['runuser', '-u', 'ada', '--', 'env', '-C', '/home/ada/notes', ...env, ...argv]);
  },
  cli(...args: readonly string[]) {
    return person.run(['/usr/bin/node', '/usr/lib/mcp-deploy/bin/mcp-deploy.js', ...args]);
  },
  async must(...args: readonly string[]) {
    const ran = await person.cli(...args);
    if (ran.status !== 0) throw new Error(`${args.join(' ')} ended with ${ran.status}\n${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  },
};

describe.skipIf(!canBoot && process.env['REQUIRE_TOOLS'] !== '1')('a person without root', () => {
  beforeAll(async () => {
    await host?.sh('useradd --create-home --uid 2000 ada; install -d -o ada -g ada /home/ada/notes');
  });

  test(
    'has a service of their own: it is told that nobody answers, installed, changed, undone, and gone',
    async () => {
      const write = (more: string): Promise<unknown> =>
        host.write(
          `${person.folder}/mcp-deploy.yaml`,
          `version: 1\nname: notes\nservice: { manager: systemd-user }\nserver: { listen: "localhost:9443" }\n${more}`,
        );
      await write('');
      const alone = await person.cli('apply');
      expect(alone.stderr).toContain('Your service manager does not answer.');
      expect(alone.status).toBe(3);

      await host.sh('loginctl enable-linger ada');
      await waitUntil(
        async () => (await person.run(['systemctl', '--user', 'is-system-running'])).stdout === 'running\n',
        60_000,
        'the service manager of a person',
      );
      const look = `cd /home/ada; find . -name journal -prune -o -printf '%p %y %m %U:%G %l\n' | sort; find . -name journal -prune -o -name logs -prune -o -path '*/run/*' -prune -o -type f -print0 | xargs -0 sha256sum | sort -k2`;
      const untouched = await host.sh(look);

      expect(await person.must('apply')).toContain('Endpoint');
      const show = (property: string): Promise<string> =>
        person.run(['systemctl', '--user', 'show', `--property=${property}`, 'mcp-notes']).then(({ stdout }) => stdout);
      expect(await show('ActiveState')).toBe('ActiveState=active\n');
      expect(await show('UnitFileState')).toBe('UnitFileState=enabled\n');
      expect((await person.cli('plan', '--check')).status).toBe(0);

      // Settings by a reload: the process stays.
      const pid = await show('MainPID');
      await write('logs: { level: debug }\n');
      await person.must('apply');
      expect(await show('MainPID')).toBe(pid);

      // What does not start is undone.
      const before = await host.sh(look);
      await host.write(
        `${person.folder}/mcp-deploy.yaml`,
        'version: 1\nname: notes\nservice: { manager: systemd-user }\nserver: { listen: "localhost:9443", upstreams: { dead: { command: /usr/bin/false, startSeconds: 1 } } }\n',
      );
      const failed = await person.cli('apply');
      expect(`${failed.status} ${failed.stderr}`).toMatch(/^4 /);
      await write('logs: { level: debug }\n');
      expect(await host.sh(look)).toBe(before);
      expect((await person.cli('plan', '--check')).status).toBe(0);

      await person.must('stop');
      expect(await show('ActiveState')).toBe('ActiveState=inactive\n');
      await person.must('start');
      expect(await show('ActiveState')).toBe('ActiveState=active\n');

      await person.must('uninstall', '--yes');
      await write('');
      expect(await show('LoadState')).toBe('LoadState=not-found\n');
      expect(await host.sh(look)).toBe(untouched);
    },
    withinMs,
  );

  test(
    'changes the host by sudo where that is allowed, and nothing at all where it is not',
    async () => {
      await host.sh('mkdir -p /srv/ada && chown ada /srv/ada');
      await host.write(
        '/srv/ada/mcp-deploy.yaml',
        'version: 1\nname: ada\nservice: { manager: systemd }\nserver: { listen: "localhost:9444" }\n',
      );
      const file = ['--file', '/srv/ada/mcp-deploy.yaml'];
      const plan = await person.cli('plan', ...file);
      expect(plan.stdout).toContain('with sudo');
      expect(plan.stdout).toMatch(/mcp-ada\.service +none yet {2}# root/);

      // What is refused before any change is refused without sudo.
      await host.sh('cp /srv/ada/mcp-deploy.yaml /home/ada/notes/elsewhere.yaml');
      const atHome = await person.cli('apply', '--file', '/home/ada/notes/elsewhere.yaml');
      expect(`${atHome.status} ${atHome.stderr}`).toMatch(/^3 [^]*is in a home folder/);
      expect(atHome.stderr).not.toContain('sudo');
      await host.sh('rm /home/ada/notes/elsewhere.yaml');

      const refused = await person.cli('apply', ...file);
      expect(refused.stderr).toContain('sudo does not let you');
      expect(refused.status).toBe(3);
      expect((await host.debian.exec(['test', '-e', '/opt/mcp-deploy'])).status).not.toBe(0);

      await host.sh("echo 'ada ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ada && chmod 440 /etc/sudoers.d/ada");
      const applied = await person.cli('apply', '--json', ...file);
      expect(applied.status, applied.stderr).toBe(0);
      expect(JSON.parse(applied.stdout)).toMatchObject({ ok: true });
      expect(applied.stderr).toMatch(/with sudo from here on: \d+ of \d+ steps need root/);
      // Keys of a service are for root to read, so that even the look at it is.
      expect((await person.cli('apply', ...file)).stderr).toContain('with sudo from here on: also for the look');
      expect(await host.sh('systemctl is-active mcp-ada')).toBe('active\n');
      await person.must('uninstall', '--yes', '--purge', ...file);
      expect((await host.debian.exec(['test', '-e', '/opt/mcp-deploy'])).status).not.toBe(0);
    },
    withinMs,
  );
});

describe.skipIf(!canBoot && process.env['REQUIRE_TOOLS'] !== '1')('a system that does not run, below a folder', () => {
  test(
    'holds byte for byte what an install writes, and an uninstall there leaves nothing',
    async () => {
      await host.sh('mkdir -p /srv/stage /root/stage');
      await host.write(
        '/root/wanted.yaml',
        'version: 1\nname: stage\nservice: { manager: systemd }\nserver: { listen: "localhost:9446" }\n',
      );
      const to = ['--from', '/root/wanted.yaml', '--file', '/srv/stage/mcp-deploy.yaml'];
      const staged = await host.cli('apply', '--root', '/root/stage', ...to);
      expect(`${staged.status} ${staged.stderr}`).toMatch(/^0 /);
      expect(staged.stderr).toContain('Staged: no program is run');
      expect((await host.debian.exec(['test', '-e', '/opt/mcp-deploy'])).status).not.toBe(0);
      expect((await host.cli('plan', '--check', '--root', '/root/stage', ...to)).status).toBe(0);
      await host.must('apply', ...to);

      // Random are keys and certificates, of its own time the records; users are for who installs what was staged.
      const parts = 'etc/mcp-deploy opt/mcp-deploy var/lib/mcp-deploy var/log/mcp-deploy etc/systemd/system srv/stage';
      const list = (root: string): Promise<string> =>
        host.sh(`cd ${root}; find ${parts} \\( -name journal -o -name server.log -o -path 'var/lib/*/server.json' \\) -prune -o \\( -type d -o -path '*mcp-stage*' -o -path '*mcp-deploy*' -o -path 'srv/*' \\) -printf '%p %y %m %l\\n' \
          | grep -v -E '^etc/systemd/system(/(getty|sysinit|timers|haproxy|nginx|caddy|ssh).*)? d' | sort
          find ${parts} \\( -name journal -o -name keys -o -name pki -o -name '*.log' -o -path 'var/lib/*' -o -name '[0-9]*.json' \\) -prune -o -type f \\( -path '*mcp-stage*' -o -path '*mcp-deploy*' -o -path 'srv/*' \\) -print0 | sort -z | xargs -0 sha256sum`);
      expect(await list('/root/stage')).toBe(await list('/'));

      await host.must('uninstall', '--yes', '--purge', '--file', '/srv/stage/mcp-deploy.yaml');

      // An earlier release and keys are those of the staged system; what a command line names is a file of this one.
      const at = ['--root', '/root/stage', '--file', '/srv/stage/mcp-deploy.yaml'];
      await host.sh(
        "mkdir -p /root/tools; echo 'export default () => 1;' > /root/tools/a.mjs; echo 'a-key-of-ci-0123456789abcdef0123' > /root/ci",
      );
      await host.write(
        '/root/wanted.yaml',
        'version: 1\nname: stage\nservice: { manager: systemd }\nauth: { keys: [{ label: ci, secret: "file:ci" }] }\nserver: { listen: "localhost:9446", tools: { a: { description: a, module: { path: tools/a.mjs } } } }\n',
      );
      await host.must('apply', ...at, '--from', '/root/wanted.yaml');
      await host.must('rollback', '1', ...at);
      expect(await host.sh('cat /root/stage/opt/mcp-deploy/stage/current/server.json')).not.toContain('a.mjs');
      await host.must('rollback', '2', ...at);
      await host.must('keys', 'create', 'packed', '--key-file', '/root/packed.key', ...at);
      expect((await host.cli('doctor', ...at)).stderr).toContain('is about a system that runs');

      // Unpacked on a system it is one: accounts, owners and the start at boot are those of an install.
      await host.sh(`tar -C /root/stage -c etc opt srv usr var | tar -x -C / --no-same-owner --keep-directory-symlink
        systemd-sysusers; systemd-tmpfiles --create 2>/dev/null; systemctl daemon-reload; systemctl start mcp-stage.socket mcp-stage.service`);
      expect(
        await host.sh(
          'stat -c "%a %U:%G %n" /srv/stage/ci /srv/stage/tools/a.mjs /etc/mcp-deploy/stage/keys/keys.json /etc/mcp-deploy/stage/pki/live/server.key',
        ),
      ).toBe(
        '600 mcp:mcp /srv/stage/ci\n640 root:mcp /srv/stage/tools/a.mjs\n640 root:mcp /etc/mcp-deploy/stage/keys/keys.json\n640 root:mcp /etc/mcp-deploy/stage/pki/live/server.key\n',
      );
      const statusWith = (key: string): Promise<string> =>
        ask(
          '--cacert',
          '/etc/mcp-deploy/stage/pki/ca.crt',
          '-o',
          '/dev/null',
          '-w',
          '%{http_code}',
          '-H',
          `authorization: Bearer ${key}`,
          'https://localhost:9446/mcp',
        );
      expect(await statusWith((await host.sh('cat /root/packed.key')).trim())).not.toBe('401');
      expect(await statusWith('a-key-of-ci-0123456789abcdef0123')).not.toBe('401');
      expect(await statusWith('wrong')).toBe('401');
      expect((await host.cli('plan', '--check', '--file', '/srv/stage/mcp-deploy.yaml')).status).toBe(0);
      await host.must('uninstall', '--yes', '--purge', '--file', '/srv/stage/mcp-deploy.yaml');
      expect(
        await host.sh(
          'find /etc /opt /srv /usr/lib/sysusers.d /usr/lib/tmpfiles.d -name "*mcp-stage*" -o -path "/srv/stage*"',
        ),
      ).toBe('');
      expect(
        (
          await host.cli(
            'uninstall',
            '--yes',
            '--purge',
            '--root',
            '/root/stage',
            '--file',
            '/srv/stage/mcp-deploy.yaml',
          )
        ).stderr,
      ).not.toContain('error');
      expect(await host.sh('cd /root/stage; find . -type f -o -type l')).toBe('');
      await host.sh('rm -r /root/stage /root/wanted.yaml /root/tools /root/ci /root/packed.key');
    },
    withinMs,
  );
});

/** This machine with the network of the booted one: what goes to 127.0.0.1 there reaches its sshd. */
describe.skipIf((!canBoot || findProgram('ssh') === null) && process.env['REQUIRE_TOOLS'] !== '1')(
  'another host over SSH',
  () => {
    let here = '';
    let folder = '';

    beforeAll(async () => {
      if (host === undefined) return;
      here = mkdtempSync(join(tmpdir(), 'mcp-ssh-'));
      folder = join(here, 'far');
      mkdirSync(folder);
      mkdirSync(join(here, 'bin'));
      const made = await runProgram('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(here, 'key')], {
        cwd: here,
      });
      expect(made.exitCode, made.stderr).toBe(0);
      const known = `  User bob\n  IdentityFile ${join(here, 'key')}\n  IdentitiesOnly yes\n  UserKnownHostsFile ${join(here, 'known')}\n  StrictHostKeyChecking accept-new\n`;
      writeFileSync(
        join(here, 'config'),
        `Host one\n  HostName 127.0.0.1\n${known}Host two\n  HostName 127.0.0.1\n  Port 9\n${known}Host three\n  HostName 127.0.0.1\n${known}`,
      );
      // ssh takes the home folder from the system and not from HOME.
      writeFileSync(join(here, 'bin/ssh'), `#!/bin/sh\nexec ${findProgram('ssh')} -F ${join(here, 'config')} "$@"\n`);
      writeFileSync(join(here, 'bin/mcp-deploy'), `#!/bin/sh\nexec ${process.execPath} ${binFile} "$@"\n`);
      for (const name of ['ssh', 'mcp-deploy']) chmodSync(join(here, 'bin', name), 0o755);
      await host.sh(`useradd --create-home bob; echo 'bob ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/bob; chmod 440 /etc/sudoers.d/bob
      install -d -m 700 -o bob -g bob /home/bob/.ssh; systemctl start ssh`);
      const { stdout } = await runProgram('cat', [join(here, 'key.pub')], { cwd: here });
      await host.write('/home/bob/.ssh/authorized_keys', stdout);
      await host.sh('chown bob /home/bob/.ssh/authorized_keys');
    });

    afterAll(() => {
      if (here !== '') rmSync(here, { recursive: true, force: true });
    });

    function far(
      args: readonly string[],
      { bin = binFile, onStart }: { readonly bin?: string; readonly onStart?: (pid: number) => void } = {},
    ): Promise<CliResult> {
      const env = { PATH: `${join(here, 'bin')}:${process.env['PATH'] ?? ''}` };
      return inNetwork([process.execPath, bin, ...args], env, onStart);
    }

    /** As in the docs, where mcp-deploy is on the PATH. */
    const scriptOfDocs =
      [
        ...readFileSync(new URL('../../docs/scripted.md', import.meta.url), 'utf8').matchAll(/^```sh\n(.*?)^```$/gms),
      ].at(-1)?.[1] ?? '';

    function inNetwork(
      argv: readonly string[],
      env: NodeJS.ProcessEnv,
      onStart?: (pid: number) => void,
    ): Promise<CliResult> {
      return runProgram('nsenter', ['-t', String(host.debian.leader), '-n', '--', ...argv], {
        cwd: folder,
        env,
        timeoutMs: 240_000,
        onStart: (child) => {
          if (child.pid !== undefined) onStart?.(child.pid);
        },
      });
    }

    function want(server: string): void {
      writeFileSync(
        join(folder, 'mcp-deploy.yaml'),
        `version: 1\nname: far\nservice: { manager: systemd }\nserver: { listen: "localhost:9445"${server} }\n`,
      );
    }

    const look = `find /etc /opt /srv /var/lib/mcp-deploy \\( -name '*-' -o -name .pwd.lock -o -name journal -o -name server.json \\) -prune -o -printf '%p %y %m %U:%G %l\\n' 2>/dev/null | sort; find /srv/far -type f | sort | xargs sha256sum; systemctl is-active mcp-far`;

    test(
      'is planned and applied there, one after the other; the first that fails is the last, and what was cut off is undone there',
      async () => {
        want('');
        const before = await host.sh('find /etc /opt /srv | sort');
        const planned = await far(['plan', '--json', '--host', 'one']);
        expect(planned.exitCode, planned.stderr).toBe(0);
        expect(JSON.parse(planned.stdout)).toMatchObject({
          ok: true,
          hosts: [{ host: 'one', document: { ok: true } }],
        });
        expect(await host.sh('find /etc /opt /srv | sort')).toBe(before);

        const several = await far(['apply', '--host', 'one', '--host', 'two', '--host', 'three']);
        expect(several.stderr).toContain('two cannot be reached over SSH');
        expect(several.stdout).toMatch(/one +done, .*release 1/);
        expect(several.stdout).toMatch(/two +refused before any change/);
        expect(several.stdout).toMatch(/three +not reached/);
        expect(several.exitCode).toBe(3);
        expect(await host.sh('systemctl is-active mcp-far')).toBe('active\n');
        expect(await host.sh('cat /srv/far/mcp-deploy.yaml')).toContain('name: far');

        // Its own health gate stands between the hosts.
        const was = await host.sh(look);
        want(', upstreams: { dead: { command: /usr/bin/false } }');
        const dead = await far(['apply', '--host', 'one', '--host', 'three']);
        expect(dead.exitCode, dead.stderr).toBe(4);
        expect(dead.stdout).toMatch(/one +failed and undone/);
        expect(dead.stdout).toMatch(/three +not reached/);
        expect(await host.sh(look)).toBe(was);

        // The connection ends in the middle.
        want(', upstreams: { slow: { command: /usr/bin/sleep, args: ["600"], startSeconds: 120 } }');
        let pid = 0;
        const running = far(['apply', '--host', 'one'], { onStart: (started) => (pid = started) });
        await waitUntil(
          async () => (await host.debian.exec(['systemctl', 'is-active', '--quiet', 'mcp-far-trial'])).status === 0,
          120_000,
          'the trial there',
        );
        process.kill(pid, 'SIGTERM');
        await running;
        await waitUntil(
          async () => (await host.debian.exec(['test', '-e', '/opt/mcp-deploy/far/lock'])).status !== 0,
          60_000,
          'the end of the undo there',
        );
        expect(await host.sh(look)).toBe(was);

        // What runs there becomes the version of who is at work here.
        want('');
        const later = join(await makePackage(join(here, 'later'), '99.1.0'), 'bin/mcp-deploy.js');
        const newer = await far(['upgrade', '--check', '--host', 'one'], { bin: later });
        expect(newer.exitCode, newer.stderr).toBe(1);
        expect(newer.stdout).toContain('mcp-deploy upgrade --host one');
        const upgraded = await far(['upgrade', '--json', '--host', 'one'], { bin: later });
        expect(upgraded.exitCode, upgraded.stderr).toBe(0);
        expect(JSON.parse(upgraded.stdout)).toMatchObject({
          hosts: [{ host: 'one', document: { changed: true, to: '99.1.0' } }],
        });
        expect(await host.sh('grep -c \'"99.1.0"\' /opt/mcp-deploy/far/current/serve.js')).not.toBe('0\n');
        expect((await far(['apply', '--host', 'one'])).stderr).toContain('this is the older');

        const removed = await far(['uninstall', '--yes', '--purge', '--host', 'one']);
        expect(removed.exitCode, removed.stderr).toBe(0);
        expect(await host.sh('find /etc /opt /srv | sort')).toBe(before);
      },
      withinMs,
    );

    test(
      'is given the files that the deployment names, keeps them for a rollback, and has nothing of them when they are gone',
      async () => {
        const before = await host.sh('find /etc /opt /srv /tmp | sort');
        const put = (path: string, text: string): void => {
          mkdirSync(dirname(join(folder, path)), { recursive: true });
          writeFileSync(join(folder, path), text);
        };
        const wantFiles = (more = ''): void =>
          put(
            'mcp-deploy.yaml',
            `version: 1
name: far
hosts:
  - one
  - { host: three, set: { logs.level: debug } }
service: { manager: systemd }
auth: { keys: [{ label: ci, secret: 'file:secrets/ci' }] }
server:
  listen: localhost:9445
  tools:
    greet: { description: greets, module: { path: tools/greet.mjs } }
${more}`,
          );
        put('tools/greet.mjs', "import { word } from '../words.mjs';\nexport default () => word;\n");
        put('tools/.env', 'TOKEN=1');
        put('words.mjs', "export const word = 'hello';\n");
        put('secrets/ci', 'a-key-of-ci-0123456789abcdef0123456789\n');
        wantFiles();
        const request = {
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: {
            name: 'greet',
            arguments: {},
            _meta: {
              'io.modelcontextprotocol/protocolVersion': '2026-07-28',
              'io.modelcontextprotocol/clientInfo': { name: 't', version: '1' },
              'io.modelcontextprotocol/clientCapabilities': {},
            },
          },
        };
        const headers = {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-protocol-version': '2026-07-28',
          'mcp-method': 'tools/call',
          'mcp-name': 'greet',
          authorization: 'Bearer a-key-of-ci-0123456789abcdef0123456789',
        };
        const call = (): Promise<string> =>
          ask(
            '--cacert',
            '/etc/mcp-deploy/far/pki/ca.crt',
            ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
            '-d',
            JSON.stringify(request),
            'https://localhost:9445/mcp',
          );

        const planned = await far(['plan', '--host', 'one']);
        expect(planned.exitCode, planned.stderr).toBe(0);
        expect(planned.stderr).toContain('one: sends 2 files; secret secrets/ci, 0600');
        expect(planned.stderr).toContain('tools/.env looks like a secret and is not sent');
        expect(planned.stdout).toMatch(/\+ secrets\/ci +secret of auth\.keys\[0\]\.secret, 0600 for mcp/);
        expect(planned.stdout).toContain('mcp-deploy apply --host one');
        expect(await host.sh('find /etc /opt /srv /tmp | sort')).toBe(before);

        // What is not in the folder must be there already.
        wantFiles('    other: { description: x, module: { path: /opt/tools/none.mjs } }\n');
        const missing = await far(['apply', '--host', 'one']);
        expect(missing.exitCode).toBe(3);
        expect(missing.stderr).toContain(
          '/opt/tools/none.mjs is not on this host, and server.tools.other.module.path names it.',
        );
        expect(await host.sh('find /etc /opt /srv /tmp | sort')).toBe(before);

        wantFiles();
        const applied = await far(['apply', '--host', 'one']);
        expect(applied.exitCode, applied.stderr).toBe(0);
        expect(applied.stdout + applied.stderr).not.toContain('a-key-of-ci');
        expect(await host.sh("cd /srv/far; find . -type f -printf '%p %m %u:%g\\n' | sort")).toBe(
          './mcp-deploy.yaml 644 root:root\n./secrets/ci 600 mcp:mcp\n./tools/greet.mjs 640 root:mcp\n./words.mjs 640 root:mcp\n',
        );
        expect(await call()).toContain('hello');
        expect(await host.sh('grep -c hosts /srv/far/mcp-deploy.yaml || true')).toBe('0\n');
        expect((await far(['plan', '--check', '--host', 'one'])).exitCode).toBe(0);

        // Another file is another release, and an earlier one has what it had.
        put('words.mjs', "export const word = 'good day';\n");
        const scripted = await inNetwork(['sh', '-c', scriptOfDocs], {
          PATH: `${join(here, 'bin')}:${process.env['PATH'] ?? ''}`,
          SITE: folder,
        });
        expect(scripted.exitCode, scripted.stderr).toBe(0);
        expect(scripted.stdout).toContain('Apply with: mcp-deploy apply --host three');
        expect(JSON.parse(readFileSync(join(folder, 'hosts.json'), 'utf8'))).toMatchObject({
          ok: true,
          hosts: [
            { host: 'one', exitCode: 0, document: { release: 2 } },
            { host: 'three', exitCode: 0, document: { release: 3 } },
          ],
        });
        expect(await call()).toContain('good day');
        const table = await far(['status', '--host', 'all']);
        expect(table.exitCode, table.stderr).toBe(0);
        expect(table.stdout).toMatch(/host +server +version +certificate +keys\n +one +running.*\n +three +running/);
        expect((await far(['doctor', '--host', 'one', '--only', 'tls'])).exitCode).toBe(0);
        const back = await far(['rollback', '1', '--host', 'one']);
        expect(back.exitCode, back.stderr).toBe(0);
        expect(await call()).toContain('hello');

        // What does not load there is undone with its file.
        const was = await host.sh(look);
        put('words.mjs', 'export const = ;');
        const broken = await far(['apply', '--host', 'all']);
        expect(broken.exitCode, broken.stderr).toBe(4);
        expect(broken.stdout).toMatch(/one +failed and undone: as it was\n +three +not reached/);
        expect(broken.stdout).toContain('mcp-deploy apply --host one --host three');
        expect(await host.sh(look)).toBe(was);
        expect(await call()).toContain('hello');

        const removed = await far(['uninstall', '--yes', '--purge', '--host', 'three']);
        expect(removed.exitCode, removed.stderr).toBe(0);
        expect(await host.sh('find /etc /opt /srv /tmp | sort')).toBe(before);
      },
      2 * withinMs,
    );
  },
);
