// The service behind the gateway, for a try.
import { createServer } from 'node:http';

createServer((request, response) => {
  const city = decodeURIComponent(new URL(request.url, 'http://backend').pathname.split('/').at(-1));
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ city, sky: 'clear' }));
}).listen(Number(process.env.BACKEND_AT ?? 8090), '127.0.0.1');
