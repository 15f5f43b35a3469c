import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bootDebianWithinMs, bootedDebianTools } from '../helpers/booted-debian.ts';
import { bootSystemHost, loadScript, siteFolder, type SystemHost } from '../helpers/system-host.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** One host for all tests, in order: each finds the deployment that the ones before it left, live and unharmed. */
let host: SystemHost;
let untouched = '';

const canBoot = bootedDebianTools.every((tool) => findProgram(tool) !== null);
const withinMs = 900_000;

beforeAll(async () => {
  if (!canBoot) return;
  host = await bootSystemHost();
  untouched = await host.snapshot();
  await host.sh('touch /run/mark');
}, bootDebianWithinMs);

afterAll(async () => {
  await host?.debian.stop();
});

const live = `version: 1
name: notes
service: { manager: systemd }
proxy: { program: nginx, serverName: localhost }
limits: { perKey: off, freePerKey: off }
`;

async function want(text: string): Promise<void> {
  await host.write(`${siteFolder}/mcp-deploy.yaml`, text);
}

/** Whether a call goes through nginx to a tool and back. */
async function serves(): Promise<boolean> {
  const call = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: {
      name: 'echo',
      arguments: { message: 'through nginx' },
      _meta: {
        'io.modelcontextprotocol/protocolVersion': '2026-07-28',
        'io.modelcontextprotocol/clientCapabilities': {},
        'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
      },
    },
  });
  const { stdout } = await host.debian.exec(
    [
      'sh',
      '-c',
      `curl -sS --cacert /etc/mcp-deploy/notes/pki/ca.crt -H "authorization: Bearer $(cat /etc/mcp-deploy/notes/keys/default.key)" \\
        -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \\
        -H 'mcp-protocol-version: 2026-07-28' -H 'mcp-method: tools/call' -H 'mcp-name: echo' \\
        -d @- https://localhost/mcp`,
    ],
    { input: call },
  );
  return stdout.includes('through nginx') && stdout.includes('"result"');
}

describe('a service of a host', () => {
  testWithTools(
    bootedDebianTools,
    'whose first install fails leaves everything as it was, also what useradd keeps of the accounts',
    async () => {
      await want(upstream('command: /usr/bin/false'));
      const ran = await host.cli('apply');
      expect(`${ran.status} ${ran.stderr}`).toMatch(/^4 [^]*undone/);
      await host.sh(`rm ${siteFolder}/mcp-deploy.yaml`);
      expect(await host.snapshot()).toBe(untouched);
    },
    withinMs,
  );

  testWithTools(
    bootedDebianTools,
    'is installed with nginx in front as one change, and belongs to whom it should',
    async () => {
      await want(live);
      expect((await host.cli('plan', '--check')).status).toBe(1);
      expect(await host.must('apply')).toContain('Endpoint');
      expect(await serves()).toBe(true);
      const owned = await host.sh(`cd /etc/mcp-deploy/notes; stat -c '%a %U:%G %n' . keys/* pki/ca.key pki/live-1/* \\
        /opt/mcp-deploy/notes/releases/1/* /var/lib/mcp-deploy/notes /var/log/mcp-deploy/notes`);
      expect(owned.trim().split('\n')).toEqual([
        '750 root:mcp .',
        '600 root:root keys/default.key',
        '640 root:mcp keys/keys.json',
        '400 root:root pki/ca.key',
        '644 root:root pki/live-1/server.crt',
        '640 root:mcp pki/live-1/server.key',
        '644 root:root /opt/mcp-deploy/notes/releases/1/serve.js',
        '640 root:mcp /opt/mcp-deploy/notes/releases/1/server.json',
        '700 mcp:mcp /var/lib/mcp-deploy/notes',
        '750 mcp:mcp /var/log/mcp-deploy/notes',
      ]);
      expect(await host.sh('systemctl is-enabled mcp-notes.service')).toBe('enabled\n');
      expect(await host.sh('curl -sS -o /dev/null -w "%{http_code}" -H "Host: other" http://127.0.0.1/')).toBe('200');
      expect((await host.cli('plan', '--check')).status).toBe(0);
      expect(await host.must('status')).toMatch(/running, pid \d+/);
      // The service goes on to read its keys, and its manager is who stops and starts it.
      await host.must('keys', 'create', 'second');
      expect(await host.sh("stat -c '%a %U:%G' /etc/mcp-deploy/notes/keys/keys.json")).toBe('640 root:mcp\n');
      await host.must('stop');
      expect((await host.debian.exec(['systemctl', 'is-active', 'mcp-notes.service'])).stdout).toBe('inactive\n');
      await host.must('start');
      await host.must('restart');
      expect(await serves()).toBe(true);
    },
    withinMs,
  );

  testWithTools(
    bootedDebianTools,
    'takes another configuration under constant load without a failed call or a lost session, and the former one again',
    async () => {
      const told = await underLoad(async () => {
        await want(`${live}logs: { level: debug }\n`);
        await host.must('apply');
        expect(await host.must('rollback')).toContain('Endpoint');
        expect(await host.must('history')).toMatch(/ 3 .*back to 1 +live/);
      });
      expect(told).toMatchObject({ failed: 0, sessionsLost: 0, problems: [] });
    },
    withinMs,
  );

  testWithTools(
    bootedDebianTools,
    'another build of the server takes over under load without a failed call, and its release holds it for a rollback',
    async () => {
      await want(live);
      const before = await host.sh('sha256sum < /opt/mcp-deploy/notes/current/serve.js');
      const told = await underLoad(async () => {
        const ran = await host.newer('apply');
        expect(`${ran.status} ${ran.stderr}`).toContain('restarted');
        expect(await host.sh('sha256sum < /opt/mcp-deploy/notes/current/serve.js')).not.toBe(before);
        expect(await serves()).toBe(true);
        await host.must('rollback', '3');
      });
      expect(told).toMatchObject({ failed: 0, problems: [] });
      expect(await host.sh('sha256sum < /opt/mcp-deploy/notes/current/serve.js')).toBe(before);
      expect(await serves()).toBe(true);
    },
    withinMs,
  );
});

