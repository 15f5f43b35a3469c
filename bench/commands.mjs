// How long the commands take that people wait for, and how our keys and certificates compare with what guides tell them to type.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../bin/mcp-deploy.js', import.meta.url));

/** Medians of interleaved runs. */
export async function measureCommands() {
  const [node, version] = interleaved(15, [
    () => spawnSync(process.execPath, ['-e', '0']),
    () => spawnSync(process.execPath, [bin, '--version']),
  ]);
  const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-bench-up-'));
  const run = (...args) => execFileSync(process.execPath, [bin, ...args], { cwd: folder, stdio: 'ignore' });
  try {
    const [up] = interleaved(5, [() => run('up')], () => run('uninstall', '--yes'));
    run('up');
    const [again, plan, doctor] = interleaved(5, [() => run('up'), () => run('plan'), () => run('doctor')]);
    run('uninstall', '--yes');
    const [rsa] = interleaved(5, [
      () =>
        execFileSync(
          'openssl',
          [
            'req',
            '-x509',
            '-newkey',
            'rsa:4096',
            '-nodes',
            '-days',
            '365',
            '-subj',
            '/CN=localhost',
            '-keyout',
            join(folder, 'k'),
            '-out',
            join(folder, 'c'),
          ],
          { stdio: 'ignore' },
        ),
    ]);
    return [
      { name: 'node -e 0', medianMs: node, compared: '' },
      {
        name: 'mcp-deploy --version',
        medianMs: version,
        compared: `${(version / node).toFixed(2)} x node -e 0 (goal 1.6)`,
      },
      { name: 'mcp-deploy up, from nothing to verified', medianMs: up, compared: 'goal 3,000 ms' },
      { name: 'mcp-deploy up, nothing to do', medianMs: again, compared: '' },
      { name: 'mcp-deploy plan, nothing to do', medianMs: plan, compared: 'goal 600 ms' },
      { name: 'mcp-deploy doctor, healthy', medianMs: doctor, compared: 'goal 5,000 ms' },
      { name: 'openssl req -x509 -newkey rsa:4096', medianMs: rsa, compared: '' },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function interleaved(rounds, works, afterEach = () => {}) {
  const times = works.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, work] of works.entries()) {
      const startedAt = performance.now();
      work();
      times[index].push(performance.now() - startedAt);
      afterEach();
    }
  }
  return times.map((each) => each.toSorted((a, b) => a - b)[Math.floor(each.length / 2)]);
}
