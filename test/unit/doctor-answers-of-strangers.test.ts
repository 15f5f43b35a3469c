import { expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { judgeObservations } from '../../src/doctor/judge-observations.ts';
import type { Answer, Observations } from '../../src/doctor/observations.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { noClients } from '../helpers/doctor-cases/parts.ts';
import {
  answer,
  answers,
  foreign,
  healthyObservations,
  noAnswer,
  page,
  target,
} from '../helpers/healthy-observations.ts';

const rpc = '{"jsonrpc":"2.0","id":"doctor","result":{}}';

test.each([
  ['timed-out', 'text/event-stream', 'the server opens an event stream and sends no message on it'],
  ['timed-out', 'application/json', 'the server begins an answer and does not end it'],
  ['reset', 'application/json', 'the server cuts the connection in the middle of an answer'],
] as const)('an answer that has only a head is told from silence: %s, %s', (kind, contentType, title) => {
  const begun = { ...noAnswer(kind, 'nothing more'), head: { status: 200, contentType } };
  const report = judge(everywhere(begun));
  expect(report).toMatchObject({ rootCause: 'http/answers', findings: [{ title }] });
  expect(report.findings[0]?.evidence[0]?.observed).toBe(`200, ${contentType}, then nothing more`);
});

test.each([
  [
    'JSON said to be text',
    text(200, rpc, 'text/plain'),
    'http/json-not-html',
    'server',
    'the JSON of the server says it is text/plain',
  ],
  [
    'JSON said to be a page',
    text(200, rpc, 'text/html'),
    'http/json-not-html',
    'server',
    'the JSON of the server says it is text/html',
  ],
  [
    'an application that says OK',
    text(200, 'OK', 'text/plain'),
    'http/endpoint-found',
    'server',
    'there is no MCP endpoint at /mcp',
  ],
  [
    'an application that speaks JSON',
    answer(200, { ok: true }),
    'http/endpoint-found',
    'server',
    'there is no MCP endpoint at /mcp',
  ],
  ['200 and nothing else', text(200, '', ''), 'http/endpoint-found', 'server', 'there is no MCP endpoint at /mcp'],
  ['a page with 400', page(400, 'Bad Request'), 'http/endpoint-found', 'proxy', 'there is no MCP endpoint at /mcp'],
  [
    'a page with 403',
    page(403, 'Forbidden'),
    'key/bearer',
    'proxy',
    'a page with 403 answers, with the key as without it',
  ],
  [
    'Basic',
    page(401, 'x', { 'www-authenticate': 'Basic realm="x"' }),
    'key/bearer',
    'proxy',
    'a user name and a password are asked for, not a key',
  ],
  ['a refusal in JSON', answer(403, { error: 'forbidden' }), 'key/bearer', 'server', 'the key is refused'],
] as const)('%s is told for what it is', (_, given, code, hop, title) => {
  expect(judge(everywhere(given))).toMatchObject({ rootCause: code, findings: [{ hop, title }] });
});

test.each([
  'The plain HTTP request was sent to HTTPS port',
  'Client sent an HTTP request to an HTTPS server.',
  "You're speaking plain HTTP to an SSL-enabled server port.",
])('an http:// URL of a port with TLS is corrected: %s', (words) => {
  const plain = { url: 'http://mcp.example.com:8443/mcp', encrypted: false };
  const report = judge(target(everywhere(page(400, words)), plain));
  const fix = { commands: ['mcp-deploy doctor https://mcp.example.com:8443/mcp'] };
  expect(report.findings.find(({ code }) => code === 'http/answers')).toMatchObject({ hop: 'client', fix });
});

test.each([
  ['429', answer(429, { error: 'slow down' }, { 'retry-after': '30' })],
  ['no answer', noAnswer('timed-out', 'no answer within 10000 ms')],
])('%s to everything gives no tick for keys and sizes', (_, given) => {
  const { passed } = judge({
    ...everywhere(given),
    sizes: { status: 'ok', bodyBytes: 1, body: given, headerBytes: 1, header: given },
  });
  expect(passed.map(({ code }) => code).filter((code) => /^(?:key|sizes)/.test(code))).toEqual(['key/well-formed']);
});

function text(status: number, body: string, contentType: string): Answer {
  return { ...page(status, body), headers: contentType === '' ? {} : { 'content-type': contentType } } as Answer;
}

/** A server of somebody else that answers so, whatever key is sent. */
function everywhere(given: Answer): Observations {
  const seen = noClients(foreign(healthyObservations()));
  return answers(seen, {
    noKey: given,
    wrongKey: given,
    bearer: given,
    xApiKey: given,
    smallBearer: given,
    discovered: given,
  });
}

function judge(observations: Observations): DoctorReport {
  const selected = new Set(catalogue.map(({ code }) => code));
  return judgeObservations({ observations, checks: catalogue, selected, durationMs: 1 });
}
