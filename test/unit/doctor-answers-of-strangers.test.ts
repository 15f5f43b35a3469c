import { expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { judgeObservations } from '../../src/doctor/judge-observations.ts';
import type { Answer, Observations } from '../../src/doctor/observations.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { answers, foreign, healthyObservations, noAnswer } from '../helpers/healthy-observations.ts';

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

/** A server of somebody else that answers so, whatever key is sent. */
function everywhere(given: Answer): Observations {
  return answers(foreign(healthyObservations()), {
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
