import type { Answer, AnswersSeen, Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import {
  answerEvidence,
  beforeMcp,
  checksOf,
  fail,
  isHtml,
  isLimited,
  limitedNow,
  notApplicable,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';

export const keyChecks = checksOf('key', [
  {
    code: 'key/none-refused',
    title: 'callers without a key are refused',
    label: 'none refused',
    hop: 'server',
    severity: 'error',
    needs: ['answers'],
    after: beforeMcp,
    explanation:
      'A server that has keys must answer a request without one with 401, before it does anything else. If it answers, ' +
      'everyone who finds the URL can call the tools.',
    judge: (seen) =>
      withAnswers(seen, ({ noKey }) => {
        if (seen.target.own && !seen.target.keysRequired) return notApplicable('auth.required is false');
        // A redirect to a login is no way in either; clients do not follow it.
        if (noKey.kind === 'answered' && (isRefusal(noKey) || isRedirect(noKey.status))) {
          return pass(`none refused (${noKey.status})`);
        }
        if (!isAccepted(noKey)) return unknown('what was answered says nothing of keys');
        if (!seen.target.own && !seen.target.keyGiven) return notApplicable('no key was given and none is asked for');
        return fail({
          title: 'the server answers callers without a key',
          cause: seen.target.own
            ? 'a proxy adds the key by itself, or another server answers on the port'
            : 'the key check is off, or a proxy in front adds a key for everyone',
          evidence: [answerEvidence('without a key', noKey, '401')],
          fix: seen.target.own
            ? {
                summary: 'Let the server load its keys again; if it still answers, something else listens on the port.',
                commands: ['mcp-deploy restart'],
              }
            : { summary: 'Switch the key check of the server on; until then keep it off the network.', commands: [] },
        });
      }),
  },
  {
    code: 'key/wrong-refused',
    title: 'a wrong key is refused',
    label: 'wrong refused',
    hop: 'server',
    severity: 'error',
    needs: ['answers'],
    after: [...beforeMcp, 'key/none-refused'],
    explanation:
      'A key that was never given out must be answered with 401. A server that only looks whether there is a key lets ' +
      'everyone in who sends any.',
    judge: (seen) =>
      withAnswers(seen, ({ noKey, wrongKey }) => {
        if (wrongKey === null) return notApplicable('no key was given, so none was guessed');
        if (isAccepted(noKey)) return notApplicable('the server lets everyone in');
        // 429: our own server and others slow down an address that tries several wrong keys.
        if (isRefusal(wrongKey) || (isLimited(wrongKey) && !isLimited(noKey))) return pass();
        if (!isAccepted(wrongKey)) return unknown('what was answered says nothing of keys');
        return fail({
          title: 'the server accepts any key',
          cause: 'it checks that there is a key and not which one',
          evidence: [answerEvidence('with a key that was never given out', wrongKey, '401')],
          fix: { summary: 'Let the server compare the key with those it gave out.', commands: [] },
        });
      }),
  },
  {
    code: 'key/bearer',
    title: 'the key is accepted as Authorization: Bearer',
    label: 'Bearer',
    hop: 'server',
    severity: 'error',
    needs: ['answers'],
    after: ['host/key-store', ...beforeMcp],
    explanation:
      'Every MCP client can send Authorization: Bearer KEY, and some can send nothing else. If the key is refused there, ' +
      'it is revoked, expired or of another server, or a proxy on the way takes the header off.',
    judge: (seen) =>
      withAnswers(seen, ({ noKey, bearer, xApiKey }) => {
        if (bearer === null) {
          if (isAccepted(noKey)) return notApplicable('the server lets everyone in and no key was given');
          if (!isRefusal(noKey)) return unknown('what was answered says nothing of keys');
          return unknown('the server wants a key and none was given (--key-file FILE)');
        }
        if (!isRefusal(bearer)) return passUnlessMute(bearer, noKey);
        const otherShape = xApiKey !== null && !isRefusal(xApiKey);
        const inFront = refusedInFront(bearer, noKey);
        if (inFront !== null && !otherShape) return inFront;
        return fail({
          title: 'the key is refused',
          cause: otherShape
            ? 'the server takes the key as x-api-key only, or a proxy takes Authorization off'
            : 'the key was revoked, has expired, lacks a scope or belongs to another server',
          evidence: [
            answerEvidence('with Authorization: Bearer', bearer, 'anything but 401 and 403'),
            ...(otherShape ? [answerEvidence('with x-api-key', xApiKey, 'the same as with Bearer')] : []),
          ],
          fix: seen.target.own
            ? {
                summary: 'See which keys are valid, and make a new one if need be.',
                commands: ['mcp-deploy keys list', 'mcp-deploy keys create NAME'],
              }
            : { summary: 'Get a valid key from whoever runs the server.', commands: [] },
        });
      }),
  },
  {
    code: 'key/x-api-key',
    title: 'the key is accepted as x-api-key',
    label: 'x-api-key',
    hop: 'server',
    severity: 'warning',
    needs: ['answers'],
    after: [...beforeMcp, 'key/bearer'],
    explanation:
      'Some clients and scripts send the key as x-api-key, and where a proxy in front uses Authorization for itself ' +
      'there is no other way. Our own server takes both; elsewhere it is good to know.',
    judge: (seen) =>
      withAnswers(seen, ({ noKey, xApiKey }) => {
        if (xApiKey === null) return notApplicable('no key was given');
        if (isAccepted(noKey)) return notApplicable('the server lets everyone in');
        if (!isRefusal(xApiKey)) return passUnlessMute(xApiKey, noKey);
        return fail({
          title: 'the key is refused as x-api-key',
          cause: seen.target.own ? 'a proxy on the way takes the header off' : 'the server reads Authorization only',
          severity: seen.target.own ? 'error' : 'warning',
          evidence: [answerEvidence('with x-api-key', xApiKey, 'the same as with Authorization: Bearer')],
          fix: { summary: 'Use Authorization: Bearer with this server.', commands: [] },
        });
      }),
  },
  {
    code: 'key/scheme-case',
    title: 'the word Bearer is accepted in small letters',
    label: 'bearer in any case',
    hop: 'server',
    severity: 'warning',
    needs: ['answers'],
    after: [...beforeMcp, 'key/bearer'],
    explanation:
      'Schemes of Authorization are the same in capital and small letters (RFC 9110, 11.1), and some clients and libraries ' +
      'write bearer. A server or a rule of a proxy that compares letter by letter refuses them with a key that is right.',
    judge: (seen) =>
      withAnswers(seen, ({ noKey, bearer, smallBearer }) => {
        if (bearer === null || smallBearer === null) return notApplicable('no key was given');
        if (isAccepted(noKey)) return notApplicable('the server lets everyone in');
        if (isRefusal(bearer)) return unknown('the key is refused in every form');
        if (!isRefusal(smallBearer)) return passUnlessMute(smallBearer, noKey);
        return fail({
          title: 'the key is refused behind the word bearer',
          cause: 'the scheme of Authorization is compared letter by letter',
          evidence: [answerEvidence('with Authorization: bearer', smallBearer, 'the same as with Bearer')],
          fix: {
            summary: 'Compare the scheme without regard to case; until then let clients write Bearer.',
            commands: [],
          },
        });
      }),
  },
  {
    code: 'key/challenge',
    title: 'the 401 tells clients the truth about keys',
    label: 'challenge',
    hop: 'server',
    severity: 'warning',
    needs: ['answers', 'well-known'],
    after: [...beforeMcp, 'key/none-refused'],
    explanation:
      'A 401 must carry WWW-Authenticate (RFC 9110, 15.5.2). If it names resource_metadata, clients begin OAuth and drop ' +
      'the key they were given; so it may do that only when the metadata (RFC 9728) is really there.',
    judge: (seen) => withAnswers(seen, ({ noKey }) => judgeChallenge(seen, noKey)),
  },
]);

/** On the client's side, before anything is sent. */
export const keyShapeChecks = checksOf('key', [
  {
    code: 'key/well-formed',
    title: 'the key that was given is a bare key',
    label: 'well-formed',
    hop: 'client',
    severity: 'error',
    needs: [],
    after: [],
    explanation:
      'A key that works in curl and not in a client often has something around it: a line break from the file, or the ' +
      'word Bearer, which then goes out twice.',
    judge: ({ target }) => {
      if (!target.keyGiven) return notApplicable('no key was given');
      if (target.keyFlaw === null) return pass();
      return fail({
        title: `the key ${target.keyFlaw}`,
        cause: 'more than the key itself stands in the file',
        evidence: [{ source: 'the key file', observed: `it ${target.keyFlaw}`, expected: 'the key and nothing else' }],
        fix: { summary: 'Keep only the key in the file, without the word Bearer.', commands: [] },
      });
    },
  },
]);

function judgeChallenge(seen: Observations, noKey: Answer): Verdict {
  if (noKey.kind !== 'answered' || noKey.status !== 401) return notApplicable('nothing was answered with 401');
  const challenge = noKey.headers['www-authenticate'];
  if (challenge === undefined) {
    return fail({
      title: 'the 401 has no WWW-Authenticate',
      cause: 'the server, or a proxy in front of it, leaves the header out',
      evidence: [answerEvidence('without a key', noKey, 'WWW-Authenticate: Bearer')],
      fix: { summary: 'Answer with WWW-Authenticate: Bearer beside the 401.', commands: [] },
    });
  }
  if (!/resource_metadata/i.test(challenge)) return pass();
  const { wellKnown } = seen;
  if (wellKnown.status !== 'ok') return notSeen(wellKnown);
  const metadata = wellKnown.resourceMetadata;
  if (metadata === null || metadata.answer === null)
    return unknown('the metadata lies on another server, which was not asked');
  if (metadata.answer.kind === 'failed') return unknown(metadata.answer.failure.message);
  if (isMetadata(metadata.answer)) return pass('OAuth challenge');
  return fail({
    title: 'the 401 points to OAuth metadata that is not there',
    cause: 'the server sends an OAuth challenge although it works with keys only',
    severity: 'error',
    evidence: [
      {
        source: 'WWW-Authenticate',
        observed: challenge.slice(0, 200),
        expected: 'no resource_metadata on a server without OAuth',
      },
      answerEvidence('', metadata.answer, 'JSON with authorization_servers'),
    ],
    fix: {
      summary: 'Leave resource_metadata out of the challenge, or serve the document that it names.',
      commands: [],
    },
  });
}

function isMetadata(answer: Answer): boolean {
  if (answer.kind === 'failed' || answer.status !== 200) return false;
  const { json } = answer;
  return typeof json === 'object' && json !== null && 'authorization_servers' in json;
}

/** Not refused is not accepted: no answer, or one about too many requests, says nothing of the key. */
function passUnlessMute(answer: Answer, noKey: Answer): Verdict {
  if (answer.kind === 'failed') return unknown(answer.failure.message);
  return isLimited(answer) && !isRefusal(noKey) ? unknown(limitedNow) : pass();
}

/** With and without the key the same refusal, which is not in the words of an MCP server; null otherwise. */
function refusedInFront(bearer: Answer, noKey: Answer): Verdict | null {
  if (bearer.kind !== 'answered' || noKey.kind !== 'answered' || bearer.status !== noKey.status) return null;
  const evidence = [answerEvidence('with Authorization: Bearer', bearer, 'anything but 401 and 403')];
  if (/^basic\b/i.test(bearer.headers['www-authenticate'] ?? '')) {
    return fail({
      title: 'a user name and a password are asked for, not a key',
      cause:
        'a proxy in front has a sign-in of its own (WWW-Authenticate: Basic), which takes Authorization for itself',
      hop: 'proxy',
      evidence,
      fix: {
        summary:
          'Take the MCP path out of the sign-in of the proxy (nginx: auth_basic off;): the server checks keys itself.',
        commands: [],
      },
    });
  }
  if (bearer.status !== 403 || !isHtml(bearer) || bearer.bodyStart !== noKey.bodyStart) return null;
  return fail({
    title: 'a page with 403 answers, with the key as without it',
    cause:
      'a proxy, CDN or firewall in front refuses this caller, most likely by address or by a rule, before the key is seen',
    hop: 'proxy',
    evidence,
    fix: {
      summary:
        'Look at the rules of what stands in front (allowed addresses, firewall, WAF) and at its log; if they let the path through, get a valid key.',
      commands: [],
    },
  });
}

function withAnswers(seen: Observations, judge: (answers: AnswersSeen) => Verdict): Verdict {
  return seen.answers.status === 'ok' ? judge(seen.answers) : notSeen(seen.answers);
}

/** 401, or 403 as some servers have it. */
function isRefusal(answer: Answer): boolean {
  return answer.kind === 'answered' && (answer.status === 401 || answer.status === 403);
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

/** Only a success proves that the caller was let in; other errors may come before the key is looked at. */
function isAccepted(answer: Answer): boolean {
  if (answer.kind !== 'answered' || answer.status < 200 || answer.status > 299) return false;
  // Some servers put their refusal into a JSON-RPC error with status 200.
  return !(typeof answer.json === 'object' && answer.json !== null && 'error' in answer.json);
}
