import { dismiss, streams } from "./streams.js";

function Icon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
      <circle cx="12" cy="12" r="2.5" fill="currentColor" stroke="none" />
      <path d="M7.8 16.2a6 6 0 0 1 0-8.4M16.2 7.8a6 6 0 0 1 0 8.4M4.9 19.1a10 10 0 0 1 0-14.2M19.1 4.9a10 10 0 0 1 0 14.2" />
    </svg>
  );
}

function Event({ at, result }) {
  return (
    <li>
      <time dateTime={at.toISOString()}>{at.toLocaleTimeString()}</time>
      <pre>{JSON.stringify(result.errors ? result : result.data, null, 2)}</pre>
    </li>
  );
}

function Stream({ stream }) {
  const { key, name, state, count, events } = stream;
  const ended = state === "ended";
  return (
    <section className="live-stream">
      <header>
        <strong>{name}</strong>
        <span className={`live-state live-${state}`}>
          {state} · {count} {count === 1 ? "event" : "events"}
        </span>
        <button type="button" onClick={() => dismiss(key)}>
          {ended ? "Remove" : "Stop"}
        </button>
      </header>
      <ol>
        {events.map((event, index) => (
          <Event key={count - index} {...event} />
        ))}
      </ol>
    </section>
  );
}

function Live() {
  const all = streams.use();
  return (
    <section className="live" aria-label="Live">
      <div className="graphiql-doc-explorer-title">Live</div>
      <p>Subscriptions go on while you work in other tabs. Their events appear here.</p>
      {all.length === 0 && <p className="live-none">None is open. Run a subscription to see it here.</p>}
      {all.map((stream) => (
        <Stream key={stream.key} stream={stream} />
      ))}
    </section>
  );
}

export const LIVE_PLUGIN = { title: "Live", icon: Icon, content: Live };
