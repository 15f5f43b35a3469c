import { describe, expect, test } from 'vitest';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { UserError } from '../../src/deployment/errors.ts';
import type { Deployment } from '../../src/deployment/schema.ts';
import { planDeployment } from '../../src/plan/plan-deployment.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { answersOf, deploymentText } from '../../src/cli/wizard/deployment-text.ts';
import { filesToLookFor, findServers } from '../../src/cli/wizard/find-servers.ts';
import { parseAnswers } from '../../src/cli/wizard/parse-answers.ts';
import { certificateKinds, profileIds } from '../../src/cli/wizard/profile-ids.ts';
import { profiles } from '../../src/cli/wizard/profiles.ts';
import { profilesFor, settleAnswers } from '../../src/cli/wizard/propose.ts';
import { missingAnswers } from '../../src/cli/wizard/ask.ts';
import { answersFileText, equivalentCommand } from '../../src/cli/wizard/same-again.ts';
import { wrapText } from '../../src/cli/output/wrap-text.ts';
import type { GivenAnswers } from '../../src/cli/wizard/answers.ts';
import { emptyHost } from '../helpers/host-facts.ts';
import { targetInput } from '../helpers/target-input.ts';
import { wizardFacts, withPrograms } from '../helpers/wizard-facts.ts';

const settle = (given: GivenAnswers, facts = wizardFacts()) => settleAnswers(given, null, facts);

function deploymentOf(text: string): Deployment {
  const parsed = parseDeployment(text, { file: 'mcp-deploy.yaml', env: {} });
  if (!parsed.ok) throw new Error(`${JSON.stringify(parsed.problems, null, 2)}\n${text}`);
  return parsed.deployment;
}

describe('an MCP server that the folder holds is found', () => {
  const sdk = { '@modelcontextprotocol/sdk': '^1' };
  const manifest = (content: object): { packageJson: string } => ({ packageJson: JSON.stringify(content) });
  const pyproject = (lines: string): { pyproject: string } => ({ pyproject: lines });
  const python = '[project]\nname = "notes"\ndependencies = ["mcp[cli]>=1.2"]\n';

  test.each<[string, Parameters<typeof wizardFacts>[0], string[], string | null]>([
    [
      'by its program',
      { ...manifest({ name: 'n', bin: { n: './dist/index.js' }, dependencies: sdk }), files: ['dist/index.js'] },
      ['node ./dist/index.js'],
      null,
    ],
    [
      'before it is built, and the command that builds it is said',
      manifest({ name: 'n', bin: 'dist/index.js', dependencies: sdk, scripts: { build: 'tsc' } }),
      ['node ./dist/index.js'],
      './dist/index.js is not there yet: npm run build',
    ],
    ['by a script', manifest({ scripts: { start: 'tsx x.ts' }, dependencies: sdk }), ['npm run --silent start'], null],
    [
      'by a script for stdio first',
      manifest({ scripts: { start: 'x', mcp: 'y' }, dependencies: sdk }),
      ['npm run --silent mcp'],
      null,
    ],
    [
      'by main',
      { ...manifest({ main: 'server.mjs', devDependencies: { fastmcp: '1' } }), files: ['server.mjs'] },
      ['node ./server.mjs'],
      null,
    ],
    ['by keyword', manifest({ keywords: ['mcp'], main: 'a.js' }), ['node ./a.js'], './a.js is not there yet'],
    [
      'with uv',
      { ...pyproject(`${python}[project.scripts]\nnotes = "notes.server:main"\n`), ...withPrograms('uv') },
      ['uv run notes'],
      null,
    ],
    [
      'in its virtual environment',
      { ...pyproject(`${python}[project.scripts]\nnotes = "n:main"\n`), files: ['.venv/bin/notes'] },
      ['./.venv/bin/notes'],
      null,
    ],
    [
      'by its module',
      pyproject(`${python}[project.scripts]\nnotes = "notes.server:main"\n`),
      ['python3 -m notes.server'],
      'it has to be installed for python3 (notes.server): pip install .',
    ],
    [
      'of poetry',
      {
        ...pyproject('[tool.poetry.dependencies]\nfastmcp = "^2"\n[tool.poetry.scripts]\nn = "n:run"\n'),
        ...withPrograms('uv'),
      },
      ['uv run n'],
      null,
    ],
    [
      'by requirements.txt',
      { requirements: 'requests\nfastmcp==2.1\n', files: ['server.py'], ...withPrograms('python3') },
      ['python3 server.py'],
      null,
    ],
  ])('%s', (_, facts, commands, remark) => {
    const found = findServers(wizardFacts(facts));
    expect(found.map(({ command }) => command.join(' '))).toEqual(commands);
    expect(found[0]?.remark).toBe(remark);
  });

  test.each<[string, Parameters<typeof wizardFacts>[0]]>([
    ['no MCP library', manifest({ bin: './x.js', dependencies: { express: '1' } })],
    [
      'a library of another name',
      { ...pyproject('[project]\ndependencies = ["mcp-unrelated"]\n[project.scripts]\na = "a:b"\n') },
    ],
    ['broken JSON', { packageJson: '{"bin":' }],
    ['broken TOML', pyproject('[project\n')],
    ['JSON that is no map', { packageJson: '[1]' }],
    ['a program outside of the folder', manifest({ bin: '../../etc/x.js', dependencies: sdk })],
    ['an absolute program', manifest({ bin: '/etc/x.js', dependencies: sdk })],
  ])('not with %s', (_, facts) => {
    expect(findServers(wizardFacts(facts))).toEqual([]);
  });

  test('servers of clients come last, each once, with names of variables only', () => {
    const found = findServers(
      wizardFacts({
        ...manifest({ main: 'a.js', dependencies: sdk }),
        clientServers: [
          { client: 'Cursor', name: 'files', command: ['npx', '-y', 'files'], env: ['TOKEN'] },
          { client: 'Zed', name: 'same', command: ['npx', '-y', 'files'], env: ['TOKEN'] },
          { client: 'Zed', name: 'own', command: ['node', './a.js'], env: [] },
        ],
      }),
    );
    expect(found.map(({ from }) => from)).toEqual(['package.json (main)', 'Cursor, "files"']);
    expect(found[1]?.env).toEqual(['TOKEN']);
  });

  test('no more files are looked for than a manifest can reasonably name, and none outside', () => {
    const bin = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`b${index}`, `x${index}.js`]));
    expect(filesToLookFor(JSON.stringify({ bin }), null)).toHaveLength(50);
    expect(filesToLookFor('{"main":"../x.js"}', null)).not.toContain('../x.js');
  });
});

