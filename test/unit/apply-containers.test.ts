import { expect, test } from 'vitest';
import { parseServices } from '../../src/apply/act-stack.ts';
import { parseContainers } from '../../src/apply/containers.ts';

test('the lines of docker ps are containers, oldest first, with what they publish', () => {
  const output = [
    'ccc\tserver\tcreated\tmcp-a:2\tffff\tTrue\t',
    'bbb\tproxy\trunning\thaproxy:3.2\teeee\tFalse\t127.0.0.1:80->80/tcp, 127.0.0.1:443->443/tcp, :::443->443/tcp',
    'aaa\tserver\trestarting\tmcp-a:1\tdddd\tFalse\t8080/tcp\t/srv/a/docker',
    '',
  ].join('\n');
  expect(parseContainers(output)).toEqual([
    {
      id: 'aaa',
      service: 'server',
      running: true,
      image: 'mcp-a:1',
      config: 'dddd',
      oneOff: false,
      ports: [],
      folder: '/srv/a/docker',
    },
    {
      id: 'bbb',
      service: 'proxy',
      running: true,
      image: 'haproxy:3.2',
      config: 'eeee',
      oneOff: false,
      ports: [80, 443],
    },
    { id: 'ccc', service: 'server', running: false, image: 'mcp-a:2', config: 'ffff', oneOff: true, ports: [] },
  ]);
});

test('the lines of docker service ls are services, which run when all their copies do', () => {
  const output = 'a1\tmcp-x_server\t2/3\tmcp-x:1\na2\tmcp-x_proxy\t1/1 (max 1 per node)\thaproxy:3.2\n';
  expect(parseServices(output, 'mcp-x')).toMatchObject([
    { service: 'server', running: false, image: 'mcp-x:1', config: '3' },
    { service: 'proxy', running: true, image: 'haproxy:3.2', config: '1' },
  ]);
});
