import { clientSettingChecks } from './client-settings.ts';
import { corsChecks } from './cors.ts';
import type { EndpointCheck } from './endpoint-check.ts';
import { guardChecks } from './guards.ts';
import { headerChecks } from './headers.ts';
import { healthChecks } from './health.ts';
import { hostChecks, keyStoreChecks, processChecks } from './host.ts';
import { httpEndpointChecks } from './http-endpoint.ts';
import { httpChecks } from './http.ts';
import { keyChecks, keyShapeChecks } from './key.ts';
import { limitsChecks } from './limits.ts';
import { nameChecks } from './name.ts';
import { protocolChecks, toolsChecks } from './protocol.ts';
import { proxyChecks } from './proxy.ts';
import { scheduledChecks } from './scheduled.ts';
import { secretChecks } from './secrets.ts';
import { sessionChecks } from './session.ts';
import { sizesChecks } from './sizes.ts';
import { streamChecks } from './stream.ts';
import { tcpChecks } from './tcp.ts';
import { certificateChecks } from './tls-certificate.ts';
import { tlsKeyChecks } from './tls-key.ts';
import { tlsChecks } from './tls.ts';
import { upstreamChecks } from './upstreams.ts';
import { portChecks, upkeepChecks } from './upkeep.ts';

/**
 * Every check, in the order in which a request meets what they judge: the
 * first error in this order is the root cause. What endangers a deployment
 * without breaking a call comes last.
 */
export const catalogue: readonly EndpointCheck[] = [
  ...keyShapeChecks,
  ...tlsKeyChecks,
  ...keyStoreChecks,
  ...processChecks,
  ...portChecks,
  ...nameChecks,
  ...tcpChecks,
  ...tlsChecks,
  ...certificateChecks,
  ...httpChecks,
  ...healthChecks,
  ...upstreamChecks,
  ...httpEndpointChecks,
  ...keyChecks,
  ...headerChecks,
  ...sessionChecks,
  ...protocolChecks,
  ...toolsChecks,
  ...streamChecks,
  ...sizesChecks,
  ...corsChecks,
  ...guardChecks,
  ...proxyChecks,
  ...limitsChecks,
  ...hostChecks,
  ...secretChecks,
  ...upkeepChecks,
  ...scheduledChecks,
  ...clientSettingChecks,
];
