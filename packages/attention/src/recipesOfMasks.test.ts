import * as core from "@logits/core-wasm";
import * as tensors from "@logits/tensor";
import { Tensor, randomSource, type RandomSource } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as own from "./index.ts";
import * as normalizers from "./normalizers/index.ts";

type Rows = Tensor<"float32">;
const modules = { "@logits/attention": own, "@logits/attention/normalizers": normalizers, "@logits/tensor": tensors, "@logits/core-wasm": core };
const random = (shape: readonly number[], seed: number): Rows => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
/** Float32 products, exponentials and sums of a few tens of keys. */
const CLOSE = { atol: 5e-6, rtol: 5e-6 };

/** Softmax attention in float64 over a list of (score, value) pairs for each query. */
const softmaxOf = (pairs: readonly (readonly [score: number, value: ArrayLike<number>])[], width: number): number[] => {
  const weights = pairs.map(([s]) => Math.exp(s)), total = weights.reduce((a, w) => a + w, 0);
  return Array.from({ length: width }, (_, e) => pairs.reduce((sum, [, value], c) => sum + weights[c] * value[e], 0) / total);
};
const row = (t: Rows, h: number, i: number): number[] => {
  const [, T, D] = t.shape;
  return Array.from(t.data.subarray((h * T + i) * D, (h * T + i + 1) * D));
};
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, f) => sum + x * b[f], 0);

describe("blocks with a halo and relative positions [paper:scaling-local-self-attention-for-parameter-efficient-visual-backbones]", () => {
  interface Grid { height: number; width: number; block: number; halo: number }
  const { haloAttention } = recipe<{ haloAttention(q: Rows, k: Rows, v: Rows, rowTable: Rows, columnTable: Rows, grid: Grid): Rows }>("halo-attention", ["haloAttention"], modules);

  it("is attention over the neighbourhoods with the logits of both distances", () => {
    for (const grid of [{ height: 6, width: 9, block: 3, halo: 1 }, { height: 4, width: 2, block: 2, halo: 3 }, { height: 3, width: 3, block: 1, halo: 0 }]) {
      const { height, width, block, halo } = grid, T = height * width, D = 4, [q, k, v] = [1, 2, 3].map((seed) => random([2, T, D], seed)), far = block + halo - 1, [rows, columns] = [4, 5].map((seed) => random([2 * far + 1, D], seed)), want: number[] = [];
      for (let h = 0; h < 2; h++) {
        for (let i = 0; i < T; i++) {
          const [y, x] = [Math.floor(i / width), i % width], near = (at: number, from: number): boolean => at >= Math.floor(from / block) * block - halo && at < Math.floor(from / block) * block + block + halo, pairs: [number, number[]][] = [];
          for (let j = 0; j < T; j++) {
            const [ky, kx] = [Math.floor(j / width), j % width];
            if (near(ky, y) && near(kx, x)) pairs.push([dot(row(q, h, i), row(k, h, j).map((e, f) => e + rows.data[(ky - y + far) * D + f] + columns.data[(kx - x + far) * D + f])) / 2, row(v, h, j)]);
          }
          want.push(...softmaxOf(pairs, D));
        }
      }
      expectClose(haloAttention(q, k, v, rows, columns, grid).data, want, CLOSE);
    }
  });

  it("without tables is haloBlocks", () => {
    const grid = { height: 8, width: 8, block: 4, halo: 2 }, [q, k, v] = [1, 2, 3].map((seed) => random([1, 64, 4], seed)), zero = new Tensor("float32", [11, 4], new Float32Array(44)), { order, blocks } = own.haloBlocks(8, 8, 4, 2);
    const placed = new Tensor("float32", [1, 64, 4], Float32Array.from([...order.data].flatMap((i) => row(q, 0, i)))), got = own.attention(placed, k, v, { blocks }).output, want = haloAttention(q, k, v, zero, zero, grid);
    for (const [n, i] of order.data.entries()) expectClose(row(got, 0, n), row(want, 0, i), CLOSE);
  });
});

