import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startCaddy } from '../helpers/proxy-rig.ts';
import { healthyCaddy, caddyFaults } from './caddy-faults.ts';
import { describeProxyFaults } from './proxy-laboratory.ts';

describeProxyFaults(
  {
    program: 'caddy',
    start: (folder, _files, ports) => {
      const options = '{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n';
      writeFileSync(join(folder, 'Caddyfile'), `${options}\nimport ${folder}/sites/*.conf\n`);
      return startCaddy('', folder, ports, { keepMain: true });
    },
    check: (folder) => ['caddy', 'validate', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')],
    mainFile: (folder) => join(folder, 'Caddyfile'),
  },
  caddyFaults,
  healthyCaddy,
);
