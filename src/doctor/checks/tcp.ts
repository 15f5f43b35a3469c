import type { TcpAttempt } from '../observations.ts';
import { checksOf, fail, notApplicable, notSeen, pass } from './endpoint-check.ts';

export const tcpChecks = checksOf('tcp', [
  {
    code: 'tcp/reachable',
    title: 'the port accepts connections',
    label: 'reachable',
    hop: 'tcp',
    severity: 'error',
    needs: ['tcp'],
    after: ['name/resolves', 'host/server-running'],
    explanation:
      'A connection to the port must come about on at least one address of the name. A refusal means that nothing ' +
      'listens there (not started, another port, another address); silence means that a firewall or a route drops ' +
      'the packets.',
    judge: ({ tcp, target }) => {
      if (tcp.status !== 'ok') return notSeen(tcp);
      if (tcp.attempts.some(({ outcome }) => outcome.connected)) return pass(`port ${target.port}`);
      const kinds = new Set(tcp.attempts.map(kindOf));
      const refused = kinds.has('refused');
      const silent = !refused && kinds.has('timed-out');
      return fail({
        title: refused
          ? `nothing listens on port ${target.port} of ${target.host}`
          : silent
            ? `port ${target.port} of ${target.host} does not answer`
            : `there is no way to ${target.host}`,
        cause: refused
          ? target.own
            ? 'the server does not listen on the address and port of its URL'
            : 'the server is not running, or listens on another port or only on another address (127.0.0.1 in a container)'
          : silent
            ? 'a firewall, a security group or a wrong route drops the packets'
            : 'undetermined',
        evidence: tcp.attempts.map((attempt) => evidenceOf(attempt, target.port)),
        fix: target.own
          ? {
              summary: 'See what the server says, then start it again.',
              commands: ['mcp-deploy logs', 'mcp-deploy restart'],
            }
          : {
              summary: silent
                ? `Open TCP port ${target.port} on the way to the server.`
                : `Start the server, or correct host and port of the URL; on its machine: ss -ltnp`,
              commands: [],
            },
      });
    },
  },
  {
    code: 'tcp/every-address',
    title: 'every address of the name accepts connections',
    label: 'every address',
    hop: 'tcp',
    severity: 'warning',
    needs: ['tcp'],
    after: ['name/resolves', 'tcp/reachable'],
    explanation:
      'A client takes any of the addresses of a name. One that does not answer makes some clients wait and others ' +
      'fail, now and then, which is hard to see from outside. Often it is an AAAA record of a machine whose server ' +
      'listens on IPv4 only. Addresses that this machine itself has no route to are not held against the server.',
    judge: ({ tcp, target }) => {
      if (tcp.status !== 'ok') return notSeen(tcp);
      // localhost has two addresses on most machines, and a server on one of them is usual and harmless.
      if (target.loopback) return notApplicable('the address is on this machine');
      const bad = tcp.attempts.filter((attempt) => ['refused', 'timed-out'].includes(kindOf(attempt) ?? ''));
      if (bad.length === 0) return pass();
      const list = bad.map(({ address }) => address).join(', ');
      return fail({
        title: `${list} does not accept connections`,
        cause: `the name has ${tcp.attempts.length} addresses, and not all of them lead to the server`,
        evidence: bad.map((attempt) => evidenceOf(attempt, target.port)),
        fix: {
          summary: `Let the server listen on ${list} too, or take the address out of the name’s records.`,
          commands: [],
        },
      });
    },
  },
]);

function kindOf({ outcome }: TcpAttempt): string | null {
  return outcome.connected ? null : outcome.failure.kind;
}

function evidenceOf({ address, family, outcome }: TcpAttempt, port: number) {
  return {
    source: `connection to ${family === 6 ? `[${address}]` : address}:${port}`,
    observed: outcome.connected
      ? 'connected'
      : `${outcome.failure.code ?? outcome.failure.kind}: ${outcome.failure.message}`,
    expected: 'a connection',
  };
}
