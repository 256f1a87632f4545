import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

// Every ```ts block of a page is a program: it runs against the built packages, and `console.log(x); // text` must print that text.

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "logits-docs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pages = [
  "README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".md") && !file.includes("node_modules")).map((file) => join("docs", file)),
  ...readdirSync(join(root, "packages")).map((folder) => join("packages", folder, "README.md")).filter((file) => existsSync(join(root, file))),
].sort();

/** What a page may take for granted: said in the page's own words ("scores of rows the model was not trained on"). */
const PRELUDES: Record<string, string> = {
  "README.md": `
    const random = (await import("@logits/tensor")).randomSource(1);
    const labels = Int32Array.from({ length: 300 }, () => random.integer(3));
    const logits = { shape: [300, 3], data: Float32Array.from({ length: 900 }, (_, i) => 3 * random.uniform() + (labels[Math.floor(i / 3)] === i % 3 ? 2 : 0)) };
    const scores = [4, 1, 0];`,
};

function resolve(specifier: string): string {
  const [, name, subpath] = /^(@logits\/[^/]+|logits)(\/.+)?$/.exec(specifier)!;
  const directory = join(root, "packages", name.replace("@logits/", ""));
  const { exports } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as { exports: Record<string, { default: string }> };
  const entry = exports[`.${subpath ?? ""}`];
  if (!entry) throw new Error(`${specifier} is no export`);
  return pathToFileURL(join(directory, entry.default)).href;
}

function program(block: string, prelude: string): string {
  const checked = block.split("\n").map((line) => line.replace(/^(\s*)console\.log\((.*)\);\s*\/\/ (.*)$/, (_, indent: string, args: string, want: string) => `${indent}__expect(${JSON.stringify(want)}, ${args});`));
  const text = `import { format as __format } from "node:util";
const __numbers = /-?\\d+(?:\\.\\d+)?(?:e[-+]?\\d+)?/g;
function __expect(want: string, ...args: unknown[]): void {
  const got = __format(...args).replace(/\\s+/g, " ");
  const a = want.match(__numbers) ?? [], b = got.match(__numbers) ?? [];
  const words = (text: string) => text.replace(__numbers, "#").replace(/\\s+/g, "").replace(/\\.\\.\\.$/, "");
  const close = a.length <= b.length && a.every((x, i) => Math.abs(Number(x) - Number(b[i])) <= 0.51 * 10 ** -(x.split("e")[0].split(".")[1]?.length ?? 0) * 10 ** Number(x.split("e")[1] ?? 0));
  const same = /\\.\\.\\.$/.test(want.trim()) ? words(got).startsWith(words(want)) : words(got) === words(want) && a.length === b.length;
  if (!close || !same) throw new Error("the page says " + want + ", the program prints " + got);
}
${prelude}
${checked.join("\n")}
`;
  return text.replace(/(from\s+|import\()"((?:@logits\/|logits)[^"]*)"/g, (_, before: string, specifier: string) => `${before}"${resolve(specifier)}"`);
}

describe.each(pages)("%s", (page) => {
  it("links to what is there", () => {
    const links = [...readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map((match) => match[1]);
    expect(links.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
  });

  const blocks = [...readFileSync(join(root, page), "utf8").matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match) => match[1]);
  if (blocks.length > 0) it.each(blocks.map((block, i) => [i + 1, block] as const))("program %i runs and prints what the page says", (i, block) => {
    const file = join(folder, `${page.replaceAll(/[^A-Za-z0-9]/g, "-")}-${i}.ts`);
    writeFileSync(file, program(block, PRELUDES[page] ?? ""));
    try {
      execFileSync(process.execPath, ["--no-warnings", file], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      throw new Error((error as { stderr: string }).stderr, { cause: error });
    }
  });
});

it("docs/README.md lists every page", () => {
  const listed = readFileSync(join(root, "docs", "README.md"), "utf8");
  const all = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".md") && !file.includes("node_modules") && file !== "README.md");
  expect(all.filter((file) => !listed.includes(`](${file})`))).toEqual([]);
});
