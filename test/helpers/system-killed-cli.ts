import { runCli } from '../../src/cli/main.ts';
import { createPorts } from '../../src/host/ports.ts';

/**
 * mcp-deploy that is killed (SIGKILL) at step K of its plan: right after the journal says that it begins, or when it is carried
 * out and the journal does not know yet. Bundled and run on a host: node FILE K begun|acted WORDS…
 */
const [k = '', moment = '', ...words] = process.argv.slice(2);
const ports = createPorts();
const { files } = ports;

process.exitCode = await runCli(words, undefined, {
  ports: {
    ...ports,
    files: {
      ...files,
      async appendDurably(path, line, mode) {
        const entry = JSON.parse(line) as { type?: unknown; index?: unknown };
        const isIt = String(entry.index) === k;
        if (isIt && entry.type === 'done' && moment === 'acted') return die();
        await files.appendDurably(path, line, mode);
        if (isIt && entry.type === 'begin' && moment === 'begun') await die();
      },
    },
  },
});

function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}
