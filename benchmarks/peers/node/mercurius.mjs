// Mercurius with its just-in-time compiler and its own subscriptions, on Fastify; one Node process.
import Fastify from 'fastify';
import mercurius from 'mercurius';
import { listening, resolvers, typeDefs } from './data.mjs';

const app = Fastify();
app.register(mercurius, {
  schema: typeDefs,
  resolvers: resolvers(
    (event, { pubsub }) => pubsub.publish({ topic: 'status', payload: { statusChanged: event } }),
    (_root, _args, { pubsub }) => pubsub.subscribe('status'),
  ),
  subscription: { fullWsTransport: true },
  jit: 1,
});
await app.listen(listening);