describe("a soft causal mask [paper:adapting-llama-decoder-to-vision-transformer]", () => {
  const { softCausal, softCausalGradients, rateAt } = recipe<{ softCausal(q: Rows, k: Rows, v: Rows, a: number): Rows; softCausalGradients(q: Rows, k: Rows, v: Rows, a: number, upstream: Rows): own.AttentionWithGrad["grads"]; rateAt(step: number, cutoff: number, schedule: "linear" | "constant", start?: number): number }>("soft-causal-mask", ["softCausal", "softCausalGradients", "rateAt"], modules);
  const [q, k, v] = [1, 2, 3].map((seed) => random([2, 7, 4], seed));
  const definition = (x: ArrayLike<number>, a: number): number[] => {
    const out: number[] = [];
    for (let h = 0; h < 2; h++) {
      for (let i = 0; i < 7; i++) {
        const own = Array.from({ length: 4 }, (_, f) => x[(h * 7 + i) * 4 + f]), weights = Array.from({ length: 7 }, (_, j) => Math.exp(dot(own, row(k, h, j)) / 2)), total = weights.reduce((sum, w) => sum + w, 0);
        for (let e = 0; e < 4; e++) out.push(weights.reduce((sum, w, j) => sum + ((j <= i ? 1 : a) * w * row(v, h, j)[e]) / total, 0));
      }
    }
    return out;
  };

  it("multiplies after the softmax: full attention at 1, and at 0 rows that sum to less than 1", () => {
    for (const a of [0, 0.3, 1]) expectClose(softCausal(q, k, v, a).data, definition(q.data, a), CLOSE);
    expectClose(softCausal(q, k, v, 1).data, own.attention(q, k, v).output.data, CLOSE);
    expectClose(row(softCausal(q, k, v, 0), 1, 6), row(own.attention(q, k, v).output, 1, 6), CLOSE);
  });

  it("has the gradient of that", () => {
    const upstream = random([2, 7, 4], 9), got = softCausalGradients(q, k, v, 0.3, upstream);
    expectClose(got.query.data, finiteDifferenceGradient((x) => definition(x, 0.3).reduce((sum, y, at) => sum + y * upstream.data[at], 0), Float64Array.from(q.data)), { atol: 1e-5, rtol: 1e-5 });
  });

  it("falls in a straight line, or at once", () => {
    expectClose([0, 1, 2, 3, 4, 5].map((step) => rateAt(step, 5, "linear")), [1, 0.75, 0.5, 0.25, 0, 0], { atol: 1e-12 });
    expect([0, 4, 5].map((step) => rateAt(step, 5, "constant", 0.8))).toEqual([0.8, 0.8, 0]);
    expect([0, 1].map((step) => rateAt(step, 1, "linear"))).toEqual([1, 0]);
  });
});

describe("token-level masking [paper:tlm-token-level-masking-for-transformers]", () => {
  const { tokenMasks, masked } = recipe<{ tokenMasks(keep: Tensor<"uint8">, rate: number, random: RandomSource): Tensor<"uint8">; masked(q: Rows, k: Rows, v: Rows, keep: Tensor<"uint8">, rate: number, random: RandomSource): Rows }>("token-level-masking", ["tokenMasks", "masked"], modules);
  const T = 12, keep = new Tensor("uint8", [2, T], Uint8Array.from({ length: 2 * T }, (_, at) => Number(at % T < (at < T ? T : 9))));

  it("has rows of three kinds: those that miss the drawn tokens, those that see themselves alone, those that miss themselves", () => {
    const source = randomSource(5), count = { plain: 0, alone: 0, others: 0 };
    for (let n = 0; n < 50; n++) {
      const { shape, data } = tokenMasks(keep, 0.3, source);
      expect(shape).toEqual([2, 1, T, T]);
      for (let b = 0; b < 2; b++) {
        const tokens = Array.from(keep.row(b).data), rows = Array.from({ length: T }, (_, i) => Array.from(data.subarray((b * T + i) * T, (b * T + i + 1) * T)));
        const kinds = rows.map((mask, i) => (tokens[i] === 0 ? "plain" : mask[i] === 0 ? "others" : mask.reduce((a, x) => a + x, 0) === 1 ? "alone" : "plain"));
        for (let i = 0; i < T; i++) {
          if (tokens[i] === 1) count[kinds[i] as "plain"]++;
          expect(rows[i]).toEqual(tokens.map((token, j) => Number(token === 1 && (kinds[i] === "plain" ? kinds[j] === "plain" : kinds[i] === "alone" ? j === i : j !== i))));
        }
      }
    }
    // 1,050 tokens: 735 plain ones and 157 of each other kind are expected, standard deviations of 15 and 12.
    expect(Math.abs(count.plain - 735)).toBeLessThan(60);
    expect(Math.abs(count.alone - count.others)).toBeLessThan(70);
  });

  it("at rate 0 hides padding alone; rows sum to 1 where there is a key", () => {
    const [q, k] = [1, 2].map((seed) => random([2, 1, T, 4], seed)), ones = new Tensor("float32", [2, 1, T, 1], new Float32Array(2 * T).fill(1));
    expectExact(masked(q, k, k, keep, 0, randomSource(1)).data, own.attention(q, k, k, { lengths: Int32Array.of(T, 9) }).output.data);
    expectClose(masked(q, k, ones, keep, 0.3, randomSource(2)).data, new Float32Array(2 * T).fill(1), { ulp: 4 });
    expectExact(tokenMasks(new Tensor("uint8", [1, 1], Uint8Array.of(1)), 0, randomSource(3)).data, [1]);
  });
});

