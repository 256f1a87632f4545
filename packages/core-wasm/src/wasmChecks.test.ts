import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { checkRanges, dataSegments, loopConstants } from "../wasmChecks.ts";

const root = join(import.meta.dirname, "..");
const families = JSON.parse(readFileSync(join(root, "families.json"), "utf8")) as Record<string, number>;
const built = Object.keys(families).filter((name) => existsSync(join(root, "wasm", `${name}.d.ts`)));
const binaries = built.flatMap((name) => ["simd", "relaxed"].map((variant) => [name, variant] as const));
const read = (name: string): Buffer => readFileSync(join(root, "wasm", name));

/** A module with one data segment of two bytes at `offset` (signed LEB128 bytes). */
const withData = (...offset: number[]): Uint8Array => Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 1, 11, 7 + offset.length, 1, 0, 0x41, ...offset, 0x0b, 2, 7, 8);

describe("static ranges", () => {
  it("of the families do not overlap", () => expect(checkRanges(families)).toEqual([]));

  it("that overlap, straddle or leave page 0 are found", () => {
    expect(checkRanges({ a: 1024, b: 2048, c: 1024 })).toEqual(["c and a share the range at 1024"]);
    expect(checkRanges({ a: 1024, b: 1536 })).toEqual(["b: base 1536 is not a 1 KiB range of page 0"]);
    expect(checkRanges({ a: 0 })).toEqual(["a: base 0 is not a 1 KiB range of page 0"]);
    expect(checkRanges({ a: 65536 })).toEqual(["a: base 65536 is not a 1 KiB range of page 0"]);
    expect(checkRanges({ a: 1024.5 })).toEqual(["a: base 1024.5 is not a 1 KiB range of page 0"]);
  });

  it.each(binaries)("of %s (%s) hold its data segments", (name, variant) => {
    const segments = dataSegments(read(`${name}.${variant}.wasm`));
    for (const { start, end } of segments) {
      expect(start).toBeGreaterThanOrEqual(families[name]);
      expect(end).toBeLessThanOrEqual(families[name] + 1024);
    }
  });

  it("are read out of the binary", () => {
    expect(dataSegments(withData(0x80, 0x08))).toEqual([{ start: 1024, end: 1026 }]);
    expect(dataSegments(withData(0xff, 0x0f))).toEqual([{ start: 2047, end: 2049 }]);
    expect(() => new WebAssembly.Module(Uint8Array.from(withData(0x80, 0x08)))).not.toThrow();
  });

  it("of a kind that the check does not know are refused", () => {
    const passive = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 11, 4, 1, 1, 1, 7);
    expect(() => dataSegments(passive)).toThrowErrorMatchingInlineSnapshot(`[Error: only active segments of memory 0 are expected]`);
    const global = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 11, 7, 1, 0, 0x23, 0, 0x0b, 1, 7);
    expect(() => dataSegments(withData(0x80, 0x08).subarray(0, 16))).toThrowErrorMatchingInlineSnapshot(`[Error: the binary ends inside a section]`);
    expect(() => dataSegments(global)).toThrowErrorMatchingInlineSnapshot(`[Error: an i32.const offset is expected]`);
  });
});

describe("constants in loops", () => {
  const inLoop = (line: string): string => `(module\n (func $f\n  loop $a\n   block $b\n    ${line}\n    drop\n   end\n  end\n )\n)`;

  it("are found at every depth", () => {
    const line = "v128.const i32x4 0x3f800000 0x3f800000 0x3f800000 0x3f800000";
    expect(loopConstants(inLoop(line))).toEqual([line]);
    expect(loopConstants(`loop $a\nif\n${line}\nelse\n${line}\nend\nend`)).toEqual([line, line]);
  });

  it("of 0 may stay, and so may constants before and after a loop", () => {
    expect(loopConstants(inLoop("v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000"))).toEqual([]);
    expect(loopConstants("v128.const i32x4 0x1 0x1 0x1 0x1\nloop $a\nend\nv128.const i32x4 0x1 0x1 0x1 0x1")).toEqual([]);
    expect(loopConstants("block $a\nv128.const i32x4 0x1 0x1 0x1 0x1\nend")).toEqual([]);
  });

  it("in one lane only, as -0 or as a digit above 9, are found", () => {
    for (const lanes of ["0x00000000 0x00000000 0x00000000 0x80000000", "0x00000000 0x0000000a 0x00000000 0x00000000"]) {
      expect(loopConstants(inLoop(`v128.const i32x4 ${lanes}`))).toHaveLength(1);
    }
  });

  it("cannot hide in folded text", () => {
    expect(() => loopConstants("(loop $a (drop (v128.const i32x4 0x1 0x1 0x1 0x1)))")).toThrowErrorMatchingInlineSnapshot(`[Error: loopConstants reads the flat text format only]`);
  });

  it.each(binaries)("are absent from %s (%s)", (name, variant) => {
    const text = read(`${name}.${variant}.wat`).toString("utf8");
    expect(text).toContain("loop"); // the check has something to read
    expect(loopConstants(text)).toEqual([]);
  });
});

it.each(binaries)("%s (%s) is at most 8 KiB as brotli", (name, variant) => {
  expect(brotliCompressSync(read(`${name}.${variant}.wasm`)).length).toBeLessThanOrEqual(8192);
});
