import { basename } from 'node:path';

export interface NamedUpstream {
  /** 1 to 40 of a-z, 0-9 and -: always a valid name of an upstream. */
  readonly name: string;
  readonly upstream: { readonly command: string; readonly args: readonly string[] };
}

/** The upstream for a command line (`npx -y @scope/server-files /srv`), named after what it runs. argv must not be empty. */
export function upstreamFromCommand(argv: readonly string[]): NamedUpstream {
  const [command = '', ...args] = argv;
  return { name: slugOf(programName(command, args)), upstream: { command, args } };
}

/** Programs that run another one: which of their options take a value, so that the first other argument is its name. */
const runners: Readonly<
  Record<string, { readonly valued: ReadonlySet<string>; readonly verbs?: ReadonlySet<string> }>
> = {
  npx: { valued: new Set(['-p', '--package', '-w', '--workspace', '--registry', '--cache', '--prefix']) },
  bunx: { valued: new Set(['-p', '--package']) },
  pnpm: { valued: new Set(['-C', '--dir', '--package']), verbs: new Set(['dlx', 'exec', 'run']) },
  yarn: { valued: new Set(['--cwd', '-p', '--package']), verbs: new Set(['dlx', 'exec', 'run']) },
  npm: {
    valued: new Set(['--prefix', '-w', '--workspace']),
    verbs: new Set(['exec', 'x', 'run', 'run-script', 'start']),
  },
  uvx: { valued: new Set(['--from', '--with', '--python', '-p', '--index-url', '--directory']) },
  uv: {
    valued: new Set(['--from', '--with', '--python', '-p', '--directory', '--project', '--env-file']),
    verbs: new Set(['run', 'tool', 'x']),
  },
  pipx: { valued: new Set(['--spec', '--python', '--pip-args']), verbs: new Set(['run']) },
  node: { valued: new Set(['-r', '--require', '--import', '--loader', '--env-file', '-C', '--conditions']) },
  bun: { valued: new Set(['--cwd', '--env-file']), verbs: new Set(['run', 'x']) },
  deno: { valued: new Set(['--config', '-c', '--import-map', '--env-file']), verbs: new Set(['run', 'serve']) },
  tsx: { valued: new Set(['--tsconfig']) },
  python: { valued: new Set(['-W', '-X']) },
  ruby: { valued: new Set(['-I', '-r']) },
  java: { valued: new Set(['-cp', '-classpath', '--class-path', '-p', '--module-path']) },
  go: { valued: new Set(['-C', '-tags', '-ldflags']), verbs: new Set(['run']) },
  cargo: { valued: new Set(['--manifest-path', '-p', '--package', '--bin']), verbs: new Set(['run']) },
  dotnet: { valued: new Set(['--project', '-c', '--configuration']), verbs: new Set(['run', 'exec', 'tool']) },
  env: { valued: new Set(['-u', '--unset', '-C', '--chdir']) },
  sh: { valued: new Set() },
  bash: { valued: new Set() },
};

const dockerValued = new Set(
  '-e --env --env-file -v --volume --mount -p --publish --name --network --net -u --user -w --workdir -h --hostname -l --label -m --memory --cpus --entrypoint --platform --add-host --pull --restart --gpus --cap-add --cap-drop --security-opt --tmpfs --dns --log-driver --log-opt --device --ulimit --shm-size --stop-timeout --pids-limit --userns --ipc --pid --init-path -a --attach'.split(
    ' ',
  ),
);

function programName(command: string, args: readonly string[]): string {
  const program = programOf(command);
  if (program === 'docker' || program === 'podman' || program === 'nerdctl') {
    const image = firstPlain(args, dockerValued, new Set(['run', 'container']));
    return image === null ? program : imageName(image);
  }
  const runner = Object.hasOwn(runners, program) ? runners[program] : undefined;
  if (runner === undefined) return fileName(command);

  const module = args.indexOf('-m');
  if (program === 'python' && module !== -1) return args[module + 1] ?? program;
  const jar = args.indexOf('-jar');
  if (program === 'java' && jar !== -1) return fileName(args[jar + 1] ?? program);
  if ((program === 'sh' || program === 'bash') && args.some((argument) => /^-[a-z]*c$/.test(argument))) {
    const script = (args[args.findIndex((argument) => /^-[a-z]*c$/.test(argument)) + 1] ?? '').replace(/^exec\s+/, '');
    const words = script.split(/\s+/).filter((word) => word !== '');
    return words[0] === undefined ? program : programName(words[0], words.slice(1));
  }
  const subject = firstPlain(args, runner.valued, runner.verbs ?? new Set());
  if (subject === null) return program;
  if (program === 'env') {
    const rest = args.slice(args.indexOf(subject) + 1);
    return subject.includes('=') ? programName('env', rest) : programName(subject, rest);
  }
  return subject.startsWith('@') || !/[/\\]/.test(subject) ? packageName(subject) : fileName(subject);
}

function programOf(command: string): string {
  const name = baseName(command).replace(/\.(?:exe|cmd|bat)$/i, '');
  return /^python[0-9.]*$|^py$/.test(name) ? 'python' : name === 'nodejs' ? 'node' : name;
}

/** The first argument that is neither an option, nor the value of one, nor a verb of the runner. */
function firstPlain(args: readonly string[], valued: ReadonlySet<string>, verbs: ReadonlySet<string>): string | null {
  for (let index = 0; index < args.length; index += 1) {
    const argument = args[index] ?? '';
    if (argument === '--') return args[index + 1] ?? null;
    if (valued.has(argument)) index += 1;
    else if (argument !== '' && !argument.startsWith('-') && !verbs.has(argument)) return argument;
  }
  return null;
}

/** `@scope/server-files@1.2` and `mcp-server-git==1.0` without scope and version. */
function packageName(text: string): string {
  const bare = text.replace(/^@[^/]+\//, '').replace(/(?:@|==|>=|~=).*$/, '');
  return fileName(bare);
}

/** `ghcr.io/owner/image:tag@sha256:…` without registry, owner, tag and digest. */
function imageName(text: string): string {
  return baseName(text.split('@')[0] ?? text).replace(/:.*$/, '');
}

/** `./dist/my-server.js` -> my-server; `./my-server/dist/index.js` -> my-server: names that say nothing give way to the folder. */
function fileName(text: string): string {
  const parts = text.split(/[/\\]/).filter((part) => part !== '' && part !== '.' && part !== '..');
  const names = parts.map((part, index) =>
    index === parts.length - 1 ? part.replace(/\.(?:[cm]?[jt]sx?|py|rb|jar|sh|pl|php|dll|exe|go)$/i, '') : part,
  );
  return (
    names.findLast((name) => !/^(?:index|main|server|cli|app|dist|build|out|lib|bin|src|__main__)$/i.test(name)) ??
    names.at(-1) ??
    text
  );
}

function baseName(text: string): string {
  return basename(text.replaceAll('\\', '/'));
}

function slugOf(text: string): string {
  const slug = text
    .normalize('NFKD')
    // The accents that NFKD takes off their letters.
    .replaceAll(/\p{Mark}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replaceAll(/^-+/g, '')
    .slice(0, 40)
    .replaceAll(/-+$/g, '');
  return slug === '' ? 'server' : slug;
}
