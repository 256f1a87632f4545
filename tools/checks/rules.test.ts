import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Rule, engineDependentMath, everyExportHasAPage, everyExportIsDocumented, listFiles, manifestsAreComplete, noEngineDependentMath, nothingForeign, pagesHaveTheSameOrder, pagesNamePapers } from "./rules.ts";

const made: string[] = [];
afterEach(() => made.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

/** Runs a rule over a tree made of these files. */
function run(rule: Rule, files: Record<string, string | Uint8Array>): string[] {
  const root = mkdtempSync(join(tmpdir(), "checks-"));
  made.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return rule(root, Object.keys(files));
}

const manifest = (fields: object): string =>
  JSON.stringify({ name: "@logits/x", license: "MIT", type: "module", sideEffects: false, exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } }, ...fields });

describe("engineDependentMath", () => {
  it.each([
    ["Math.exp(x)", "Math.exp"],
    ["Math . log(x)", "Math.log"],
    ["Math?.tanh(x)", "Math.tanh"],
    ["globalThis.Math.pow(2, x)", "Math.pow"],
    ["Math.random()", "Math.random"],
    ["Math.hypot(a, b)", "Math.hypot"],
    ['Math["exp"](x)', "Math without a plain member"],
    ["const { exp } = Math;", "Math without a plain member"],
    ["`${Math.exp(1)}`", "Math.exp"],
    ["x ** y", "** with an exponent that is no integer literal"],
    ["x ** 0.5", "** with an exponent that is no integer literal"],
    ["x **= y", "**= with an exponent that is no integer literal"],
    ["2 ** -k", "** with an exponent that is no integer literal"],
  ])("finds %s", (source, found) => {
    expect(engineDependentMath(`let a;\n${source}`)).toEqual([{ line: 2, found }]);
  });

  it.each(["Math.sqrt(x) + Math.max(1, Math.imul(a, b)) + Math.PI", "x ** 2", "2 ** 31", "2 ** (-126)", "2 ** -126", "// Math.exp", '"Math.exp"', "/** x ** y */", "myMath.exp(x)", "this.Math.exp"])("lets pass: %s", (source) => {
    expect(engineDependentMath(source)).toEqual([]);
  });
});

describe("noEngineDependentMath", () => {
  it("looks at published sources only", () => {
    const bad = "export const a = Math.exp(1);\n";
    expect(
      run(noEngineDependentMath, {
        "packages/x/src/a.ts": bad, "packages/x/src/a.test.ts": bad, "packages/x/src/a.ref.ts": bad, "packages/x/src/a.bench.ts": bad, "packages/testkit/src/a.ts": bad,
        "packages/logits/src/cli.ts": bad, "packages/logits/src/cli/a.ts": bad, "packages/logits/src/report/a.ts": bad, "packages/logits/src/client.ts": bad, "tools/a.ts": bad, "packages/x/build.ts": bad,
      }),
    ).toEqual(["packages/x/src/a.ts", "packages/logits/src/client.ts"].map((file) => `${file}:1: Math.exp differs between engines; use @logits/statistics or a kernel`));
  });
});

describe("everyExportIsDocumented", () => {
  it("follows re-exports to the declaration, also into other packages", () => {
    expect(
      run(everyExportIsDocumented, {
        "packages/x/package.json": manifest({}),
        "packages/x/src/index.ts": 'export { good, bare, type Kind } from "./a.ts";\n',
        "packages/x/src/a.ts": '/** Good. */\nexport function good(): void {}\nexport function bare(): void {}\nexport { type Kind } from "./kind.ts";\n',
        "packages/x/src/kind.ts": "export interface Kind {}\n",
        "packages/logits/package.json": manifest({ name: "logits" }),
        "packages/logits/src/index.ts": 'export { good } from "@logits/x";\nexport { gone } from "@logits/x";\nexport { other } from "@logits/y";\n',
      }),
    ).toEqual([
      "packages/x/src/a.ts: bare is public and has no documentation comment",
      "packages/x/src/kind.ts: Kind is public and has no documentation comment",
      "packages/logits/src/index.ts: gone is not found in packages/x/src/index.ts",
      "packages/logits/src/index.ts: other comes from @logits/y, which is not found",
    ]);
  });

  it("looks at subpaths, and refuses export *", () => {
    expect(
      run(everyExportIsDocumented, {
        "packages/x/package.json": manifest({ exports: { "./sub": { types: "./dist/sub.d.ts", default: "./dist/sub.js" } } }),
        "packages/x/src/sub.ts": 'export * from "./a.ts";\nexport const bare = 1;\n',
      }),
    ).toEqual(["packages/x/src/sub.ts: export * hides the list of public names", "packages/x/src/sub.ts: bare is public and has no documentation comment"]);
  });
});