describe("foveal attention [paper:transnext-robust-foveal-visual-perception-for-vision-transformers]", () => {
  interface Fovea { height: number; width: number; radius: number; tau: Rows; embedding: Rows; localBias: Rows; poolBias: Rows }
  const { foveal } = recipe<{ foveal(q: Rows, k: Rows, v: Rows, pk: Rows, pv: Rows, of: Fovea): Rows }>("foveal-attention", ["foveal"], modules);
  const height = 5, width = 6, T = 30, D = 4, P = 6, [q, k, v] = [1, 2, 3].map((seed) => random([2, T, D], seed)), [pk, pv] = [4, 5].map((seed) => random([2, P, D], seed));
  const unit = (x: readonly number[]): number[] => x.map((e) => e / Math.sqrt(dot(x, x)));

  it("is one softmax over cosines with neighbours and pooled keys, sharpened by their number", () => {
    for (const radius of [1, 2]) {
      const side = 2 * radius + 1, of = { height, width, radius, tau: random([2], 6), embedding: random([2, D], 7), localBias: random([2, side * side], 8), poolBias: random([2, T, P], 9) }, want: number[] = [];
      for (let h = 0; h < 2; h++) {
        for (let i = 0; i < T; i++) {
          const [y, x] = [Math.floor(i / width), i % width], near: [number, number][] = [];
          for (let w = 0; w < side * side; w++) {
            const [ky, kx] = [y + Math.floor(w / side) - radius, x + (w % side) - radius];
            if (ky >= 0 && ky < height && kx >= 0 && kx < width) near.push([ky * width + kx, w]);
          }
          const sharp = Math.log1p(Math.exp(of.tau.data[h])) * Math.log(near.length + P), query = unit(row(q, h, i)).map((e, f) => sharp * (e + of.embedding.data[h * D + f]));
          const pairs: [number, number[]][] = near.map(([j, w]) => [dot(query, unit(row(k, h, j))) + of.localBias.data[h * side * side + w], row(v, h, j)]);
          for (let p = 0; p < P; p++) pairs.push([dot(query, unit(row(pk, h, p))) + of.poolBias.data[(h * T + i) * P + p], row(pv, h, p)]);
          want.push(...softmaxOf(pairs, D));
        }
      }
      expectClose(foveal(q, k, v, pk, pv, of).data, want, CLOSE);
    }
  });

  it("with a window over all and no pooled keys is cosine attention", () => {
    const grid = { height: 3, width: 7, radius: 3 }, n = 21, none = new Tensor("float32", [1, 0, D], new Float32Array(0)), [x, y] = [1, 2].map((seed) => random([1, n, D], seed)), tau = new Tensor("float32", [1], Float32Array.of(Math.log(Math.E - 1)));
    const got = foveal(x, y, y, none, none, { ...grid, tau, embedding: new Tensor("float32", [1, D], new Float32Array(D)), localBias: new Tensor("float32", [1, 49], new Float32Array(49)), poolBias: new Tensor("float32", [1, n, 0], new Float32Array(0)) });
    const middle = 10, want = softmaxOf(Array.from({ length: n }, (_, j) => [Math.log(n) * dot(unit(row(x, 0, middle)), unit(row(y, 0, j))), row(y, 0, j)] as const), D);
    expectClose(row(got, 0, middle), want, CLOSE);
  });
});

describe("scores that all layers share [paper:partialformer-modeling-part-instead-of-whole]", () => {
  const { withShared } = recipe<{ withShared(q: Rows, k: Rows, v: Rows, sharedQuery: Rows, sharedKey: Rows, causal?: boolean): Rows }>("shared-scores", ["withShared"], modules);
  const T = 9, [q, k, v, a, b] = [1, 2, 3, 4, 5].map((seed) => random([2, T, 4], seed)), product = core.matmul(a, b, { transposeB: true }), bias = new Tensor("float32", product.shape, product.data.map((x) => x / 2));

  it("are a bias that is never made; without them it is attention", () => {
    for (const causal of [false, true]) {
      expectClose(withShared(q, k, v, a, b, causal).data, own.attention(q, k, v, { bias, causal }).output.data, CLOSE);
      expectClose(withShared(q, k, v, new Tensor("float32", [2, T, 4], new Float32Array(8 * T)), b, causal).data, own.attention(q, k, v, { causal }).output.data, CLOSE);
    }
  });

  it("get their gradient as a bias or through the shared queries alike", () => {
    const upstream = random([2, T, 4], 6), { grads } = own.attention.withGrad(q, k, v, { bias, upstream }), through = core.matmul(grads.bias!, b).data.map((x) => x / 2);
    const value = (x: Float64Array): number => withShared(q, k, v, new Tensor("float32", [2, T, 4], Float32Array.from(x)), b).data.reduce((sum, o, at) => sum + o * upstream.data[at], 0);
    // Differences of float32 results over a step of 0.01.
    expectClose(through, finiteDifferenceGradient(value, a.data, { step: 0.01 }), { atol: 5e-4, rtol: 1e-3 });
  });
});

