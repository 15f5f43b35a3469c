import { describe, expect, test } from 'vitest';
import { hideSecretArguments, hideTokens, secretsInArguments } from '../../src/deployment/secrets-in-arguments.ts';
import { upstreamFromCommand } from '../../src/deployment/upstream-from-command.ts';

describe('an upstream is named after what its command runs', () => {
  test.each([
    ['npx -y @modelcontextprotocol/server-everything', 'server-everything'],
    ['npx --yes --package=typescript -- tsc', 'tsc'],
    ['npx -p foo bar', 'bar'],
    ['npx -y mcp-remote@latest https://example.com/mcp', 'mcp-remote'],
    ['/usr/bin/npx -y server@1.2.3', 'server'],
    ['C:\\Program\\npx.cmd -y server-x', 'server-x'],
    ['npm exec -- @acme/tool', 'tool'],
    ['pnpm dlx @acme/tool --flag', 'tool'],
    ['bunx @acme/tool', 'tool'],
    ['node ./dist/my-server.js --port 1', 'my-server'],
    ['node --import tsx src/files.ts', 'files'],
    ['node /srv/my-thing/dist/index.js', 'my-thing'],
    ['node server.mjs', 'server'],
    ['uvx mcp-server-git --repository .', 'mcp-server-git'],
    ['uvx --from git+https://example.com/x mcp-y', 'mcp-y'],
    ['uvx mcp-server-time==1.0', 'mcp-server-time'],
    ['uv run --directory /srv/weather weather.py', 'weather'],
    ['pipx run mcp-thing', 'mcp-thing'],
    ['python -m foo.bar', 'foo-bar'],
    ['python3.12 -u ./tools/Weather_Server.py', 'weather-server'],
    ['docker run -i --rm -e TOKEN -v /a:/b ghcr.io/acme/mcp-github:1.2 stdio', 'mcp-github'],
    ['docker run -i --rm mcp/fetch@sha256:abc', 'fetch'],
    ['docker run registry.local:5000/team/tool:latest', 'tool'],
    ['podman run --name x --network host tool', 'tool'],
    ['java -jar target/app-server.jar', 'app-server'],
    ['go run ./cmd/files', 'files'],
    ['deno run --allow-net main.ts', 'main'],
    ['env A=1 B=2 npx -y thing', 'thing'],
    ['sh -c |exec npx -y thing 2>/dev/null', 'thing'],
    ['./bin/my-tool', 'my-tool'],
    ['./run.sh', 'run'],
    ['/opt/acme/bin/server', 'acme'],
    ['日本', 'server'],
    ['Müller&Söhne', 'muller-sohne'],
    ['npx', 'npx'],
    ['docker', 'docker'],
    ['npx -y', 'npx'],
    ['node -e console.log(1)', 'console-log-1'],
    ['---', 'server'],
    [`npx ${'very-long-name-'.repeat(6)}`, 'very-long-name-very-long-name-very-long'],
  ])('%s -> %s', (line, name) => {
    // Behind a bar is one argument.
    const [words = '', last] = line.split('|');
    const argv = [...words.trim().split(' '), ...(last === undefined ? [] : [last])];
    const result = upstreamFromCommand(argv);
    expect(result.name).toBe(name);
    expect(result.name).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);
    expect(result.upstream).toEqual({ command: argv[0], args: argv.slice(1) });
  });

  test('whatever the command is, the name is a valid one', () => {
    for (const word of [
      '',
      '-',
      '...',
      '/',
      '@/',
      '@a/',
      '💥',
      'a'.repeat(500),
      '-a-',
      'A_B.C',
      '\n',
      'index.js',
      '..\\..',
    ]) {
      for (const argv of [
        [word],
        ['npx', word],
        ['node', word],
        ['docker', 'run', word],
        ['python', '-m', word],
        ['sh', '-c', word],
        ['env', word],
      ]) {
        expect(upstreamFromCommand(argv).name, JSON.stringify(argv)).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);
      }
    }
  });
});

const github = `ghp_${'a1B2'.repeat(9)}`;

describe('secrets on a command line', () => {
  test.each<[string[], string[], string[]]>([
    [['npx', '--api-key', 'abc123'], ['--api-key'], ['npx', '--api-key', '[x]']],
    [['npx', '--api-key=abc123'], ['--api-key'], ['npx', '--api-key=[x]']],
    [
      ['x', '--token', 'a', '--password', 'b'],
      ['--token', '--password'],
      ['x', '--token', '[x]', '--password', '[x]'],
    ],
    [['x', '-key', 'a'], ['-key'], ['x', '-key', '[x]']],
    [['x', github], ['ghp_…'], ['x', '[x]']],
    [['x', `sk-${'a'.repeat(30)}`], ['sk-a…'], ['x', '[x]']],
    [['x', `--header=Bearer ${github}`], ['ghp_…'], ['x', '--header=Bearer [x]']],
    [['docker', 'run', '-e', 'API_KEY=abc'], ['API_KEY'], ['docker', 'run', '-e', 'API_KEY=[x]']],
    [['x', '--header', 'Authorization: Bearer abc'], ['Authorization header'], ['x', '--header', 'Authorization: [x]']],
    [['x', 'postgres://user:pass@db/x'], ['postgres://…@'], ['x', 'postgres://user:[x]@db/x']],
    // Near misses.
    [['x', '--api-key', '${API_KEY}'], [], ['x', '--api-key', '${API_KEY}']],
    [['x', '--api-key', '$API_KEY'], [], ['x', '--api-key', '$API_KEY']],
    [['x', '--key', './server.key'], [], ['x', '--key', './server.key']],
    [['x', '--token', '--verbose'], [], ['x', '--token', '--verbose']],
    [['x', '--token'], [], ['x', '--token']],
    [
      ['x', '--keyboard', 'de', '--tokens-per-call', '5', '--author', 'me'],
      [],
      ['x', '--keyboard', 'de', '--tokens-per-call', '5', '--author', 'me'],
    ],
    [['x', 'sk-short', 'https://example.com/a:b@c'], [], ['x', 'sk-short', 'https://example.com/a:b@c']],
    [['x', '-e', 'API_KEY'], [], ['x', '-e', 'API_KEY']],
    [['x', 'KEYBOARD=de'], [], ['x', 'KEYBOARD=de']],
  ])('%j names %j', (argv, names, shown) => {
    expect(secretsInArguments(argv)).toEqual(names);
    expect(hideSecretArguments(argv, '[x]')).toEqual(shown);
  });

  test('hideTokens hides every well-known token in a text', () => {
    expect(hideTokens(`a ${github} b ${github}`, '[x]')).toBe('a [x] b [x]');
  });
});
