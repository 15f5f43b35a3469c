import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startNginx } from '../helpers/proxy-rig.ts';
import { healthyNginx, nginxFaults } from './nginx-faults.ts';
import { describeProxyFaults } from './proxy-laboratory.ts';

describeProxyFaults(
  {
    program: 'nginx',
    start: (folder, _files, ports) => {
      writeFileSync(join(folder, 'all.conf'), `include ${folder}/sites/*.conf;\n`);
      return startNginx(join(folder, 'all.conf'), folder, ports, (main) => {
        // Its own gzip and error pages would be a fault of every site.
        const text = readFileSync(main, 'utf8').replace(/^ {2}(?:gzip|proxy_intercept).*$/gm, '');
        writeFileSync(main, text.replace('worker_connections 256', 'worker_connections 1024'));
      });
    },
    check: (folder) => ['nginx', '-t', '-q', '-p', folder, '-c', join(folder, 'nginx.conf')],
    mainFile: (folder) => join(folder, 'nginx.conf'),
  },
  nginxFaults,
  healthyNginx,
);
