/** Bundles the command line with its libraries, so that installing `logits` installs nothing from outside; @logits/* stay imports. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Metafile } from "esbuild";

const here = import.meta.dirname;

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
    if (file === undefined) throw new Error(`build: expected ${name} ${version}, which is bundled, to carry its licence, got no LICENSE file`);
    return `${name} ${version} (${license})

${readFileSync(join(folder, file), "utf8").trim()}
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
});
writeFileSync(join(here, "dist/THIRD-PARTY.txt"), notices(metafile));
