/**
 * The name under which a deployment stands among the files and services of a
 * host. A deployment may be called "default" or "nginx"; its unit may not.
 */
export function nameOnHost(deploymentName: string): string {
  return /^mcp(?:-|$)/.test(deploymentName) ? deploymentName : `mcp-${deploymentName}`;
}

/** The same where "-" means something: variables, zones, snippets. */
export function identifierOnHost(deploymentName: string): string {
  return nameOnHost(deploymentName).replaceAll('-', '_');
}
