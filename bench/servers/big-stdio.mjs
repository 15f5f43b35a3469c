// A stdio MCP server with a large result, on the official SDK: what starts slowly and answers much.
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const server = new Server({ name: 'big', version: '1.0.0' }, { capabilities: { tools: {} } });
const inputSchema = { type: 'object' };
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [
    { name: 'big', inputSchema },
    { name: 'echo', inputSchema },
  ],
}));
server.setRequestHandler(CallToolRequestSchema, ({ params }) => {
  const text = params.name === 'big' ? 'x'.repeat(params.arguments.bytes) : params.arguments.message;
  return { content: [{ type: 'text', text }] };
});
await server.connect(new StdioServerTransport());
