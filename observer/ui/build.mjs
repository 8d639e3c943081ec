// Makes bundle.js of src/: one file, with the licences of whatever is in it. The same versions make the same bytes.
// `node build.mjs FILE` writes elsewhere.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const to = process.argv[2] ?? `${here}bundle.js`;
/** What may be in a program under Apache-2.0. */
const ALLOWED = ["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"];
const MOST_BYTES = 300_000;

const { outputFiles, metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.ts"],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
});

const packages = Object.keys(metafile.inputs)
  .map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
  .filter((name) => name !== undefined);
const notices = [];
for (const name of [...new Set(packages)].sort()) {
  const about = JSON.parse(await readFile(`${here}node_modules/${name}/package.json`, "utf8"));
  if (!ALLOWED.includes(about.license)) throw new Error(`${name} is under ${about.license}, which no bundle may have`);
  const licence = await readFile(`${here}node_modules/${name}/LICENSE`, "utf8");
  notices.push(`${name} ${about.version} (${about.license})\n\n${licence.trim()}`);
}
const head = `/*! Made of observer/ui/src by \`cargo xtask ui\`: change that, not this. It contains:

${notices.join("\n\n---\n\n").replaceAll("*/", "* /")}
*/
`;
const text = head + outputFiles[0].text;
if (text.length > MOST_BYTES) throw new Error(`the bundle has ${text.length} bytes, more than ${MOST_BYTES}`);
await writeFile(to, text);
