import type { ProcessSeen, UnitSeen } from '../machine-observations.ts';
import type { Verdict } from '../types.ts';
import { checksOf, fail, notApplicable, notSeen, pass } from './endpoint-check.ts';
import { shellWord } from './shell-word.ts';
import { withMachine } from './with-machine.ts';

/** Share of the open files that a process may have; then connections fail soon. */
const nearShare = 0.8;
const fullShare = 0.97;
/** The server of this version runs on nothing older. */
const oldestNode = [20, 19] as const;
/** So many restarts by itself, the last of them so short ago, are a loop. */
const loopRestarts = 3;
const loopSeconds = 600;

/** Behind the process itself: who else answers in its place. */
export const portChecks = checksOf('host', [
  {
    code: 'host/port-ours',
    title: 'only the server listens on its port',
    label: 'port',
    hop: 'host',
    severity: 'error',
    needs: ['machine'],
    after: ['host/server-running'],
    explanation:
      'Two programs can listen on one port, each on another address: 127.0.0.1 and ::1, or one of them on all. Which one a ' +
      'client reaches hangs on how it looks up the name, so it works for some and fails for others.',
    judge: (seen) =>
      withMachine(seen, ({ strangers }) => {
        const [first] = strangers;
        if (first === undefined) return pass();
        return fail({
          title: `${first.holder} listens on port ${first.port} as well`,
          cause: 'another program was started on the same port, on another address',
          evidence: strangers.map(({ port, address, holder }) => ({
            source: `listeners on port ${port}`,
            observed: `${holder} on ${address}`,
            expected: 'the server of this deployment alone',
          })),
          fix: {
            summary: 'Stop the other program, or give the deployment another port (server.listen).',
            commands: ['mcp-deploy apply'],
          },
        });
      }),
  },
]);

