// Follows the status of fuel requests with one client, and prints the cursor of each event, a line each.
// Each is set up as docs/frontend.md says: the last cursor goes into what is sent when it comes back.
// node follow.mjs CLIENT URL TOKEN POSITION
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { RetryLink } from '@apollo/client/link/retry';
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { EventSource } from 'eventsource';
import { createClient as createSse } from 'graphql-sse';
import { createClient as createWs } from 'graphql-ws';
import WebSocket from 'ws';

const [kind, url, token, position] = process.argv.slice(2);
const query = 'subscription ($after: String) { fuelRequestStatusChanged(after: $after) { cursor } }';
const headers = { Authorization: `Bearer ${token}` };
const pause = () => new Promise((resolve) => setTimeout(resolve, 100 + 100 * Math.random()));
const say = (line) => process.stdout.write(`${line}\n`);
let cursor = position;

function seen(result) {
  if (result.errors?.length || result.error) return say(`error ${JSON.stringify(result.errors ?? result.error)}`);
  cursor = result.data.fuelRequestStatusChanged.cursor;
  say(cursor);
}

const sink = (input) => ({
  next: (result) => { seen(result); input.variables.after = cursor; },
  error: (error) => say(`error ${JSON.stringify(error.code ?? error)}`),
  complete: () => say('complete'),
});

const webSocket = () => createWs({
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: () => headers,
  retryAttempts: Infinity,
  retryWait: pause,
  shouldRetry: () => true, // also when the first connection is refused
  on: { ping: (received, payload) => received && payload?.position && (cursor = payload.position) },
});

// Puts the last cursor into each try: RetryLink's, and those that graphql-ws makes of what it was given at first.
const resuming = new ApolloLink((operation, forward) => {
  const variables = operation.variables = { ...operation.variables };
  Object.defineProperty(variables, 'after', { enumerable: true, get: () => cursor });
  return forward(operation);
});

function apollo(link) {
  const retry = new RetryLink({ delay: { initial: 100, max: 300 }, attempts: { max: Infinity } });
  const client = new ApolloClient({ link: ApolloLink.from([retry, resuming, link]), cache: new InMemoryCache() });
  client.subscribe({ query: gql(query), variables: { after: cursor }, fetchPolicy: 'no-cache' })
    .subscribe({ next: seen, error: (error) => say(`error ${error}`), complete: () => say('complete') });
}

const clients = {
  'graphql-ws'() {
    const input = { query, variables: { after: cursor } };
    webSocket().subscribe(input, sink(input));
  },
  'graphql-sse'() {
    const input = { query, variables: { after: cursor } };
    createSse({ url, headers, retryAttempts: Infinity, retry: pause }).subscribe(input, sink(input));
  },
  'apollo-ws': () => apollo(new GraphQLWsLink(webSocket())),
  'apollo-multipart': () => apollo(new HttpLink({ uri: url, headers })),
  urql() {
    const ws = webSocket();
    const client = new Client({
      url,
      exchanges: [fetchExchange, subscriptionExchange({
        forwardSubscription: (request) => ({
          subscribe(observer) {
            const input = { query: request.query, variables: { ...request.variables } };
            const next = (result) => { observer.next(result); input.variables.after = cursor; };
            return { unsubscribe: ws.subscribe(input, { ...observer, next }) };
          },
        }),
      })],
      preferGetMethod: false,
    });
    client.subscription(query, { after: cursor }).subscribe(seen);
  },
  eventsource() {
    const address = new URL(url);
    address.searchParams.set('query', query);
    address.searchParams.set('variables', JSON.stringify({ after: position }));
    const source = new EventSource(address, {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
    });
    source.addEventListener('next', (event) => seen(JSON.parse(event.data)));
    source.addEventListener('complete', () => { source.close(); say('complete'); });
  },
};

clients[kind]();
setInterval(() => {}, 1000);
process.stdin.on('end', () => process.exit()).resume();
