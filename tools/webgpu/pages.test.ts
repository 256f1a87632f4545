import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { program } from "../program.ts";
import { expected, missing } from "./adapter.ts";

// Every ```ts consumer block of docs/webgpu runs in Node against the built packages and Dawn, and must print what the page says.

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-pages-"));
symlinkSync(join(import.meta.dirname, "node_modules"), join(folder, "node_modules"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

if (missing) {
  it("the programs of the pages run, or say that they did not", () => {
    console.log(`programs of docs/webgpu: did not run (${missing})`);
    if (expected) expect(missing).toBe("");
  });
}
for (const page of missing ? [] : readdirSync(join(root, "docs/webgpu"))) {
  const blocks = [...readFileSync(join(root, "docs/webgpu", page), "utf8").matchAll(/^```ts consumer\n([\s\S]*?)^```/gm)].map((match) => match[1]);
  blocks.forEach((block, i) => {
    it(`${page}, program ${i + 1}, prints what the page says`, () => {
      const file = join(folder, `${page}-${i}.ts`);
      writeFileSync(file, program(block, ""));
      try {
        execFileSync(process.execPath, ["--no-warnings", file], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
      } catch (error) {
        throw new Error((error as { stderr: string }).stderr, { cause: error });
      }
    });
  });
}
