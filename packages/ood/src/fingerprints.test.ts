import { testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { Fingerprints } from "./index.ts";

const rows = (data: Float32Array, width: number) => ({ data, shape: [data.length / width, width] });

describe("Fingerprints", () => {
  it("finds the first row that it has seen", () => {
    const seen = new Fingerprints().add([[1, 2], [3, 4]]);
    expect(seen.firstShared([[2, 1], [5, 6], [3, 4], [1, 2]])).toBe(2);
    expect(seen.firstShared([[4, 3], [1, 2.0000002384185791]])).toBe(-1);
    expect(seen.firstShared({ data: new Float32Array(0), shape: [0, 2] })).toBe(-1);
    expect(new Fingerprints().firstShared([[0, 0]])).toBe(-1);
  });

  it("takes rows as float32, -0 as 0, and their width into account", () => {
    const seen = new Fingerprints().add([[0.1, -0]]);
    expect(seen.firstShared([[0.1, 0]])).toBe(0);
    expect(seen.firstShared({ data: Float64Array.of(0.1, 0), shape: [1, 2] })).toBe(0);
    const zeros = new Fingerprints().add([[0, 0, 0]]);
    expect(zeros.firstShared([[0, 0]])).toBe(-1);
    expect(zeros.firstShared([[0, 0, 0, 0]])).toBe(-1);
  });

  it("gives a row the same hash alone, in pairs and last of an odd number; hashes are as good as rows", () => {
    const random = testRandom(3), width = 5, data = Float32Array.from({ length: 7 * width }, () => random.normal()), together = new Fingerprints().add(rows(data, width)), alone = new Fingerprints();
    for (let n = 0; n < 7; n++) alone.add(rows(data.subarray(n * width, (n + 1) * width), width));
    expect(alone.words()).toEqual(together.words());
    expect(new Fingerprints().addHashes(together.words()).words()).toEqual(together.words());
    // What 0.1.0 wrote: a hash that changes makes kept detectors blind.
    expect(Array.from(new Fingerprints().add([[1, -2, 0.5]]).words())).toEqual([2522991041, 894571571]);
  });

  it("tells many alike rows apart: one-hot rows, counts, single bits", () => {
    const seen = new Fingerprints(), width = 64;
    const some: Float32Array[] = [];
    for (let i = 0; i < width; i++) {
      for (let j = 0; j <= i; j++) {
        const row = new Float32Array(width);
        row[i] = 1;
        row[j] += 1;
        some.push(row);
      }
    }
    for (let bit = 0; bit < 31; bit++) {
      for (const at of [0, 31, 63]) {
        const row = new Float32Array(width).fill(1);
        new Uint32Array(row.buffer)[at] ^= 1 << bit;
        some.push(row);
      }
    }
    some.forEach((row, i) => {
      expect(seen.firstShared(rows(row, width)), `row ${i}`).toBe(-1);
      seen.add(rows(row, width));
    });
    expect(seen.size).toBe(some.length);
    // Each half of the hash alone tells the rows apart but for a few by chance: n^2 / 2^33 = 0.001 pairs.
    const words = seen.words();
    for (const half of [0, 1]) expect(new Set(words.filter((_, i) => i % 2 === half)).size).toBe(some.length);
  });

  it("spreads its bits: each is set in half of the hashes", () => {
    const random = testRandom(1), seen = new Fingerprints().add(rows(Float32Array.from({ length: 4000 }, () => random.normal()), 2));
    const words = seen.words();
    for (let bit = 0; bit < 64; bit++) {
      let set = 0;
      for (let i = 0; i < words.length; i += 2) set += (words[i + (bit >> 5)] >>> (bit & 31)) & 1;
      // 2000 fair coins: 5 standard errors of 22.4.
      expect(Math.abs(set - 1000)).toBeLessThan(112);
    }
  });

  it("counts different rows, merges, and goes through words", () => {
    const random = testRandom(2), data = Float32Array.from({ length: 3000 }, () => random.normal());
    const one = new Fingerprints().add(rows(data, 3)).add(rows(data, 3));
    expect(one.size).toBe(1000);
    const a = new Fingerprints().add(rows(data.subarray(0, 1800), 3)), b = new Fingerprints().add(rows(data.subarray(1200), 3));
    const merged = new Fingerprints().merge(a).merge(b);
    expect([merged.size, a.size, b.size]).toEqual([1000, 600, 600]);
    expect(merged.words()).toEqual(one.words());
    expect(b.merge(a).words()).toEqual(one.words());
    const restored = Fingerprints.of(one.words());
    expect(restored.words()).toEqual(one.words());
    expect(restored.firstShared(rows(data.subarray(2997), 3))).toBe(0);
  });

  it("says what is wrong", () => {
    expect(() => new Fingerprints().add([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: Fingerprints.add: expected \`rows\` of shape [N, F], got [2]]`);
    expect(() => new Fingerprints().merge([] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: Fingerprints.merge: expected \`other\` a Fingerprints, got Array]`);
    expect(() => Fingerprints.of(new Uint32Array(3))).toThrowErrorMatchingInlineSnapshot(`[RangeError: Fingerprints.of: expected \`words\` of pairs, got 3 words]`);
    expect(() => Fingerprints.of([1, 2] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: Fingerprints.of: expected \`words\` a Uint32Array, got Array]`);
  });
});
