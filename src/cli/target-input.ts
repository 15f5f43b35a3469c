import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import type { TargetInput } from '../targets/types.ts';
import type { CommandContext } from './context.ts';
import { readOwnFiles } from './own-files.ts';

/** What every target is given of a deployment. */
export function inputFor(context: CommandContext, deployment: Deployment): TargetInput {
  const paths = deploymentPaths(context.stateDir);
  return {
    deployment,
    readOwnFiles: () => readOwnFiles(deployment, context.baseDir),
    templates: (path) => readFileSync(join(context.package.templatesDir, path), 'utf8'),
    readServerBundle: () => readFileSync(context.package.serverFile, 'utf8'),
    paths: {
      nodePath: process.execPath,
      serverFile: context.package.serverFile,
      baseDir: context.baseDir,
      stateDir: context.stateDir,
      configFile: paths.serverConfig,
      caFile: paths.caCertificate,
      certificateFile: paths.serverCertificate,
      keyFile: paths.serverKey,
      keyStoreFile: paths.keyStore,
      logFile: paths.logFile,
      cliCommand: [process.execPath, join(context.package.root, 'bin', 'mcp-deploy.js')],
      deploymentFile: context.deploymentFile,
      homeDir: homedir(),
      ...(process.getuid === undefined ? {} : { uid: process.getuid() }),
    },
  };
}
