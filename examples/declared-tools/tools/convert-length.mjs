const metres = { m: 1, km: 1000, ft: 0.3048, mi: 1609.344 };

/** The schema in mcp-deploy.yaml has judged the arguments: nothing else gets here. */
export function convertLength({ value, from, to }) {
  return { value: (value * metres[from]) / metres[to] };
}
