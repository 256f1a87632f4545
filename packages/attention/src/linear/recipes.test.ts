import * as core from "@logits/core-wasm";
import * as tensors from "@logits/tensor";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as root from "../index.ts";
import { hiddenAttention } from "./index.ts";

type Rows = Tensor<"float32">;
const modules = { "@logits/attention": root, "@logits/core-wasm": core, "@logits/tensor": tensors };
const random = (shape: readonly number[], seed: number): Rows => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

describe("Combiner [paper:combiner-full-attention-transformer-with-sparse-computation-cost]", () => {
  const { combiner } = recipe<{ combiner(query: Rows, key: Rows, value: Rows, size: number): Rows }>("combiner", ["combiner"], modules);
  const [T, D] = [24, 4], q = random([2, T, D], 1), k = random([2, T, D], 2), identity = new Tensor("float32", [2, T, T], Float32Array.from({ length: 2 * T * T }, (_, at) => Number(Math.floor(at / T) % T === at % T)));

  it("gives the conditional expectation, written out", () => {
    for (const size of [3, 4, 8]) {
      const weights = combiner(q, k, identity, size), row = (x: Rows, h: number, i: number): number[] => [...x.data.subarray((h * T + i) * D, (h * T + i + 1) * D)], dot = (a: number[], b: number[]): number => a.reduce((sum, x, f) => sum + x * b[f], 0) / Math.sqrt(D);
      for (let h = 0; h < 2; h++) {
        const top = (x: Rows, r: number): number[] => Array.from({ length: D }, (_, f) => Math.max(...Array.from({ length: size }, (__, j) => row(x, h, r * size + j)[f])));
        for (let i = 0; i < T; i++) {
          const own = Math.floor(i / size), want = new Array<number>(T).fill(0);
          for (let j = own * size; j <= i; j++) want[j] = Math.exp(dot(row(q, h, i), row(k, h, j)));
          let Z = want.reduce((a, b) => a + b, 0);
          for (let r = 0; r < own; r++) {
            const shares = Array.from({ length: size }, (_, j) => Math.exp(dot(top(q, r), row(k, h, r * size + j)))), total = shares.reduce((a, b) => a + b, 0), weight = Math.exp(dot(row(q, h, i), top(k, r)));
            for (let j = 0; j < size; j++) want[r * size + j] = (weight * shares[j]) / total;
            Z += weight;
          }
          const got = weights.data.subarray((h * T + i) * T, (h * T + i + 1) * T);
          expectClose(got, want.map((w) => w / Z), { atol: 1e-6, rtol: 3e-6 });
          expectClose(got.reduce((a, b) => a + b, 0), 1, { atol: 1e-6 });
          expect(got.subarray(0, i + 1).every((w) => w > 0)).toBe(true);
        }
      }
    }
  });

  it("is causal attention for segments of one token, and for one segment", () => {
    const v = random([2, T, 3], 3), want = root.attention(q, k, v, { causal: true }).output.data;
    for (const size of [1, T]) expectClose(combiner(q, k, v, size).data, want, { atol: 1e-6, rtol: 2e-6 });
  });
});

describe("PoNet [paper:ponet-pooling-network-for-efficient-token-mixing-in-long]", () => {
  const { mix, largest } = recipe<{ mix(q: Rows, k: Rows, s: Rows, l: Rows, o: Rows, size: number): Rows; largest(x: Rows, from: (t: number) => number, to: (t: number) => number): Rows }>("pooling-mixer", ["mix", "largest"], modules);
  const [H, T, D] = [2, 11, 3], all = [1, 2, 3, 4, 5].map((seed) => random([H, T, D], seed)) as [Rows, Rows, Rows, Rows, Rows];

  it("is the sum of its three poolings, by loops", () => {
    const [q, k, s, l, o] = all, at = (x: Rows, h: number, t: number, d: number): number => x.data[(h * T + t) * D + d], want: number[] = [];
    for (let h = 0; h < H; h++) {
      const mean = [0, 1, 2].map((d) => Array.from({ length: T }, (_, t) => at(q, h, t, d)).reduce((a, b) => a + b, 0) / T), weights = Array.from({ length: T }, (_, t) => Math.exp(mean.reduce((sum, m, d) => sum + m * at(k, h, t, d), 0) / Math.sqrt(D))), total = weights.reduce((a, b) => a + b, 0);
      for (let t = 0; t < T; t++) {
        for (let d = 0; d < D; d++) {
          const g = weights.reduce((sum, w, j) => sum + w * at(k, h, j, d), 0) / total, tokens = Array.from({ length: T }, (_, j) => j);
          want.push((g + Math.max(...tokens.filter((j) => Math.floor(j / 4) === Math.floor(t / 4)).map((j) => at(s, h, j, d)))) * at(o, h, t, d) + Math.max(...tokens.filter((j) => Math.abs(j - t) <= 1).map((j) => at(l, h, j, d))));
        }
      }
    }
    expectClose(mix(...all, 4).data, want, { atol: 2e-6, rtol: 2e-6 });
  });

  it("a window of one token is that token, one of all is the largest of all", () => {
    expectExact(largest(all[2], (t) => t, (t) => t + 1).data, all[2].data);
    const top = largest(all[2], () => 0, () => T);
    for (let h = 0; h < H; h++) for (let t = 1; t < T; t++) expectExact(top.row(h).row(t).data, top.row(h).row(0).data);
  });
});

