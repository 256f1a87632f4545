/** Bundles the command line with its libraries, so that installing `logits` installs nothing from outside; @logits/* stay imports. */
import { build } from "esbuild";
import { join } from "node:path";

await build({
  entryPoints: [join(import.meta.dirname, "src/cli/cli.ts")],
  outfile: join(import.meta.dirname, "dist/cli.js"),
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  legalComments: "linked",
  external: ["@logits/*"],
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  // linkedom asks for canvas and does without.
  plugins: [{ name: "no-canvas", setup: (b) => { b.onResolve({ filter: /^canvas$/ }, () => ({ path: "canvas", namespace: "none" })); b.onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "exports.createCanvas = undefined" })); } }],
});
