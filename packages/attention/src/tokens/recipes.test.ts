import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as tokens from "./index.ts";

type Rows = Tensor<"float32">;
const modules = { "@logits/attention/tokens": tokens, "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors };
const random = (shape: readonly number[], seed: number): Rows => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

describe("which keys a cache keeps", () => {
  const { compressCache } = recipe<{ compressCache(query: Rows, key: Rows, value: Rows, count: number, options: { voters: number; recent: number; width: number }): { key: Rows; value: Rows; indices: Tensor<"int32"> } }>("cache-eviction", ["compressCache"], modules);
  const T = 40, query = random([4, T, 8], 1), key = random([2, T, 8], 2), value = random([2, T, 3], 3);

  /** Votes from all weights. */
  function votes(g: number, voters: number): number[] {
    const sums = new Array<number>(T).fill(0);
    for (const h of [2 * g, 2 * g + 1]) {
      for (let i = T - voters; i < T; i++) {
        const e = Array.from({ length: i + 1 }, (_, j) => Math.exp(Array.from({ length: 8 }, (_, f) => query.at(h, i, f) * key.at(g, j, f)).reduce((a, b) => a + b, 0) / Math.sqrt(8))), z = e.reduce((a, b) => a + b, 0);
        for (const [j, x] of e.entries()) sums[j] += x / z;
      }
    }
    return sums;
  }

  it("keeps what all queries voted for (H2O), or the last ones, smoothed (SnapKV)", () => {
    for (const options of [{ voters: T, recent: 5, width: 1 }, { voters: 6, recent: 6, width: 5 }]) {
      const got = compressCache(query, key, value, 14, options), reach = (options.width - 1) / 2;
      for (const g of [0, 1]) {
        const raw = votes(g, options.voters), smooth = raw.map((_, j) => raw.slice(Math.max(0, j - reach), j + reach + 1).reduce((a, b) => a + b, 0)), order = smooth.map((_, j) => j).filter((j) => j < T - options.recent).sort((a, b) => smooth[b] - smooth[a]);
        const want = [...order.slice(0, 14 - options.recent), ...Array.from({ length: options.recent }, (_, j) => T - options.recent + j)].sort((a, b) => a - b);
        expectExact(got.indices.row(g).data, want);
        for (const [i, j] of want.entries()) {
          expectExact(got.key.row(g).row(i).data, key.row(g).row(j).data);
          expectExact(got.value.row(g).row(i).data, value.row(g).row(j).data);
        }
      }
    }
    expectExact(compressCache(query, key, value, T, { voters: 4, recent: 4, width: 3 }).key.data, key.data);
    expectExact(compressCache(query, key, value, 3, { voters: 4, recent: 3, width: 3 }).indices.data, [37, 38, 39, 37, 38, 39]);
  });
});

describe("targets that are merged on the way [paper:masked-image-modeling-via-dynamic-token-morphing]", () => {
  type Options = { count: number; rounds: number };
  const { morph, morphLoss } = recipe<{ morph(predictions: Rows, targets: Rows, options: Options): { predictions: Rows; targets: Rows }; morphLoss(predictions: Rows, targets: Rows, options: Options): number }>("token-morphing", ["morph", "morphLoss"], modules);
  const predictions = random([21, 6], 4), targets = random([21, 6], 5);

  it("replaces tokens by the means of their groups, the class token's own", () => {
    const made = morph(predictions, targets, { count: 4, rounds: 3 }), groups = new Map<string, number[]>();
    for (let i = 0; i < 21; i++) {
      const name = made.targets.row(i).data.join(",");
      groups.set(name, [...(groups.get(name) ?? []), i]);
    }
    // 21 tokens less 3 times 4.
    expect(groups.size).toBe(9);
    for (const group of groups.values()) {
      for (const [x, y] of [[predictions, made.predictions], [targets, made.targets]]) {
        // Three rounds, each rounded once.
        expectClose(y.row(group[0]).data, Array.from({ length: 6 }, (_, f) => group.reduce((sum, i) => sum + x.at(i, f), 0) / group.length), { atol: 5e-7 });
      }
    }
    expectExact(made.targets.row(0).data, targets.row(0).data);
  });

  it("is 0 for equal features, and the loss of tokens without merges", () => {
    expectClose([morphLoss(targets, targets, { count: 3, rounds: 2 })], [0], { atol: 1e-7 });
    const plain = Array.from({ length: 21 }, (_, i) => {
      const [a, b] = [predictions.row(i).data, targets.row(i).data], dot = (x: Float32Array, y: Float32Array): number => x.reduce((sum, v, f) => sum + v * y[f], 0);
      return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    });
    expectClose([morphLoss(predictions, targets, { count: 0, rounds: 2 }), morphLoss(predictions, targets, { count: 5, rounds: 0 })], new Float64Array(2).fill(1 - plain.reduce((a, b) => a + b, 0) / 21), { rtol: 1e-6 });
  });
});

describe("filter, correlate, compress [paper:rethinking-token-reduction-in-mllms-towards-a-unified-paradigm]", () => {
  const { reduceTokens } = recipe<{ reduceTokens(x: Rows, attention: Rows, discard: number, options?: { beta?: number; level?: number }): { tokens: Rows; indices: Int32Array } }>("filter-correlate-compress", ["reduceTokens"], modules);
  const N = 12, x = random([N, 3], 6), map = core.softmax(random([N + 1, N + 1], 7));

  it("agrees with the definition, whose weights sum to 1 for each discarded token", () => {
    for (const level of [0, 0.5, 0.9, 1]) {
      const got = reduceTokens(x, map, 5, { level }), mean = Array.from({ length: N }, (_, i) => Array.from({ length: N }, (_, j) => map.at(i + 1, j + 1)).reduce((a, b) => a + b, 0) / N), asked = Array.from({ length: N }, (_, i) => map.at(0, i + 1));
      const length = (v: number[]): number => Math.sqrt(v.reduce((sum, t) => sum + t * t, 0)), redundancy = mean.map((m, i) => (0.65 * m) / length(mean) - (0.35 * asked[i]) / length(asked));
      const order = redundancy.map((_, i) => i).sort((a, b) => redundancy[b] - redundancy[a]), gone = order.slice(0, 5), stay = order.slice(5).sort((a, b) => a - b);
      expectExact(got.indices, stay);
      const totals = stay.map(() => 1), sums = stay.map((j) => [0, 1, 2].map((f) => x.at(j, f)));
      for (const i of gone) {
        const row = stay.map((j) => map.at(i + 1, j + 1)), sorted = row.toSorted((a, b) => a - b), at = level * (sorted.length - 1), least = sorted[Math.floor(at)] + (at % 1) * ((sorted[Math.floor(at) + 1] ?? 0) - sorted[Math.floor(at)]), whole = row.filter((w) => w >= least).reduce((a, b) => a + b, 0);
        for (const [j, w] of row.entries()) {
          if (w < least) continue;
          totals[j] += w / whole;
          for (const f of [0, 1, 2]) sums[j][f] += (w / whole) * x.at(i, f);
        }
      }
      // Each discarded token gave exactly one token's weight.
      expectClose([totals.reduce((a, b) => a + b, 0)], [N], { rtol: 1e-12 });
      expectClose(got.tokens.data, sums.flatMap((row, j) => row.map((s) => s / totals[j])), { atol: 5e-7 });
    }
  });

  it("does nothing where nothing is discarded", () => {
    expectExact(reduceTokens(x, map, 0).tokens.data, x.data);
  });
});

describe("fewer tokens, layer by layer [paper:decimamba-exploring-the-length-extrapolation-potential-of-mamba]", () => {
  const { budget, decimate } = recipe<{ budget(length: number, s: number, options: { base: number; decay: number; least: number }): number; decimate(x: Rows, steps: Rows, count: number, answer?: number): { tokens: Rows; indices: Tensor<"int32"> } }>("token-decimation", ["budget", "decimate"], modules);

  it("passes on the tokens of the largest steps, in order, and the answer", () => {
    const x = random([15, 2], 8), steps = random([15, 4], 9), score = Array.from({ length: 15 }, (_, t) => [0, 1, 2, 3].reduce((sum, c) => sum + Math.log1p(Math.exp(steps.at(t, c))) ** 2, 0));
    expectExact(decimate(x, steps, 6).indices.data, score.map((_, t) => t).sort((a, b) => score[b] - score[a]).slice(0, 6).sort((a, b) => a - b));
    expectExact(decimate(x, steps, 4, 3).indices.data, [...score.map((_, t) => t).slice(0, 12).sort((a, b) => score[b] - score[a]).slice(0, 4).sort((a, b) => a - b), 12, 13, 14]);
    expectExact(decimate(x, steps, 15).tokens.data, x.data);
    expectExact(decimate(x, steps, 99, 2).tokens.data, x.data);
  });

  it("has budgets that fall from layer to layer, between the least and the length", () => {
    const options = { base: 100, decay: 0.8, least: 20 }, sizes = Array.from({ length: 12 }, (_, s) => budget(90, s, options));
    expect(sizes).toEqual([90, 80, 64, 51, 40, 32, 26, 20, 20, 20, 20, 20]);
    expect(budget(10, 3, options)).toBe(10);
    expect(budget(90, 7, { ...options, decay: 1 })).toBe(90);
  });
});
