import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundledGzip, report, weigh } from "./size.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "size-"));
  const folder = join(root, "packages", "logits", "node_modules", "@logits", "core-wasm");
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(root, "packages", "core-wasm", "wasm"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"name":"@logits/core-wasm","type":"module","sideEffects":false,"exports":"./index.js"}');
  // Hashes, because gzip cannot shrink them by more than hexadecimal's half.
  const noise = Array.from({ length: 80 }, (_, i) => createHash("sha256").update(`${i}`).digest("hex")).join("");
  writeFileSync(join(folder, "index.js"), `export const softmax = "small";\nexport const heavy = "${noise}";\n`);
  writeFileSync(join(root, "packages", "core-wasm", "wasm", "rows.simd.wasm"), Uint8Array.from({ length: 3000 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 13));
});
afterAll(() => rmSync(root, { recursive: true }));

describe("weigh", () => {
  const code = (name: string): string => `import { ${name} } from "@logits/core-wasm"; console.log(${name});`;

  it("counts only what the page imports", async () => {
    expect(await bundledGzip(code("softmax"), join(root, "packages", "logits"))).toBeLessThan(100);
    expect(await bundledGzip(code("heavy"), join(root, "packages", "logits"))).toBeGreaterThan(2000);
  });

  it("is within the budget, or over it, to the byte", async () => {
    const weights = await weigh(root, { bundles: [{ name: "softmax alone", code: code("softmax"), gzip: 6144 }], wasm: { brotli: 8192 } });
    expect(weights.map(({ name, compression }) => [name, compression])).toEqual([["softmax alone", "gzip"], ["rows.simd.wasm", "brotli"]]);
    expect(report(weights).ok).toBe(true);
    const exact = weights.map((weight) => ({ ...weight, budget: weight.bytes }));
    expect(report(exact).ok).toBe(true);
    expect(report([{ ...exact[0], budget: exact[0].bytes - 1 }, exact[1]]).ok).toBe(false);
    expect(report([exact[0], { ...exact[1], budget: exact[1].bytes - 1 }]).text).toMatch(/^ok .*\nFAIL rows\.simd\.wasm/);
  });

  it("counts what is added to what a page has anyway", async () => {
    const heavy = 'import { heavy } from "@logits/core-wasm"; console.log(heavy);', again = "console.log(heavy.length);";
    const [whole, added] = await weigh(root, { bundles: [{ name: "whole", code: `${heavy} ${again}`, gzip: 1 }, { name: "added", code: again, beside: heavy, gzip: 1 }], wasm: { brotli: 8192 } });
    expect(whole.bytes - added.bytes).toBe(await bundledGzip(heavy, join(root, "packages", "logits")));
    expect(added.bytes).toBeLessThan(50);
  });

  it("fails where the bundle imports what does not exist, or nothing was built", async () => {
    await expect(bundledGzip('import { gone } from "@logits/core-wasm"; console.log(gone);', join(root, "packages", "logits"))).rejects.toThrow("gone");
    rmSync(join(root, "packages", "core-wasm", "wasm"), { recursive: true });
    await expect(weigh(root, { bundles: [], wasm: { brotli: 8192 } })).rejects.toThrow("Run the build first");
  });
});
