import { z } from 'zod';

/** `host:port`, `[v6]:port`, `:port` (all addresses) or `unix:/path`. `localhost:port` means both loopback addresses. */
export const listenAddress = z
  .string()
  .regex(
    /^(?:unix:\/.+|(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.*-]*):[0-9]{1,5})$/,
    'write host:port, [IPv6]:port or unix:/path, for example localhost:8443',
  );
