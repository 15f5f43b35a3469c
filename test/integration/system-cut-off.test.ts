import { afterAll, beforeAll, expect } from 'vitest';
import { bootDebianWithinMs, bootedDebianTools } from '../helpers/booted-debian.ts';
import { bootSystemHost, siteFolder, type SystemHost } from '../helpers/system-host.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** One host with a service behind nginx, whose upgrade is cut off again and again: each test finds the first release live. */
let host: SystemHost;

const canBoot = bootedDebianTools.every((tool) => findProgram(tool) !== null);
const withinMs = 300_000;
/** Hours. */
const everywhere = process.env['MCP_DEPLOY_KILLS'] === 'all';

const live = `version: 1
name: notes
service: { manager: systemd, trial: false }
proxy: { program: nginx, serverName: localhost }
limits: { perKey: off, freePerKey: off }
`;
/** Another configuration, another unit, another site: whoever calls finds the same endpoint. */
const other = `${live.replace('serverName', 'maxBodyMegabytes: 9, serverName')}server: { drainSeconds: 5 }\n`;

async function want(text: string): Promise<void> {
  await host.write(`${siteFolder}/mcp-deploy.yaml`, text);
}

/** Through nginx, as far as somebody without a key comes. */
async function serves(): Promise<boolean> {
  const { stdout } = await host.debian.exec([
    'curl',
    '-sk',
    '-m',
    '10',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    '-X',
    'POST',
    'https://localhost/mcp',
  ]);
  return stdout === '401';
}

beforeAll(async () => {
  if (!canBoot) return;
  host = await bootSystemHost();
  await want(live);
  await host.must('apply');
}, bootDebianWithinMs);

afterAll(async () => {
  await host?.debian.stop();
});

testWithTools(
  bootedDebianTools,
  'an upgrade that ends at any effect, and an undo that does: somebody serves, and the next apply puts files, modes, owners and units back',
  async () => {
    const { problems, ...counts } = await host.frozen(other, everywhere ? 'all' : 'some');
    expect(problems).toEqual([]);
    expect(counts.cases).toBeGreaterThan(15);
    expect(counts.undoCases).toBeGreaterThan(2);
  },
  everywhere ? 10 * 3_600_000 : 900_000,
);

testWithTools(
  bootedDebianTools,
  'an upgrade whose process is killed: status says it, and whatever command changes this deployment next puts all of it back first',
  async () => {
    await want(other);
    const { plan } = JSON.parse(await host.must('plan', '--json')) as { plan: { steps: { id: string }[] } };
    const killedAt = (id: string, moment: 'begun' | 'acted') =>
      host.killedAt(
        plan.steps.findIndex((step) => step.id === id),
        moment,
        'apply',
      );
    const cases = [
      { id: 'nginx-mcp-notes-conf', moment: 'acted', next: ['doctor', '--fix', '--yes', '--only', 'host'] },
      { id: 'switch-release', moment: 'acted', next: ['start'] },
      { id: 'service', moment: 'begun', next: ['restart'] },
      { id: 'service', moment: 'acted', next: ['apply'] },
    ] as const;
    await want(live);
    const was = await host.snapshot();
    for (const { id, moment, next } of cases) {
      await want(other);
      await killedAt(id, moment);
      expect(await serves(), id).toBe(true);
      if (id === 'switch-release') expect(await host.must('status')).toContain('was cut off');
      await want(live);
      const ran = await host.cli(...next);
      expect(`${next.join(' ')}: ${ran.status} ${ran.stderr}`).toMatch(/: 0 [^]*(?:was undone|is undone)/);
      expect(await serves(), id).toBe(true);
      expect(await host.snapshot(), `killed when ${id} had ${moment}`).toBe(was);
    }
    // A rollback first undoes what was cut off, and then goes back from what was live.
    await want(other);
    await host.must('apply');
    await want(live);
    await killedAt('release-config', 'acted');
    expect((await host.cli('rollback')).stderr).toContain('it was undone');
    expect(await serves()).toBe(true);
    expect((await host.cli('plan', '--check')).status).toBe(0);
  },
  withinMs,
);

testWithTools(
  bootedDebianTools,
  'a reboot right after the switch: what is started then is one whole release, and the next command undoes',
  async () => {
    await want(other);
    const { plan } = JSON.parse(await host.must('plan', '--json')) as { plan: { steps: { id: string }[] } };
    const step = plan.steps.findIndex(({ id }) => id === 'switch-release');
    await host.killedAt(step, 'acted', 'apply');
    const running = await host.sh('ps -o lstart= -p 1; ls -i /run/systemd/private');
    await host.debian.reboot();
    expect(await host.sh('ps -o lstart= -p 1; ls -i /run/systemd/private')).not.toBe(running);
    // Nothing undoes by itself, and everything that was enabled runs.
    expect(await host.must('status')).toContain('was cut off');
    await waitUntil(serves, 30_000, 'the server after the boot');
    await want(live);
    await host.must('apply');
    expect(await serves()).toBe(true);
    expect((await host.cli('plan', '--check')).status).toBe(0);
  },
  withinMs,
);

testWithTools(
  bootedDebianTools,
  'Ctrl-C: everything is undone before it ends',
  async () => {
    const was = await host.snapshot();
    await want(
      `${live.replace('trial: false', 'trial: true')}server: { upstreams: { tool: { command: /usr/bin/sleep, args: ["600"], startSeconds: 120 } } }\n`,
    );
    const running = host.cli('apply');
    await waitUntil(
      async () => (await host.debian.exec(['systemctl', 'is-active', '--quiet', 'mcp-notes-trial'])).status === 0,
      60_000,
      'the trial',
    );
    await host.sh('pkill -INT -f "[m]cp-deploy.js apply"');
    const ran = await running;
    expect(ran.status, ran.stderr).toBe(130);
    await want(live);
    expect(await host.snapshot()).toBe(was);
    expect(await serves()).toBe(true);
  },
  withinMs,
);