/** Runs it while six clients call without a pause; what they saw. */
async function underLoad(run: () => Promise<void>): Promise<Seen> {
  const load = startLoad();
  try {
    await run();
  } catch (error) {
    await load.end();
    throw error;
  }
  const seen = await load.end();
  expect(seen.calls).toBeGreaterThan(100);
  return seen;
}

interface Seen {
  readonly calls: number;
  readonly failed: number;
  readonly problems: readonly string[];
}

/** Clients that call through nginx until they are told to end. */
function startLoad(...words: readonly string[]): { end(): Promise<Seen> } {
  const load = host.debian.start([
    '/usr/bin/node',
    loadScript,
    'https://localhost/mcp',
    '/etc/mcp-deploy/notes/keys/default.key',
    '/etc/mcp-deploy/notes/pki/ca.crt',
    ...words,
  ]);
  let told = '';
  load.stdout?.setEncoding('utf8').on('data', (text: string) => (told += text));
  return {
    async end() {
      // Not found is the shell that looks for it.
      await host.sh("pkill -TERM -f '[s]ystem-load.mjs'");
      await waitUntil(() => told.endsWith('}'), 30_000, 'what the load says');
      return JSON.parse(told) as Seen;
    },
  };
}

interface Break {
  readonly name: string;
  readonly yaml: string;
  /** Done before, and taken back after, on the host. */
  readonly before?: string;
  readonly after?: string;
  readonly exitCode: number;
  readonly says: string;
}

const upstream = (settings: string): string => `${live}server: { upstreams: { tool: { ${settings} } } }\n`;

/** An MCP server over standard input and output with one tool. */
const echoServer = `const send = (id, result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === "initialize") send(id, { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "once", version: "1" } });
  else if (method === "tools/call") send(id, { content: [{ type: "text", text: params.arguments.message }] });
  else if (id !== undefined) send(id, { tools: [{ name: "echo", inputSchema: { type: "object" } }] });
});`;

