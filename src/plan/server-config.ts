import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { deploymentSchema, type Deployment, type Upstream } from '../deployment/schema.ts';
import type { DeclaredTool } from '../deployment/tool-schema.ts';
import { distinct } from './certificate-names.ts';
import { deploymentPaths } from './deployment-paths.ts';

/** What `serve --config FILE` reads. */
interface ServerConfig {
  readonly deployment: Deployment;
  /** Folder of mcp-deploy.yaml, absolute. */
  readonly baseDir: string;
  readonly keyStoreFile: string;
  readonly backupRecordFile: string;
}

/**
 * The text of server.json: the deployment with every path absolute, the
 * certificate as files and the host names it is known by. `${NAME}` stays.
 */
export function serverConfigText(
  deployment: Deployment,
  place: { readonly baseDir: string; readonly stateDir: string; readonly hostNames: readonly string[] },
): string {
  const { baseDir, stateDir, hostNames } = place;
  const config: ServerConfig = {
    deployment: {
      ...deployment,
      server: {
        ...deployment.server,
        upstreams: Object.fromEntries(
          Object.entries(deployment.server.upstreams).map(([name, upstream]) => [
            name,
            withAbsolutePaths(upstream, baseDir),
          ]),
        ),
        tools: Object.fromEntries(
          Object.entries(deployment.server.tools).map(([name, tool]) => [name, withAbsoluteTool(tool, baseDir)]),
        ),
        allowedHosts: [...new Set([...deployment.server.allowedHosts, ...distinct(hostNames)])],
      },
      tls: tlsFiles(deployment, baseDir, stateDir),
      logs: withAbsoluteLogs(deployment.logs, baseDir, stateDir),
      // Of no concern to the server: a change there must not restart it.
      proxy: unset.proxy,
      service: unset.service,
      container: unset.container,
      backup: unset.backup,
      hosts: unset.hosts,
    },
    baseDir,
    keyStoreFile: deploymentPaths(stateDir).keyStore,
    backupRecordFile: deploymentPaths(stateDir).backupRecord,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** The hash by which a running server's configuration is known: SHA-256 of the file's bytes, lower-case hex. */
export function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function withAbsolutePaths(upstream: Upstream, baseDir: string): Upstream {
  if (!('url' in upstream)) return { ...upstream, cwd: resolve(baseDir, upstream.cwd ?? '.') };
  return upstream.caFile === undefined ? upstream : { ...upstream, caFile: resolve(baseDir, upstream.caFile) };
}

function withAbsoluteTool(tool: DeclaredTool, baseDir: string): DeclaredTool {
  if ('module' in tool) return { ...tool, module: { ...tool.module, path: resolve(baseDir, tool.module.path) } };
  if (!('command' in tool)) return tool;
  return { ...tool, command: { ...tool.command, cwd: resolve(baseDir, tool.command.cwd ?? '.') } };
}

const unset = deploymentSchema.parse({ version: 1 });

function withAbsoluteLogs(logs: Deployment['logs'], baseDir: string, stateDir: string): Deployment['logs'] {
  const { audit, auditKeyFile, file, traces } = logs;
  return {
    ...logs,
    audit: audit === 'off' ? 'off' : resolve(baseDir, audit),
    file: file === undefined ? deploymentPaths(stateDir).logFile : resolve(baseDir, file),
    ...(traces === 'off' || traces.caFile === undefined
      ? {}
      : { traces: { ...traces, caFile: resolve(baseDir, traces.caFile) } }),
    ...(auditKeyFile === undefined ? {} : { auditKeyFile: resolve(baseDir, auditKeyFile) }),
  };
}

function tlsFiles({ tls }: Deployment, baseDir: string, stateDir: string): Deployment['tls'] {
  switch (tls.source) {
    case 'off':
      return tls;
    case 'files':
      return { source: 'files', certificate: resolve(baseDir, tls.certificate), key: resolve(baseDir, tls.key) };
    case 'acme':
    case 'private-ca': {
      const paths = deploymentPaths(stateDir);
      return { source: 'files', certificate: paths.serverCertificate, key: paths.serverKey };
    }
  }
}
