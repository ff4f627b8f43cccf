// Monaco asks for its workers by label. They are plain files of this origin (CSP: worker-src 'self').
/* global WORKERS */
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(new URL(WORKERS[label] ?? WORKERS.editor, import.meta.url)),
};
