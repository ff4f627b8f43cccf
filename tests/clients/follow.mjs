// Follows the status of fuel requests with real clients at the same time, each set up as docs/frontend.md says.
// node follow.mjs OPTIONS CLIENT…   Prints a line for what each of them hears: `CLIENT CURSOR`, `CLIENT error CODE`.
// OPTIONS are JSON: url, token, after, silence (seconds after which a line counts as dead), awaitsToken (the page is the
// one in which the password is changed: it waits for its new token). Standard input: `token NEW`.
// The process ends by itself as soon as no client has anything open any more or will try again.
import {
  ApolloClient, ApolloLink, CombinedGraphQLErrors, CombinedProtocolErrors, HttpLink, InMemoryCache, gql,
} from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { RetryLink } from '@apollo/client/link/retry';
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { EventSource } from 'eventsource';
import { createClient as createSse } from 'graphql-sse';
import { createClient as createWs } from 'graphql-ws';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

globalThis.WebSocket ??= WebSocket; // GraphQLWsLink looks at its constants; Node has it from version 22 on

const options = JSON.parse(process.argv[2]);
const { url } = options;
const silence = options.silence * 1000;
const query = `subscription ($after: String) {
  fuelRequestStatusChanged(after: $after) { cursor status fuelRequest { id } } }`;
const pause = () => new Promise((resolve) => setTimeout(resolve, 100 + 100 * Math.random()));

let token = options.token;
const waiting = [];
createInterface({ input: process.stdin }).on('line', (line) => {
  token = line.replace('token ', '');
  waiting.splice(0).forEach((go) => go());
}).on('close', () => process.exit());
process.stdin.unref();

// A fetch whose response fails when nothing has come for too long: the server says something every 12 seconds.
async function watchedFetch(input, init = {}) {
  const control = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => control.abort(new Error('silence')), silence);
    timer.unref(); // it keeps nothing open
  };
  alive();
  try {
    const signal = init.signal ? AbortSignal.any([init.signal, control.signal]) : control.signal;
    const response = await fetch(input, { ...init, signal });
    const watch = new TransformStream({
      transform(chunk, controller) { alive(); controller.enqueue(chunk); },
      flush() { clearTimeout(timer); },
    });
    return new Response(response.body.pipeThrough(watch), response);
  } catch (error) {
    clearTimeout(timer);
    throw error;
  }
}

// The first error that says what it is: of a result, an `error` message, Apollo's or urql's errors, a closed socket.
function reasonOf(error) {
  const all = [error, error?.errors, error?.graphQLErrors, error?.networkError].flat();
  const { extensions } = all.find((each) => each?.extensions?.code) ?? {};
  if (extensions) return extensions;
  const closed = all.find((each) => typeof each?.code === 'number')?.code;
  return { code: closed ?? /event (\d+)/.exec(error?.message)?.[1] ?? error?.message ?? String(error) };
}

// For RetryLink: what the server calls final stays so, and graphql-ws has given up itself after 4401.
function mayHelp(error) {
  if (CombinedGraphQLErrors.is(error) || CombinedProtocolErrors.is(error)) return reasonOf(error).retryable;
  return !error.message.startsWith('Socket closed');
}

class Page {
  constructor(name) {
    this.name = name;
    this.cursor = options.after;
  }

  say(line) { process.stdout.write(`${this.name} ${line}\n`); }

  follow() {
    this.failed = false;
    this[this.name]();
  }

  // Of the session that she has now; after a change of the password not the one that was replaced by it.
  async headers() {
    while (options.awaitsToken && this.replaced === token) await new Promise((go) => waiting.push(go));
    this.token = token;
    return { Authorization: `Bearer ${token}` };
  }

  seen(result) {
    const found = result.error ?? (result.errors?.length && result.errors);
    if (found) return this.fails(found);
    const event = result.data.fuelRequestStatusChanged;
    this.cursor = event.cursor;
    this.say(event.fuelRequest?.id && event.status ? event.cursor : `hollow ${event.cursor}`);
  }

  fails(error) {
    const { code, retryable } = reasonOf(error);
    this.failed = true;
    if (code === 'SESSION_REPLACED') this.replaced = this.token;
    if (retryable || (code === 'SESSION_REPLACED' && options.awaitsToken)) pause().then(() => this.follow());
    else this.say(`error ${code}`);
  }

