import { stringify } from 'yaml';
import { escapeSettings } from '../../deployment/fill-settings.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { containerDeployment, type ContainerPlace } from './container-deployment.ts';

/** mcp-deploy.yaml as the container reads it. Throws a UserError for a deployment that no container can run. */
export function containerConfigText(deployment: Deployment, place: ContainerPlace): string {
  const text = stringify(escapeSettings(containerDeployment(deployment, place)), { lineWidth: 0 });
  return `# The deployment "${deployment.name}" as the container sees it. Paths are those inside of the container.\n${text}`;
}
