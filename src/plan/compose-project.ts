/** A Compose file and what apply has to know of it. */
export interface ComposeProject {
  /** Program and arguments up to the command. */
  readonly compose: readonly string[];
  readonly name: string;
  /** Services beside the server that start before it. */
  readonly beside: readonly string[];
  /** In front of the server. */
  readonly proxy: 'nginx' | 'caddy' | 'haproxy' | 'traefik' | null;
  /** Where the server answers in its container. */
  readonly ready: { readonly scheme: 'http' | 'https'; readonly port: number };
  /** How long a server may take to finish its calls. */
  readonly graceSeconds: number;
}
