/**
 * node-forge's ASN.1 module alone. The package's own types describe its root, which is seven times as large and would
 * bring AES, DES, RSA and TLS written in JavaScript into every start of the tool.
 */
declare module 'node-forge/lib/asn1.js' {
  interface Asn1Node {
    tagClass: number;
    type: number;
    constructed: boolean;
    /** Bytes as a binary (latin1) string, or the children of a constructed node. */
    value: string | Asn1Node[];
  }
  interface Asn1Api {
    create(tagClass: number, type: number, constructed: boolean, value: string | Asn1Node[]): Asn1Node;
    fromDer(
      bytes: string,
      options: { strict: boolean; parseAllBytes: boolean; decodeBitStrings: boolean; maxDepth?: number },
    ): Asn1Node;
    toDer(node: Asn1Node): { getBytes(): string };
    oidToDer(oid: string): { getBytes(): string };
    derToOid(bytes: string): string;
    dateToUtcTime(date: Date): string;
    dateToGeneralizedTime(date: Date): string;
  }
  const asn1: Asn1Api;
  export type { Asn1Node };
  export default asn1;
}
