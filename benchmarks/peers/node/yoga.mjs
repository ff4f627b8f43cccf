// graphql-yoga with graphql-ws, as Yoga's documentation puts them together; one Node process.
import { createServer } from 'node:http';
import { useServer } from 'graphql-ws/use/ws';
import { createPubSub, createSchema, createYoga } from 'graphql-yoga';
import { WebSocketServer } from 'ws';
import { listening, resolvers, typeDefs } from './data.mjs';

const pubSub = createPubSub();
const schema = createSchema({
  typeDefs,
  resolvers: resolvers(
    (event) => pubSub.publish('status', event),
    () => pubSub.subscribe('status'),
  ),
});
const yoga = createYoga({ schema, logging: false });
const server = createServer(yoga);
const sockets = new WebSocketServer({ server, path: yoga.graphqlEndpoint, perMessageDeflate: false });

async function onSubscribe(context, _id, params) {
  const { request: req, socket } = context.extra;
  const enveloped = yoga.getEnveloped({ ...context, req, socket, params });
  const args = {
    schema: enveloped.schema,
    operationName: params.operationName,
    document: enveloped.parse(params.query),
    variableValues: params.variables,
    contextValue: await enveloped.contextFactory(),
    rootValue: { execute: enveloped.execute, subscribe: enveloped.subscribe },
  };
  const errors = enveloped.validate(args.schema, args.document);
  return errors.length > 0 ? errors : args;
}

useServer(
  {
    execute: (args) => args.rootValue.execute(args),
    subscribe: (args) => args.rootValue.subscribe(args),
    onSubscribe,
  },
  sockets,
);
server.listen(listening);
