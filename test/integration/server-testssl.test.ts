import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { startRig } from '../helpers/server-rig.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** What nobody else's grader can know or a private CA does not have. */
const ofThePrivateCertificate = new Set([
  'cert_chain_of_trust',
  // Public authorities publish where to ask; a private one has no such place.
  'cert_revocation',
  // The certificate of the rig lives for ten days.
  'cert_expirationStatus',
  'cert_notAfter',
]);
const harmless = new Set(['OK', 'INFO', 'LOW', 'WARN', 'DEBUG']);

testWithTools(
  ['testssl'],
  'testssl.sh finds nothing worse than LOW in protocols, ciphers, key exchange, certificate, headers and known attacks',
  async () => {
    const rig = await startRig({ tls: true });
    const folder = mkdtempSync(join(tmpdir(), 'mcpd-testssl-'));
    try {
      const report = join(folder, 'report.json');
      const sections = ['-p', '-s', '-f', '-P', '-S', '-U', '-h'];
      const output = await runTestssl([
        ...sections,
        '--jsonfile',
        report,
        `https://localhost:${new URL(rig.url).port}/`,
      ]);
      const findings = JSON.parse(readFileSync(report, 'utf8')) as Finding[];
      // That it really looked: the answers to a few of its questions.
      const verdicts = Object.fromEntries(findings.map(({ id, finding }) => [id, finding]));
      expect(verdicts, output).toMatchObject({
        TLS1: 'not offered',
        TLS1_1: 'not offered',
        TLS1_2: expect.stringContaining('offered'),
        TLS1_3: expect.stringContaining('offered'),
        heartbleed: expect.stringContaining('not vulnerable'),
      });
      expect(findings.length).toBeGreaterThan(60);
      const bad = findings.filter(({ id, severity }) => !harmless.has(severity) && !ofThePrivateCertificate.has(id));
      expect(bad).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
      await rig.stop();
    }
  },
  400_000,
);

/** testssl ends with the number of findings, so its exit code says nothing. */
function runTestssl(args: readonly string[]): Promise<string> {
  const program = findProgram('testssl') ?? 'testssl';
  const flags = ['--quiet', '--color', '0', '--warnings', 'off', '--sneaky', '--ip', '127.0.0.1'];
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...flags, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('error', reject);
    child.once('close', () => resolve(output));
  });
}
