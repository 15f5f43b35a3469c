import type { HttpUpstream } from './http-upstream-schema.ts';
import {
  judgeArgument,
  judgeCaFile,
  judgeFilePath,
  judgeNul,
  judgeReferences,
  ownHeaders,
  type MeaningProblem,
} from './judge-texts.ts';
import type { Deployment, Upstream } from './schema.ts';
import type { SettingPath } from './setting-path.ts';
import { defaultMaxInstances, type StdioUpstream } from './stdio-upstream-schema.ts';

/** Upstreams that cannot be started or asked as they are written. */
export function judgeUpstreams({ server }: Deployment): MeaningProblem[] {
  return Object.entries(server.upstreams).flatMap(([name, upstream]) => {
    const base = ['server', 'upstreams', name];
    if (name === 'tools' && Object.keys(server.tools).length > 0) {
      return [{ path: base, at: 'key' as const, message: 'is the name of server.tools', hint: 'give it another name' }];
    }
    if ('url' in upstream) return [...judgeToolSeconds(base, upstream), ...judgeHttpUpstream(base, upstream)];
    const problems = [
      ...judgeToolSeconds(base, upstream),
      ...judgeInstances(base, upstream),
      ...judgeArgument([...base, 'command'], upstream.command),
      ...upstream.args.flatMap((text, index) => judgeArgument([...base, 'args', index], text)),
      ...Object.entries(upstream.env).flatMap(([key, text]) => {
        const path = [...base, 'env', key];
        return [...judgeNul(path, text), ...judgeReferences(path, text)];
      }),
    ];
    if (upstream.cwd === undefined) return problems;
    return [...problems, ...judgeFilePath([...base, 'cwd'], upstream.cwd)];
  });
}

function judgeToolSeconds(base: SettingPath, { toolSeconds = {}, callSeconds }: Upstream): MeaningProblem[] {
  const longer = Object.entries(toolSeconds).filter(([, seconds]) => seconds > callSeconds);
  return longer.map(([tool]) => ({
    path: [...base, 'toolSeconds', tool],
    message: `must not be more than callSeconds, which is ${callSeconds}`,
    hint: 'raise callSeconds, and give the other tools less here',
  }));
}

function judgeHttpUpstream(base: SettingPath, upstream: HttpUpstream): MeaningProblem[] {
  const problems: MeaningProblem[] = [];
  const url = new URL(upstream.url);
  if (url.username !== '' || url.password !== '') {
    const message = 'must not hold a user name or a password';
    problems.push({ path: [...base, 'url'], message, hint: 'write them into headers: Authorization' });
  }
  if (url.hash !== '') problems.push({ path: [...base, 'url'], message: 'must not have a fragment (#)' });
  for (const [header, text] of Object.entries(upstream.headers)) {
    const path = [...base, 'headers', header];
    if (ownHeaders.has(header.toLowerCase())) {
      problems.push({ path, at: 'key', message: 'is set by the server itself', hint: 'leave it out' });
    }
    if (/[\0\r\n]/.test(text)) problems.push({ path, message: 'must be one line' });
    problems.push(...judgeReferences(path, text));
  }
  return [...problems, ...judgeCaFile([...base, 'caFile'], upstream.caFile, url)];
}

function judgeInstances(
  base: SettingPath,
  { instances, warm = 0, maxInstances = defaultMaxInstances }: StdioUpstream,
): MeaningProblem[] {
  if (warm > 0 && instances === 'shared') {
    const message = 'is of no use while all clients share one process';
    return [{ path: [...base, 'warm'], at: 'key', message, hint: 'write instances: per-session, or leave it out' }];
  }
  if (warm <= maxInstances) return [];
  return [{ path: [...base, 'warm'], message: `is more than maxInstances (${maxInstances})` }];
}