const breaks: readonly Break[] = [
  { name: 'a deployment file that is wrong', yaml: `${live}sever: {}\n`, exitCode: 2, says: 'server' },
  { name: 'an MCP server that is dead', yaml: upstream('command: /usr/bin/false'), exitCode: 4, says: 'exited with' },
  {
    name: 'an MCP server that never answers',
    yaml: upstream('command: /usr/bin/sleep, args: ["600"], startSeconds: 1'),
    exitCode: 4,
    says: 'does not start',
  },
  {
    name: 'an MCP server that comes up when it is tried, and never again',
    yaml: upstream('command: /bin/sh, args: [/usr/local/lib/once.sh], startSeconds: 2'),
    before: `printf 'mkdir /var/log/mcp-deploy/notes/tried && exec /usr/bin/node -e "$(cat /usr/local/lib/once.js)"' > /usr/local/lib/once.sh
      cat > /usr/local/lib/once.js <<'END'
${echoServer}
END`,
    after: 'rm -r /usr/local/lib/once.sh /usr/local/lib/once.js; rmdir /var/log/mcp-deploy/notes/tried',
    exitCode: 4,
    says: 'undone',
  },
  {
    name: 'a port that another program holds',
    yaml: `${live}server: { listen: "localhost:9443" }\n`,
    before:
      'systemd-run --quiet --unit=holder /usr/bin/node -e "require(\'net\').createServer().listen(9443)"; ' +
      'until ss -ltn | grep -q :9443; do sleep 0.1; done',
    after: 'systemctl stop holder',
    exitCode: 3,
    says: '9443',
  },
  {
    name: 'a disk that is full while files are written',
    yaml: `${live}server: { drainSeconds: 31 }\n`,
    // Room for bytes, and for not one more file.
    before: `cp -a /etc/systemd/system /root/units; mount -t tmpfs -o size=8m,nr_inodes=400,mode=755 tmpfs /etc/systemd/system
      cp -a /root/units/. /etc/systemd/system/; i=0; while touch /etc/systemd/system/fill-$i 2>/dev/null; do i=$((i+1)); done`,
    after: 'umount /etc/systemd/system; rm -r /root/units',
    exitCode: 4,
    says: 'undone',
  },
  {
    name: 'a disk that is almost full',
    yaml: `${live}logs: { level: warn }\n`,
    before: `cp -a /opt/mcp-deploy /root/opt; mount -t tmpfs -o size=40m,mode=755 tmpfs /opt/mcp-deploy
      cp -a /root/opt/. /opt/mcp-deploy/`,
    after: 'umount -l /opt/mcp-deploy; rm -r /root/opt',
    exitCode: 3,
    says: 'almost full',
  },
  {
    name: 'a folder that is read-only',
    yaml: `${live}server: { path: /tools }\n`,
    before: 'mount --bind /etc/nginx/conf.d /etc/nginx/conf.d; mount -o remount,ro,bind /etc/nginx/conf.d',
    after: 'umount /etc/nginx/conf.d',
    exitCode: 3,
    says: 'read-only',
  },
  {
    name: 'an nginx that others have broken',
    yaml: `${live}server: { path: /tools }\n`,
    before: 'echo "nonsense;" > /etc/nginx/conf.d/zz-theirs.conf',
    after: 'rm /etc/nginx/conf.d/zz-theirs.conf',
    exitCode: 4,
    says: 'zz-theirs.conf',
  },
  {
    name: 'a certificate that has expired',
    yaml: `${live}tls: { source: files, certificate: /etc/old.crt, key: /etc/old.key }\n`,
    before: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
      -days 30 -keyout /etc/old.key -out /root/unused.crt 2>/dev/null
      openssl req -new -key /etc/old.key -subj /CN=localhost -addext subjectAltName=DNS:localhost -out /root/old.csr
      mkdir -p /root/ca && cd /root/ca && touch index && echo 01 > serial
      printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\ncopy_extensions=copy\\n[p]\\ncommonName=supplied\\n' > c
      openssl ca -batch -config c -selfsign -keyfile /etc/old.key -in /root/old.csr -out /etc/old.crt -notext \\
        -startdate 200101000000Z -enddate 210101000000Z 2>/dev/null
      chgrp mcp /etc/old.key && chmod 640 /etc/old.key`,
    after: 'rm -r /etc/old.crt /etc/old.key /root/old.csr /root/ca /root/unused.crt',
    exitCode: 3,
    says: 'expired',
  },
];

describe('whatever is wrong, the old release serves on and the host is byte for byte as before', () => {
  let load: ReturnType<typeof startLoad>;

  beforeAll(() => {
    // Two clients in no hurry, through all of it.
    if (canBoot) load = startLoad('2', '50');
  });

  test.skipIf(!canBoot).each(breaks)(
    '$name',
    async ({ yaml, before, after, exitCode, says }) => {
      await want(yaml);
      if (before !== undefined) await host.sh(before);
      try {
        const was = await host.snapshot();
        const pid = await host.sh('systemctl show --property=MainPID mcp-notes.service');
        const ran = await host.cli('apply');
        expect(`${ran.stdout}${ran.stderr}`).toContain(says);
        expect(ran.status, ran.stderr).toBe(exitCode);
        expect(await host.snapshot()).toBe(was);
        // It was not even restarted.
        expect(await host.sh('systemctl show --property=MainPID mcp-notes.service')).toBe(pid);
        expect(await serves()).toBe(true);
      } finally {
        if (after !== undefined) await host.sh(after);
      }
    },
    withinMs,
  );

  testWithTools(
    bootedDebianTools,
    'and meanwhile no call has failed',
    async () => {
      expect(await load.end()).toMatchObject({ failed: 0, problems: [] });
    },
    withinMs,
  );
});

interface Report {
  readonly findings: readonly { readonly code: string }[];
  readonly passed: readonly { readonly code: string }[];
  readonly fix?: {
    readonly done: readonly string[];
    readonly healed: readonly string[];
    readonly left: readonly string[];
  };
}

describe('doctor on the host', () => {
  const look = async (...words: readonly string[]): Promise<Report> => {
    const ran = await host.cli('doctor', '--json', '--only', 'host', ...words);
    try {
      return JSON.parse(ran.stdout) as Report;
    } catch {
      throw new Error(`${ran.status} ${ran.stdout} ${ran.stderr}`);
    }
  };
  const codes = (list: Report['findings']): readonly string[] => list.map(({ code }) => code);

  testWithTools(
    bootedDebianTools,
    'sees what systemd says of the service, and --fix mends what is safe: state, boot, modes, owners, edited files and the timer',
    async () => {
      const { recipient } = JSON.parse(await host.must('backup', 'key', '--out', '/root/timer.key', '--json')) as {
        recipient: string;
      };
      await want(`${live}backup: { recipients: [${recipient}] }\n`);
      await host.must('apply');
      await host.must('cert', 'renew', '--install-timer');
      await host.must('backup', 'create', '--install-timer');
      const healthy = await look();
      expect(codes(healthy.findings)).toEqual([]);
      expect(codes(healthy.passed)).toEqual(
        expect.arrayContaining([
          'host/service-steady',
          'host/service-enabled',
          'host/renewal-timer',
          'host/backup-timer',
        ]),
      );
      const was = await host.snapshot();
      // Left out are what a release adds, and the group of the certificate, which is given back together with its key.
      const releases = /opt\/mcp-deploy\/notes\/releases\/|(?:^|\n)opt\/mcp-deploy\/notes\/current .*/;

      // It ends again and again.
      await host.sh(`for i in 1 2 3 4; do
          before=$(systemctl show --property=NRestarts mcp-notes.service); systemctl kill --signal=KILL mcp-notes.service
          until [ "$(systemctl show --property=NRestarts mcp-notes.service)" != "$before" ] && systemctl is-active --quiet mcp-notes.service
          do sleep 0.2; done
        done
        until curl -skf -o /dev/null https://localhost:8443/readyz; do sleep 0.2; done`);
      expect(codes((await look()).findings)).toContain('host/service-steady');

      await host.sh(`systemctl disable --quiet mcp-notes.service mcp-notes.socket; systemctl stop mcp-notes.socket mcp-notes.service
        systemctl disable --quiet --now $(cd /etc/systemd/system && ls *mcp*.timer)
        cd /etc/mcp-deploy/notes; chmod 644 keys/keys.json; chown mcp pki/live/server.key; chmod 644 pki/ca.key
        echo '# by hand' >> /etc/nginx/conf.d/mcp-notes.conf`);
      const broken = [
        'host/file-modes',
        'host/file-owners',
        'host/renewal-timer',
        'host/backup-timer',
        'host/server-running',
        'host/service-enabled',
      ];
      expect(codes((await look()).findings)).toEqual(expect.arrayContaining(broken));
      const refused = await host.cli('doctor', '--fix', '--only', 'host');
      expect(`${refused.status} ${refused.stderr}`).toMatch(/^2 [^]*--yes/);

      const mended = await look('--fix', '--yes');
      expect(mended.fix?.left, JSON.stringify(mended)).toEqual([]);
      expect(mended.fix?.healed).toEqual(expect.arrayContaining(broken));
      expect(codes(mended.findings)).toEqual([]);
      expect(await serves()).toBe(true);
      expect((await host.cli('plan', '--check')).status).toBe(0);
      // The edit lies beside it.
      await host.sh('rm /etc/nginx/conf.d/mcp-notes.conf.mcp-deploy-*');
      const rest = (text: string): readonly string[] =>
        text
          .split('\n')
          .filter((line) => !releases.test(line) && !line.startsWith('etc/mcp-deploy/notes/pki/live-1/server.crt '));
      expect(rest(await host.snapshot())).toEqual(rest(was));
      expect((await look('--fix', '--yes')).fix).toEqual({ done: [], healed: [], left: [] });
    },
    withinMs,
  );
});

