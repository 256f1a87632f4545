import { runSteps } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { differenceSums, firstOutside, massBins, onesOf, pairsWon, poolSteps, riskSums } from "./families/order.ts";
import { core } from "./index.ts";

const random = testRandom(31);

/** Lists with many ties and with few, in [0, 1]. */
const LISTS = [1, 2, 7, 100, 400].flatMap((n) =>
  [4, 1000].map((levels) => {
    const x = Float32Array.from({ length: n }, () => random.integer(levels + 1) / levels);
    return { x, mask: Uint8Array.from(x, () => random.integer(2)) };
  }),
);
const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);
/** The numbers of the rows in ascending order of x. */
const ordered = (x: Float32Array): number[] => Array.from(x.keys()).sort((i, j) => x[i] - x[j]);

describe("sums over the groups of a tally agree with their definitions", () => {
  it("pairsWon counts pairs", () => {
    for (const { x, mask } of LISTS) {
      const want = sum(Array.from(x, (a, i) => sum(Array.from(x, (b, j) => (mask[i] === 1 && mask[j] === 0 ? (a > b ? 2 : a === b ? 1 : 0) : 0)))));
      expectExact([pairsWon(x, mask)], [want]);
    }
  });

  it("riskSums spreads the errors of equal values evenly", () => {
    for (const { x, mask } of LISTS) {
      const order = ordered(x).reverse(), n = x.length, errors = sum(Array.from(mask));
      const share = order.map((i) => sum(Array.from(mask).filter((_, j) => x[j] === x[i])) / x.filter((value) => value === x[i]).length);
      const risk = share.map((_, i) => sum(share.slice(0, i + 1)) / (i + 1));
      const got = riskSums(x, mask, errors);
      // Float64 sums of up to 400 terms.
      expectClose([got.risk, got.weighted], [sum(risk), sum(risk.map((value, i) => (i + 1) * value))], { rtol: 1e-12 });
      expectClose([got.best], [sum(Array.from({ length: errors }, (_, i) => (i + 1) / (n - errors + i + 1)))], { rtol: 1e-12 });
      expectExact(Uint8Array.from(got.marks, (mark) => mark >> 1), order.map((i, place) => (place === 0 || x[order[place - 1]] !== x[i] ? 1 : 0)));
      expect(sum(Array.from(got.marks, (mark) => mark & 1))).toBe(errors);
    }
  });

  it("differenceSums looks at the ends of groups, and takes what is above 1 as 1", () => {
    for (const { x, mask } of LISTS) {
      const order = ordered(x), at = order.flatMap((i, place) => (place + 1 < order.length && x[order[place + 1]] === x[i] ? [] : [sum(order.slice(0, place + 1).map((j) => mask[j] - x[j]))]));
      const got = differenceSums(x, mask);
      expectClose([got.high, got.low], [Math.max(0, ...at), Math.min(0, ...at)], { atol: 1e-12 });
      expectClose([got.variance, got.squares, got.right], [sum(Array.from(x, (c) => c * (1 - c))), sum(Array.from(x, (c, i) => (mask[i] - c) ** 2)), sum(Array.from(mask))], { rtol: 1e-12, atol: 1e-15 });
    }
    expectExact(Object.values(differenceSums(Float32Array.of(1.00001), Uint8Array.of(1))), [0, 0, 0, 0, 1]);
  });

  it("massBins keeps equal values in the lower bin", () => {
    for (const { x, mask } of LISTS) {
      for (const bins of [1, 3, 15, 500]) {
        const n = x.length, order = ordered(x), edge = (b: number): number => b * Math.floor(n / bins) + Math.min(b, n % bins);
        const want = { count: new Int32Array(bins), confidence: new Float64Array(bins), correct: new Int32Array(bins), squares: new Float64Array(bins) };
        order.forEach((i) => {
          const first = order.findIndex((j) => x[j] === x[i]);
          let b = 0;
          while (b + 1 < bins && edge(b + 1) <= first) b++;
          want.count[b]++;
          want.confidence[b] += x[i];
          want.correct[b] += mask[i];
          want.squares[b] += (mask[i] - x[i]) ** 2;
        });
        const got = massBins(x, mask, bins);
        expectExact(got.count, want.count);
        expectExact(got.correct, want.correct);
        expectClose(got.confidence, want.confidence, { rtol: 1e-12 });
        expectClose(got.squares, want.squares, { rtol: 1e-12, atol: 1e-15 });
      }
    }
  });

  it("poolSteps gives the isotonic regression: shares that rise, each the smallest of the largest means around it", () => {
    // The definition is cubic.
    for (const { x, mask } of LISTS.filter(({ x }) => x.length <= 100)) {
      const { first, rows, sums, counts, ones } = runSteps(poolSteps(x, mask, (blocks, tally) => ({ first: blocks.first.slice(), rows: blocks.rows.slice(), sums: blocks.sums.slice(), counts: [...tally.counts], ones: [...tally.ones] })));
      const mean = (from: number, to: number): number => sum(ones.slice(from, to + 1)) / sum(counts.slice(from, to + 1));
      // max over starts of min over ends of the mean between them.
      const want = counts.map((_, k) => Math.max(...counts.slice(0, k + 1).map((_, s) => Math.min(...counts.slice(k).map((_, e) => mean(s, k + e))))));
      const got = counts.map((_, k) => {
        let b = 0;
        while (b + 1 < first.length && first[b + 1] <= k) b++;
        return sums[b] / rows[b];
      });
      expectClose(got, want, { rtol: 1e-15 });
    }
  });

  it("have exact results for no rows, and give their memory back", () => {
    const x = new Float32Array(0), mask = new Uint8Array(0), before = core.bytesInUse;
    expectExact([pairsWon(x, mask), riskSums(x, mask, 0).risk, massBins(x, mask, 2).count[1], differenceSums(x, mask).high, runSteps(poolSteps(x, mask, ({ first }) => first.length))], [0, 0, 0, 0, 0]);
    expect(core.bytesInUse).toBe(before);
  });

  it("refuse NaN and masks of another length with their names", () => {
    expect(() => pairsWon(Float32Array.of(NaN), new Uint8Array(1))).toThrowErrorMatchingInlineSnapshot(`[RangeError: pairsWon: expected \`x\` without NaN, got NaN at index 0]`);
    expect(() => massBins(Float32Array.of(1), new Uint8Array(2), 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: massBins: expected \`mask\` of length 1, got 2]`);
  });
});

it("firstOutside names the first element that is not between the bounds, NaN included, over several pieces", () => {
  for (const n of [0, 1, 5, 70_001, 200_000]) {
    const x = new Float32Array(n).fill(0.5);
    expect(firstOutside(x, 0.5, 0.5)).toBe(n);
    for (const at of [0, 3, 65_535, 65_536, n - 1]) if (at >= 0 && at < n) for (const bad of [NaN, 0.25, Infinity]) expect(firstOutside(x.with(at, bad), 0.5, 1)).toBe(at);
  }
  expectExact([firstOutside(Float32Array.of(-Infinity, Infinity, NaN), -Infinity, Infinity)], [2]);
});

it("onesOf counts, over several pieces", () => {
  for (const n of [0, 1, 15, 33, 600_001]) expect(onesOf(new Uint8Array(n).fill(1))).toBe(n);
  expect(onesOf(Uint8Array.from({ length: 50 }, (_, i) => i % 3 === 0 ? 1 : 0))).toBe(17);
});
