/**
 * The one script of the page: copy buttons, and the numbers of /status. The key is held in a variable and nowhere else;
 * texts go into the page as texts, never as markup.
 */
export const pageScript = String.raw`
'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const everyMs = 2000;
  const keptSamples = 90;
  const overMs = 60000;

  for (const button of document.querySelectorAll('.copy')) {
    button.hidden = false;
    let back = 0;
    button.addEventListener('click', async () => {
      const source = byId(button.dataset.copies);
      const done = await copyText(source);
      say(done ? 'Copied.' : 'The browser does not let this page copy: the text is selected.', byId('copied'));
      button.textContent = done ? 'Copied' : 'Selected';
      clearTimeout(back);
      back = setTimeout(() => { button.textContent = 'Copy'; say('', byId('copied')); }, 2000);
    });
  }

  async function copyText(source) {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      // Without HTTPS there is no clipboard: selected text can be copied by hand.
      getSelection().selectAllChildren(source);
      try { return document.execCommand('copy'); } catch { return false; }
    }
  }

  function say(text, where) {
    if (where.textContent !== text) where.textContent = text;
  }

  const said = byId('said');
  const form = byId('key-form');
  const numbers = byId('numbers');
  const isLocal = document.body.dataset.local === 'true';
  let key = null;
  let timer = 0;
  let round = 0;
  let failures = 0;
  const samplesOf = new Map();

  if (form !== null) {
    form.hidden = false;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const typed = byId('key').value.trim();
      if (typed === '') return;
      if (!/^[\x21-\x7e]+$/.test(typed)) {
        say('A key has letters, digits and signs only, and no spaces.', said);
        byId('key').focus();
        return;
      }
      key = typed;
      start();
    });
  }
  byId('stop').addEventListener('click', () => {
    stop('Stopped.');
    if (form !== null) byId('key').focus();
  });
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (!document.hidden && isWatching()) ask(round);
  });
  addEventListener('pagehide', () => stop(''));
  if (isLocal) start();

  function isWatching() {
    return !numbers.hidden || failures > 0;
  }

  function start() {
    clearTimeout(timer);
    samplesOf.clear();
    failures = 0;
    say('Asking …', said);
    ask(++round);
  }

  function stop(text) {
    clearTimeout(timer);
    round++;
    failures = 0;
    key = null;
    samplesOf.clear();
    numbers.hidden = true;
    if (form !== null) { form.hidden = false; byId('key').value = ''; }
    say(text, said);
  }

  async function ask(mine) {
    let answer;
    try {
      answer = await fetch('/status', {
        headers: key === null ? {} : { Authorization: 'Bearer ' + key },
        cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer',
        signal: AbortSignal.timeout(10000),
      });
      if (mine !== round) return;
      if (answer.status === 401) {
        stop('This key is not accepted. Check that it is whole, and not revoked or expired.');
        if (form !== null) byId('key').focus();
        return;
      }
      if (answer.status === 429) {
        const seconds = Number(answer.headers.get('Retry-After')) || 0;
        stop('Too many wrong keys came from this address. Try again' + (seconds > 0 ? ' in ' + describeSeconds(seconds) : ' later') + '.');
        return;
      }
      if (answer.status === 403 || answer.status === 404) {
        stop('What stands before this server does not let its numbers through (' + answer.status + ').');
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const status = await answer.json();
      if (mine !== round) return;
      show(status);
    } catch {
      if (mine !== round) return;
      failures++;
      say('The server does not answer; asking again.', said);
    }
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(() => ask(mine), Math.min(everyMs * 2 ** Math.min(failures, 4), 30000));
  }

  const words = {
    ready: ['good', 'Ready: calls are answered.'],
    starting: ['waits', 'Starting: what stands behind this address is not ready yet.'],
    draining: ['waits', 'Stopping: calls in flight finish, new ones are refused.'],
    'audit-blocked': ['bad', 'Calls are refused until their record can be written again.'],
    unavailable: ['bad', 'Unavailable: nothing behind this address can be called now.'],
  };

  function show(status) {
    failures = 0;
    const now = performance.now();
    // Several servers may answer in turn behind one address, each with counts of its own; one that was restarted is another.
    samplesOf.set(status.startedAt, [...(samplesOf.get(status.startedAt) || []), { at: now, totals: status.totals, durations: status.durations || {} }].slice(-keptSamples));
    for (const [server, kept] of samplesOf) if (now - kept.at(-1).at > overMs) samplesOf.delete(server);
    const samples = samplesOf.get(status.startedAt);
    const first = samples.find((sample) => now - sample.at <= overMs) || samples[0];
    const isFresh = samples.length < 2;
    const seconds = (now - first.at) / 1000;
    const since = (name) => status.totals[name] - first.totals[name];
    const counts = {};
    for (const [bound, count] of Object.entries(status.durations || {})) counts[bound] = count - (isFresh ? 0 : first.durations[bound] || 0);

    if (form !== null) form.hidden = true;
    const wasHidden = numbers.hidden;
    numbers.hidden = false;
    say(samplesOf.size > 1 ? 'Watching several servers behind this address in turn; the numbers are of one at a time.' : 'Watching; the numbers are of the last minute.', said);
    if (wasHidden && form !== null) byId('stop').focus({ preventScroll: true });
    const [state, text] = words[status.status] || ['waits', status.status];
    byId('health').dataset.state = state;
    byId('health').lastChild.textContent = text;

    const rates = [];
    for (let at = 1; at < samples.length; at++) {
      const spent = (samples[at].at - samples[at - 1].at) / 1000;
      rates.push((samples[at].totals.requests - samples[at - 1].totals.requests) / Math.max(spent, 0.001));
    }
    const recent = samples[Math.max(0, samples.length - 4)];
    const span = (now - recent.at) / 1000;
    const rate = span > 0 ? (status.totals.requests - recent.totals.requests) / span : null;
    const inFlight = status.upstreams.reduce((total, { inFlight = 0 }) => total + inFlight, 0);
    showCards([
      ['Calls per second', rate === null ? '…' : rate.toFixed(rate < 10 ? 1 : 0), 'rate'],
      ['Half of them within', describeLatency(percentile(counts, 0.5)), 'p50'],
      ['95 of 100 within', describeLatency(percentile(counts, 0.95)), 'p95'],
      ['Calls since the start', count(status.totals.requests), 'requests'],
      ['Errors', count(status.totals.errors), 'errors', seconds > 1 ? since('errors') : 0],
      ['Over a limit', count(status.totals.rateLimited), 'limited', seconds > 1 ? since('rateLimited') : 0],
      ['Refused keys', count(status.totals.authFailures), 'refused', seconds > 1 ? since('authFailures') : 0],
      ['In flight', count(inFlight), 'in-flight'],
      ['Sessions', count(status.sessions), 'sessions'],
      ['Streams', count(status.streams), 'streams'],
      ['Running for', describeSeconds(status.uptimeSeconds), 'uptime'],
      ['Version', status.version, 'version'],
    ]);
    drawChart(rates);
    showUpstreams(status.upstreams);
    showCertificate(status.certificate);
  }

  function showCards(cards) {
    const list = byId('cards');
    for (const [title, value, id, more] of cards) {
      let shown = byId('card-' + id);
      if (shown === null) {
        const box = document.createElement('div');
        const term = document.createElement('dt');
        shown = document.createElement('dd');
        shown.id = 'card-' + id;
        term.textContent = title;
        box.append(term, shown);
        list.append(box);
      }
      shown.textContent = value;
      if (more > 0) {
        const small = document.createElement('small');
        small.textContent = ' +' + count(more);
        shown.append(small);
      }
    }
  }

  function showUpstreams(upstreams) {
    byId('upstreams').replaceChildren(...upstreams.map((upstream) => {
      const row = document.createElement('tr');
      const name = document.createElement('th');
      name.scope = 'row';
      name.textContent = upstream.name;
      const state = document.createElement('td');
      const held = Object.keys(upstream.breakers || {});
      const word = upstream.state + (held.length > 0 ? ', breaker open' : '') + (upstream.reason ? ': ' + upstream.reason : '');
      state.textContent = word;
      state.className = upstream.state === 'up' ? (held.length > 0 ? 'state-waits' : 'state-good') : upstream.state === 'starting' ? 'state-waits' : 'state-bad';
      const cells = [upstream.inFlight, upstream.restarts].map((number) => {
        const cell = document.createElement('td');
        cell.textContent = count(number || 0);
        return cell;
      });
      row.append(name, state, ...cells);
      return row;
    }));
  }

  function showCertificate(certificate) {
    const where = byId('certificate');
    if (!certificate) {
      where.textContent = 'This server speaks plain HTTP: the certificate is that of what stands before it.';
      return;
    }
    const { daysLeft, notAfter, names } = certificate;
    where.className = daysLeft > 30 ? '' : daysLeft > 7 ? 'state-waits' : 'state-bad';
    const left = daysLeft < 0 ? 'Expired' : daysLeft === 1 ? '1 day left' : count(daysLeft) + ' days left';
    where.textContent = left + ', until ' + notAfter.slice(0, 10) + ', for ' + names.join(', ') + '.';
  }

  function drawChart(rates) {
    if (rates.length === 1) rates = [rates[0], rates[0]];
    const highest = Math.max(1, ...rates);
    const step = 600 / (keptSamples - 2);
    const from = 600 - (rates.length - 1) * step;
    const points = rates.map((rate, at) => (from + at * step).toFixed(1) + ' ' + (86 - (rate / highest) * 78).toFixed(1));
    const line = points.length < 2 ? '' : 'M' + points.join('L');
    byId('chart-line').setAttribute('d', line);
    byId('chart-area').setAttribute('d', line === '' ? '' : line + 'L600 90L' + from.toFixed(1) + ' 90Z');
    byId('chart').setAttribute('aria-label', 'Calls per second in the last minutes, at most ' + highest.toFixed(1));
  }

  /* Linear within the bucket it falls into, as Prometheus has it. */
  function percentile(counts, part) {
    const buckets = Object.entries(counts).map(([bound, many]) => [bound === 'more' ? Infinity : Number(bound), many]).sort((a, b) => a[0] - b[0]);
    const total = buckets.reduce((sum, [, many]) => sum + many, 0);
    if (total <= 0) return null;
    let left = total * part;
    let lower = 0;
    for (const [bound, many] of buckets) {
      if (many > 0 && many >= left) return bound === Infinity ? Infinity : lower + (bound - lower) * (left / many);
      left -= many;
      lower = bound;
    }
    return Infinity;
  }

  function describeLatency(seconds) {
    if (seconds === null) return '–';
    if (seconds === Infinity) return '> 1 min';
    return seconds < 1 ? Number((seconds * 1000).toPrecision(2)) + ' ms' : seconds.toFixed(1) + ' s';
  }

  function describeSeconds(seconds) {
    if (seconds < 120) return Math.round(seconds) + ' s';
    if (seconds < 7200) return Math.round(seconds / 60) + ' min';
    if (seconds < 172800) return Math.round(seconds / 3600) + ' h';
    return Math.round(seconds / 86400) + ' d';
  }

  function count(number) {
    return Number(number).toLocaleString('en');
  }
})();
`;
