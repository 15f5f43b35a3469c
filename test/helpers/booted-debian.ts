import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  type Dirent,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './tools.ts';
import { waitUntil } from './wait-until.ts';

/** What `bootDebian` needs: give it to testWithTools. Mounts and namespaces are for root. */
export const bootedDebianTools: readonly string[] = [
  'debootstrap',
  'systemd-nspawn',
  'unshare',
  'flock',
  'nsenter',
  ...(process.getuid?.() === 0 ? [] : ['the rights of root']),
];

/** The first boot on a machine makes the root file system (two minutes); later ones take seconds. */
export const bootDebianWithinMs = 600_000;

/** A Debian with a real systemd as its first process. */
export interface BootedDebian {
  /**
   * Its root folder as this process sees it, to read and write files there with node:fs, e.g. `${root}/etc/mcp`.
   * Symbolic links with absolute targets lead to this machine, not to that one.
   */
  readonly root: string;
  /** The pid of its systemd, as this machine counts. */
  readonly leader: number;
  /** Runs a program in it as root to its end. Nothing is inherited but PATH and HOME=/root. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<Executed>;
  /** The standard output of a program that must end with 0; else throws with all it said. */
  run(argv: readonly string[], options?: ExecOptions): Promise<string>;
  /** Starts a program in it, for what runs beside the test; ends with the machine. */
  start(argv: readonly string[]): ChildProcess;
  /** Boots it anew at once, as after a power cut: no process of it is told. Its disk stays; `root` and `leader` are new. */
  reboot(): Promise<void>;
  /** As if its power were cut; nothing is left of it. */
  stop(): Promise<void>;
}

export interface ExecOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Executed {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Boots a Debian 12 with systemd, nginx (running, its default site on port 80), curl, cron, logrotate, nftables and the
 * Node of this machine at /usr/bin/node, and waits until systemd calls it running. It has a network of its own with
 * loopback only, so every port is free and nothing of it can be reached from here: ask with `exec(['curl', …])`.
 *
 *     testWithTools(bootedDebianTools, 'the unit starts', async () => {
 *       const debian = await bootDebian();
 *       try {
 *         writeFileSync(`${debian.root}/etc/systemd/system/x.service`, unit);
 *         await debian.run(['systemctl', 'daemon-reload']);
 *         await debian.run(['systemctl', 'start', 'x.service']);
 *       } finally {
 *         await debian.stop();
 *       }
 *     }, bootDebianWithinMs);
 *
 * Each one starts from the same untouched root, which is made once per machine and kept in the temporary folder; what is
 * written lies in memory. Several may run at once. Where the kernel keeps cgroups of version 1, limits of memory are seen
 * in `systemctl show` and not enforced.
 *
 * @param binds paths of this machine that are there too, read-only: `/host/path` or `/host/path:/path/there`
 */
export async function bootDebian({ binds = [] }: { readonly binds?: readonly string[] } = {}): Promise<BootedDebian> {
  const lower = await makeRoot();
  const name = `mcp-${randomBytes(4).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'mcp-booted-'));
  const controlGroups = makeControlGroups(name);
  const child = spawn(
    program('unshare'),
    ['--mount', '--propagation', 'private', '/bin/sh', '-c', bootScript, 'sh', lower, folder, name].concat(
      controlGroups.join(' '),
      // Their node needs nothing that the root does not have.
      `--bind-ro=${process.execPath}:/usr/bin/node`,
      binds.map((bind) => `--bind-ro=${bind}`),
    ),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let console = '';
  child.stdout.on('data', (chunk: Buffer) => (console += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (console += chunk.toString()));
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let leader: number | null = null;

  function endAll(): void {
    const nspawn = child.pid === undefined ? [] : childrenOf(child.pid);
    child.kill('SIGKILL');
    nspawn.forEach(killIfThere);
  }

  async function stop(): Promise<void> {
    // The end of the first process of a pid namespace ends all of it.
    if (leader !== null) killIfThere(leader);
    else endAll();
    const timer = setTimeout(endAll, 20_000);
    await gone;
    clearTimeout(timer);
    await waitUntil(() => controlGroups.every(removeControlGroup), 20_000, 'the end of the booted Debian');
    rmSync(folder, { recursive: true, force: true });
  }

  function enter(argv: readonly string[], env: Readonly<Record<string, string>>): readonly string[] {
    const all = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', ...env };
    const assignments = Object.entries(all).map(([key, value]) => `${key}=${value}`);
    const target = ['-t', String(leader), '-m', '-u', '-i', '-n', '-p', '-r', '-w'];
    return [...target, '/usr/bin/env', '-i', ...assignments, ...argv];
  }

  function exec(argv: readonly string[], { input = '', env = {} }: ExecOptions = {}): Promise<Executed> {
    return new Promise((resolve, reject) => {
      const ran = spawn(program('nsenter'), enter(argv, env), { stdio: 'pipe' });
      let [stdout, stderr] = ['', ''];
      ran.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
      ran.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
      ran.once('error', reject);
      ran.once('close', (status) => resolve({ status, stdout, stderr }));
      // It may end without reading.
      ran.stdin.on('error', () => {});
      ran.stdin.end(input);
    });
  }

  async function waitForBoot(before: number | null): Promise<void> {
    await waitUntil(
      () => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`systemd-nspawn ended with ${child.exitCode ?? child.signalCode}:\n${console}`);
        const found = child.pid === undefined ? null : firstProcessOf(child.pid);
        leader = found === before ? null : found;
        return leader !== null && existsSync(`/proc/${leader}/root/run/systemd/private`);
      },
      60_000,
      'systemd in the container',
    );
    const state = await exec(['systemctl', 'is-system-running', '--wait']);
    if (state.stdout.trim() !== 'running') {
      const { stdout } = await exec(['systemctl', '--failed', '--no-legend']);
      throw new Error(`The booted Debian is ${state.stdout.trim()} ${state.stderr}:\n${stdout}`);
    }
  }

  function present(): number {
    if (leader === null) throw new Error('the booted Debian has no first process');
    return leader;
  }

  try {
    await waitForBoot(null);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    get root() {
      return `/proc/${present()}/root`;
    },
    get leader() {
      return present();
    },
    async reboot() {
      const before = present();
      // The call ends with the machine.
      await exec(['systemctl', 'reboot', '--force', '--force']);
      await waitForBoot(before);
    },
    exec,
    async run(argv, options) {
      const { status, stdout, stderr } = await exec(argv, options);
      if (status !== 0) throw new Error(`${argv.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return stdout;
    },
    start: (argv) => spawn(program('nsenter'), enter(argv, {}), { stdio: ['ignore', 'pipe', 'pipe'] }),
    stop,
  };
}

