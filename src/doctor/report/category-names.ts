import type { Category } from '../types.ts';

/** What a person calls the categories. */
export const categoryNames: Readonly<Record<Category, string>> = {
  host: 'Host',
  name: 'Name',
  tcp: 'TCP',
  tls: 'TLS',
  http: 'HTTP',
  key: 'Keys',
  session: 'Sessions',
  protocol: 'Protocol',
  tools: 'Tools',
  stream: 'Streams',
  sizes: 'Sizes',
  cors: 'Browsers',
  proxy: 'Proxy',
  limits: 'Limits',
  health: 'Health',
};
