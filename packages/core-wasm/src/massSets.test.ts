import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { labelRanks, massSets } from "./families/sets.ts";
import { softmax } from "./index.ts";
import { massScoresRef } from "./massSets.ref.ts";

type Row = (random: ReturnType<typeof testRandom>, c: number, cols: number) => number;

/** Rows of every shape that a softmax has: peaked, flat, with ties, with impossible classes, with all but equal classes. */
const KINDS: Record<string, Row> = {
  peaked: (random) => 4 * random.normal(),
  flat: (random) => 0.05 * random.normal(),
  ties: (random) => Math.round(2 * random.normal()),
  equal: () => 0,
  impossible: (random, c) => (c % 3 === 1 ? -Infinity : random.normal()),
  close: (random, c, cols) => (c < cols / 2 ? 1 : random.integer(5) * 2 ** -22),
  certain: (random, c) => (c === 2 ? 120 : random.normal()),
};

function probabilities(kind: Row, rows: number, cols: number, seed: number): Float32Array {
  const random = testRandom(seed), x = Float32Array.from({ length: rows * cols }, (_, i) => kind(random, i % cols, cols));
  return softmax({ data: x, shape: [rows, cols] }).data;
}

describe("massSets", () => {
  for (const [name, kind] of Object.entries(KINDS)) {
    it(`agrees with the sorted row to the bit, also at the scores themselves: ${name}`, () => {
      const random = testRandom(7);
      for (const cols of [1, 2, 3, 4, 5, 31, 33, 64, 127, 300, 1000]) {
        const rows = 6, p = probabilities(kind, rows, cols, cols);
        for (const { penalty, freeRanks, randomised } of [
          { penalty: 0, freeRanks: 0, randomised: true }, { penalty: 0, freeRanks: 0, randomised: false }, { penalty: 0.01, freeRanks: 3, randomised: true }, { penalty: 0.5, freeRanks: 1, randomised: false },
        ]) {
          const uniforms = Float64Array.from({ length: rows }, () => (randomised ? random.uniform() : 0));
          const scores = Array.from({ length: rows }, (_, r) => massScoresRef(p.subarray(r * cols, (r + 1) * cols), uniforms[r], penalty, freeRanks));
          for (const pick of [0, 0.3, 0.9, 1, 2]) {
            // Scores of the row, numbers between them, and more than the whole row has.
            const thresholds = Float64Array.from(scores, (row, r) => (pick < 2 && r % 2 === 0 ? row.toSorted((a, b) => a - b)[Math.min(cols - 1, Math.floor(pick * cols))] : pick * random.uniform()));
            const out = { mask: new Uint8Array(rows * cols).fill(7), sizes: new Int32Array(rows) };
            massSets(p, cols, thresholds, uniforms, out, { penalty, freeRanks });
            const want = scores.flatMap((row, r) => row.map((score) => (score <= thresholds[r] ? 1 : 0)));
            expectExact(out.mask, want, `${cols} classes, ${penalty}, ${pick}`);
            expectExact(out.sizes, scores.map((row, r) => row.filter((score) => score <= thresholds[r]).length));
          }
        }
      }
    });
  }

  it("takes batches that do not fit one piece", () => {
    const rows = 150, cols = 1000, p = probabilities(KINDS.peaked, rows, cols, 1), out = { mask: new Uint8Array(rows * cols), sizes: new Int32Array(rows) };
    massSets(p, cols, new Float64Array(rows).fill(0.9), new Float64Array(rows), out);
    for (const r of [0, 64, 65, 66, 149]) expectExact(out.mask.subarray(r * cols, (r + 1) * cols), massScoresRef(p.subarray(r * cols, (r + 1) * cols), 0, 0, 0).map((score) => (score <= 0.9 ? 1 : 0)));
  });

  it("refuses lists of another length", () => {
    const out = { mask: new Uint8Array(3), sizes: new Int32Array(1) }, one = new Float64Array(1);
    expect(() => massSets(new Float32Array(4), 3, one, one, out)).toThrowErrorMatchingInlineSnapshot(`[RangeError: massSets: expected \`p\` of a multiple of 3 elements, got 4]`);
    expect(() => massSets(new Float32Array(3), 3, one, new Float64Array(2), out)).toThrowErrorMatchingInlineSnapshot(`[RangeError: massSets: expected \`uniforms\` of length 1, got 2]`);
  });
});

describe("labelRanks", () => {
  for (const [name, kind] of Object.entries(KINDS)) {
    it(`agrees with the sorted row to the bit: ${name}`, () => {
      for (const cols of [1, 2, 3, 4, 5, 7, 8, 16, 65, 1000]) {
        const rows = 70, p = probabilities(kind, rows, cols, 100 + cols), labels = Int32Array.from({ length: rows }, (_, r) => (5 * r) % cols);
        const got = labelRanks(p, labels, cols);
        for (let r = 0; r < rows; r++) {
          const row = p.subarray(r * cols, (r + 1) * cols), label = labels[r];
          const ahead = Array.from(row.keys()).filter((c) => row[c] > row[label] || (row[c] === row[label] && c < label));
          expectExact([got.before[r], got.mass[r], got.top[r]], [ahead.length, ahead.reduce((sum, c) => sum + (row[c] + 1 - 1), 0), Math.max(...row)], `${cols} classes, row ${r}`);
        }
      }
    });
  }

  it("refuses labels of another length", () => {
    expect(() => labelRanks(new Float32Array(3), new Int32Array(2), 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: labelRanks: expected \`labels\` of length 1, got 2]`);
  });
});
