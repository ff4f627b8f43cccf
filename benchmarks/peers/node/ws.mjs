// The limit of Node: `ws` sends one text, made once per event, to every socket. No GraphQL and no database.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

let events = 0;

function broadcast() {
  const event = {
    cursor: String(++events),
    previousStatus: 'PENDING',
    status: 'APPROVED',
    occurredAt: new Date().toISOString(),
  };
  const payload = { data: { statusChanged: event } };
  const text = Buffer.from(JSON.stringify({ id: '1', type: 'next', payload }));
  for (const client of sockets.clients) client.send(text, { binary: false });
}

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    for (const _ of JSON.parse(Buffer.concat(parts)).ids) broadcast();
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"data":{}}');
  });
});
const sockets = new WebSocketServer({ server, path: '/graphql', perMessageDeflate: false });
server.listen({ port: Number(process.env.BENCH_PORT), host: '127.0.0.1', backlog: 4096 });
