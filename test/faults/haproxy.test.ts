import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startHaproxy } from '../helpers/proxy-rig.ts';
import { healthyHaproxy, haproxyFaults } from './haproxy-faults.ts';
import { describeProxyFaults } from './proxy-laboratory.ts';

describeProxyFaults(
  {
    program: 'haproxy',
    start: (folder, files, ports) => {
      const global = 'global\n    maxconn 500\n    log stdout format raw local1\n';
      // One process reads all of them; doctor is shown each for itself.
      writeFileSync(
        join(folder, 'haproxy.cfg'),
        [global, ...files.map((file) => readFileSync(file, 'utf8'))].join('\n'),
      );
      return startHaproxy(join(folder, 'haproxy.cfg'), ports);
    },
    check: (_, siteFile) => ['haproxy', '-c', '-q', '-f', siteFile],
    mainFile: (_, siteFile) => siteFile,
  },
  haproxyFaults,
  healthyHaproxy,
);
