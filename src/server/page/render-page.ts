import { createHash } from 'node:crypto';
import { clients, clientSnippet } from '../../clients/index.ts';
import type { ClientSnippet, SnippetOptions } from '../../clients/types.ts';
import { pageScript } from './page-script.ts';
import { pageStyle } from './page-style.ts';

/** What the page is made of: nothing that only callers may know. */
export interface PageFacts {
  readonly name: string;
  /** The endpoint as the visitor reaches it. */
  readonly url: string;
  readonly asksForKey: boolean;
  /** Whether clients have to be told to trust the certificate. */
  readonly hasPrivateCa: boolean;
  /** JSON of /readyz without detail. */
  readonly readiness: string;
  /** Whether the live numbers are shown without a key. */
  readonly isLocal: boolean;
}

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Headers of the page. Nothing runs in it but the one script and the one style that stand in it; it talks to its own server alone. */
export const pageHeaders: readonly string[] = [
  'Content-Security-Policy',
  [
    "default-src 'none'",
    `script-src ${hashOf(pageScript)}`,
    `style-src ${hashOf(pageStyle)}`,
    'img-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'Cache-Control',
  'no-store',
  'Vary',
  'Accept',
  'X-Content-Type-Options',
  'nosniff',
  'X-Frame-Options',
  'DENY',
  'Referrer-Policy',
  'no-referrer',
  'Cross-Origin-Opener-Policy',
  'same-origin',
  'Cross-Origin-Resource-Policy',
  'same-origin',
];

/** The page for a person who opens the server's address in a browser. All but the live numbers works without JavaScript. Pure. */
export function renderPage(facts: PageFacts): string {
  const { name, url } = facts;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex, nofollow">
<title>${escapeHtml(name)}: MCP server</title>
<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(icon)}">
<style>${pageStyle}</style>
</head>
<body data-asks-for-key="${facts.asksForKey}" data-local="${facts.isLocal}">
<a class="skip" href="#connect">Skip to the content</a>
<header>
<p class="kind">MCP server</p>
<h1>${escapeHtml(name)}</h1>
<p class="lead">Programs such as Claude Code, Cursor or VS Code connect to this address and use the tools behind it. There is nothing to browse here: this page says how to connect them, and how the server is doing.</p>
${renderHealth(facts.readiness)}
${renderCopyable('Address of the endpoint', url, 'address')}
</header>
<main>
<section id="connect" aria-labelledby="connect-title" tabindex="-1">
<h2 id="connect-title">Connect a client</h2>
<ol class="steps">
${renderKeyStep(facts)}
${renderTrustStep(facts)}
<li>
<h3>Your client</h3>
<p>${facts.asksForKey || facts.hasPrivateCa ? 'Paths that begin with <code>./</code> stand for where you saved the files: write them in full.' : 'Choose yours.'}</p>
<div class="clients">
${renderClients(facts)}
</div>
</li>
</ol>
</section>
${renderTroubles(facts)}
${renderLive(facts)}
</main>
<p id="copied" class="unseen" role="status" aria-live="polite"></p>
<footer><p>Served by mcp-deploy. Nothing on this page comes from another place, and it keeps nothing.</p></footer>
<script>${pageScript}</script>
</body>
</html>
`;
}

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0f5f58"/><path d="M9 22V10l7 8 7-8v12" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/></svg>';

/** What /readyz says, for a person. */
const healthWords: Readonly<Record<string, readonly [state: 'good' | 'waits' | 'bad', words: string]>> = {
  ready: ['good', 'Ready: calls are answered.'],
  starting: ['waits', 'Starting: what stands behind this address is not ready yet.'],
  draining: ['waits', 'Stopping: calls in flight finish, new ones are refused.'],
  'audit-blocked': ['bad', 'Calls are refused until their record can be written again.'],
  unavailable: ['bad', 'Unavailable: nothing behind this address can be called now.'],
};

function renderHealth(readiness: string): string {
  const { status } = JSON.parse(readiness) as { readonly status: string };
  const [state, words] = healthWords[status] ?? ['waits', 'The state is not known.'];
  return `<p class="health" id="health" data-state="${state}"><span class="dot" aria-hidden="true"></span>${words}</p>`;
}

function renderKeyStep({ asksForKey }: PageFacts): string {
  if (!asksForKey) return '<li>\n<h3>No key</h3>\n<p>This endpoint asks for none.</p>\n</li>';
  return `<li>
<h3>A key</h3>
<p>Ask whoever runs this server for a key of your own, and put it into a file that only you can read:</p>
${renderCopyable('Command that saves the key', '(umask 077 && cat > mcp.key)   # paste the key, Enter, then Ctrl-D', 'command')}
<p class="aside">A key stands for you. Share it with nobody, and tell whoever gave it to you when it is lost.</p>
</li>`;
}

function renderTrustStep({ hasPrivateCa, url }: PageFacts): string {
  if (!url.startsWith('https:')) return '';
  if (!hasPrivateCa) {
    return '<li>\n<h3>Trust</h3>\n<p>If your browser trusts this page, so will most clients: there is nothing to do.</p>\n</li>';
  }
  return `<li>
<h3>Trust</h3>
<p>The certificate of this server is from a private authority. Ask whoever runs it for the certificate of that authority, by another way than this page, and save it as <code>mcp-ca.crt</code>.</p>
</li>`;
}

/** The same texts that `mcp-deploy client print` gives. */
function renderClients(facts: PageFacts): string {
  const options: SnippetOptions = {
    name: facts.name,
    url: facts.url,
    keyFile: facts.asksForKey ? './mcp.key' : null,
    caFile: facts.hasPrivateCa ? './mcp-ca.crt' : null,
    keyVariable: 'MCP_KEY',
  };
  const known = clients.map(({ id }, index) => renderClient(clientSnippet(id, options), index === 0));
  const header = facts.asksForKey ? '<p>Send this header, with your key in place of <code>KEY</code>:</p>' : '';
  const other = `<details name="client">
<summary>Any other client</summary>
<div class="client">
<p>Streamable HTTP:</p>
${renderCopyable('Address for any other client', facts.url, 'other-address')}
${header}${facts.asksForKey ? `\n${renderCopyable('Header for any other client', 'Authorization: Bearer KEY', 'other-header')}` : ''}
<p class="aside">Both eras of the protocol are answered: 2026-07-28, and 2025-11-25 and older.</p>
</div>
</details>`;
  return [...known, other].join('\n');
}

function renderClient({ client, title, file, text, notes }: ClientSnippet, isOpen: boolean): string {
  const where = file === null ? 'Run in a terminal:' : `Put into <code>${escapeHtml(file)}</code>:`;
  const listed = notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('\n');
  return `<details name="client"${isOpen ? ' open' : ''}>
<summary>${escapeHtml(title)}</summary>
<div class="client">
<p>${where}</p>
${renderCopyable(`Settings for ${title}`, text.trimEnd(), `for-${client}`)}
${notes.length === 0 ? '' : `<ul class="notes">\n${listed}\n</ul>`}
</div>
</details>`;
}

/** A text with a button; the button is there only where a script can make it work. */
function renderCopyable(label: string, text: string, id: string): string {
  const escaped = escapeHtml(text);
  return `<div class="copyable"><pre id="${id}"><code>${escaped}</code></pre><button type="button" class="copy" data-copies="${id}" aria-label="Copy: ${escapeHtml(label)}" hidden>Copy</button></div>`;
}

function renderTroubles({ asksForKey, hasPrivateCa, url }: PageFacts): string {
  const rows = [
    ...(asksForKey ? [['401, unauthorized', 'The key is missing, wrong or revoked.']] : []),
    ...(hasPrivateCa
      ? [['self-signed certificate, unable to verify', 'The client does not trust the authority of step 2 yet.']]
      : []),
    ['429, too many requests', 'Wait as long as Retry-After says.'],
    ['connection refused, timed out', 'This address is not reachable from where the client runs.'],
  ].map(([says, means]) => `<tr><th scope="row">${says}</th><td>${means}</td></tr>`);
  const doctor = `npx mcp-deploy doctor ${url}${asksForKey ? ' --key-file ./mcp.key' : ''}${hasPrivateCa ? ' --ca ./mcp-ca.crt' : ''}`;
  return `<section aria-labelledby="trouble-title">
<h2 id="trouble-title">When it does not connect</h2>
<table>
<thead><tr><th scope="col">The client says</th><th scope="col">It means</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
<p>This finds out which it is:</p>
${renderCopyable('Command that finds what is wrong', doctor, 'doctor')}
</section>`;
}

/** Filled by the script; what it shows comes from /status. */
function renderLive({ asksForKey, isLocal }: PageFacts): string {
  const form =
    asksForKey && !isLocal
      ? `<form id="key-form" hidden>
<label for="key">Your key</label>
<div class="row"><input id="key" type="password" autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="16384" aria-describedby="key-note" required><button type="submit" id="watch">Watch</button></div>
<p class="aside" id="key-note">It stays in the memory of this tab, goes to this server alone, and is gone when you close or reload the page.</p>
</form>`
      : '';
  const none =
    !asksForKey && !isLocal
      ? '<p>This server has no keys, so it shows its numbers on its own machine alone.</p>'
      : '<noscript><p>The live numbers need JavaScript. Everything above works without.</p></noscript>';
  return `<section id="live" aria-labelledby="live-title">
<h2 id="live-title">Live</h2>
${none}
${form}
<p id="said" role="status" aria-live="polite"></p>
<div id="numbers" hidden>
<div class="chart"><svg id="chart" viewBox="0 0 600 90" preserveAspectRatio="none" role="img" aria-label="Calls per second in the last minutes"><path id="chart-area"/><path id="chart-line"/></svg></div>
<dl class="cards" id="cards"></dl>
<h3>Upstreams</h3>
<div class="scrolls" tabindex="0" role="region" aria-label="Upstreams"><table><thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">In flight</th><th scope="col">Restarts</th></tr></thead><tbody id="upstreams"></tbody></table></div>
<h3>Certificate</h3>
<p id="certificate"></p>
<p><button type="button" id="stop">Stop</button></p>
</div>
</section>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
