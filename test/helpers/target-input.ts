import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import type { TargetInput } from '../../src/targets/types.ts';

const templateFolder = fileURLToPath(new URL('../../templates', import.meta.url));

/** What render is given for a deployment, with the paths of a made-up host. */
export function targetInput(deployment: DeploymentInput, rest: Partial<TargetInput> = {}): TargetInput {
  return {
    deployment: deploymentSchema.parse(deployment),
    templates: (path) => readFileSync(join(templateFolder, path), 'utf8'),
    paths: {
      nodePath: '/usr/bin/node',
      serverFile: '/opt/mcp-deploy/serve.js',
      configFile: '/srv/mcp/.mcp-deploy/server.json',
      baseDir: '/srv/mcp',
      stateDir: '/srv/mcp/.mcp-deploy',
      caFile: '/srv/mcp/.mcp-deploy/pki/ca.crt',
      certificateFile: '/srv/mcp/.mcp-deploy/pki/server.crt',
      keyFile: '/srv/mcp/.mcp-deploy/pki/server.key',
      keyStoreFile: '/srv/mcp/.mcp-deploy/keys/keys.json',
      logFile: '/srv/mcp/.mcp-deploy/logs/server.log',
      homeDir: '/Users/ada',
    },
    readServerBundle: () => 'console.log("the bundled server");\n',
    ...rest,
  };
}