export const upkeepChecks = checksOf('host', [
  {
    code: 'host/file-owners',
    title: 'the secret files belong to the owner of the deployment',
    label: 'file owners',
    hop: 'host',
    severity: 'error',
    needs: ['machine'],
    after: [],
    explanation:
      'Whoever owns a file may read it and change its modes. Keys that belong to another account than the state folder, ' +
      'root apart, are in its hands; and the server may not be able to read them. It comes from copying as another user.',
    judge: (seen) =>
      withMachine(seen, ({ foreignOwners }) => {
        if (foreignOwners.length === 0) return pass();
        return fail({
          title: `${foreignOwners[0]?.path ?? 'a file'} belongs to another account`,
          cause: 'it was copied or restored as another user',
          evidence: foreignOwners.map(({ path, uid, expectedUid }) => ({
            source: path,
            observed: `belongs to user ${uid}`,
            expected: `user ${expectedUid}, the owner of the state folder, or root`,
          })),
          fix: {
            summary: 'Give it back; replace it if the other account is not to be trusted with it.',
            commands: foreignOwners.map(({ path, expectedUid }) => `chown ${expectedUid} ${shellWord(path)}`),
          },
        });
      }),
  },
  {
    code: 'host/node-version',
    title: 'the server runs on a Node.js that it is made for',
    label: 'Node.js',
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    explanation:
      'The server is made for Node.js 20.19 and later, and tested on the even versions. Odd ones (21, 23, 25) get no ' +
      'security fixes half a year after they came out. The program of the running process is asked for its version.',
    judge: (seen) =>
      withMachine(seen, ({ process }) => {
        const version = process?.nodeVersion;
        if (version === undefined || version === null)
          return notApplicable('the server does not run, or does not tell');
        const [major = 0, minor = 0] = version.slice(1).split('.').map(Number);
        const old = major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1]);
        if (!old && major % 2 === 0) return pass(`Node.js ${version.slice(1)}`);
        return fail({
          title: old ? `Node.js ${version} is too old for the server` : `Node.js ${version} gets no security fixes`,
          cause: old
            ? 'it was installed long ago, or another one stands first on the PATH'
            : 'odd versions live for half a year',
          evidence: [
            { source: `process ${process?.pid ?? ''}`, observed: version, expected: 'Node.js 20.19 or later, even' },
          ],
          fix: {
            summary: 'Install a Node.js with long-term support, then start the server with it.',
            commands: ['node --version', 'mcp-deploy restart'],
          },
        });
      }),
  },
  {
    code: 'host/descriptors',
    title: 'the server may open more files and connections',
    label: 'open files',
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    explanation:
      'Every connection and every program behind the server takes file descriptors. At the limit of the process ' +
      '(ulimit -n, LimitNOFILE) new clients are refused without a word in the log of the proxy.',
    judge: (seen) =>
      withMachine(seen, ({ process }) => {
        if (process?.descriptors === undefined || process.descriptors === null) {
          return notApplicable('the server does not run, or the system does not tell');
        }
        return judgeDescriptors(process.pid, process.descriptors);
      }),
  },
  {
    code: 'host/service-steady',
    title: 'the service does not restart again and again',
    label: 'restarts',
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: ['host/server-running'],
    explanation:
      'systemd starts a service again that ended by itself. When that happens over and over, clients lose their sessions ' +
      'each time, although every single look finds it running.',
    judge: (seen) =>
      withMachine(seen, ({ unit }) => {
        if (unit === null) return notApplicable('the deployment is no service of systemd');
        if (!isLooping(unit)) return pass(unit.restarts === 0 ? undefined : `${unit.restarts} restarts`);
        return fail({
          title: `${unit.name} restarts again and again`,
          cause: 'the server ends by itself; its last words say why',
          evidence: [
            {
              source: `${systemctl(unit)} show ${unit.name}`,
              observed: `${unit.restarts} restarts, ${unit.upSeconds === null ? `now ${unit.active}` : `the last ${Math.round(unit.upSeconds)} s ago`}`,
              expected: `fewer than ${loopRestarts}, or none in ${loopSeconds / 60} minutes`,
            },
          ],
          fix: {
            summary: 'Read why it ended.',
            commands: [
              'mcp-deploy logs',
              `journalctl ${unit.personal === true ? '--user-unit' : '--unit'} ${shellWord(unit.name)} --lines 50`,
            ],
          },
        });
      }),
  },
  {
    code: 'host/service-enabled',
    title: 'the service starts with the machine',
    label: 'starts at boot',
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    explanation: 'A service that runs and is not enabled is gone after the next restart of the machine.',
    judge: (seen) =>
      withMachine(seen, ({ unit }) => {
        if (unit === null) return notApplicable('the deployment is no service of systemd');
        if (unit.enabled) return pass();
        return fail({
          title: `${unit.name} does not start with the machine`,
          cause: 'it was disabled by hand, or never enabled',
          evidence: [{ source: `${systemctl(unit)} show ${unit.name}`, observed: 'not enabled', expected: 'enabled' }],
          fix: { summary: 'Enable it.', commands: [`${systemctl(unit)} enable ${shellWord(unit.name)}`] },
        });
      }),
  },
  {
    code: 'host/firewall',
    title: 'the firewall of this machine lets the port in',
    label: 'firewall',
    hop: 'host',
    severity: 'error',
    needs: ['machine'],
    after: [],
    explanation:
      'From the machine itself everything works, since firewalls let its own traffic pass; from outside the port is silent. ' +
      'The rules of nftables, which ufw and firewalld write too, are read where they may be, and followed for a new ' +
      'connection to the port. Rules that hang on the caller are not judged.',
    judge: (seen) =>
      withMachine(seen, ({ firewall }) => {
        if (firewall === null)
          return notApplicable('the server listens for this machine only, or the rules cannot be read');
        if (firewall.droppedBy === null) return pass();
        return fail({
          title: `the firewall drops port ${firewall.port}`,
          cause: 'the port was never opened, or a rule closes it',
          evidence: [{ source: 'nft list ruleset', observed: firewall.droppedBy, expected: 'accept' }],
          fix: {
            summary: 'Open the port in the program that writes the rules.',
            commands: ['mcp-deploy render firewall', `ufw allow ${firewall.port}/tcp`],
          },
        });
      }),
  },
  {
    code: 'host/audit-written',
    title: 'the audit file is being written',
    label: 'audit',
    hop: 'host',
    severity: 'error',
    needs: ['audit'],
    after: ['host/server-running', 'tcp/reachable', 'tls/handshake'],
    explanation:
      'Doctor’s own requests, those that are refused among them, must leave lines in logs.audit. When the file does not ' +
      'grow, it was moved away or deleted while the server holds the old one, or cannot be written, and (with fail-open) ' +
      'calls go on without a record.',
    judge: ({ audit, target }) => {
      if (!target.own) return notApplicable('the audit file of a server that is not ours is not known');
      if (audit.status !== 'ok') return audit.status === 'skipped' ? notApplicable(audit.reason) : notSeen(audit);
      const { file, before, after } = audit;
      if (file === null) return notApplicable('logs.audit is off');
      if (
        after !== null &&
        (before === null || after.inode !== before.inode ? after.size > 0 : after.size > before.size)
      ) {
        return pass();
      }
      return fail({
        title: after === null ? 'the audit file is not there' : 'the audit file does not grow',
        cause:
          after === null
            ? 'it was moved away or deleted, and the server writes into the old one'
            : 'the server cannot write it, or writes another file',
        evidence: [
          {
            source: file,
            observed:
              after === null
                ? 'no file, after calls that are audited'
                : `${after.size} bytes, before and after calls that are audited`,
            expected: 'a line for each call and each refusal',
          },
        ],
        fix: {
          summary:
            'See what the server says of it, make room or give it the right to write, and let it open the file again.',
          commands: ['mcp-deploy logs', 'mcp-deploy reload'],
        },
      });
    },
  },
  {
    code: 'host/drift',
    title: 'the files of the last release are as they were written',
    label: 'files as written',
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    explanation:
      'Configuration of the server, of the proxy and of the service manager is written by apply. What is edited there by ' +
      'hand is lost with the next apply, and until then nobody knows of it; what was removed is missed with the next start.',
    judge: (seen) =>
      withMachine(seen, ({ drifted }) => {
        if (drifted === null) return notApplicable('there is no record of a release');
        if (drifted.length === 0) return pass();
        return fail({
          title:
            drifted.length === 1
              ? `${drifted[0]?.path ?? 'a file'} was ${drifted[0]?.state ?? 'changed'}`
              : `${drifted.length} files were changed by hand`,
          cause: 'somebody changed what apply writes',
          evidence: drifted.map(({ path, state }) => ({
            source: path,
            observed: state,
            expected: 'as the last release wrote it',
          })),
          fix: {
            summary: 'See the difference; put what is wanted into mcp-deploy.yaml, and write the files anew.',
            commands: ['mcp-deploy plan', 'mcp-deploy apply'],
          },
        });
      }),
  },
]);

function judgeDescriptors(pid: number, { open, limit }: NonNullable<ProcessSeen['descriptors']>): Verdict {
  if (open < limit * nearShare) return pass(`${open} of ${limit} open files`);
  const full = open >= limit * fullShare;
  return fail({
    title: full ? 'the server can open no more files and connections' : 'the server has nearly all its files open',
    cause: 'more clients or programs behind it than the limit was made for, or connections that are never closed',
    severity: full ? 'error' : 'warning',
    evidence: [
      {
        source: `process ${pid}`,
        observed: `${open} of ${limit} open`,
        expected: `fewer than ${Math.floor(limit * nearShare)}`,
      },
    ],
    fix: {
      summary: 'Raise the limit (LimitNOFILE in the unit, ulimit -n before start), and see who holds connections.',
      commands: [`ls -l /proc/${pid}/fd`, 'mcp-deploy status'],
    },
  });
}

function systemctl({ personal }: UnitSeen): string {
  return personal === true ? 'systemctl --user' : 'systemctl';
}

function isLooping({ restarts, upSeconds, active }: UnitSeen): boolean {
  return restarts >= loopRestarts && (upSeconds === null ? active !== 'inactive' : upSeconds < loopSeconds);
}
