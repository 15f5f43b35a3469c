// What the bench and the soak both need from this machine.
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';

/** A self-signed certificate for localhost, EC P-256, into the two files. */
export function makeCertificate(certificateFile, keyFile) {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  execFileSync(
    'openssl',
    ['req', '-x509', ...key, '-days', '2', ...subject, '-keyout', keyFile, '-out', certificateFile],
    {
      stdio: 'ignore',
    },
  );
}

export async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
