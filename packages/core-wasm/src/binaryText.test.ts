import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { binaryText } from "../binaryText.ts";
import { decode } from "./family.ts";

const folder = join(import.meta.dirname, "..", "wasm");
const families = readdirSync(folder).filter((file) => file.endsWith(".simd.wasm")).map((file) => file.split(".")[0]);

describe("binaries as text", () => {
  it("every byte comes back, after every other", () => {
    const pairs = Uint8Array.from({ length: 2 * 65536 }, (_, i) => (i % 2 === 0 ? i >> 9 : (i >> 1) & 255));
    expect(decode(binaryText(pairs))).toEqual(pairs);
    expect(decode(binaryText(new Uint8Array(0)))).toEqual(new Uint8Array(0));
  });

  it("is printable ASCII that a literal in double quotes need not escape", () => {
    const all = binaryText(Uint8Array.from({ length: 256 }, (_, i) => i));
    expect(JSON.stringify(all)).toBe(`"${all}"`);
    expect(all).toMatch(/^[!-~]*$/);
  });

  it.each(families)("the text of %s is its two binaries", async (family) => {
    const binary = (await import(join(folder, `${family}.js`))) as { readonly simd: string; readonly relaxed: string };
    for (const variant of ["simd", "relaxed"] as const) expect(decode(binary[variant])).toEqual(Uint8Array.from(readFileSync(join(folder, `${family}.${variant}.wasm`))));
  });
});
