import { Tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { refuseOverlap, splitRows, type LabelledRows } from "./rows.ts";

/** Rows whose score is their index. */
const rows = (n: number): LabelledRows => ({
  logits: new Tensor("float32", [n, 1], Float32Array.from({ length: n }, (_, i) => i)),
  scores: new Tensor("float32", [n, 1], Float32Array.from({ length: n }, (_, i) => 2 * i)),
  features: new Tensor("float32", [n, 2], Float32Array.from({ length: 2 * n }, (_, i) => i)),
  labels: new Tensor("int32", [n], Int32Array.from({ length: n }, (_, i) => i % 7)),
});

describe("splitRows", () => {
  it("puts every row with its label into exactly one part, of the size asked for, the same for the same seed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 500 }), fc.integer({ min: 0, max: 2 ** 40 }), fc.constantFrom<number[]>([2, 1, 1], [2, 1]), (n, seed, sizes) => {
        const parts = splitRows(rows(n), sizes, seed);
        const indices = parts.flatMap((part) => [...part.logits.data]);
        expect(indices.toSorted((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
        for (const [i, part] of parts.entries()) {
          // Each end is rounded once.
          expect(Math.abs(part.labels.size - (n * sizes[i]) / sizes.reduce((a, b) => a + b, 0))).toBeLessThanOrEqual(1);
          expect([...part.labels.data]).toEqual([...part.logits.data].map((row) => row % 7));
          expect([...part.scores.data]).toEqual([...part.logits.data].map((row) => 2 * row));
          expect([...part.features!.data]).toEqual([...part.logits.data].flatMap((row) => [2 * row, 2 * row + 1]));
        }
        expect(splitRows(rows(n), sizes, seed)).toEqual(parts);
      }),
      { seed: 2, numRuns: 200 },
    );
  });

  it("takes another split for another seed, and refuses too few rows", () => {
    expect(splitRows(rows(50), [2, 1], 1)[0].logits.data).not.toEqual(splitRows(rows(50), [2, 1], 2)[0].logits.data);
    expect(() => splitRows(rows(5), [2, 1, 1], 0)).toThrowErrorMatchingInlineSnapshot(`[Error: logits: expected at least 6 rows to split 2 : 1 : 1, got 5]`);
  });
});

describe("refuseOverlap", () => {
  const refused = (...files: string[]): boolean => {
    try {
      refuseOverlap(Object.fromEntries(files.map((file, i) => [`--${i}`, file])));
    } catch {
      return true;
    }
    return false;
  };

  it.each<[boolean, string[]]>([
    [true, ["a.npy", "a.npy"]],
    [true, ["a.npy", "./x/../a.npy[0:5]"]],
    [true, ["a.npy[0:5]", "a.npy[4:8]"]],
    [true, ["a.npy[0:5]", "b.npy", "a.npy[4:]"]],
    [true, ["a.npz:x", "a.npz:x"]],
    [true, ["a.npz", "a.npz:x"]],
    [false, ["a.npy[0:5]", "a.npy[5:8]", "a.npy[8:]"]],
    [false, ["a.npz:x", "a.npz:y"]],
    [false, ["a.npy", "b.npy"]],
  ])("%s: %j", (want, files) => expect(refused(...files)).toBe(want));
});