/**
 * In a mount namespace of its own, so that no mount outlives it. Each has its own control groups: two systemds in the same
 * ones would end each other's services.
 */
const bootScript = `set -e
lower=$1 folder=$2 name=$3 groups=$4
shift 4
for group in $groups; do echo $$ > "$group/cgroup.procs"; done
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
# It ends with 133 when the machine wants to be booted anew.
code=133
while [ "$code" = 133 ]; do
  code=0
  systemd-nspawn --quiet --register=no --keep-unit --directory="$folder/root" --private-network --machine="$name" \\
    --console=pipe "$@" --boot || code=$?
done
exit "$code"
`;

const packages = [
  'ca-certificates',
  'caddy',
  'cron',
  'curl',
  'dbus',
  'dbus-user-session',
  'haproxy',
  'iproute2',
  'libpam-systemd',
  // What the binary of Node is linked with.
  'libstdc++6',
  'logrotate',
  'nftables',
  'nginx-light',
  'openssh-server',
  'openssl',
  'procps',
  'sudo',
  'systemd',
  'systemd-sysv',
] as const;

/** Units that would be in each other's way on port 80, or in everybody's. */
const startedByTests = ['caddy.service', 'haproxy.service', 'ssh.service', 'ssh.socket', 'sshd.service'] as const;

/** The root that all of them start from; whoever comes first makes it, the others wait. */
async function makeRoot(): Promise<string> {
  const mark = createHash('sha256')
    .update([...packages, ...startedByTests].join(' '))
    .digest('hex')
    .slice(0, 8);
  const root = join(tmpdir(), `mcp-deploy-debian-bookworm-systemd-${mark}`);
  if (existsSync(root)) return root;
  const script = `set -e
[ -d "$1" ] && exit 0
rm -rf "$1.partial"
debootstrap --variant=minbase --include="$2" bookworm "$1.partial"
rm -rf "$1.partial"/var/cache/apt/archives "$1.partial"/var/lib/apt/lists
for unit in $3; do rm -f "$1.partial"/etc/systemd/system/*.wants/"$unit" "$1.partial"/etc/systemd/system/"$unit"; done
mv "$1.partial" "$1"
`;
  const child = spawn(
    program('flock'),
    [`${root}.lock`, '/bin/sh', '-c', script, 'sh', root, packages.join(','), startedByTests.join(' ')],
    // Nobody needs a half made root after a crash.
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, DPKG_FORCE: 'unsafe-io', PATH: pathWithSbin() } },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`debootstrap ended with ${String(code)}:\n${output.slice(-3_000)}`);
  return root;
}

/** One folder for each hierarchy that systemd uses; with the controllers of version 2 where the kernel gives them. */
function makeControlGroups(name: string): readonly string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type, options = '']) => type === 'cgroup2' || (type === 'cgroup' && options.includes('name=systemd')))
    .map(([, mount = '', type]) => {
      if (type === 'cgroup2') {
        for (const controller of ['cpu', 'memory', 'pids']) {
          try {
            writeFileSync(join(mount, 'cgroup.subtree_control'), `+${controller}`);
          } catch {
            // version 1 has it, or nobody
          }
        }
      }
      const group = join(mount, name);
      mkdirSync(group);
      return group;
    });
}

/** Whether it is gone now; processes that are ending keep it for a moment. */
function removeControlGroup(group: string): boolean {
  let entries: Dirent[];
  try {
    entries = readdirSync(group, { withFileTypes: true });
  } catch {
    return true;
  }
  for (const entry of entries) if (entry.isDirectory()) removeControlGroup(join(group, entry.name));
  try {
    rmdirSync(group);
    return true;
  } catch {
    return false;
  }
}

/** Of the machine that a shell below `pid` boots: the shell starts systemd-nspawn, and that starts it. */
function firstProcessOf(pid: number): number | null {
  const nspawn = childrenOf(pid)[0];
  return nspawn === undefined ? null : firstProcessBelow(nspawn);
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function firstProcessBelow(pid: number): number | null {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    if (first === undefined || first === '') return null;
    // Before it is systemd it is a stub of systemd-nspawn in the namespaces of this machine.
    const isSystemd = readFileSync(`/proc/${first}/cmdline`, 'utf8').includes('/systemd\0') || isInit(first);
    return isSystemd ? Number(first) : null;
  } catch {
    return null;
  }
}

function isInit(pid: string): boolean {
  return /^NSpid:\s+\d+\s+1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function program(name: string): string {
  const path = findProgram(name);
  if (path === null) throw new Error(`${name} is not installed`);
  return path;
}

function pathWithSbin(): string {
  return `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
}
