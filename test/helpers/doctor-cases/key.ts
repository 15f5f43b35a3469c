import { answer, answers, foreign, target, withKey } from '../healthy-observations.ts';
import { rpcError, noClients, challengeWith, openServer, type Case, type Tripping } from './parts.ts';

export const keyTripping: readonly Tripping[] = [
  {
    code: 'key/well-formed',
    fact: 'the key file says Bearer',
    hop: 'client',
    change: (seen) => target(seen, { keyFlaw: 'starts with the word Bearer' }),
  },
  {
    code: 'key/none-refused',
    fact: 'callers without a key are answered',
    hop: 'server',
    change: (seen) => answers(seen, { noKey: answer(200, { jsonrpc: '2.0', id: 1, result: {} }) }),
  },
  {
    code: 'key/wrong-refused',
    fact: 'any key is accepted',
    hop: 'server',
    change: (seen) => answers(seen, { wrongKey: answer(200, { jsonrpc: '2.0', id: 1, result: {} }) }),
  },
  {
    code: 'key/bearer',
    fact: 'the key is refused in both shapes',
    hop: 'server',
    change: (seen) => noClients(withKey(seen, answer(401, { error: 'invalid_token' }))),
  },
  {
    code: 'key/bearer',
    fact: 'only x-api-key is accepted',
    hop: 'server',
    change: (seen) => noClients(answers(seen, { bearer: answer(401, { error: 'invalid_token' }) })),
  },
  {
    code: 'key/scheme-case',
    fact: 'bearer in small letters is refused',
    severity: 'warning',
    hop: 'server',
    change: (seen) => answers(seen, { smallBearer: answer(401, { error: 'invalid_request' }) }),
  },
  {
    code: 'key/x-api-key',
    fact: 'our own server does not get x-api-key',
    change: (seen) => answers(seen, { xApiKey: answer(401, { error: 'invalid_request' }) }),
  },
  {
    code: 'key/x-api-key',
    fact: 'a foreign server reads Authorization only',
    severity: 'warning',
    change: (seen) => answers(foreign(seen), { xApiKey: answer(401, { error: 'invalid_request' }) }),
  },
  {
    code: 'key/challenge',
    fact: 'no WWW-Authenticate',
    severity: 'warning',
    change: (seen) => answers(seen, { noKey: answer(401, { error: 'invalid_request' }) }),
  },
  {
    code: 'key/challenge',
    fact: 'it names metadata that is not there',
    change: (seen) => challengeWith(seen, answer(404, { error: 'not_found' })),
  },
];

export const keyNearMiss: readonly Case[] = [
  {
    code: 'key/scheme-case',
    fact: 'bearer in small letters is answered as slowly as everything, and with 429',
    change: (seen) => answers(seen, { smallBearer: answer(429, {}, { 'retry-after': '1' }) }),
  },
  {
    code: 'key/well-formed',
    fact: 'no key is given to a server that asks for none',
    change: (seen) => openServer(seen),
  },
  { code: 'key/none-refused', fact: 'a public server without keys', change: (seen) => openServer(seen) },
  {
    code: 'key/none-refused',
    fact: 'our own with auth.required false',
    change: (seen) =>
      answers(target(seen, { keysRequired: false, keyGiven: false }), {
        noKey: answer(200, { jsonrpc: '2.0', id: 1, result: {} }),
        wrongKey: null,
        bearer: null,
        xApiKey: null,
      }),
  },
  {
    code: 'key/wrong-refused',
    fact: 'guessing is slowed down with 429',
    change: (seen) => answers(seen, { wrongKey: answer(429, { status: 429 }) }),
  },
  {
    code: 'key/bearer',
    fact: 'the key is accepted and the request is not',
    change: (seen) => withKey(seen, answer(400, rpcError(-32000))),
  },
  {
    code: 'key/x-api-key',
    fact: 'a public server without keys',
    change: (seen) => openServer(seen),
  },
  {
    code: 'key/challenge',
    fact: 'OAuth whose metadata is there',
    change: (seen) => challengeWith(seen, answer(200, { authorization_servers: ['https://as.example'] })),
  },
];