describe("Hrrformer [paper:recasting-self-attention-with-holographic-reduced-representations]", () => {
  const { holographic } = recipe<{ holographic(q: Rows, k: Rows, v: Rows, involution?: boolean): { answers: Rows; weights: Rows } }>("holographic-attention", ["holographic"], modules);

  it("a single pair gives its value back", () => {
    for (const d of [5, 8]) {
      const key = random([1, d], 1), value = random([1, d], 2), { answers, weights } = holographic(key, key, value);
      expectClose(answers.data, value.data, { atol: 2e-5, rtol: 2e-5 }); // float32 spectra, divided by the smallest of them
      expect(weights.data[0]).toBe(1);
    }
  });

  it("the answer convolved with the query is the sum of the bound pairs; with the involution it is correlation", () => {
    const [T, d] = [6, 7], [q, k, v] = [1, 2, 3].map((seed) => random([T, d], seed)), bound = Array.from({ length: d }, (_, n) => Array.from({ length: T * d }, (__, at) => k.at(Math.floor(at / d), at % d) * v.at(Math.floor(at / d), (n - (at % d) + d) % d)).reduce((a, b) => a + b, 0));
    const exact = holographic(q, k, v), loose = holographic(q, k, v, true);
    for (let t = 0; t < T; t++) {
      expectClose(Array.from({ length: d }, (_, n) => Array.from({ length: d }, (__, m) => q.at(t, m) * exact.answers.at(t, (n - m + d) % d)).reduce((a, b) => a + b, 0)), bound, { atol: 1e-4, rtol: 1e-4 });
      expectClose(loose.answers.row(t).data, Array.from({ length: d }, (_, n) => Array.from({ length: d }, (__, m) => q.at(t, m) * bound[(n + m) % d]).reduce((a, b) => a + b, 0)), { atol: 2e-5, rtol: 2e-5 });
    }
    const cosines = Array.from({ length: T }, (_, t) => { const a = [...exact.answers.row(t).data], b = [...v.row(t).data]; return a.reduce((sum, x, f) => sum + x * b[f], 0) / (Math.hypot(...a) * Math.hypot(...b)); }), total = cosines.reduce((sum, c) => sum + Math.exp(c), 0);
    expectClose(exact.weights.data, cosines.map((c) => Math.exp(c) / total), { rtol: 2e-6 });
  });
});

describe("rollout of hidden attention [paper:a-unified-implicit-attention-formulation-for-gated-linear-recurrent]", () => {
  const { rollout } = recipe<{ rollout(layers: readonly Rows[]): Rows }>("hidden-attention-rollout", ["rollout"], modules);
  const [H, T] = [3, 6], layer = (seed: number): Rows => hiddenAttention(random([H, T, 4], seed), random([H, T, 4], seed + 1), { normalize: "none", logGates: new Tensor("float32", [H, T], random([H, T], seed + 2).data.map((g) => -Math.abs(g))) });

  it("follows every path through the layers", () => {
    const layers = [layer(1), layer(11), layer(21)], got = rollout(layers), mixed = layers.map(({ data }) => Array.from({ length: T }, (_, i) => {
      const row = Array.from({ length: T }, (__, j) => [0, 1, 2].reduce((sum, h) => sum + data[(h * T + i) * T + j] / H, 0) + Number(i === j)), total = row.reduce((a, b) => a + b, 0);
      return row.map((w) => w / total);
    }));
    for (let i = 0; i < T; i++) {
      for (let j = 0; j < T; j++) {
        let want = 0;
        for (let a = 0; a < T; a++) for (let b = 0; b < T; b++) want += mixed[2][i][a] * mixed[1][a][b] * mixed[0][b][j];
        expectClose(got.at(i, j), want, { atol: 1e-6, rtol: 2e-6 });
        if (j > i) expect(got.at(i, j)).toBe(0);
      }
      expectClose(got.row(i).data.reduce((a, b) => a + b, 0), 1, { atol: 1e-6 });
    }
  });

  it("is the identity for weights of 0, and for the first token always", () => {
    expectExact(rollout([new Tensor("float32", [H, T, T], new Float32Array(H * T * T))]).data, Array.from({ length: T * T }, (_, at) => Number(at % (T + 1) === 0)));
    expectClose(rollout([layer(1), layer(31)]).at(0, 0), 1, { ulp: 2 });
  });
});
