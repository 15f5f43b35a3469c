/** The former name, while it is still in use. */
export { deploymentPaths as projectPaths } from './deployment-paths.ts';
