import { getOperationAST, parse } from "graphql";
import { noteSession } from "./session.js";
import { subscribe } from "./streams.js";

function operationOf({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName);
  } catch {
    return null; // the server says best what is wrong with it
  }
}

async function post(params, headers) {
  const response = await fetch("/graphql", {
    method: "POST",
    credentials: "omit",
    headers: {
      Accept: "application/graphql-response+json, application/json",
      "Content-Type": "application/json",
      ...headers,
    },
    body: JSON.stringify(params),
  });
  const text = await response.text();
  let result;
  try {
    result = JSON.parse(text);
  } catch {
    throw new Error(`The server answered ${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
  noteSession(result.data);
  return result;
}

/**
 * GraphiQL learns a little after a change of tabs which operations the editor holds. Whoever is quicker would send the
 * name of the tab before: where the document holds one operation, it is meant.
 */
function named(params) {
  return params.operationName && !operationOf(params) && operationOf({ query: params.query })
    ? { ...params, operationName: undefined }
    : params;
}

/** Queries and mutations go by HTTP POST, subscriptions over a WebSocket of the same origin. */
export function fetcher(given, { headers } = {}) {
  const params = named(given);
  const operation = operationOf(params);
  return operation?.operation === "subscription" ? subscribe(params, headers, operation) : post(params, headers);
}
