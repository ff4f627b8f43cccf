// The peers' SQLite file, and what both GraphQL servers have in common: the schema and its resolvers.
import Database from 'better-sqlite3';

export const [databasePath, port] = [process.env.BENCH_DATABASE, Number(process.env.BENCH_PORT)];
export const listening = { port, host: '127.0.0.1', backlog: 4096 };

const db = new Database(databasePath);
db.pragma('journal_mode = WAL');
db.pragma('synchronous = NORMAL');
const selectUser = db.prepare('SELECT id, username FROM users WHERE id = ?');
const selectRequest = db.prepare('SELECT id, status, litres, requester_id FROM fuel_requests WHERE id = ?');
const selectPage = db.prepare('SELECT id, status, litres, requester_id FROM fuel_requests ORDER BY id DESC LIMIT ?');
const updateStatus = db.prepare('UPDATE fuel_requests SET status = ? WHERE id = ?');

export const typeDefs = /* GraphQL */ `
  type User { id: ID! username: String! }
  type FuelRequest { id: ID! status: String! litres: String! requester: User! }
  type StatusChange {
    cursor: String! previousStatus: String status: String! occurredAt: String! fuelRequest: FuelRequest!
  }
  type Query { fuelRequest(id: ID!): FuelRequest fuelRequests(first: Int!): [FuelRequest!]! }
  type Mutation { decide(id: ID!, status: String!): FuelRequest! }
  type Subscription { statusChanged: StatusChange! }
`;

let events = 0;

function decide(id, status) {
  const before = selectRequest.get(Number(id));
  updateStatus.run(status, Number(id));
  // Milliseconds are all that the language's dates have: up to one is added to the latency.
  const occurredAt = new Date().toISOString();
  const event = { id, cursor: String(++events), previousStatus: before.status, status, occurredAt };
  return [{ ...before, status }, event];
}

// publish(event, context) and subscribe(root, args, context) are the server's own.
export function resolvers(publish, subscribe) {
  return {
    Query: {
      fuelRequest: (_, { id }) => selectRequest.get(Number(id)),
      fuelRequests: (_, { first }) => selectPage.all(first),
    },
    FuelRequest: { requester: (request) => selectUser.get(request.requester_id) },
    Mutation: {
      decide: (_, { id, status }, context) => {
        const [request, event] = decide(id, status);
        publish(event, context);
        return request;
      },
    },
    StatusChange: { fuelRequest: (event) => selectRequest.get(Number(event.id)) },
    Subscription: { statusChanged: { subscribe, resolve: (event) => event.statusChanged ?? event } },
  };
}
