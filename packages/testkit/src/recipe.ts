import { assert } from "./checks.ts";

interface NodeLike {
  getBuiltinModule(name: "node:fs"): { readFileSync(url: URL, encoding: "utf8"): string };
  getBuiltinModule(name: "node:module"): { stripTypeScriptTypes(code: string): string };
}

/**
 * The functions of a recipe: the first `ts` block of `docs/recipes/<page>.md`, at most 25 lines, with its imports taken from the given modules (the sources of the tree).
 *
 * @example
 *   const { predict } = recipe<{ predict(logits: Rows): Int32Array }>("loki", ["predict"], { "@logits/core-wasm": core, "@logits/tensor": tensors });
 */
export function recipe<Functions>(page: string, names: readonly string[], modules: Readonly<Record<string, unknown>>): Functions {
  const { process } = globalThis as unknown as { process: NodeLike };
  const text = process.getBuiltinModule("node:fs").readFileSync(new URL(`../../../docs/recipes/${page}.md`, import.meta.url), "utf8");
  const code = /```ts\n([^]*?)```/.exec(text)?.[1] ?? "";
  const lines = code.split("\n").filter((line) => line.trim() !== "").length;
  assert(lines > 0 && lines <= 25, `docs/recipes/${page}.md: a block of 1 to 25 lines, got ${lines}`);
  for (const [, from] of code.matchAll(/^import .* from "([^"]*)";$/gm)) assert(from in modules, `docs/recipes/${page}.md imports ${from}, which the test does not give`);
  const body = process.getBuiltinModule("node:module").stripTypeScriptTypes(code).replace(/^import (\{[^}]*\}) from ("[^"]*");$/gm, "const $1 = modules[$2];");
  return new Function("modules", `${body}\nreturn { ${names.join(", ")} };`)(modules) as Functions;
}
