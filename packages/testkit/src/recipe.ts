import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { assert } from "./checks.ts";

/**
 * The functions of a recipe: the first `ts` block of `docs/recipes/<page>.md`, at most 25 lines, with its imports taken from the given modules (the sources of the tree).
 *
 * @example
 *   const { predict } = recipe<{ predict(logits: Rows): Int32Array }>("loki", ["predict"], { "@logits/core-wasm": core, "@logits/tensor": tensors });
 */
export function recipe<Functions>(page: string, names: readonly string[], modules: Readonly<Record<string, unknown>>): Functions {
  const text = readFileSync(join(import.meta.dirname, "../../../docs/recipes", `${page}.md`), "utf8");
  const code = /```ts\n([^]*?)```/.exec(text)?.[1] ?? "";
  const lines = code.split("\n").filter((line) => line.trim() !== "").length;
  assert(lines > 0 && lines <= 25, `docs/recipes/${page}.md: a block of 1 to 25 lines, got ${lines}`);
  for (const [, from] of code.matchAll(/^import .* from "([^"]*)";$/gm)) assert(from in modules, `docs/recipes/${page}.md imports ${from}, which the test does not give`);
  const body = stripTypeScriptTypes(code).replace(/^import (\{[^}]*\}) from ("[^"]*");$/gm, "const $1 = modules[$2];");
  return new Function("modules", `${body}\nreturn { ${names.join(", ")} };`)(modules) as Functions;
}
