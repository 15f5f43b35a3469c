import { expect, test } from 'vitest';
import { describeSearchedPath } from '../../src/cli/describe-searched-path.ts';
import { EnvironmentError } from '../../src/deployment/errors.ts';

const missing = new EnvironmentError('The MCP server "tools" does not start.', {
  why: 'Command not found: uxv (searched 2 folders of PATH). Did you mean uvx?',
});
const desired = (more: object) => ({ version: 1, server: { upstreams: { tools: { command: 'uxv', ...more } } } });

test.each([
  ['the folders in their order', missing, desired({}), ['searched in this order (PATH):', '  /usr/bin', '  /bin']],
  [
    'the PATH that the deployment gives the MCP server',
    missing,
    desired({ env: { PATH: '/opt/tools' } }),
    ['searched in this order (PATH of mcp-deploy.yaml):', '  /opt/tools'],
  ],
  [
    'a reference as it is written',
    missing,
    desired({ env: { PATH: '/opt:${PATH}' } }),
    ['PATH of the MCP server, from mcp-deploy.yaml: /opt:${PATH}'],
  ],
  ['nothing for another failure', new EnvironmentError('Port 1 is taken.'), desired({}), []],
  [
    'nothing where a service manager has another PATH',
    missing,
    { ...desired({}), service: { manager: 'systemd' } },
    [],
  ],
])('%s', (_, error, deployment, lines) => {
  expect(describeSearchedPath(error, deployment, { PATH: '/usr/bin::/bin' })).toEqual(lines);
});
