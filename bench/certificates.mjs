// Certificates: our default key and certificate against the recipe of most guides, and what a full TLS handshake costs a
// server with each kind of key.
//   node bench/certificates.mjs
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));

/** The section of the report, as Markdown. */
export async function measureCertificates({ rounds = 9, handshakes = 300 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-bench-certificates-'));
  try {
    const pki = await loadPki(folder);
    const making = await measureMaking(pki, folder, rounds);
    const kinds = [];
    for (const algorithm of ['ec-p256', 'rsa-2048', 'rsa-4096']) {
      kinds.push({ algorithm, ...(await measureHandshakes(pki, folder, algorithm, handshakes)) });
    }
    return format(making, kinds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Our own code as the package holds it: bundled, run by plain Node. */
async function loadPki(folder) {
  const outfile = join(folder, 'pki.mjs');
  await build({
    stdin: {
      contents: `export { issueSelfSigned } from './src/pki/issue-certificate.ts';`,
      resolveDir: join(here, '..'),
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'warning',
    banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
  });
  return import(outfile);
}

/** Both in turns, so that noise of the machine falls on both; keys and files as a user gets them. */
async function measureMaking(pki, folder, rounds) {
  const [ours, recipe] = [[], []];
  await pki.issueSelfSigned({ names: ['localhost'], validDays: 397 });
  for (let round = 0; round < rounds; round += 1) {
    let startedAt = performance.now();
    const made = await pki.issueSelfSigned({ names: ['localhost'], validDays: 397 });
    writeFileSync(join(folder, 'ours.key'), made.keyPem);
    writeFileSync(join(folder, 'ours.crt'), made.certificatePem);
    ours.push(performance.now() - startedAt);
    startedAt = performance.now();
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:4096',
        '-nodes',
        '-subj',
        '/CN=localhost',
        '-days',
        '365',
        '-keyout',
        join(folder, 'theirs.key'),
        '-out',
        join(folder, 'theirs.crt'),
      ],
      { stdio: 'ignore' },
    );
    recipe.push(performance.now() - startedAt);
  }
  return { oursMs: median(ours), recipeMs: median(recipe) };
}

const serverCode = `
  import { createServer } from 'node:tls';
  import { readFileSync } from 'node:fs';
  const [key, cert] = process.argv.slice(1).map((file) => readFileSync(file));
  // No tickets and no cache: every handshake is a full one.
  const { constants } = await import('node:crypto');
  const server = createServer({ key, cert, secureOptions: constants.SSL_OP_NO_TICKET, sessionTimeout: 1 }, (socket) => {
    socket.on('error', () => {});
    socket.end('x');
  });
  server.listen(0, '127.0.0.1', () => process.stdout.write(server.address().port + '\\n'));
  process.on('message', () => process.send(process.cpuUsage()));
`;

/** CPU of the server's process alone for each full handshake; the clients' share is not in it. */
async function measureHandshakes(pki, folder, algorithm, handshakes) {
  const made = await pki.issueSelfSigned({ names: ['localhost'], validDays: 30, algorithm });
  const files = [join(folder, `${algorithm}.key`), join(folder, `${algorithm}.crt`)];
  writeFileSync(files[0], made.keyPem);
  writeFileSync(files[1], made.certificatePem);
  const server = spawn(process.execPath, ['--input-type=module', '-e', serverCode, ...files], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  try {
    const port = Number(await new Promise((resolve) => server.stdout.once('data', resolve)));
    for (let warm = 0; warm < 30; warm += 1) await handshake(port);
    const before = await cpuOf(server);
    const startedAt = performance.now();
    for (let done = 0; done < handshakes; done += 1) await handshake(port);
    const seconds = (performance.now() - startedAt) / 1_000;
    const after = await cpuOf(server);
    return {
      cpuMs: (after.user + after.system - before.user - before.system) / 1_000 / handshakes,
      perSecond: handshakes / seconds,
    };
  } finally {
    server.kill('SIGKILL');
  }
}

function cpuOf(server) {
  return new Promise((resolve) => {
    server.once('message', resolve);
    server.send('cpu');
  });
}

function handshake(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('data', () => {});
    socket.once('error', reject);
    socket.once('close', resolve);
    socket.once('secureConnect', () => {
      if (socket.isSessionReused()) reject(new Error('the handshake was not a full one'));
    });
  });
}

function median(values) {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
}

function format({ oursMs, recipeMs }, kinds) {
  const rsa4096 = kinds.find(({ algorithm }) => algorithm === 'rsa-4096');
  const ec = kinds.find(({ algorithm }) => algorithm === 'ec-p256');
  const cpuRatio = ec.cpuMs / rsa4096.cpuMs;
  return [
    '## Certificates',
    '',
    '| key and certificate, written to disk | ms (median) |',
    '|---|--:|',
    `| ours, EC P-256 | ${oursMs.toFixed(1)} |`,
    `| \`openssl req -x509 -newkey rsa:4096\` | ${recipeMs.toFixed(0)} |`,
    '',
    `Ours is ${(recipeMs / oursMs).toFixed(0)} x faster (goal: 50 x).`,
    '',
    '| full TLS 1.3 handshake | server CPU ms | one after the other, per second |',
    '|---|--:|--:|',
    ...kinds.map(
      ({ algorithm, cpuMs, perSecond }) => `| ${algorithm} | ${cpuMs.toFixed(2)} | ${perSecond.toFixed(0)} |`,
    ),
    '',
    `A handshake with our default costs ${cpuRatio.toFixed(2)} of one with RSA-4096 (goal: at most 0.25).`,
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(await measureCertificates());
