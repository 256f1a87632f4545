import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { program } from "../program.ts";

// Every ```ts consumer block of a page is a program: it runs in a folder of its own against the built packages and the real libraries, and must print what the page says.

const here = import.meta.dirname;
const root = join(here, "../..");
const folder = mkdtempSync(join(tmpdir(), "logits-pages-"));
symlinkSync(join(here, "node_modules"), join(folder, "node_modules"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pages = [
  "README.md",
  ...["docs/interop", "docs/start", "docs/guides"].flatMap((folder) => readdirSync(join(root, folder)).filter((file) => file.endsWith(".md")).map((file) => `${folder}/${file}`)),
  "packages/interop/README.md",
].map((page) => ({ page, blocks: [...readFileSync(join(root, page), "utf8").matchAll(/^```ts consumer\n([\s\S]*?)^```/gm)].map((match) => match[1]) }));

/** Names that a block uses and does not declare. */
function prelude(block: string): string {
  const text = block.includes("@huggingface/transformers");
  const names = [text ? "texts" : "rows", text ? "intentLabels as labels" : "species as labels"].filter((name) => new RegExp(`\\b${name.split(" ").at(-1)}\\b`).test(block));
  return `import ${names.length > 0 ? `{ ${names.join(", ")} } from ` : ""}${JSON.stringify(pathToFileURL(join(here, "prelude.ts")).href)};`;
}

it("there is a program for each of the three runtimes", () => {
  const all = pages.flatMap(({ blocks }) => blocks).join();
  for (const library of ["@huggingface/transformers", "onnxruntime-web", "@tensorflow/tfjs"]) expect(all).toContain(`from "${library}"`);
});

describe.each(pages.filter(({ blocks }) => blocks.length > 0))("$page", ({ page, blocks }) => {
  it.each(blocks.map((block, i) => [i + 1, block] as const))("program %i runs and prints what the page says", (i, block) => {
    const own = join(folder, `${page.replaceAll(/[^A-Za-z0-9]/g, "-")}-${i}`);
    mkdirSync(own);
    const file = join(own, "program.ts");
    writeFileSync(file, program(block, prelude(block)));
    try {
      execFileSync(process.execPath, ["--no-warnings", file], { cwd: own, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      throw new Error((error as { stderr: string }).stderr, { cause: error });
    }
  });
});
