import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Paper, checkCatalogue } from "./catalogue.ts";

const files: Record<string, string> = {
  "packages/core-wasm/package.json": JSON.stringify({ exports: { ".": { default: "./dist/index.js" }, "./gemm": { default: "./dist/gemm.js" }, "./package.json": "./package.json" } }),
  "packages/core-wasm/src/index.ts": 'export { softmax, type Row, inner as outer } from "./softmax.ts";\n// export { commented } from "./x.ts";\n',
  "packages/core-wasm/src/gemm.ts": "export function matmul(): void {}\n",
  "packages/core-wasm/src/softmax.test.ts": 'it("sums to one [paper:good]", () => {});\nit.skip("later [paper:skipped]", () => {});\n// it("[paper:comment]")\nit.each([\n  1,\n])("case %i [paper:each]", () => {});\n',
  "docs/softmax.md": "# Softmax\n\nPaper: good\nPaper: skipped\nPaper: comment\nPaper: each\nSee Paper: inline\n",
  "docs/recipes/x.md": "Paper: good\n",
};

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "papers-"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
});
afterAll(() => rmSync(root, { recursive: true }));

const row = (fields: Partial<Paper>): Paper => ({
  id: "good", title: "A", year: 2016, tier: "A", package: "core-wasm", area: null, component: "", verifyBy: "", formulaUncertain: false, status: "working", exports: ["@logits/core-wasm#softmax"], ...fields,
});
const others = ["skipped", "comment", "each"].map((id) => row({ id, status: "planned", exports: undefined }));
const problemsOf = (fields: Partial<Paper>): string[] => {
  const id = fields.id ?? "good";
  return checkCatalogue(root, [row(fields), ...[row({ status: "planned", exports: undefined }), ...others].filter((other) => other.id !== id)]).problems;
};

describe("checkCatalogue", () => {
  it.each([
    ["an export", {}],
    ["an export under another name", { exports: ["@logits/core-wasm#outer"] }],
    ["an export of a subpath", { exports: ["@logits/core-wasm/gemm#matmul"] }],
    ["a test named by each", { id: "each" }],
    ["a recipe", { status: "recipe", exports: undefined, recipe: "docs/recipes/x.md" }],
    ["a confirmed formula", { formulaUncertain: true, confirmed: "section 3" }],
    ["a plan", { status: "planned", exports: undefined }],
    ["nothing to build", { tier: "C", status: "none", exports: undefined, whyNone: "a survey" }],
  ] as [string, Partial<Paper>][])("accepts %s", (_, fields) => {
    expect(problemsOf(fields)).toEqual([]);
  });

  it.each([
    ["an export that is not there", { exports: ["@logits/core-wasm#softmin"] }, ["good: @logits/core-wasm#softmin is not exported by packages/core-wasm/src/index.ts"]],
    ["an inner name", { exports: ["@logits/core-wasm#inner"] }, ["good: @logits/core-wasm#inner is not exported by packages/core-wasm/src/index.ts"]],
    ["a name in a comment", { exports: ["@logits/core-wasm#commented"] }, ["good: @logits/core-wasm#commented is not exported by packages/core-wasm/src/index.ts"]],
    ["an unknown package", { exports: ["@logits/nowhere#x"] }, ["good: @logits/nowhere#x: no such package"]],
    ["an unknown subpath", { exports: ["@logits/core-wasm/rows#x"] }, ["good: @logits/core-wasm/rows#x: the package has no such subpath"]],
    ["another form", { exports: ["softmax"] }, ["good: expected exports of the form @logits/package#name, got softmax"]],
    ["no exports", { exports: [] }, ["good: status working needs exports"]],
    ["a recipe that is not there", { status: "recipe", exports: undefined, recipe: "docs/recipes/y.md" }, ["good: the recipe docs/recipes/y.md does not exist"]],
    ["no page and no test", { id: "inline" }, ['inline: no page under docs/ has the line "Paper: inline"', "inline: no test has [paper:inline] in its name"]],
    ["a skipped test", { id: "skipped" }, ["skipped: no test has [paper:skipped] in its name"]],
    ["a test in a comment", { id: "comment" }, ["comment: no test has [paper:comment] in its name"]],
    ["an uncertain formula", { formulaUncertain: true }, ["good: the formula is uncertain: say in `confirmed` where it was confirmed"]],
    ["tier C that works", { tier: "C", whyNone: "x" }, ["good: tier C with status working"]],
    ["tier B without a status of its own", { tier: "B", status: "none", exports: undefined }, ["good: tier B with status none"]],
    ["tier C without a reason", { tier: "C", status: "none", exports: undefined }, ["good: whyNone is missing"]],
    ["a plan that names exports", { status: "planned" }, ["good: status planned names exports or a recipe"]],
    ["an unknown status", { status: "done" as Paper["status"] }, ["good: expected status working, recipe, planned or none, got done"]],
  ] as [string, Partial<Paper>, string[]][])("refuses %s", (_, fields, want) => {
    expect(problemsOf(fields)).toEqual(want);
  });

  it("refuses an id twice, and pages or tests of unknown papers", () => {
    const { problems } = checkCatalogue(root, [row({}), row({})]);
    expect(problems).toContain("good: the id occurs twice");
    expect(problems).toContain("each: the test packages/core-wasm/src/softmax.test.ts names a paper that the catalogue lacks");
    expect(problems).toContain("comment: the page docs/softmax.md names a paper that the catalogue lacks");
  });

  it("counts the real catalogue: 49 of tier A, 221 of tier B, 77 of tier C", () => {
    const papers = JSON.parse(readFileSync(join(import.meta.dirname, "papers.json"), "utf8")) as Paper[];
    const { counts } = checkCatalogue(dirname(import.meta.dirname), papers);
    expect(counts.total).toBe(347);
    expect(counts.none).toBe(77);
    expect(counts.working + counts.recipes + counts.planned).toBe(270);
    expect(papers.filter((paper) => paper.tier === "A")).toHaveLength(49);
  });
});
