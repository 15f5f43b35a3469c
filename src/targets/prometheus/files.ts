import { compileTemplate } from '../../render/compile-template.ts';
import { quoteYaml } from '../../render/quote/yaml.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { RenderedFile, TargetCommands, TargetInput } from '../types.ts';
import { alertRules, recordingRules } from './alert-rules.ts';
import { scrapeView } from './scrape-view.ts';

/** Scrape configuration, rules, and an example for Alertmanager. */
export function renderPrometheusFiles(input: TargetInput): readonly RenderedFile[] {
  const job = nameOnHost(input.deployment.name);
  const places = placesOf(job);
  const fill = (template: string, view: object): string =>
    compileTemplate(input.templates(`prometheus/${template}.hbs`))(view);
  const file = (path: string, installPath: string, content: string): RenderedFile => ({
    path: `prometheus/${path}`,
    installPath,
    mode: 0o644,
    content,
  });
  return [
    file(`${job}.scrape.yml`, places.scrape, fill('scrape.yml', { ...scrapeView(input), installPath: places.scrape })),
    file(`${job}.rules.yml`, places.rules, renderPrometheusRules(input, places.rules)),
    file('alertmanager.example.yml', places.alertmanager, fill('alertmanager.yml', { jobMatcher: `'job="${job}"'` })),
  ];
}

/** Recorded series and alerts of this deployment, as a file of Prometheus. */
export function renderPrometheusRules(input: TargetInput, installPath: string): string {
  const job = nameOnHost(input.deployment.name);
  const quoted = (text: string): string => quoteYaml(text, 'a rule');
  return compileTemplate(input.templates('prometheus/rules.yml.hbs'))({
    name: input.deployment.name,
    installPath,
    records: quoted(`${job}-records`),
    group: quoted(`${job}-alerts`),
    recordings: recordingRules(job).map(({ name, expression }) => ({ record: name, expression: quoted(expression) })),
    alerts: alertRules(job, input.deployment).map((each) => ({
      ...each,
      alert: each.name,
      expression: quoted(each.expression),
      summary: quoted(each.summary),
    })),
  });
}

export function planPrometheusCommands({ deployment }: TargetInput): TargetCommands {
  const { scrape, rules, alertmanager } = placesOf(nameOnHost(deployment.name));
  const readAgain = { title: 'make Prometheus read them', argv: ['systemctl', 'reload', 'prometheus'] };
  return {
    check: [
      { title: 'check the scrape configuration', argv: ['promtool', 'check', 'config', '--syntax-only', scrape] },
      { title: 'check the rules', argv: ['promtool', 'check', 'rules', rules] },
      { title: 'check the example for Alertmanager', argv: ['amtool', 'check-config', alertmanager] },
    ],
    install: [readAgain],
    restart: [readAgain],
    remove: [readAgain],
    notices: [
      'Name the files in prometheus.yml: scrape_config_files (2.43 and newer) and rule_files.',
      'From another machine, Prometheus needs a key (authorization: credentials_file) or a place in server.metricsFrom.',
    ],
  };
}

function placesOf(job: string) {
  return {
    scrape: `/etc/prometheus/scrape.d/${job}.yml`,
    rules: `/etc/prometheus/rules.d/${job}.yml`,
    alertmanager: `/etc/prometheus/${job}-alertmanager.example.yml`,
  };
}
