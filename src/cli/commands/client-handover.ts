import { X509Certificate } from 'node:crypto';
import { handoverPage } from '../../clients/handover-page.ts';
import { UserError } from '../../deployment/errors.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import { readClientEndpoint } from '../client-endpoint.ts';
import type { CommandContext } from '../context.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';

/** `mcp-deploy client handover`: a page for those who will use the endpoint; no secret is on it. */
export async function runClientHandover(context: CommandContext, options: FlagValues): Promise<number> {
  const { output } = context;
  const endpoint = await readClientEndpoint(context, options);
  const deployment = textFlag(options, 'url') === undefined ? await readAppliedDeployment(context) : null;
  const url = deployment?.server.publicUrl ?? endpoint.url;
  const caPem =
    endpoint.caFile === null ? null : certificateOf(await context.ports.files.read(endpoint.caFile), endpoint.caFile);
  const page = handoverPage({
    name: endpoint.name,
    url,
    asksForKey: endpoint.keyFile !== null,
    caPem,
    caFingerprint: caPem === null ? null : new X509Certificate(caPem).fingerprint256,
  });
  output.document({ ok: true, url, markdown: page });
  output.result(page);
  if (['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname)) {
    output.warning(`${url} is reached from this machine alone; others need server.publicUrl, or --url.`);
  }
  return 0;
}

/** Only certificates go onto the page, whatever else the file holds. */
function certificateOf(bytes: Buffer | null, path: string): string {
  const found = bytes?.toString('utf8').match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (found !== null && found !== undefined) return found.join('\n');
  throw new UserError(`${path} holds no certificate.`, { next: 'mcp-deploy cert show' });
}