/** A package with one function, one class behind a subpath, one type, and a page for each value. */
const documented: Record<string, string> = {
  "packages/x/package.json": manifest({ exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" }, "./sub": { types: "./dist/sub.d.ts", default: "./dist/sub.js" } } }),
  "packages/x/src/index.ts": 'export { f, type Options } from "./f.ts";\n',
  "packages/x/src/sub.ts": "/** S. */\nexport class S {}\n",
  "packages/x/src/f.ts": "/** Options. */\nexport interface Options {}\n/** F. */\nexport function f(): void {}\n",
  "packages/logits/package.json": manifest({ name: "logits" }),
  "packages/logits/src/index.ts": 'export { f } from "@logits/x";\n',
  "packages/secret/package.json": manifest({ name: "@logits/secret", private: true }),
  "packages/secret/src/index.ts": "/** G. */\nexport const g = 1;\n",
  "docs/x/f.md": '# One function\n\n## Signature\n\n```text\nf(): void\n```\n\n## Example\n\n```ts\nimport { f } from "@logits/x";\nf();\n```\n',
  "docs/x/s.md": '# S\n\nSee f.\n\n```ts consumer\nimport {\n  S,\n} from "@logits/x/sub";\nnew S();\n```\n',
};
const without = (gone: string): Record<string, string> => Object.fromEntries(Object.entries(documented).filter(([file]) => file !== gone));
const changed = (file: string, from: string, to: string): Record<string, string> => ({ ...documented, [file]: documented[file].replace(from, to) });

describe("everyExportHasAPage", () => {
  it("lets pass a page with signature or title and a program", () => {
    expect(run(everyExportHasAPage, documented)).toEqual([]);
    expect(run(everyExportIsDocumented, documented)).toEqual([]);
  });

  it("fails where the page of an export is deleted, also when another page mentions it", () => {
    expect(run(everyExportHasAPage, without("docs/x/f.md"))).toEqual(["packages/x/src/index.ts: no page has f in its title or signature"]);
    expect(run(everyExportHasAPage, without("docs/x/s.md"))).toEqual(["packages/x/src/sub.ts: no page has S in its title or signature"]);
  });

  it("fails where its program is deleted, or imports another package's", () => {
    const problem = ["packages/x/src/index.ts: no program of docs/x/f.md imports f from @logits/x"];
    expect(run(everyExportHasAPage, changed("docs/x/f.md", /```ts\n[\s\S]*/.exec(documented["docs/x/f.md"])![0], ""))).toEqual(problem);
    expect(run(everyExportHasAPage, changed("docs/x/f.md", "@logits/x", "@logits/xy"))).toEqual(problem);
    expect(run(everyExportHasAPage, changed("docs/x/f.md", "```ts\n", "```js\n"))).toEqual(problem);
    expect(run(everyExportHasAPage, changed("docs/x/s.md", "@logits/x/sub", "@logits/x"))).toEqual(["packages/x/src/sub.ts: no program of docs/x/s.md imports S from @logits/x/sub"]);
  });

  it("does not take another package's page for it, and lets a subpath repeat the index", () => {
    const { "docs/x/f.md": page, ...others } = documented;
    expect(run(everyExportHasAPage, { ...others, "docs/y/f.md": page })).toEqual(["packages/x/src/index.ts: no page has f in its title or signature"]);
    expect(run(everyExportHasAPage, { ...documented, "packages/x/src/sub.ts": '/** S. */\nexport class S {}\nexport { f } from "./f.ts";\n' })).toEqual([]);
  });

  it("fails with its sister rule where the comment of an export is deleted", () => {
    expect(run(everyExportIsDocumented, changed("packages/x/src/f.ts", "/** F. */", ""))).toEqual(["packages/x/src/f.ts: f is public and has no documentation comment"]);
  });
});

describe("pagesHaveTheSameOrder", () => {
  const page = (headings: string[]): Record<string, string> => ({ "docs/a.md": `# A\n${headings.map((heading) => `\n## ${heading}\n`).join("")}` });
  const all = ["Definition", "Signature", "Shapes", "Example", "Special values", "Accuracy", "Cost", "Gradient", "Source", "Prior work", "See also"];

  it("lets pass the order, other sections between, and pages that are of no function", () => {
    expect(run(pagesHaveTheSameOrder, page(all))).toEqual([]);
    expect(run(pagesHaveTheSameOrder, page(all.toSpliced(1, 0, "Which first")))).toEqual([]);
    expect(run(pagesHaveTheSameOrder, page(["Code", "Definition"]))).toEqual([]);
    expect(run(pagesHaveTheSameOrder, { "docs/a.md": `${page(all)["docs/a.md"]}\n\`\`\`md\n## Definition\n\`\`\`\n` })).toEqual([]);
  });

  it("finds what is missing, swapped or twice there", () => {
    expect(run(pagesHaveTheSameOrder, page(all.filter((heading) => heading !== "Cost" && heading !== "Prior work")))).toEqual(["docs/a.md: no section Cost", "docs/a.md: no section Prior work"]);
    expect(run(pagesHaveTheSameOrder, page(["Definition", "Signature", "Example", "Shapes", ...all.slice(4)]))).toEqual(["docs/a.md: section Example stands where Shapes belongs"]);
    expect(run(pagesHaveTheSameOrder, page([...all, "See also"]))).toEqual(["docs/a.md: section See also stands twice"]);
  });
});

describe("nothingForeign", () => {
  it("finds build output, large files, paths of a machine and registries", () => {
    const registry = ["https:/", "registry.npmjs.org", "x"].join("/");
    expect(
      run(nothingForeign, {
        "packages/x/dist/a.js": "", "packages/core-wasm/wasm/a.js": "", "a/k.wasm": "", "x.tgz": "", "packages/x/src/a.d.ts": "", "a/__pycache__/b.pyc": "",
        "big.bin": new Uint8Array(5_000_001), "home.md": `see ${homedir()}/x/y`, "other.md": `in ${["", "home", "someone", "project", "a.txt"].join("/")}`, "lock.yaml": `tarball: ${registry}`,
        "fine.md": "a/home/b, https://example.org/home/x/y, ./packages/home/x/, /dev/stdin, /tmp/x/y, a big /usr/bin/python3", "binary.npy": Uint8Array.from([0, 47, 104]),
      }),
    ).toEqual([
      "packages/x/dist/a.js: build output", "packages/core-wasm/wasm/a.js: build output", "a/k.wasm: build output", "x.tgz: build output", "packages/x/src/a.d.ts: build output", "a/__pycache__/b.pyc: build output",
      "big.bin: 5000001 bytes, more than 5000000",
      `home.md: a path of a machine (${homedir()}/x/)`,
      `other.md: a path of a machine (${["", "home", "someone", "project", ""].join("/")})`,
      `lock.yaml: a registry (${["https:/", "registry.npmjs.org"].join("/")})`,
    ]);
  });

  it("finds the path of the checkout itself", () => {
    const found = run((root, files) => {
      writeFileSync(join(root, "a.md"), `run ${root}/tools/x`);
      return nothingForeign(root, files);
    }, { "a.md": "" });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^a\.md: a path of a machine/);
  });
});

describe("manifestsAreComplete", () => {
  it.each([
    ["license", { license: undefined }, ["no license"]],
    ["another license", { license: "GPL-3.0" }, ["license GPL-3.0, not MIT"]],
    ["module", { type: undefined }, ['no "type": "module"']],
    ["exports", { exports: undefined }, ["no exports"]],
    ["types behind default", { exports: { ".": { default: "./dist/a.js", types: "./dist/a.d.ts" } } }, ['exports["."]: types is not first']],
    ["types behind workerd", { exports: { "./w": { workerd: "./dist/w.js", types: "./dist/a.d.ts", default: "./dist/a.js" } } }, ['exports["./w"]: types is not first']],
    ["side effects", { sideEffects: undefined }, ["sideEffects is not false"]],
    ["an outside dependency", { dependencies: { lodash: "^4" } }, ["dependencies: lodash is not of this house"]],
    ["an outside peer", { peerDependencies: { react: "*" } }, ["peerDependencies: react is not of this house"]],
    ["a pinned dependency", { dependencies: { "@logits/tensor": "workspace:*" } }, ["dependencies: @logits/tensor is workspace:*, not workspace:^"]],
  ])("finds what is wrong: %s", (_, fields, want) => {
    expect(run(manifestsAreComplete, { "packages/x/package.json": manifest(fields) })).toEqual(want.map((problem) => `packages/x/package.json: ${problem}`));
  });

  it("lets a complete one pass", () => {
    expect(run(manifestsAreComplete, { "packages/x/package.json": manifest({ dependencies: { "@logits/tensor": "workspace:^" }, devDependencies: { vitest: "*" } }) })).toEqual([]);
  });
});

describe("pagesNamePapers", () => {
  it("finds ids that the catalogue lacks", () => {
    expect(run(pagesNamePapers, { "papers/papers.json": '[{"id":"known"}]', "docs/a.md": "Paper: known\n", "docs/sub/b.md": "x\nPaper: unknown\nPaper:\n", "README.md": "Paper: other\n" })).toEqual([
      'docs/sub/b.md: the catalogue has no paper "unknown"',
      'docs/sub/b.md: the catalogue has no paper ""',
    ]);
  });
});

describe("listFiles", () => {
  it("knows this file and nothing that git ignores", () => {
    const files = listFiles(join(import.meta.dirname, "..", ".."));
    expect(files).toContain("tools/checks/rules.test.ts");
    expect(files.filter((file) => file.includes("node_modules/"))).toEqual([]);
  });
});
