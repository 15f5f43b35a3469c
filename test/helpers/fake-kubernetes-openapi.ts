/**
 * What kubectl 1.20 reads before a dry run: which kinds have a parameter dryRun, in the protobuf form of OpenAPI 2
 * (github.com/google/gnostic, openapiv2/OpenAPIv2.proto). No schema of any kind is in it, so nothing is validated.
 */
export function openApiDocument(
  kinds: readonly { readonly group: string; readonly version: string; readonly kind: string; readonly path: string }[],
): Buffer {
  const paths = kinds.map(({ group, version, kind, path }) => {
    const gvk = `group: "${group}"\nkind: ${kind}\nversion: ${version}\n`;
    const extension = field(13, text(1, 'x-kubernetes-group-version-kind'), field(2, text(2, gvk)));
    const query = (name: string): Buffer => field(8, field(1, field(2, field(3, text(2, 'query'), text(4, name)))));
    const patch = field(8, query('dryRun'), query('fieldValidation'), extension);
    return field(2, text(1, path), field(2, patch));
  });
  return Buffer.concat([text(1, '2.0'), field(8, ...paths)]);
}

function text(number: number, value: string): Buffer {
  return field(number, Buffer.from(value));
}

/** A field of the wire type 2: its length, then its bytes. */
function field(number: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}
