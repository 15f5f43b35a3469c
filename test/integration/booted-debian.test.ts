import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { bootDebian, bootDebianWithinMs, bootedDebianTools } from '../helpers/booted-debian.ts';
import { testWithTools } from '../helpers/tools.ts';

testWithTools(
  bootedDebianTools,
  'two Debians boot beside each other, each with its own files, services and network',
  async () => {
    const [one, other] = await Promise.all([bootDebian(), bootDebian()]);
    try {
      writeFileSync(`${one.root}/etc/mark`, 'one\n');
      expect(await one.run(['cat', '/etc/mark'])).toBe('one\n');
      expect((await other.exec(['cat', '/etc/mark'])).status).toBe(1);
      await one.run(['systemctl', 'stop', 'nginx']);
      expect((await one.exec(['curl', '-sS', 'http://127.0.0.1/'])).status).toBe(7);
      expect(await other.run(['curl', '-sS', 'http://127.0.0.1/'])).toContain('nginx');
      expect((await other.run(['node', '--version'])).trim()).toBe(process.version);
      expect(await one.run(['sh'], { input: 'echo "$X"', env: { X: 'a b' } })).toBe('a b\n');
      expect(readFileSync('/proc/mounts', 'utf8')).not.toContain('mcp-booted');
    } finally {
      await Promise.all([one.stop(), other.stop()]);
    }
  },
  bootDebianWithinMs,
);
