import { expect, it } from "vitest";
import { brokenRules } from "./boundaries.ts";

it("keeps broken rules and drops files of AssemblyScript", () => {
  const output = `Checking packages...
  x Package \`@logits/head\` found without any tag listed in allowlist for
  | \`@logits/tensor\`
   ,-[packages/head/turbo.json:1:29]
 1 | {}
   \`----

  x failed to parse file /somewhere/packages/core-wasm/assembly/lib/
  | elementary.ts: parser panicked

  x failed to parse file /somewhere/packages/tensor/src/tensor.ts: parser panicked

Checked 245 files in 11 packages, 3 issues found`;
  expect(brokenRules(output)).toEqual([
    "Package `@logits/head` found without any tag listed in allowlist for `@logits/tensor`",
    "failed to parse file /somewhere/packages/tensor/src/tensor.ts: parser panicked",
  ]);
});