describe('an install without a person', () => {
  testWithTools(
    bootedDebianTools,
    'runs as docs/scripted.md has it',
    async () => {
      const text = readFileSync(new URL('../../docs/scripted.md', import.meta.url), 'utf8');
      const scripts = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script = '']) => script);
      expect(scripts).toHaveLength(3);
      await host.sh(`printf '#!/bin/sh\\nexec /usr/bin/node /usr/lib/mcp-deploy/bin/mcp-deploy.js "$@"\\n' > /usr/local/bin/mcp-deploy
        chmod 755 /usr/local/bin/mcp-deploy`);
      // As on a first boot: the answers make the file anew.
      await host.sh(`rm -f ${siteFolder}/mcp-deploy.yaml`);
      // The third is for other hosts: see hosts-and-proxies.
      for (const script of scripts.slice(0, 2)) {
        await host.debian.run(['sh', '-s'], { input: script, env: { SITE: siteFolder } });
      }
      expect(JSON.parse(await host.sh(`cat ${siteFolder}/apply.json`))).toMatchObject({
        ok: true,
        applied: true,
        changed: true,
      });
      expect(await serves()).toBe(true);
      await host.sh(
        `rm ${siteFolder}/answers.yaml ${siteFolder}/apply.json ${siteFolder}/change.plan /usr/local/bin/mcp-deploy`,
      );
    },
    withinMs,
  );
});

