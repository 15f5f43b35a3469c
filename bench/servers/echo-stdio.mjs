// The stdio MCP server behind every bridge of the bench: as little work as possible, so that the bridge is what is measured.
let rest = '';
process.stdin.setEncoding('utf8').on('data', (text) => {
  const lines = (rest + text).split('\n');
  rest = lines.pop();
  let out = '';
  for (const line of lines) {
    if (line === '') continue;
    const { id, method, params } = JSON.parse(line);
    if (id === undefined) continue;
    out += `${JSON.stringify({ jsonrpc: '2.0', id, ...answer(method, params) })}\n`;
  }
  if (out !== '') process.stdout.write(out);
});
process.stdin.on('end', () => process.exit(0));

const tool = {
  name: 'echo',
  description: 'Echoes the message',
  inputSchema: { type: 'object', properties: { message: { type: 'string' } }, required: ['message'] },
};

function answer(method, params) {
  switch (method) {
    case 'initialize':
      return {
        result: {
          protocolVersion: params.protocolVersion,
          capabilities: { tools: {} },
          serverInfo: { name: 'echo-stdio', version: '1.0.0' },
        },
      };
    case 'ping':
      return { result: {} };
    case 'tools/list':
      return { result: { tools: [tool] } };
    case 'tools/call':
      return { result: { content: [{ type: 'text', text: params.arguments.message }] } };
    default:
      return { error: { code: -32601, message: `no ${method} here` } };
  }
}
