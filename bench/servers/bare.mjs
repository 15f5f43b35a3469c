// The ceiling for one Node process: read the body, JSON.parse, write the right JSON-RPC result. No policy.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

const [port, certFile, keyFile] = process.argv.slice(2);

function handle(request, response) {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const { id, method, params } = JSON.parse(Buffer.concat(chunks).toString());
    const result =
      method === 'tools/call'
        ? { content: [{ type: 'text', text: params.arguments.message }] }
        : { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'bare', version: '1' } };
    const body = JSON.stringify({ jsonrpc: '2.0', id, result });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
}

const server =
  certFile === undefined
    ? createServer(handle)
    : createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, handle);
server.listen(Number(port), '127.0.0.1');
