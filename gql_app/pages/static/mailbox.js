// The mailbox: what /mailbox/messages holds and /mailbox/stream adds. Message content only ever becomes text nodes, or
// the srcdoc of a sandboxed frame, where scripts cannot run.

const RETRY_MS = 2000;
const CATCH_UP_PAGES = 20;
const TONES = { PENDING: "wait", SENDING: "wait", UNKNOWN: "wait", UNDELIVERED: "bad", DEAD: "bad" };

const messages = new Map(); // by id
const views = new Map(); // id of an e-mail -> "text" | "html", as chosen by the reader
const cards = new Map(); // id of an e-mail -> { message, element }: a frame that stays in place doesn't reload
const filter = { channel: "", text: "" };
let older = null; // the cursor of the next page
let changed = new Set(); // ids that came by stream while a page was being fetched: newer than the page

const find = (selector) => document.querySelector(selector);
const copyOf = (id) => find(`#${id}`).content.firstElementChild.cloneNode(true);

function showConnection(state) {
  find("#connection").dataset.state = state;
  find("#connection").textContent = state;
}

// ---- what is shown

const matches = ({ channel, recipient, subject, body }) =>
  (!filter.channel || channel === filter.channel) &&
  `${recipient}\n${subject ?? ""}\n${body}`.toLowerCase().includes(filter.text);

const byTime = (one, other) => one.createdAt.localeCompare(other.createdAt) || one.id.localeCompare(other.id);

function fillTime(element, createdAt) {
  const time = new Date(createdAt);
  const today = time.toDateString() === new Date().toDateString();
  const day = today ? {} : { day: "numeric", month: "short" };
  element.dateTime = createdAt;
  element.title = time.toLocaleString();
  element.textContent = time.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

function fillMeta(element, { createdAt, state }) {
  fillTime(element.querySelector("time"), createdAt);
  const label = element.querySelector(".state");
  label.textContent = state.toLowerCase();
  label.dataset.tone = TONES[state] ?? "good";
}

function bubble(message, fresh) {
  const element = copyOf("bubble-template");
  element.querySelector(".body").textContent = message.body;
  element.classList.toggle("fresh", message.id === fresh);
  fillMeta(element, message);
  return element;
}

/** One phone per recipient, the one with the newest message first; within it the newest at the bottom. */
function phones(list, fresh) {
  const threads = Map.groupBy ? Map.groupBy(list, ({ recipient }) => recipient) : groupByRecipient(list);
  return [...threads].map(([recipient, thread]) => {
    const phone = copyOf("thread-template");
    phone.querySelector("h3").textContent = recipient;
    phone.querySelector("ol").append(...thread.reverse().map((message) => bubble(message, fresh)));
    return phone;
  });
}

function groupByRecipient(list) {
  const groups = new Map();
  for (const message of list) groups.set(message.recipient, [...(groups.get(message.recipient) ?? []), message]);
  return groups;
}

function frame(html) {
  const element = document.createElement("iframe");
  element.title = "The message as HTML";
  // Links open in a new window; nothing else is allowed. The page's Content-Security-Policy holds in the frame, too.
  element.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  element.srcdoc = `<!doctype html><base target="_blank"><meta name="color-scheme" content="light">${html}`;
  return element;
}

function plain(text) {
  const element = document.createElement("pre");
  element.textContent = text;
  return element;
}

function showBody(element, message) {
  const view = message.html === null ? "text" : (views.get(message.id) ?? "text");
  element.querySelector(".body").replaceChildren(view === "html" ? frame(message.html) : plain(message.body));
  for (const button of element.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
}

function newCard(message) {
  const element = copyOf("mail-template");
  element.querySelector("h3").textContent = message.subject ?? "(no subject)";
  element.querySelector(".recipient").textContent = message.recipient;
  element.querySelector(".views").hidden = message.html === null;
  element.addEventListener("click", ({ target }) => {
    if (!target.dataset.view) return;
    views.set(message.id, target.dataset.view);
    showBody(element, message);
  });
  fillMeta(element, message);
  showBody(element, message);
  return element;
}

function card(message, fresh) {
  if (cards.get(message.id)?.message !== message) cards.set(message.id, { message, element: newCard(message) });
  const { element } = cards.get(message.id);
  element.classList.toggle("fresh", message.id === fresh);
  return element;
}

/** Puts the children in order without taking out those that stay. */
function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

function showSection(name, children) {
  find(`#${name}`).hidden = children.length === 0;
  arrange(find(`#${name} .list`), children);
}

function emptyText() {
  if (messages.size > 0) return "No message matches.";
  return "Nothing yet. Sign somebody up or decide a fuel request: what they are told appears here.";
}

function render(fresh = null) {
  const shown = [...messages.values()].filter(matches).sort(byTime).reverse();
  showSection("sms", phones(shown.filter(({ channel }) => channel === "SMS"), fresh));
  showSection("email", shown.filter(({ channel }) => channel === "EMAIL").map((message) => card(message, fresh)));
  find("#empty").hidden = shown.length > 0;
  find("#empty").textContent = emptyText();
  find("#older").hidden = older === null;
}

// ---- where it comes from

async function fetchPage(before) {
  const query = before === null ? "" : `?${new URLSearchParams({ before })}`;
  const response = await fetch(`/mailbox/messages${query}`, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`GET /mailbox/messages: ${response.status}`);
  return response.json();
}

/** Returns whether all of the page was new to us. */
function take(page) {
  const known = page.messages.some(({ id }) => messages.has(id) && !changed.has(id));
  for (const message of page.messages) if (!changed.has(message.id)) messages.set(message.id, message);
  return !known;
}

async function showOlder() {
  const page = await fetchPage(older);
  take(page);
  older = page.next;
  render();
}

/** Reads backwards from the newest message until it meets what was here before the connection broke. */
async function catchUp() {
  const first = messages.size === 0;
  changed = new Set();
  let page = await fetchPage(null);
  if (first) older = page.next;
  for (let pages = 1; take(page) && !first && page.next !== null && pages < CATCH_UP_PAGES; pages++) {
    page = await fetchPage(page.next);
  }
  render();
}

function connect() {
  const stream = new EventSource("/mailbox/stream");
  const again = () => {
    stream.close();
    showConnection("reconnecting");
    setTimeout(connect, RETRY_MS);
  };
  stream.addEventListener("open", () => catchUp().then(() => showConnection("live"), again));
  stream.addEventListener("error", again);
  stream.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    changed.add(message.id);
    messages.set(message.id, message);
    render(message.id);
  });
}

// ---- what the reader does

for (const choice of document.querySelectorAll("[name=channel]")) {
  choice.addEventListener("change", () => {
    filter.channel = choice.value;
    render();
  });
}
find("#text").addEventListener("input", ({ target }) => {
  filter.text = target.value.trim().toLowerCase();
  render();
});
find("#older").addEventListener("click", () => showOlder().catch(() => showConnection("reconnecting")));

connect();
