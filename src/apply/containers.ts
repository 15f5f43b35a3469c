import type { ContainerFact } from '../plan/container-facts.ts';
import type { ApplyPorts } from './ports.ts';

const listTimeoutMs = 60_000;
const separator = '\t';

/** Template of `docker ps`: labels by name, since a comma may stand in their values. */
const format = [
  '{{.ID}}',
  '{{.Label "com.docker.compose.service"}}',
  '{{.State}}',
  '{{.Image}}',
  '{{.Label "mcp-deploy.config"}}',
  '{{.Label "com.docker.compose.oneoff"}}',
  '{{.Ports}}',
  '{{.Label "com.docker.compose.project.working_dir"}}',
].join(separator);

/** The containers of a Compose project, oldest first. Null when the engine does not tell. */
export async function listContainers(
  project: string,
  { processes }: Pick<ApplyPorts, 'processes'>,
): Promise<readonly ContainerFact[] | null> {
  const filter = `label=com.docker.compose.project=${project}`;
  const argv = ['docker', 'ps', '--all', '--no-trunc', '--filter', filter, '--format', format];
  const { exitCode, output } = await processes.run(argv, listTimeoutMs);
  return exitCode === 0 ? parseContainers(output) : null;
}

/** Reads the lines of `docker ps` in that format, which has the newest first. */
export function parseContainers(output: string): readonly ContainerFact[] {
  return output
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [id = '', service = '', state = '', image = '', config = '', oneOff = '', ports = '', folder = ''] =
        line.split(separator);
      return {
        id,
        service,
        running: state === 'running' || state === 'restarting',
        image,
        config,
        oneOff: oneOff === 'True',
        ports: [...new Set(Array.from(ports.matchAll(/:(\d+)->/g), (match) => Number(match[1])))],
        ...(folder === '' ? {} : { folder }),
      };
    })
    .toReversed();
}
