import type { Clock, Issuer } from '../apply/ports.ts';

/**
 * Certificates from src/pki, keys from the server's key store. Loaded when
 * first used: most commands issue nothing and should not pay for the loading.
 */
export function createIssuer(clock: Clock): Issuer {
  return {
    async privateCa({ commonName, names }) {
      const { issuePrivateCa } = await import('../pki/issue-private-ca.ts');
      // Its clients are MCP clients, and many of those stand on BoringSSL.
      return issuePrivateCa({ commonName, names, addressesConstrained: false, now: new Date(clock.now()) });
    },
    async certificate({ caCertificatePem, caKeyPem, names, validDays }) {
      const { issueCertificate } = await import('../pki/issue-certificate.ts');
      const ca = { certificatePem: caCertificatePem, keyPem: caKeyPem };
      return issueCertificate({ ca, names, validDays, now: new Date(clock.now()) });
    },
    async acmeAccountKey() {
      const { encodePrivateKey, generateKeys } = await import('../pki/key-pair.ts');
      return encodePrivateKey((await generateKeys('ec-p256')).privateKey);
    },
    async acme(spec, run) {
      const { issueWithAcme } = await import('./acme/issue-with-acme.ts');
      return issueWithAcme(spec, run);
    },
    async renewalWindow(certificatePem, authority, signal) {
      const [{ createAcmeTransport }, { readRenewalWindow }, { deadlineSignal }] = await Promise.all([
        import('./acme/acme-transport.ts'),
        import('./acme/renewal-info.ts'),
        import('../doctor/probes/deadline-signal.ts'),
      ]);
      const deadline = deadlineSignal(signal, 20_000);
      try {
        const transport = createAcmeTransport({ ...authority, userAgent: 'mcp-deploy', signal: deadline.signal });
        const window = await readRenewalWindow(certificatePem, authority.directoryUrl, (url) =>
          transport.request(url, 'get'),
        );
        return window === null ? null : { start: window.start.toISOString(), end: window.end.toISOString() };
      } finally {
        deadline.release();
      }
    },
    async apiKey({ storeText, label }) {
      const { createKeyIn } = await import('../server/policy/key-store.ts');
      const made = createKeyIn(storeText, { label, now: clock.now() });
      return { storeText: made.storeText, key: made.key };
    },
  };
}
