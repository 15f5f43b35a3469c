import type { Dashboard, Panel } from './dashboards.ts';

/** The version of Grafana's form of dashboards that is written: Grafana 9 and newer read it, newer ones lift it. */
const schemaVersion = 37;
const columns = 24;
const panelHeight = 8;
const statHeight = 4;

/** A dashboard as Grafana provisions it. The data source is a variable: it is chosen on the page, not in the file. */
export function dashboardJson(dashboard: Dashboard, job: string): object {
  return {
    uid: uidOf(job, dashboard.slug),
    title: `${dashboard.title}: ${job}`,
    tags: ['mcp', job],
    schemaVersion,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    timezone: 'browser',
    annotations: { list: [] },
    links: [
      {
        type: 'dashboards',
        tags: [job],
        title: 'MCP',
        asDropdown: true,
        icon: 'external link',
        includeVars: true,
        keepTime: true,
        targetBlank: false,
        tooltip: '',
        url: '',
      },
    ],
    templating: {
      list: [
        {
          name: 'datasource',
          label: 'Data source',
          type: 'datasource',
          query: 'prometheus',
          hide: 0,
          refresh: 1,
          regex: '',
          multi: false,
          includeAll: false,
          options: [],
          current: {},
        },
        {
          name: 'instance',
          label: 'Server',
          type: 'query',
          datasource,
          query: { query: `label_values(up{job="${job}"}, instance)`, refId: 'instance' },
          definition: `label_values(up{job="${job}"}, instance)`,
          refresh: 2,
          sort: 1,
          hide: 0,
          regex: '',
          multi: true,
          includeAll: true,
          allValue: '.*',
          options: [],
          current: { selected: true, text: ['All'], value: ['$__all'] },
        },
      ],
    },
    panels: place(dashboard.panels).map(({ panel, gridPos }, index) => panelJson(panel, gridPos, index + 1)),
  };
}

/** Grafana takes 40 characters at most, and names of deployments are as long. */
function uidOf(job: string, slug: string): string {
  return `${job.slice(0, 28)}-${slug}`;
}

const datasource = { type: 'prometheus', uid: '${datasource}' } as const;

interface GridPos {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/** From left to right and from top to bottom; a row is as high as its highest panel. */
function place(panels: readonly Panel[]): readonly { readonly panel: Panel; readonly gridPos: GridPos }[] {
  let [x, y, height] = [0, 0, 0];
  return panels.map((panel) => {
    const h = panel.width === 6 ? statHeight : panelHeight;
    if (x + panel.width > columns) [x, y, height] = [0, y + height, 0];
    const gridPos = { x, y, w: panel.width, h };
    x += panel.width;
    height = Math.max(height, h);
    return { panel, gridPos };
  });
}

function panelJson(
  { title, kind, queries, unit, stacked = false, alarm, why }: Panel,
  gridPos: GridPos,
  id: number,
): object {
  const steps = [{ color: 'green', value: null }, ...(alarm === undefined ? [] : [{ color: 'red', value: alarm }])];
  return {
    id,
    title,
    type: kind,
    ...(why === undefined ? {} : { description: why }),
    gridPos,
    datasource,
    targets: queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource,
      expr,
      legendFormat,
      ...(kind === 'heatmap' ? { format: 'heatmap' } : {}),
    })),
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        thresholds: { mode: 'absolute', steps },
        ...(kind === 'timeseries'
          ? {
              custom: {
                fillOpacity: stacked ? 40 : 5,
                lineWidth: 1,
                showPoints: 'never',
                stacking: { group: 'A', mode: stacked ? 'normal' : 'none' },
              },
            }
          : {}),
      },
      overrides: [],
    },
    options: optionsOf(kind),
  };
}

function optionsOf(kind: Panel['kind']): object {
  switch (kind) {
    case 'timeseries':
      return {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'multi', sort: 'desc' },
      };
    case 'stat':
    case 'gauge':
      return { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } };
    case 'heatmap':
      // The buckets come counted from Prometheus.
      return { calculate: false, yAxis: { unit: 's' }, tooltip: { show: true, yHistogram: false } };
  }
}
