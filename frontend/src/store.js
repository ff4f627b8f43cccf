import { useSyncExternalStore } from "react";

/** A value that components can watch. */
export function createStore(value) {
  const listeners = new Set();
  const listen = (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  const get = () => value;
  const set = (next) => {
    value = next;
    listeners.forEach((listener) => listener());
  };
  return { get, set, use: () => useSyncExternalStore(listen, get) };
}
