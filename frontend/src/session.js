// Who is signed in. The token lives in memory only: a reload forgets it.
import { createStore } from "./store.js";

/** The text for the header editors, or null before the first sign-in of this page. */
export const sessionHeaders = createStore(null);
export const notice = createStore(null);

const filled = new Set();

/** Whether we may overwrite these headers: they are empty, or nobody but us wrote them. */
export function isOurs(headers) {
  return /^[\s{}]*$/.test(headers ?? "") || filled.has(headers);
}

function fill(headers, message) {
  filled.add(headers);
  sessionHeaders.set(headers);
  notice.set({ message });
}

/** Looks into the result of any operation for a new session, or for the end of one. */
export function noteSession(data) {
  for (const [field, payload] of Object.entries(data ?? {})) {
    const token = payload?.session?.token;
    if (token) {
      const name = payload.viewer?.username ?? payload.user?.username;
      const who = name ? `Signed in as ${name}` : "Signed in";
      const headers = JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2);
      fill(headers, `${who}; the Authorization header of all tabs was set.`);
    } else if (field === "logOut" && payload && !payload.errors?.length && sessionHeaders.get()) {
      fill("", "Signed out; the Authorization header of all tabs was removed.");
    }
  }
}
