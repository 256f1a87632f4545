/** Bundles the command line with its libraries, so that installing `logits` installs nothing from outside; @logits/* stay imports. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";

const here = import.meta.dirname;

/** linkedom asks for canvas and does without. */
const noCanvas: Plugin = {
  name: "no-canvas",
  setup(b) {
    b.onResolve({ filter: /^canvas$/ }, () => ({ path: "canvas", namespace: "none" }));
    b.onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "exports.createCanvas = undefined" }));
  },
};

/** Libraries that name a licence in package.json and carry no file of it. */
const WITHOUT_FILE: Readonly<Record<string, string>> = {
  boolbase: `Copyright (c) Felix Boehm <me@feedic.com>

Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN
CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.`,
};

/** What the licences of the bundled libraries ask for: their text goes with every copy. */
function notices(metafile: Metafile): string {
  const folders = new Set<string>();
  for (const path of Object.keys(metafile.inputs)) {
    const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0];
    if (folder !== undefined) folders.add(join(here, folder));
  }
  const parts = [...folders].map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name: string; version: string; license: string };
    const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const text = file === undefined ? WITHOUT_FILE[name] : readFileSync(join(folder, file), "utf8");
    if (text === undefined) throw new Error(`build: expected ${name} ${version}, which is bundled, to carry its licence, got no LICENSE file`);
    return `${name} ${version} (${license})

${text.trim()}
`;
  });
  return `dist/cli.js holds these libraries.\n\n${parts.sort().join(`\n${"-".repeat(80)}\n\n`)}`;
}

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/cli/cli.ts"],
  outfile: "dist/cli.js",
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  legalComments: "none",
  metafile: true,
  external: ["@logits/*"],
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  plugins: [noCanvas],
});
writeFileSync(join(here, "dist/THIRD-PARTY.txt"), notices(metafile));
