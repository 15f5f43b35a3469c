import { compileTemplate } from '../../render/compile-template.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { renderGrafanaFiles } from '../grafana/files.ts';
import { renderPrometheusRules } from '../prometheus/files.ts';
import { containerConfigText } from './container-config.ts';
import { renderFrontProxy, type FrontProxy } from './front-proxy.ts';
import { dockerView } from './view.ts';

/** Folder of the build context with the files of the deployment's own. */
export const ownFolder = 'own';

/** A complete build context, and what the services beside the server read. Throws when the input has no server bundle. */
export function renderDockerFiles(input: TargetInput): readonly RenderedFile[] {
  if (input.readServerBundle === undefined) throw new Error('the docker target needs the server bundle');
  const proxy = chosenProxy(input);
  const own = input.readOwnFiles?.() ?? [];
  const view = { ...dockerView(input, proxy), hasOwnFiles: own.length > 0 };
  const layOut = (template: string): string => compileTemplate(input.templates(`docker/${template}.hbs`))(view);
  return [
    contextFile(input, 'Dockerfile', layOut('Dockerfile')),
    contextFile(input, '.dockerignore', layOut('dockerignore')),
    contextFile(input, 'compose.yaml', layOut('compose.yaml')),
    contextFile(input, 'mcp-deploy.yaml', containerConfigText(input.deployment, 'docker')),
    contextFile(input, 'serve.js', input.readServerBundle()),
    ...own.map(({ path, content, isExecutable }) => ({
      ...contextFile(input, `${ownFolder}/${path}`, content),
      mode: isExecutable ? 0o755 : 0o644,
    })),
    ...(proxy?.files ?? []).map(({ name, content }) => contextFile(input, `${proxy?.name ?? ''}/${name}`, content)),
    ...(input.deployment.container.watch
      ? [
          ...['prometheus.yml', 'grafana-datasource.yml'].map((name) => contextFile(input, name, layOut(name))),
          ...watchFiles(input),
        ]
      : []),
  ];
}

/** The same rules and dashboards as on a host, where there are metrics to judge. */
function watchFiles(input: TargetInput): readonly RenderedFile[] {
  const dashboards = renderGrafanaFiles(input).filter(({ path }) => !path.includes('/datasources/'));
  return [
    contextFile(input, 'prometheus-rules.yml', renderPrometheusRules(input, '/etc/prometheus/rules.yml')),
    ...dashboards.map(({ path, content }) =>
      contextFile(input, path.replace(/provisioning\/dashboards\/.*/, 'dashboards.yml'), content),
    ),
  ];
}

/** Folder of the build context on the host. */
export function contextFolder({ paths }: TargetInput): string {
  return `${paths.stateDir}/docker`;
}

function chosenProxy(input: TargetInput): FrontProxy | null {
  const { proxy } = input.deployment.container;
  if (proxy === 'none') return null;
  return renderFrontProxy(input, proxy, 'server');
}

function contextFile(input: TargetInput, name: string, content: string): RenderedFile {
  return { path: `docker/${name}`, installPath: `${contextFolder(input)}/${name}`, mode: 0o644, content };
}
