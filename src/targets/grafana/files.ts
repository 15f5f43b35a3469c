import { compileTemplate } from '../../render/compile-template.ts';
import { quoteYaml } from '../../render/quote/yaml.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { RenderedFile, TargetCommands, TargetInput } from '../types.ts';
import { dashboardJson } from './dashboard-json.ts';
import { dashboardsOf } from './dashboards.ts';

/** Dashboards, and the files that make Grafana read them when it starts. */
export function renderGrafanaFiles({ deployment, templates }: TargetInput): readonly RenderedFile[] {
  const job = nameOnHost(deployment.name);
  const folder = `/var/lib/grafana/dashboards/${job}`;
  const file = (path: string, installPath: string, content: string): RenderedFile => ({
    path: `grafana/${path}`,
    installPath,
    mode: 0o644,
    content,
  });
  const provision = (kind: string): RenderedFile => {
    const installPath = `/etc/grafana/provisioning/${kind}/${job}.yaml`;
    const view = { name: deployment.name, installPath, job: quoteYaml(job, 'name'), folder: quoteYaml(folder, 'name') };
    return file(
      `provisioning/${kind}/${job}.yaml`,
      installPath,
      compileTemplate(templates(`grafana/${kind}.yaml.hbs`))(view),
    );
  };
  return [
    ...dashboardsOf(job).map((dashboard) =>
      file(
        `dashboards/${dashboard.slug}.json`,
        `${folder}/${dashboard.slug}.json`,
        `${JSON.stringify(dashboardJson(dashboard, job), null, 2)}\n`,
      ),
    ),
    provision('dashboards'),
    provision('datasources'),
  ];
}

export function planGrafanaCommands(): TargetCommands {
  const readAgain = { title: 'make Grafana read them', argv: ['systemctl', 'restart', 'grafana-server'] };
  return {
    // Grafana has no command that checks them: it says in its log what it could not read.
    check: [
      {
        title: 'see what Grafana said of them',
        argv: ['journalctl', '--unit', 'grafana-server', '--grep', 'provision'],
      },
    ],
    install: [readAgain],
    restart: [readAgain],
    remove: [readAgain],
    notices: [
      'Leave out provisioning/datasources where Grafana has a Prometheus already; the dashboards ask which to take.',
    ],
  };
}
