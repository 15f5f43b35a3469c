import { isObject, readObject } from './rpc-text.ts';
import { metaKeys } from './revisions.ts';

/**
 * Adds to a result what the modern revision asks of every result: resultType, for lists and reads ttlMs and
 * cacheScope, and who serves. The text of the backend is passed on unparsed unless it already seems to have one
 * of these. Nothing is shared between callers: cacheScope is private and ttlMs 0 unless the backend says otherwise, and
 * private whatever it says when callers see different things.
 * Null when a text that had to be looked at is not a JSON object.
 */
export function renderModernResult(
  resultJson: string,
  cacheable: boolean,
  serverInfoJson: string,
  callersDiffer = false,
): string | null {
  const mentions =
    resultJson.includes('"resultType"') ||
    resultJson.includes('"_meta"') ||
    (cacheable && (resultJson.includes('"ttlMs"') || resultJson.includes('"cacheScope"')));
  if (mentions || resultJson.charCodeAt(0) !== 0x7b) {
    return renderParsed(resultJson, cacheable, serverInfoJson, callersDiffer);
  }
  const head = cacheable
    ? `{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"${metaKeys.serverInfo}":${serverInfoJson}}`
    : `{"resultType":"complete","_meta":{"${metaKeys.serverInfo}":${serverInfoJson}}`;
  const rest = resultJson.slice(1);
  return /^\s*\}/.test(rest) ? head + rest : `${head},${rest}`;
}

function renderParsed(
  resultJson: string,
  cacheable: boolean,
  serverInfoJson: string,
  callersDiffer: boolean,
): string | null {
  const result = readObject(resultJson);
  if (result === null) return null;
  const meta = isObject(result['_meta']) ? result['_meta'] : {};
  return JSON.stringify({
    resultType: 'complete',
    ...(cacheable ? { ttlMs: 0, cacheScope: 'private' } : {}),
    ...result,
    ...(callersDiffer && cacheable ? { cacheScope: 'private' } : {}),
    _meta: { [metaKeys.serverInfo]: JSON.parse(serverInfoJson) as unknown, ...meta },
  });
}