describe('a restore', () => {
  const kept = () =>
    host.sh(`cd /etc/mcp-deploy/notes && sha256sum keys/keys.json keys/default.key pki/ca.key pki/ca.crt pki/server.crt
      stat -c '%a %U:%G %n' keys/keys.json keys/default.key pki/ca.key
      stat -L -c '%a %U:%G %n' pki/server.key`);

  testWithTools(
    bootedDebianTools,
    'over a service brings its keys back while nginx goes on, and on an empty host all of it; a rehearsal and a kill leave nothing',
    async () => {
      await want(live);
      await host.must('apply');
      const { recipient } = JSON.parse(await host.must('backup', 'key', '--out', '/root/backup.key', '--json')) as {
        recipient: string;
      };
      const { file } = JSON.parse(
        await host.must('backup', 'create', '--recipient', recipient, '--out', '/root/backups', '--json'),
      ) as { file: string };
      expect(await host.sh("stat -c '%a %U:%G' /etc/mcp-deploy/notes/backup.json")).toBe('640 root:mcp\n');
      const restore = ['restore', file, '--identity', '/root/backup.key', '--yes'];
      const before = await kept();

      await host.must('keys', 'rotate', 'default', '--overlap', '0');
      expect(await kept()).not.toBe(before);
      const over = await host.cli(...restore);
      expect(`${over.status} ${over.stderr}`).toMatch(/^0 [^]*work no more|^0 [^]*work again/);
      expect(await kept()).toBe(before);
      expect(await serves()).toBe(true);
      expect((await host.cli('plan', '--check')).status).toBe(0);

      await host.must('uninstall', '--yes', '--purge');
      await host.sh(`rm -f ${siteFolder}/mcp-deploy.yaml`);
      const empty = await host.snapshot();
      await host.must(...restore, '--dry-run');
      expect(await host.snapshot()).toBe(empty);
      const killed = await host.killedAt(9, 'acted', ...restore);
      expect(killed.stdout + killed.stderr).not.toContain('error');
      expect(await host.snapshot()).not.toBe(empty);
      await host.must(...restore);
      expect(await kept()).toBe(before);
      expect(await serves()).toBe(true);
      expect((await host.cli('plan', '--check')).status).toBe(0);
      expect(await host.must('status')).toMatch(/running, pid \d+/);
      await host.sh('rm -r /root/backups /root/backup.key');
    },
    withinMs,
  );
});