  completes() { if (!this.failed) this.say('complete'); }

  sink(input) {
    return {
      next: (result) => { this.seen(result); input.variables.after = this.cursor; },
      error: (error) => this.fails(error),
      complete: () => this.completes(),
    };
  }

  webSocket() {
    let socket, pong;
    const client = createWs({
      url: url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: () => this.headers(),
      retryAttempts: Infinity,
      retryWait: pause,
      shouldRetry: () => true, // also when the first connection is refused
      connectionAckWaitTimeout: silence,
      keepAlive: silence / 2,
      on: {
        opened: (opened) => { socket = opened; },
        ping: (received, payload) => {
          if (received && payload?.position) this.cursor = payload.position;
          if (received) return;
          // Not client.terminate() alone: `ws` hands on what still arrives on a socket that is closing, and graphql-ws
          // takes it for the operation that has begun anew, under the same id. A browser's WebSocket is quiet then.
          pong = setTimeout(() => { client.terminate(); socket.terminate(); }, silence / 2);
        },
        pong: (received) => { if (received) clearTimeout(pong); },
        closed: (event) => {
          clearTimeout(pong);
          if (event.code === 4403) this.replaced = this.token;
        },
      },
    });
    return client;
  }

  apollo(link) {
    const retry = new RetryLink({
      delay: { initial: 100, max: 300 },
      attempts: { max: Infinity, retryIf: mayHelp },
    });
    // Puts the last cursor into each try: RetryLink's, and those that graphql-ws makes of what it was given at first.
    const resuming = new ApolloLink((operation, forward) => {
      const variables = operation.variables = { ...operation.variables };
      Object.defineProperty(variables, 'after', { enumerable: true, get: () => this.cursor });
      return forward(operation);
    });
    const client = new ApolloClient({ link: ApolloLink.from([retry, resuming, link]), cache: new InMemoryCache() });
    client.subscribe({ query: gql(query), variables: { after: this.cursor }, fetchPolicy: 'no-cache' }).subscribe({
      next: (result) => this.seen(result),
      error: (error) => this.fails(error),
      complete: () => this.completes(),
    });
  }

  'graphql-ws'() {
    const input = { query, variables: { after: this.cursor } };
    this.webSocket().subscribe(input, this.sink(input));
  }

  'graphql-sse'() {
    const input = { query, variables: { after: this.cursor } };
    createSse({
      url, headers: () => this.headers(), fetchFn: watchedFetch, retryAttempts: Infinity, retry: pause,
    }).subscribe(input, this.sink(input));
  }

  'apollo-ws'() { this.apollo(new GraphQLWsLink(this.webSocket())); }

  'apollo-multipart'() {
    const fetch = async (input, init) =>
      watchedFetch(input, { ...init, headers: { ...init.headers, ...await this.headers() } });
    this.apollo(new HttpLink({ uri: url, fetch }));
  }

  urql() {
    const ws = this.webSocket();
    const client = new Client({
      url,
      exchanges: [fetchExchange, subscriptionExchange({
        forwardSubscription: (request) => ({
          subscribe: (observer) => {
            const input = { query: request.query, variables: { ...request.variables } };
            const next = (result) => { observer.next(result); input.variables.after = this.cursor; };
            return { unsubscribe: ws.subscribe(input, { ...observer, next }) };
          },
        }),
      })],
      preferGetMethod: false,
    });
    client.subscription(query, { after: this.cursor }).subscribe((result) => this.seen(result));
  }

  eventsource() {
    const address = new URL(url);
    address.searchParams.set('query', query);
    address.searchParams.set('variables', JSON.stringify({ after: this.cursor }));
    const source = new EventSource(address, {
      fetch: async (input, init) =>
        watchedFetch(input, { ...init, headers: { ...init.headers, ...await this.headers() } }),
    });
    source.addEventListener('error', ({ code }) => source.readyState === EventSource.CLOSED && this.say(`error ${code}`));
    source.addEventListener('next', (event) => this.seen(JSON.parse(event.data)));
    source.addEventListener('complete', () => { source.close(); this.completes(); });
  }
}

for (const name of process.argv.slice(3)) new Page(name).follow();
