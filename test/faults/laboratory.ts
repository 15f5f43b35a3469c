import { afterEach } from 'vitest';
import { runDoctor, type DoctorOptions } from '../../src/doctor/run-doctor.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { issueCertificate, makeAuthority, type TestCertificate } from '../fixtures/mcp-servers/certificates.ts';
import { startFixtureServer, type FixtureOptions, type FixtureServer } from '../fixtures/mcp-servers/fixture-server.ts';

export const key = 'laboratory-key-0123456789abcdef';

/** Made once: RSA keys take a moment. */
export const ca: TestCertificate = makeAuthority('Laboratory CA');
export const goodCertificate: TestCertificate = issueCertificate(ca, ['localhost', '127.0.0.1']);

const closers: (() => Promise<void>)[] = [];

/** Runs after each test, in reverse order. */
export function afterwards(close: () => Promise<void>): void {
  closers.push(close);
}

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A healthy server but for the options: TLS from the laboratory's CA, one key, a limit that a burst reaches. */
export async function serve(options: Partial<FixtureOptions> = {}): Promise<FixtureServer> {
  const server = await startFixtureServer({
    certificate: goodCertificate,
    key,
    limit: { requests: 30, windowSeconds: 60 },
    ...options,
  });
  afterwards(() => server.close());
  return server;
}

/** Doctor as a stranger with the CA and the key, allowed to try the limits. */
export function diagnose(url: string, options: Partial<DoctorOptions> = {}): Promise<DoctorReport> {
  return runDoctor({
    url,
    caPem: ca.certificatePem,
    key,
    own: null,
    limits: true,
    signal: new AbortController().signal,
    onProgress: () => {},
    ...options,
  });
}

/** A report in a line, for the message of a failed assertion. */
export function inShort(report: DoctorReport): string {
  return JSON.stringify(
    { findings: report.findings, unknown: report.notChecked.filter(({ kind }) => kind === 'unknown') },
    null,
    1,
  );
}
