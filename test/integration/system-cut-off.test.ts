import { afterAll, beforeAll, expect } from 'vitest';
import { bootDebianWithinMs, bootedDebianTools } from '../helpers/booted-debian.ts';
import { bootSystemHost, siteFolder, type SystemHost } from '../helpers/system-host.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

/** One host with a service behind nginx, whose upgrade is cut off again and again. */
let host: SystemHost;

const canBoot = bootedDebianTools.every((tool) => findProgram(tool) !== null);

const live = `version: 1
name: notes
service: { manager: systemd, trial: false }
proxy: { program: nginx, serverName: localhost }
limits: { perKey: off, freePerKey: off }
`;
/** Another configuration, another unit, another site: whoever calls finds the same endpoint. */
const other = `${live.replace('serverName', 'maxBodyMegabytes: 9, serverName')}server: { drainSeconds: 5 }\n`;

beforeAll(async () => {
  if (!canBoot) return;
  host = await bootSystemHost();
  await host.write(`${siteFolder}/mcp-deploy.yaml`, live);
  await host.must('apply');
}, bootDebianWithinMs);

afterAll(async () => {
  await host?.debian.stop();
});

testWithTools(
  bootedDebianTools,
  'at any effect of an upgrade, and of its undo: somebody serves, and the next command puts files, modes, owners and units back',
  async () => {
    const choice = process.env['MCP_DEPLOY_KILLS'] === 'all' ? 'all' : 'once';
    const { problems, ...counts } = await host.frozen(other, choice);
    console.log(counts);
    expect(problems).toEqual([]);
    expect(counts.effects).toBeGreaterThan(30);
  },
  3_600_000,
);
