/** Embeds every file of `shaders/` into `wgsl/` as a module, without its comments and indentation. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
mkdirSync(join(here, "wgsl"), { recursive: true });

for (const file of readdirSync(join(here, "shaders"))) {
  const name = file.replace(/\.wgsl$/, "");
  const code = readFileSync(join(here, "shaders", file), "utf8")
    .replaceAll(/\/\/.*$/gm, "")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?([{}();,:=<>*%&|^]) ?/g, "$1")
    .trim();
  writeFileSync(join(here, "wgsl", `${name}.js`), `export const code = ${JSON.stringify(code)};\n`);
  writeFileSync(join(here, "wgsl", `${name}.d.ts`), `/** WGSL of shaders/${file}. */\nexport declare const code: string;\n`);
}

const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as { version: string };
writeFileSync(join(here, "wgsl", "version.js"), `export const version = "${version}";\n`);
writeFileSync(join(here, "wgsl", "version.d.ts"), `/** Version of this package. */\nexport declare const version: string;\n`);