describe('what is proposed comes from the machine', () => {
  const host = { isRoot: true, systemdRuns: true };
  test.each<[string, Parameters<typeof wizardFacts>[0], string]>([
    ['a machine of somebody', { ...withPrograms('nginx', 'systemctl'), systemdRuns: true }, 'local'],
    ['a host with nginx', { ...host, ...withPrograms('nginx', 'systemctl') }, 'linux-nginx'],
    ['a host with Caddy', { ...host, ...withPrograms('caddy', 'systemctl') }, 'linux-caddy'],
    ['a host with HAProxy', { ...host, ...withPrograms('haproxy', 'systemctl') }, 'linux-haproxy'],
    ['a host whose systemd does not run', { isRoot: true, ...withPrograms('nginx', 'systemctl') }, 'local'],
    ['a Mac', { platform: 'darwin' }, 'macos'],
  ])('%s', (_, facts, profile) => {
    expect(settle({}, wizardFacts(facts)).profile).toBe(profile);
  });

  test.each<[string, string | null, string | null]>([
    ['mcp.example.com', null, 'mcp.example.com'],
    ['Mcp.Example.com', null, 'mcp.example.com'],
    ['box', '127.0.1.1 box.example.com box\n', 'box.example.com'],
    ['box', '127.0.1.1\tbox box.example.com # comment box.other.com\n', 'box.example.com'],
    ['box', '127.0.1.1 box.localdomain.test box\n127.0.0.1 other.example.com other\n', null],
    ['box.local', null, null],
    ['box', '# 127.0.1.1 box.example.com box', null],
  ])('the public name of %s with %j is %s', (hostName, hostsFile, expected) => {
    expect(settle({ profile: 'linux-nginx' }, wizardFacts({ hostName, hostsFile })).serverName).toBe(expected);
  });

  test('a Mac is known by its .local name, the port is a free one, the name is that of the folder', () => {
    const answers = settle({}, wizardFacts({ platform: 'darwin', hostName: 'Adas-Mac.fritz.box', freePort: 8447 }));
    expect(answers.names).toEqual(['localhost', 'adas-mac', 'adas-mac.local', '127.0.0.1', '::1']);
    expect(answers.listen).toBe('localhost:8447');
    expect(answers.name).toBe('my-notes');
  });

  test('a profile says why it does not fit', () => {
    const why = Object.fromEntries(profilesFor(wizardFacts()).map(({ profile, unfit }) => [profile.id, unfit]));
    expect(why).toMatchObject({
      local: null,
      'linux-nginx': 'systemd does not run here',
      macos: 'for a Mac',
      docker: 'no docker here',
      kubernetes: null,
    });
    const root = wizardFacts({ ...withPrograms('systemctl', 'docker'), systemdRuns: true });
    const other = Object.fromEntries(profilesFor(root).map(({ profile, unfit }) => [profile.id, unfit]));
    expect(other).toMatchObject({ 'linux-nginx': 'no nginx here', docker: 'this user may not use Docker' });
  });

  test('what only a person knows is named with its flag', () => {
    const missing = missingAnswers(settle({ profile: 'linux-nginx', certificate: 'letsencrypt' }), wizardFacts());
    expect(missing.map(({ flag }) => flag)).toEqual(['--server-name']);
    const terms = settle({ profile: 'linux-nginx', certificate: 'letsencrypt', serverName: 'mcp.example.com' });
    expect(missingAnswers(terms, wizardFacts()).map(({ flag }) => flag)).toEqual(['--agree-tos']);
    const files = settle({ profile: 'linux-caddy', certificate: 'files', serverName: 'mcp.example.com' });
    expect(missingAnswers(files, wizardFacts()).map(({ key }) => key)).toEqual(['certificateFile', 'keyFile']);
    expect(missingAnswers(settle({}), wizardFacts())).toEqual([]);
  });
});