/** Their times change; what is in them does not. */
const known =
  /^(?:d (?:\/etc|\/etc\/systemd\/system(?:\/[\w.-]+\.wants)?|\/etc\/nginx\/conf\.d|\/opt|\/var\/lib|\/var\/log|\/var\/log\/nginx)|f \/etc\/(?:passwd|group|shadow|gshadow)-?|f \/etc\/(?:\.pwd\.lock|subuid-?|subgid-?)|. \/var\/(?:log\/(?:journal|nginx|wtmp|btmp|lastlog)|lib\/(?:nginx|systemd|logrotate|private|dbus))\b.*)$/;

describe('an uninstall', () => {
  testWithTools(
    bootedDebianTools,
    'keeps keys and certificates for the next install, and purged leaves nothing',
    async () => {
      await want(live);
      const kept = await host.sh('cd /etc/mcp-deploy/notes && sha256sum keys/* pki/*.crt');
      await host.must('uninstall', '--yes');
      expect((await host.debian.exec(['systemctl', 'cat', 'mcp-notes.service'])).status).not.toBe(0);
      expect((await host.debian.exec(['test', '-e', '/opt/mcp-deploy'])).status).not.toBe(0);
      expect(await host.sh('cd /etc/mcp-deploy/notes && sha256sum keys/* pki/*.crt')).toBe(kept);

      await host.must('apply');
      expect(await serves()).toBe(true);
      expect(await host.sh('cd /etc/mcp-deploy/notes && sha256sum keys/* pki/*.crt')).toBe(kept);

      await host.must('uninstall', '--yes', '--purge');
      await host.sh(`rm -f ${siteFolder}/mcp-deploy.yaml`);
      const copies = /^(?:\w{64} +)?etc\/(?:passwd|group|shadow|gshadow)-/;
      const without = (text: string): readonly string[] => text.split('\n').filter((line) => !copies.test(line));
      expect(without(await host.snapshot())).toEqual(without(untouched));
      expect(await host.sh('find /etc /opt /var/lib /var/log -name "*mcp*"')).toBe('');
      expect(await host.sh('grep -rl mcp-deploy /etc /opt /var/lib || true')).toBe('');
      // Newer are folders in which something lay, and what useradd and userdel write: each with what was in it before.
      const newer = (await host.sh(`find /etc /opt /var/lib /var/log -newer /run/mark -printf '%y %p\\n' | sort`))
        .trim()
        .split('\n');
      expect(newer.filter((line) => !known.test(line))).toEqual([]);
      // The copies are those of the accounts as they were before there was a user of ours.
      expect(await host.sh('for each in passwd group shadow gshadow; do cmp /etc/$each /etc/$each-; done')).toBe('');
    },
    withinMs,
  );
});
