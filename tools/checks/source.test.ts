import { describe, expect, it } from "vitest";
import { codeOnly, exportedNames, exportsOf, hasDocComment } from "./source.ts";

describe("codeOnly", () => {
  it.each([
    ["a line comment", "a(); // Math.exp(1)\nb();", "Math"],
    ["a block comment", "/* Math.exp\n * */ b();", "Math"],
    ["strings", `f("Math.exp", 'Math.log', "\\"Math.pow");`, "Math"],
    ["a template", "f(`Math.exp ${x} Math.log`);", "Math"],
    ["a nested template", "f(`a ${g(`Math.exp ${{ a: 1 }.a}`)} Math.log`);", "Math"],
    ["a regular expression", "x = /Math.exp[/]Math/.test(y);", "Math"],
    ["a regular expression behind return", "return /['\"`]Math/;", "Math"],
  ])("blanks %s", (_, source, hidden) => {
    const code = codeOnly(source);
    expect(code).not.toContain(hidden);
    expect(code).toHaveLength(source.length);
    expect(code.split("\n")).toHaveLength(source.split("\n").length);
  });

  it.each([
    ["code inside a template", "f(`a ${Math.exp(1)} b`);"],
    ["code behind a division", "x = a / b; y = Math.exp(1) / 2;"],
    ["code behind a string with an escaped quote", `f("\\\\"); Math.exp(1);`],
    ["code behind a template with braces", "f(`${{ a: `${1}` }}`); Math.exp(1);"],
    ["code behind a regular expression with quotes", `x = /"/; Math.exp(1);`],
    ["code behind a comment with a quote", "// it's\nMath.exp(1);"],
    ["a division behind a bracket", "x = (a) / 2; Math.exp(b / c);"],
  ])("keeps %s", (_, source) => {
    expect(codeOnly(source)).toContain("Math.exp(");
  });
});

describe("exportsOf", () => {
  it("reads lists, declarations, other names and origins, not comments", () => {
    const source = 'import { inner } from "./i.ts";\nexport { a, type B, c as d } from "./x.ts";\nexport { inner };\n// export { no } from "./n.ts";\nexport const e = 1, f = 2;\nexport async function g() {}\nexport abstract class H {}\nexport interface I {}\nexport type J = string;\n';
    expect(exportsOf(source)).toEqual([
      { name: "a", local: "a", from: "./x.ts", type: false },
      { name: "B", local: "B", from: "./x.ts", type: true },
      { name: "d", local: "c", from: "./x.ts", type: false },
      { name: "inner", local: "inner", from: "./i.ts", type: false },
      ...["e", "g", "H", "I", "J"].map((name) => ({ name, local: name, from: undefined, type: name === "I" || name === "J" })),
    ]);
    expect(exportedNames(source).has("no")).toBe(false);
    expect(exportsOf('export type { A } from "./a.ts";')).toEqual([{ name: "A", local: "A", from: "./a.ts", type: true }]);
  });
});

describe("hasDocComment", () => {
  it("sees a comment right before the first declaration only", () => {
    expect(hasDocComment("/** One. */\nexport function f(): void;\nexport function f(x?: number): void {}", "f")).toBe(true);
    expect(hasDocComment("/** One. */\nconst g = 1;\nexport const f = 1;", "f")).toBe(false);
    expect(hasDocComment("/* One. */\nexport const f = 1;", "f")).toBe(false);
    expect(hasDocComment("/** */\nexport const f = 1;", "f")).toBe(false);
    expect(hasDocComment("export const f = 1;", "f")).toBe(false);
    expect(hasDocComment("/** One. */\nfunction f() {}\nexport { f };", "f")).toBe(true);
    expect(hasDocComment("export const f2 = 1;", "f")).toBe(undefined);
  });
});