describe("Kolmogorov-Arnold attention [paper:kolmogorov-arnold-attention-is-learnable-attention-better-for-vision]", () => {
  interface Learned { normalizer: normalizers.RowNormalizer; grads: { coefficients: Float64Array; mix: Float64Array } }
  const { kolmogorovArnold } = recipe<{ kolmogorovArnold(coefficients: Rows, mix: Rows, G: number, simplex?: boolean): Learned }>("kolmogorov-arnold-attention", ["kolmogorovArnold"], modules);
  const [N, D, r, G] = [6, 4, 3, 2], [q, k, v, upstream] = [1, 2, 3, 4].map((seed) => random([1, N, D], seed)), coefficients = random([r, N * 2 * G], 5), mix = random([N, r], 6);
  /** The nearest point of the simplex, by sorting. */
  const project = (x: readonly number[]): number[] => {
    const sorted = [...x].sort((a, b) => b - a), sums = sorted.map((_, n) => sorted.slice(0, n + 1).reduce((a, b) => a + b, 0)), count = sorted.filter((z, n) => 1 + (n + 1) * z > sums[n]).length, tau = (sums[count - 1] - 1) / count;
    return x.map((z) => Math.max(z - tau, 0));
  };
  const definition = (x: ArrayLike<number>, a: ArrayLike<number>, w: ArrayLike<number>, simplex: boolean): number[] => Array.from({ length: N }, (_, i) => {
    const scores = Array.from({ length: N }, (_j, j) => dot(Array.from({ length: D }, (_f, f) => x[i * D + f]), row(k, 0, j)) / 2), hidden = Array.from({ length: r }, (_p, p) => {
      let sum = 0;
      for (let j = 0; j < N; j++) for (let m = 1; m <= G; m++) sum += a[(p * N + j) * 2 * G + m - 1] * Math.cos(m * scores[j]) + a[(p * N + j) * 2 * G + G + m - 1] * Math.sin(m * scores[j]);
      return sum;
    });
    const raw = Array.from({ length: N }, (_j, j) => hidden.reduce((sum, y, p) => sum + w[j * r + p] * y, 0)), weights = simplex ? project(raw) : raw;
    return Array.from({ length: D }, (_e, e) => weights.reduce((sum, p, j) => sum + p * row(v, 0, j)[e], 0));
  }).flat();

  it("is the learned map of each row, with or without the projection, and has its gradients in scores and parameters", () => {
    for (const simplex of [false, true]) {
      const { normalizer, grads } = kolmogorovArnold(coefficients, mix, G, simplex), got = own.attention.withGrad(q, k, v, { normalizer, upstream });
      const value = (x: ArrayLike<number>, a: ArrayLike<number>, w: ArrayLike<number>): number => definition(x, a, w, simplex).reduce((sum, y, at) => sum + y * upstream.data[at], 0), at = [q.data, coefficients.data, mix.data].map((x) => Float64Array.from(x));
      // Weights up to 20, sums of six of them.
      expectClose(got.output.data, definition(q.data, coefficients.data, mix.data, simplex), { atol: 5e-5, rtol: 1e-5 });
      const near = { atol: 5e-4, rtol: 1e-4 };
      expectClose(got.grads.query.data, finiteDifferenceGradient((x) => value(x, at[1], at[2]), at[0]), { ...near, label: "query" });
      expectClose(grads.coefficients, finiteDifferenceGradient((x) => value(at[0], x, at[2]), at[1]), { ...near, label: "coefficients" });
      expectClose(grads.mix, finiteDifferenceGradient((x) => value(at[0], at[1], x), at[2]), { ...near, label: "mix" });
    }
    const ones = new Tensor("float32", [1, N, 1], new Float32Array(N).fill(1));
    expectClose(own.attention(q, k, ones, { normalizer: kolmogorovArnold(coefficients, mix, G, true).normalizer }).output.data, new Float32Array(N).fill(1), { atol: 1e-6 });
  });
});
