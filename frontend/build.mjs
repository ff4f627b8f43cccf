// Bundles GraphiQL, its editor's workers and its fonts into one folder of static files that needs no network.
// Usage: node build.mjs [output folder]
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const outdir = path.resolve(process.argv[2] ?? path.join(here, "../gql_app/pages/static/graphiql"));

const common = {
  absWorkingDir: here,
  outdir,
  bundle: true,
  minify: true,
  metafile: true,
  legalComments: "none", // they are in THIRD_PARTY_LICENSES.txt, whole
  target: ["chrome111", "firefox114", "safari16.4"],
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".ttf": "file", ".graphql": "text" },
  logLevel: "warning",
};

// The names carry a hash of the content, so that a browser may keep them for ever; the two entry points don't: the
// page that names them adds one.
const page = {
  ...common,
  entryPoints: { graphiql: "src/main.jsx" },
  format: "esm",
  splitting: true,
  jsx: "automatic",
  chunkNames: "chunks/[name]-[hash]",
  assetNames: "fonts/[name]-[hash]",
};

const workers = {
  ...common,
  entryPoints: {
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
  },
  entryNames: "workers/[name]-[hash]",
  format: "iife",
};

/** The workers' file names by label, for src/workers.js to find them. */
function workerFiles({ outputs }) {
  const files = Object.keys(outputs).map((file) => path.basename(file));
  return Object.fromEntries(files.map((file) => [file.split(".")[0], `workers/${file}`]));
}

/** The folders of all packages that went into the given bundles, such as "node_modules/@scope/name". */
function packagesIn(metafiles) {
  const inputs = metafiles.flatMap(({ inputs }) => Object.keys(inputs));
  const folders = inputs.map((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  return [...new Set(folders.filter(Boolean))].sort();
}

async function licenceOf(folder) {
  const dir = path.join(here, folder);
  const { name, version, license, author } = JSON.parse(await readFile(path.join(dir, "package.json"), "utf8"));
  const files = (await readdir(dir)).filter((file) => /^(licen[cs]e|copying|notice|thirdpartynotices)/i.test(file));
  const texts = await Promise.all(files.sort().map((file) => readFile(path.join(dir, file), "utf8")));
  const holder = author?.name ?? author ?? "its contributors";
  const text = texts.join("\n\n").trim() || `Copyright ${holder}. The package ships no licence file; it declares ${license}.`;
  return `${"=".repeat(80)}\n${name} ${version} (${license})\n${"=".repeat(80)}\n\n${text}\n`;
}

/** Stores a .gz beside every large text file: the server then never compresses while people wait. */
async function compress(files) {
  for (const file of files.filter((name) => /\.(js|css)$/.test(name))) {
    const packed = await promisify(gzip)(await readFile(path.resolve(here, file)), { level: 9 });
    await writeFile(path.resolve(here, `${file}.gz`), packed);
  }
}

/** Lazily loaded chunks get style sheets of their own, which nothing loads: graphiql.css has all of it. */
function strayStyles({ outputs }) {
  return Object.keys(outputs).filter((file) => file.includes("/chunks/") && file.endsWith(".css"));
}

await rm(outdir, { recursive: true, force: true });
const workerBuild = await build(workers);
const define = { ...common.define, WORKERS: JSON.stringify(workerFiles(workerBuild.metafile)) };
const pageBuild = await build({ ...page, define });
const metafiles = [workerBuild.metafile, pageBuild.metafile];
const licences = await Promise.all(packagesIn(metafiles).map(licenceOf));
await writeFile(path.join(outdir, "THIRD_PARTY_LICENSES.txt"), licences.join("\n\n"));
const stray = strayStyles(pageBuild.metafile);
await Promise.all(stray.map((file) => rm(path.resolve(here, file))));
const files = metafiles.flatMap(({ outputs }) => Object.keys(outputs)).filter((file) => !stray.includes(file));
await compress(files);
