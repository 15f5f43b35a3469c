/** Seconds from a Retry-After header (RFC 9110, 10.2.3): a number, or a date seen from `at` (ISO 8601); null when it is neither. */
export function retryAfterSeconds(value: string, at: string): number | null {
  if (/^\d+$/.test(value.trim())) return Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : (date - Date.parse(at)) / 1_000;
}