const everyWay = profileIds.flatMap((profile) =>
  certificateKinds.map((certificate) => [profile, certificate] as const),
);

describe.each(everyWay)('profile %s with %s', (profile, certificate) => {
  const given: GivenAnswers = {
    profile,
    certificate,
    serverName: 'mcp.example.com',
    email: 'ops@example.com',
    agreeTos: true,
    certificateFile: 'site.crt',
    keyFile: 'site.key',
    command: ['npx', '-y', '@acme/notes', 'two words'],
    env: ['NOTES_TOKEN'],
  };
  const answers = settle(given);
  const text = deploymentText(answers, null);

  test('its file parses, is planned and renders for every program that it names', () => {
    const deployment = deploymentOf(text);
    expect(deployment.server.upstreams['notes']).toMatchObject({ env: { NOTES_TOKEN: '${NOTES_TOKEN}' } });
    const { renders = [], next } = profiles.find(({ id }) => id === profile) ?? {};
    // What is rendered at once, and what the next commands render.
    const later =
      next?.(answers, 'deploy')
        .join('\n')
        .match(/(?<=mcp-deploy render ).*(?= --out)/)?.[0]
        .split(' ') ?? [];
    const programs = [...renders, ...later, deployment.proxy.program, deployment.service.manager];
    for (const program of programs.filter((name) => name !== 'none')) {
      expect(renderTarget(program as 'nginx', targetInput(deployment)).length).toBeGreaterThan(0);
    }
    if (deployment.service.manager === 'none' && deployment.tls.source === 'private-ca') {
      const plan = planDeployment({ deployment, deploymentText: text }, emptyHost());
      expect(plan.steps.map(({ id }) => id)).toContain('deployment-file');
    }
  });

  test('its answers come back from flags, from a file and from mcp-deploy.yaml', () => {
    const decided = { answers, apply: true, out: 'deploy' };
    for (const file of ['answers.yaml', 'answers.json']) {
      const {
        apply,
        out,
        version: _version,
        ...again
      } = parseAnswers(answersFileText(decided, file), { file, env: {} });
      expect({ apply, out }).toEqual({ apply: true, out: 'deploy' });
      expect(deploymentText(settle(again), null)).toBe(text);
    }
    // Answering the same again changes no byte.
    const deployment = deploymentOf(text);
    const existing = { text, deployment, answers: settleAnswers(answersOf(deployment), null, wizardFacts()) };
    expect(deploymentText(settleAnswers({}, existing.answers, wizardFacts()), existing)).toBe(text);
    expect(equivalentCommand(decided)).toMatch(
      new RegExp(`^mcp-deploy init --yes --profile ${profile} .* -- npx -y @acme/notes 'two words'$`),
    );
  });
});

describe('a deployment that is there is edited', () => {
  const before = `# mine
version: 1
name: notes # ours
server:
  listen: localhost:9000   # odd port
  upstreams:
    # the first
    files: { command: npx, args: [-y, files] }
limits:
  perKey: { requests: 7 }  # few
`;
  const deployment = deploymentOf(before);
  const existing = {
    text: before,
    deployment,
    answers: settleAnswers(answersOf(deployment), null, wizardFacts()),
  };
  const edit = (given: GivenAnswers): string =>
    deploymentText(settleAnswers(given, existing.answers, wizardFacts()), existing);

  test.each<[string, GivenAnswers, string]>([
    ['nothing', {}, before],
    ['the name', { name: 'other' }, before.replace('name: notes', 'name: other')],
    ['the address', { listen: 'localhost:9001' }, before.replace('9000', '9001')],
    [
      'another server beside the first',
      { command: ['node', 'x.js'], env: [] },
      before.replace('[-y, files] }\n', '[-y, files] }\n    x:\n      command: node\n      args: [x.js]\n'),
    ],
    ['keys', { keys: false }, `${before}auth:\n  required: false\n`],
  ])('only %s changes, and comments stay', (_, given, after) => {
    expect(edit(given)).toBe(after);
  });

  test('another profile brings its settings, and going back takes them away again', () => {
    const onHost = edit({ profile: 'linux-nginx', serverName: 'mcp.example.com' });
    for (const comment of ['# mine', '# ours', '# odd port', '# the first', '# few']) expect(onHost).toContain(comment);
    const now = deploymentOf(onHost);
    expect(now).toMatchObject({
      service: { manager: 'systemd' },
      proxy: { program: 'nginx' },
      limits: { perKey: { requests: 7 } },
    });
    const answers = settleAnswers(answersOf(now), null, wizardFacts());
    expect(answers.profile).toBe('linux-nginx');
    const back = deploymentText(settleAnswers({ profile: 'local' }, { ...answers, serverName: null }, wizardFacts()), {
      text: onHost,
      deployment: now,
      answers,
    });
    expect(deploymentOf(back)).toMatchObject({ service: { manager: 'none' }, proxy: { program: 'none' } });
    expect(back).toContain('# few');
  });
});

