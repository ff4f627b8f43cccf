// Subscriptions. GraphiQL ends a tab's operation when one looks at another tab; here the stream goes on and its events
// appear in the "Live" panel, so that one can subscribe in one tab and cause the event in the next.
import { createClient } from "graphql-ws";
import { createStore } from "./store.js";

const KEPT_EVENTS = 50;
const PING_MS = 15_000;
const PONG_MS = 5_000;
const clients = new Map();

/** Newest first. A stream: { key, tab, name, client, state, count, events: [{ at, result }], stop }. */
export const streams = createStore([]);
/** What GraphiQL shows right now, kept up to date by a component inside it. */
export const workbench = { tab: null };

let lastKey = 0;

function change(matches, changes) {
  streams.set(streams.get().map((stream) => (matches(stream) ? { ...stream, ...changes(stream) } : stream)));
}

const patience = (retries) => Math.min(500 * 2 ** retries, 10_000) * (0.5 + Math.random());

/** One connection per distinct Authorization: a connection's viewer is settled by connection_init. */
function clientFor(authorization) {
  if (!clients.has(authorization)) {
    const running = (stream) => stream.client === authorization && stream.state !== "ended";
    let overdue;
    const client = createClient({
      url: new URL("/graphql", location.href.replace(/^http/, "ws")).href,
      connectionParams: authorization ? { Authorization: authorization } : {},
      keepAlive: PING_MS,
      retryAttempts: Infinity,
      retryWait: (retries) => new Promise((resolve) => setTimeout(resolve, patience(retries))),
      shouldRetry: () => true,
      on: {
        connected: () => change(running, () => ({ state: "live" })),
        ping(received) {
          if (!received) overdue = setTimeout(() => client.terminate(), PONG_MS); // a dead network says nothing
        },
        pong: () => clearTimeout(overdue),
        closed() {
          clearTimeout(overdue);
          change(running, () => ({ state: "reconnecting" }));
        },
      },
    });
    clients.set(authorization, client);
  }
  return clients.get(authorization);
}

function authorizationIn(headers = {}) {
  const name = Object.keys(headers).find((key) => key.toLowerCase() === "authorization");
  return name ? headers[name] : null;
}

/** The client sends the same payload again after a reconnect: with the last cursor in it, nothing is missed. */
function moveOn(payload, result) {
  const cursor = Object.values(result.data ?? {})[0]?.cursor;
  if (cursor) payload.variables = { ...payload.variables, after: cursor };
}

function asError(reason) {
  if (Array.isArray(reason) || reason instanceof Error) return reason;
  const { code, reason: why } = reason ?? {};
  return new Error(code ? `The server closed the connection (${code}${why ? `: ${why}` : ""}).` : String(reason));
}

function record(key, result) {
  const event = { at: new Date(), result };
  change(
    (stream) => stream.key === key,
    ({ events, count }) => ({ state: "live", count: count + 1, events: [event, ...events].slice(0, KEPT_EVENTS) }),
  );
}

const end = (key) => change((stream) => stream.key === key, () => ({ state: "ended" }));

export function dismiss(key) {
  streams.get().find((stream) => stream.key === key)?.stop();
  streams.set(streams.get().filter((stream) => stream.key !== key));
}

function open(params, headers, operation, observer) {
  const key = ++lastKey;
  const tab = workbench.tab;
  const authorization = authorizationIn(headers);
  const payload = { ...params };
  const resumes = operation.variableDefinitions?.some(({ variable }) => variable.name.value === "after");
  streams.get().filter((stream) => stream.tab === tab).forEach((stream) => dismiss(stream.key));
  const name = operation.name?.value ?? "subscription";
  const stream = { key, tab, name, client: authorization, state: "connecting", count: 0, events: [] };
  streams.set([stream, ...streams.get()]);
  const dispose = clientFor(authorization).subscribe(payload, {
    next(result) {
      if (resumes) moveOn(payload, result);
      record(key, result);
      observer.next(result);
    },
    error(reason) {
      record(key, { errors: [].concat(asError(reason)).map(({ message }) => ({ message })) });
      end(key);
      observer.error(asError(reason));
    },
    complete() {
      end(key);
      observer.complete();
    },
  });
  change((one) => one.key === key, () => ({ stop: dispose }));
  return { key, tab, dispose };
}

/** GraphiQL has no other way from outside to open a panel; where it shows none, the events can be seen on demand. */
function showLive() {
  if (innerWidth >= 800) document.querySelector('.graphiql-sidebar [aria-label="Show Live"]')?.click();
}

/** What GraphiQL calls an Observable. */
export function subscribe(params, headers, operation) {
  return {
    subscribe(observer) {
      let watching = true;
      const only = (method) => (value) => watching && observer[method](value);
      const stream = open(params, headers, operation, {
        next: only("next"),
        error: only("error"),
        complete: only("complete"),
      });
      const unsubscribe = () => {
        watching = false;
        // Pressed "stop", or went to another tab? Known only after GraphiQL has changed its state.
        setTimeout(() => (workbench.tab === stream.tab ? stream.dispose() : showLive()));
      };
      return { unsubscribe };
    },
  };
}
