import { isDeepStrictEqual } from 'node:util';
import { editDeployment, type DeploymentChange } from '../../deployment/edit-deployment.ts';
import { readYamlText } from '../../deployment/read-yaml-text.ts';
import type { Deployment } from '../../deployment/schema.ts';
import type { SettingPath } from '../../deployment/setting-path.ts';
import { upstreamFromCommand } from '../../deployment/upstream-from-command.ts';
import { formatDeployment, type DeploymentDraft } from '../../deployment/write-deployment.ts';
import { slugFrom } from '../slug.ts';
import type { Answers, GivenAnswers } from './answers.ts';
import { profileOf } from './profiles.ts';

/** What a file that is there says, and the answers that it stands for. */
export interface ExistingDeployment {
  readonly text: string;
  readonly deployment: Deployment;
  readonly answers: Answers;
}

/**
 * The file for the answers: a new commented one; or the present one, in which only that changes whose answer has changed, so
 * that comments and every setting of its owner stay.
 */
export function deploymentText(answers: Answers, existing: ExistingDeployment | null): string {
  const draft = draftOf(answers);
  if (existing === null) return formatDeployment(draft);
  const changes = changesBetween(draftOf(existing.answers), draft, readYamlText(existing.text).data);
  return changes.length === 0 ? existing.text : editDeployment(existing.text, changes);
}

/** The deployment that answers stand for, without defaults. */
function draftOf(answers: Answers): DeploymentDraft {
  const draft = profileOf(answers.profile).draft(answers);
  const upstream = upstreamOf(answers);
  return {
    ...draft,
    version: 1,
    name: answers.name,
    server: {
      ...draft.server,
      ...(upstream === null ? {} : { upstreams: { [upstream.name]: upstream.settings } }),
    },
    ...(answers.keys ? {} : { auth: { required: false } }),
  } as DeploymentDraft;
}

function upstreamOf({ command, env, url, headers }: Answers): { name: string; settings: object } | null {
  if (url !== null) {
    const settings = { url, ...(Object.keys(headers).length === 0 ? {} : { headers }) };
    return { name: slugFrom(new URL(url).hostname, 'remote'), settings };
  }
  if (command === null) return null;
  const { name, upstream } = upstreamFromCommand(command);
  const filled = Object.fromEntries(env.map((variable) => [variable, `\${${variable}}`]));
  return { name, settings: { ...upstream, ...(env.length === 0 ? {} : { env: filled }) } };
}

/** The answers that a deployment stands for: what the wizard offers when it is run again. */
export function answersOf(deployment: Deployment): GivenAnswers {
  const { server, tls, proxy, auth, container } = deployment;
  const upstream = Object.values(server.upstreams)[0];
  const listen = [server.listen].flat()[0];
  return {
    profile: profileOfDeployment(deployment),
    name: deployment.name,
    ...(listen === undefined ? {} : { listen }),
    ...(upstream !== undefined && 'command' in upstream
      ? { command: [upstream.command, ...upstream.args], env: variablesOf(upstream.env) }
      : {}),
    ...(upstream !== undefined && 'url' in upstream ? { url: upstream.url, headers: upstream.headers } : {}),
    // Null where the file names none: nothing is proposed beside what its owner has decided.
    names: tls.source === 'private-ca' ? (tls.names ?? null) : null,
    serverName: proxy.serverName ?? null,
    certificate: tls.source === 'acme' ? 'letsencrypt' : tls.source === 'files' ? 'files' : certificateOf(deployment),
    ...(tls.source === 'acme' ? { email: tls.email ?? null, agreeTos: tls.agreeTos } : {}),
    ...(tls.source === 'files' ? { certificateFile: tls.certificate, keyFile: tls.key } : {}),
    image: container.image ?? null,
    keys: auth.required,
  };
}

/** A private CA that does not name the public name leaves that to the proxy. */
function certificateOf({ tls, proxy }: Deployment): 'private-ca' | 'letsencrypt' {
  if (tls.source !== 'private-ca' || proxy.serverName === undefined) return 'private-ca';
  return tls.names === undefined ? 'letsencrypt' : 'private-ca';
}

function profileOfDeployment({ service, proxy, container }: Deployment): Answers['profile'] {
  if (service.manager === 'launchd') return 'macos';
  if (service.manager === 'kubernetes') return 'kubernetes';
  if (service.manager === 'docker' || service.manager === 'swarm') return 'docker';
  if (service.manager === 'systemd-user') return 'linux-user';
  if (service.manager !== 'none' && proxy.program !== 'none') return `linux-${proxy.program}`;
  if (container.kubernetes.ingress !== 'off' || container.kubernetes.gateway !== 'off') return 'kubernetes';
  return container.proxy === 'none' && container.image === undefined ? 'local' : 'docker';
}

/** Only those that stand for themselves: what else `env` says is its owner's. */
function variablesOf(env: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(env).flatMap(([name, value]) => (value === `\${${name}}` ? [name] : []));
}

/** Settings of one kind, which exclude each other: they change together. */
const wholes: ReadonlySet<string> = new Set(['tls']);

/** From one draft to the other, and only where the file, read as plain data, does not say it already. */
function changesBetween(before: unknown, after: unknown, now: unknown): readonly DeploymentChange[] {
  const changes: DeploymentChange[] = [];
  const visit = (from: unknown, to: unknown, there: unknown, path: SettingPath): void => {
    if (isDeepStrictEqual(from, to)) return;
    // An upstream that is not named any more stays: its owner takes it out.
    if (path.length === 3 && path[1] === 'upstreams' && to === undefined) return;
    const isWhole = path.length === 1 && wholes.has(String(path[0])) && kindOf(from) !== kindOf(to);
    if (isMap(to) && (isMap(from) || from === undefined) && isMap(there) && !isWhole) {
      for (const key of new Set([...Object.keys(from ?? {}), ...Object.keys(to)])) {
        visit(valueAt(from, key), to[key], valueAt(there, key), [...path, key]);
      }
      return;
    }
    if (isMap(from) && to === undefined && isMap(there) && Object.keys(there).some((key) => !(key in from))) {
      for (const key of Object.keys(from)) visit(from[key], undefined, there[key], [...path, key]);
      return;
    }
    if (!isDeepStrictEqual(there, to)) changes.push({ path, value: to });
  };
  visit(before, after, now, []);
  return changes;
}

function kindOf(tls: unknown): unknown {
  return valueAt(tls, 'source');
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueAt(value: unknown, key: string): unknown {
  return isMap(value) ? value[key] : undefined;
}