describe('an answers file is strict', () => {
  const problemsOf = (text: string, env = {}): string => {
    try {
      parseAnswers(text, { file: 'a.yaml', env });
      return '';
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return error.why ?? '';
    }
  };

  test.each<[string, string]>([
    ['version: 1\nprofil: local\n', 'a.yaml:2:1  profil is not a known setting\n  did you mean "profile"?'],
    ['version: 1\nprofile: linux-ngnix\n', 'a.yaml:2:10  profile must be'],
    ['version: 2\n', 'a.yaml:1:10  version'],
    ['name: a\n', 'version is missing'],
    ['', 'a.yaml:1:1  the file is empty'],
    ['- a\n', 'a.yaml:1:1  the file must be a map'],
    ['version: 1\nname: "Not Ok"\n', 'a.yaml:2:7  name'],
    ['version: 1\nlisten: 8443\n', 'a.yaml:2:9  listen must be'],
    ['version: 1\nlisten: nowhere\n', 'a.yaml:2:9  listen cannot be used\n  write host:port'],
    ['version: 1\ncommand: npx\n', 'a.yaml:2:10  command must be a list'],
    ['version: 1\ncommand: [a]\nurl: https://x.example.com/mcp\n', 'a.yaml:3:1  url cannot stand beside command'],
    ['version: 1\nheaders: { A: b }\n', 'a.yaml:2:1  headers goes with url'],
    ['version: 1\nurl: https://x.example.com/\nheaders: { Authorization: abc }\n', 'looks like a secret in the clear'],
    ['version: 1\nname: ${NOPE}\n', 'a.yaml:2:7  name needs NOPE, which is not set'],
    ['version: 1\nname: ${1}\n', 'has a ${ that starts no variable'],
    ['version: 1\nname: a\nname: b\n', 'a.yaml:3:1'],
    ['version: 1\nname: [\n', 'a.yaml:'],
    ['version: 1\n__proto__: 1\n', '__proto__ is not a known setting'],
  ])('%j is refused with its line and key', (text, words) => {
    expect(problemsOf(text)).toContain(words);
  });

  test('every problem is said at once, in the order of the file', () => {
    const why = problemsOf('version: 1\nnames: [http://x]\nkeys: maybe\nprofil: x\n');
    expect(why.match(/a\.yaml:\d+/g)).toEqual(['a.yaml:2', 'a.yaml:3', 'a.yaml:4']);
  });

  test('variables are filled, but where secrets may stand', () => {
    const text =
      'version: 1\nname: ${N:-notes}\nkeys: ${K}\nurl: https://x.example.com/\nheaders: { Authorization: "Bearer ${T}" }\n';
    expect(parseAnswers(text, { file: 'a', env: { K: 'false' } })).toMatchObject({
      name: 'notes',
      keys: false,
      headers: { Authorization: 'Bearer ${T}' },
    });
  });

  test('a secret among the arguments of the server is never written into it', () => {
    const answers = settle({ command: ['node', 's.js', '--token', 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'] });
    const decided = { answers, apply: false, out: null };
    const text = answersFileText(decided, 'a.yaml');
    expect(text).not.toContain('ghp_');
    expect(text).toContain('${MCP_SERVER_SECRET}');
    expect(equivalentCommand(decided)).not.toContain('ghp_');
    expect(parseAnswers(text, { file: 'a.yaml', env: {} }).command?.at(-1)).toBe('${MCP_SERVER_SECRET}');
  });
});

test('words are wrapped to the width, and a longer word stays whole', () => {
  expect(wrapText('one two three', { columns: 9, indent: 2 })).toBe('  one two\n  three');
  expect(wrapText('a https://example.com/mcp b', { columns: 10, indent: 0, hang: 2 })).toBe(
    'a\n  https://example.com/mcp\n  b',
  );
});
