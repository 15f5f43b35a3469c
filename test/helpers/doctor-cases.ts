import type { Case, Tripping } from './doctor-cases/parts.ts';
import { wayNearMiss, wayTripping } from './doctor-cases/way.ts';
import { httpNearMiss, httpTripping } from './doctor-cases/http.ts';
import { keyNearMiss, keyTripping } from './doctor-cases/key.ts';
import { protocolNearMiss, protocolTripping } from './doctor-cases/protocol.ts';
import { streamNearMiss, streamTripping } from './doctor-cases/stream.ts';
import { limitsNearMiss, limitsTripping } from './doctor-cases/limits.ts';
import { hostNearMiss, hostTripping } from './doctor-cases/host.ts';
import { machineNearMiss, machineTripping } from './doctor-cases/machine.ts';
import { securityNearMiss, securityTripping } from './doctor-cases/security.ts';
import { corsNearMiss, corsTripping } from './doctor-cases/cors.ts';
import { requestsNearMiss, requestsTripping } from './doctor-cases/requests.ts';
import { proxyNearMiss, proxyTripping } from './doctor-cases/proxy.ts';

/** Each of these is named first, before anything that follows from it. */
export const tripping: readonly Tripping[] = [
  ...wayTripping,
  ...httpTripping,
  ...keyTripping,
  ...protocolTripping,
  ...streamTripping,
  ...limitsTripping,
  ...hostTripping,
  ...proxyTripping,
  ...corsTripping,
  ...requestsTripping,
  ...securityTripping,
  ...machineTripping,
];

/** Close to a fault and none: nothing at all is found. */
export const nearMiss: readonly Case[] = [
  ...wayNearMiss,
  ...httpNearMiss,
  ...keyNearMiss,
  ...protocolNearMiss,
  ...streamNearMiss,
  ...limitsNearMiss,
  ...hostNearMiss,
  ...proxyNearMiss,
  ...corsNearMiss,
  ...requestsNearMiss,
  ...securityNearMiss,
  ...machineNearMiss,
];
