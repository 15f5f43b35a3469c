import { join } from 'node:path';

/** Where everything of a deployment in project scope is, below `.mcp-deploy` (docs/design.md). */
export function projectPaths(stateDir: string) {
  return {
    serverConfig: join(stateDir, 'server.json'),
    keysDir: join(stateDir, 'keys'),
    keyStore: join(stateDir, 'keys', 'keys.json'),
    firstKey: join(stateDir, 'keys', 'default.key'),
    pkiDir: join(stateDir, 'pki'),
    caCertificate: join(stateDir, 'pki', 'ca.crt'),
    caKey: join(stateDir, 'pki', 'ca.key'),
    serverCertificate: join(stateDir, 'pki', 'server.crt'),
    serverKey: join(stateDir, 'pki', 'server.key'),
    logsDir: join(stateDir, 'logs'),
    logFile: join(stateDir, 'logs', 'server.log'),
    runDir: join(stateDir, 'run'),
    pidFile: join(stateDir, 'run', 'server.json'),
  } as const;
}
