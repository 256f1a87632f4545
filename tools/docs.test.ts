import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { blocksOf, program, typeScript } from "./program.ts";

// Every ```ts block of a page is a program: it runs against the built packages, and `console.log(x); // text` must print that text.
// A block marked ```ts consumer needs a library of others: tools/consumers runs it, against the real one.

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
  "docs/interop/onnx-tap.md": `
    const { onnxHeadModel, onnxModel } = await import("@logits/testkit");
    const bytes = onnxModel(onnxHeadModel("gemm", { features: 8, classes: 3 }).model);`,
  "docs/interop/onnx-attach.md": `
    const { onnxHeadModel, onnxModel } = await import("@logits/testkit");
    const bytes = onnxModel(onnxHeadModel("gemm", { features: 8, classes: 3 }).model);
    const random = (await import("@logits/tensor")).randomSource(1);
    const labels = Int32Array.from({ length: 300 }, () => random.integer(3));
    const logits = { shape: [300, 3], data: Float32Array.from({ length: 900 }, (_, i) => 3 * random.uniform() + (labels[Math.floor(i / 3)] === i % 3 ? 2 : 0)) };`,
};

describe.each(pages)("%s", (page) => {
  it("links to what is there", () => {
    const links = [...readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map((match) => match[1]);
    expect(links.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
  });

  const blocks = blocksOf(readFileSync(join(root, page), "utf8"));
  if (blocks.length > 0) it.each(blocks.map((block, i) => [i + 1, block] as const))("program %i runs and prints what the page says", (i, block) => {
    const file = join(folder, `${page.replaceAll(/[^A-Za-z0-9]/g, "-")}-${i}.ts`);
    writeFileSync(file, program(block, PRELUDES[page] ?? ""));
    try {
      // Programs share the compiled code of the packages: half the time of all of them was compiling.
      execFileSync(process.execPath, ["--no-warnings", file], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") } });
    } catch (error) {
      throw new Error((error as { stderr: string }).stderr, { cause: error });
    }
  });
});

it("programs type-check as a stranger's would: strict, against the packages' declarations", () => {
  const types = mkdtempSync(join(tmpdir(), "logits-docs-types-"));
  try {
    for (const page of pages) {
      blocksOf(readFileSync(join(root, page), "utf8")).forEach((block, i) => writeFileSync(join(types, `${page.replaceAll(/[^A-Za-z0-9]/g, "-")}-${i + 1}.ts`), `${PRELUDES[page]?.trim().replaceAll(/\n\s*/g, " ") ?? ""}${block}export {};\n`));
    }
    writeFileSync(join(types, "package.json"), '{ "type": "module" }');
    writeFileSync(join(types, "tsconfig.json"), JSON.stringify(typeScript()));
    const { stdout } = spawnSync(join(root, "node_modules", ".bin", "tsc"), ["-p", join(types, "tsconfig.json")], { encoding: "utf8" });
    expect(stdout.replaceAll(/^.*logits-docs-types-[^/]*\//gm, "")).toBe("");
  } finally {
    rmSync(types, { recursive: true, force: true });
  }
});

it("docs/README.md lists every page", () => {
  const listed = readFileSync(join(root, "docs", "README.md"), "utf8");
  const all = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".md") && !file.includes("node_modules") && file !== "README.md");
  expect(all.filter((file) => !listed.includes(`](${file})`))).toEqual([]);
});
