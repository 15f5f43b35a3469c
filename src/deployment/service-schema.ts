import { z } from 'zod';

/** What the service manager of the host allows and gives the server. */
const serviceLimits = {
  sockets: z
    .enum(['auto', 'on', 'off'])
    .default('auto')
    .describe(
      'on = systemd holds the listening sockets, so that a restart loses no call; auto = for ports below 1024, and wherever apply installs the service',
    ),
  memoryMax: z
    .string()
    .regex(/^(?:[1-9][0-9]{0,2}%|[1-9][0-9]{0,14}[KMGT]?|infinity)$/, 'write a size or a share, for example 2G or 75%')
    .default('75%')
    .describe('memory of the service and all that it starts: a size (2G), a share of the machine (75%), or infinity'),
  tasksMax: z
    .int()
    .min(16)
    .max(4_194_304)
    .default(2_048)
    .describe('processes and threads of the service and all that it starts'),
  openFiles: z
    .int()
    .min(256)
    .max(1_048_576)
    .default(65_536)
    .describe('files and connections that one process may have open'),
  watchdogSeconds: z
    .number()
    .min(0)
    .max(3_600)
    .default(30)
    .describe('the service manager starts a server again that gave no sign of life for this long; 0 = off'),
  credentials: z
    .record(
      z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'use letters, digits, . _ and -'),
      z.string().regex(/^\//, 'give an absolute path'),
    )
    .default({})
    .describe('files that only root can read and systemd hands to the server, as /run/credentials/UNIT/NAME'),
};

/** `service` of mcp-deploy.yaml: what runs the server. */
export const serviceSchema = z
  .strictObject({
    manager: z
      .enum(['none', 'systemd', 'systemd-user', 'launchd', 'docker', 'swarm', 'kubernetes'])
      .default('none')
      .describe(
        'systemd = apply installs a service of the host below /etc, /opt and /var; systemd-user, launchd = one of yours, without root; docker = containers of Docker Compose; swarm = a stack of the Docker Swarm that this engine manages; kubernetes = a Deployment in a cluster that kubectl reaches; none = a process of this folder',
      ),
    trial: z
      .boolean()
      .default(true)
      .describe(
        'a new release is started beside the running one first; false for upstreams of which there may be only one',
      ),
    keepReleases: z.int().min(2).max(1_000).default(10).describe('how many releases are kept to roll back to'),
    user: z
      .string()
      .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'use 1 to 32 of a-z, 0-9, - and _, starting with a letter or _')
      .default('mcp')
      .describe('system user that runs the server under systemd'),
    ...serviceLimits,
  })
  .prefault({});
