import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { linearAttention, type FeatureMap, type LinearAttentionOptions } from "./index.ts";
import { linearWeightsRef } from "./linearAttention.ref.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
/** Log gates: -softplus of normal numbers, so between about -3 and -0.05. */
const gates = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { shape: own, data } = random(shape, seed);
  return new Tensor("float32", own, data.map((x) => -Math.log1p(Math.exp(x))));
};

const MAPS: Record<string, (row: number[]) => number[]> = {
  elu: (row) => row.map((x) => (x > 0 ? x + 1 : Math.exp(x))), relu: (row) => row.map((x) => Math.max(0, x)), exp: (row) => row.map(Math.exp), identity: (row) => row,
  cosine: (row) => row.map((x) => x / (Math.hypot(...row) || 1)),
};

interface Shapes { readonly B: number; readonly H: number; readonly G: number; readonly T: number; readonly S: number; readonly D: number; readonly E: number }
type Numbers = ArrayLike<number>;

/** The quadratic form in float64, of arguments laid out as the shapes say. */
function definition({ B, H, G, T, S, D, E }: Shapes, q: Numbers, k: Numbers, v: Numbers, options: LinearAttentionOptions, given?: { gates?: Numbers; powers?: Numbers }): number[] {
  const { featureMap = "elu", normalize = "sum", lengths, scale = normalize === "magnitude" ? 1 / Math.sqrt(D) : 1 } = options, causal = options.causal ?? given?.gates !== undefined, out: number[] = [], map = MAPS[featureMap as string];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = b * G + Math.floor((h * G) / H), rows = (x: Numbers, index: number, n: number, width: number): number[][] => Array.from({ length: n }, (_, i) => Array.from({ length: width }, (_, f) => x[(index * n + i) * width + f]));
      const length = lengths ? (lengths as Int32Array)[b] : S, width = given?.gates ? given.gates.length / (B * G * S) : 1;
      const logGates = given?.gates && rows(given.gates, g, S, width).map((row) => (width === D ? row : new Array<number>(D).fill(row[0]))).slice(0, length);
      const weights = linearWeightsRef(rows(q, b * H + h, T, D).map((row) => map(row).map((x) => x * scale)), rows(k, g, S, D).map(map), logGates, (i, j) => j < length && (!causal || j <= i + S - T), (i) => i + S - T, normalize, Number(given?.powers?.[h] ?? options.countPower ?? 1));
      for (let i = 0; i < T; i++) for (let e = 0; e < E; e++) out.push(weights[i].reduce((sum, w, j) => sum + w * v[(g * S + j) * E + e], 0));
    }
  }
  return out;
}

const make = ({ B, H, G, T, S, D, E }: Shapes): [Tensor<"float32">, Tensor<"float32">, Tensor<"float32">] => [random([B, H, T, D], 1), random([B, G, S, D], 2), random([B, G, S, E], 3)];
/** Float32 products of positive features summed over at most 90 keys, divided by a sum of the same size. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };
/** Signed scores: the sums of up to 90 of them are up to 100 times their results. */
const SIGNED = { atol: 2e-5, rtol: 1e-5 };

describe("linearAttention", () => {
  const base: Shapes = { B: 2, H: 4, G: 2, T: 90, S: 90, D: 6, E: 5 };
  const cases: [string, Partial<Shapes>, LinearAttentionOptions][] = [
    ["all keys", {}, {}],
    ["fewer queries", { T: 7 }, {}],
    ["causal", {}, { causal: true }],
    ["causal in chunks of 1", {}, { causal: true, chunkSize: 1 }],
    ["causal in chunks of 7", {}, { causal: true, chunkSize: 7 }],
    ["causal, the last queries", { T: 17 }, { causal: true, chunkSize: 8 }],
    ["causal, queries before all keys", { S: 20, T: 33 }, { causal: true, chunkSize: 8 }],
    ["lengths", {}, { lengths: Int32Array.of(31, 0) }],
    ["causal lengths", { T: 40 }, { causal: true, lengths: Int32Array.of(71, 20), chunkSize: 16 }],
    ["relu", {}, { featureMap: "relu", causal: true }],
    ["exp", {}, { featureMap: "exp" }],
    ["no normaliser", {}, { normalize: "none", scale: 0.125, causal: true }],
    ["magnitude", {}, { normalize: "magnitude" }],
    ["causal magnitude, lengths", { T: 60 }, { normalize: "magnitude", causal: true, lengths: Int32Array.of(80, 45) }],
    ["count", {}, { normalize: "count", countPower: 0.6, featureMap: "cosine" }],
    ["causal count", {}, { normalize: "count", countPower: 0.3, featureMap: "cosine", causal: true }],
  ];
  for (const [name, shapes, options] of cases) {
    it(`agrees with the quadratic form: ${name}`, () => {
      const full = { ...base, ...shapes }, [q, k, v] = make(full);
      const { output } = linearAttention(q, k, v, options);
      expect(output.shape).toEqual([full.B, full.H, full.T, full.E]);
      expectClose(output.data, definition(full, q.data, k.data, v.data, options), options.featureMap === "cosine" || options.normalize !== undefined ? SIGNED : CLOSE);
    });
  }

  for (const width of [1, base.D]) {
    for (const normalize of ["none", "sum"] as const) {
      for (const [name, T] of [["", 90], ["the last queries, ", 37]] as const) {
        it(`agrees with the quadratic form: ${name}${width === 1 ? "gates of tokens" : "gates of features"}, ${normalize}`, () => {
          const full = { ...base, T }, [q, k, v] = make(full), logGates = gates(width === 1 ? [2, 2, 90] : [2, 2, 90, width], 7);
          // Whole documents are forgotten in between: a gate of 0. One item is shorter.
          for (const token of [0, 5, 6, 40]) logGates.data.fill(-Infinity, token * width, token * width + width);
          for (const chunkSize of [1, 13, 64]) {
            const options: LinearAttentionOptions = { featureMap: normalize === "none" ? "identity" : "elu", normalize, chunkSize, lengths: Int32Array.of(90, 77) };
            expectClose(linearAttention(q, k, v, { ...options, logGates }).output.data, definition(full, q.data, k.data, v.data, options, { gates: logGates.data }), SIGNED);
          }
        });
      }
    }
  }

  it("takes its own feature map, of another width [paper:understanding-the-differences-in-foundation-models-attention-state-space]", () => {
    // phi(x) = (1, x, x x / sqrt 2): phi(q) . phi(k) = 1 + q . k + (q . k)^2 / 2, the Taylor series of exp.
    const [q, k, v] = make({ ...base, D: 3 }), width = 13, features = (x: number[]): number[] => [1, ...x, ...x.flatMap((a) => x.map((b) => (a * b) / Math.SQRT2))];
    const rows = (t: Tensor<"float32">, f: (row: number[]) => number[], n: number): Tensor<"float32"> => new Tensor("float32", [t.shape[0], n], Float32Array.from(Array.from({ length: t.shape[0] }, (_, i) => f([...t.row(i).data])).flat()));
    const featureMap = { name: "taylor", apply: (x: Tensor<"float32">) => rows(x, features, width), gradient: (x: Tensor<"float32">) => x };
    const weights = (i: number[], j: number[]): number => { const s = i.reduce((sum, x, f) => sum + x * j[f], 0); return 1 + s + (s * s) / 2; };
    const got = linearAttention(q, k, v, { featureMap }).output.data, want: number[] = [], row = (t: Tensor<"float32">, at: number): number[] => [...t.data.subarray(at * t.shape[3], (at + 1) * t.shape[3])];
    for (let b = 0; b < 2; b++) for (let h = 0; h < 4; h++) for (let i = 0; i < 90; i++) {
      const g = b * 2 + (h >> 1), w = Array.from({ length: 90 }, (_, j) => weights(row(q, (b * 4 + h) * 90 + i), row(k, g * 90 + j))), Z = w.reduce((x, y) => x + y, 0);
      for (let e = 0; e < 5; e++) want.push(w.reduce((sum, x, j) => sum + x * v.data[(g * 90 + j) * 5 + e], 0) / Z);
    }
    expectClose(got, want, CLOSE);
  });

  it("rows sum to 1 with MALA, weights sharpen as the query grows, which those of plain linear attention do not [paper:rectifying-magnitude-neglect-in-linear-attention]", () => {
    const k = random([1, 1, 12, 4], 2), identity = new Tensor("float32", [1, 1, 12, 12], Float32Array.from({ length: 144 }, (_, at) => Number(at % 13 === 0)));
    const spread = (size: number, normalize: "sum" | "magnitude"): number => {
      // Positive queries, for which phi(x) = x + 1 grows with them.
      const weights = linearAttention([[[[1 * size, 3 * size, 0.5 * size, 2 * size]]]], k, identity, { normalize, featureMap: "relu" }).output.data;
      if (normalize === "magnitude") expectClose(weights.reduce((a, b) => a + b, 0), 1, { atol: 2e-6 });
      return Math.max(...weights) - Math.min(...weights);
    };
    const sharp = [1, 2, 4, 8, 16].map((size) => spread(size, "magnitude")), flat = [1, 2, 4, 8, 16].map((size) => spread(size, "sum"));
    for (let i = 1; i < 5; i++) {
      expect(sharp[i]).toBeGreaterThan(sharp[i - 1]);
      expectClose(flat[i], flat[0], { rtol: 1e-5 });
    }
  });

  it("with cosines no score leaves [-1, 1]: |output| stays below n^(1 - power) max |v| [paper:cottention-linear-transformers-with-cosine-attention]", () => {
    const k = random([1, 1, 40, 4], 2), q = random([1, 1, 40, 4], 1), identity = new Tensor("float32", [1, 1, 40, 40], Float32Array.from({ length: 1600 }, (_, at) => Number(at % 41 === 0)));
    const scores = linearAttention(q, k, identity, { normalize: "none", featureMap: "cosine" }).output.data;
    expect(Math.max(...scores)).toBeLessThanOrEqual(1 + 2e-7);
    expect(Math.min(...scores)).toBeGreaterThanOrEqual(-1 - 2e-7);
    expectClose(linearAttention(q, q, identity, { normalize: "none", featureMap: "cosine" }).output.data.filter((_, at) => at % 41 === 0), new Float32Array(40).fill(1), { ulp: 4 });
  });
});

describe("linearAttention.withGrad", () => {
  const shapes: Shapes = { B: 2, H: 2, G: 1, T: 9, S: 11, D: 3, E: 2 };
  const cases: [string, LinearAttentionOptions, Partial<Shapes>?][] = [
    ["all keys", {}], ["causal", { causal: true, chunkSize: 4 }], ["causal, queries before all keys", { causal: true, chunkSize: 4 }, { T: 13, S: 9 }], ["causal lengths", { causal: true, chunkSize: 3, lengths: Int32Array.of(6, 11) }],
    ["exp without normaliser", { featureMap: "exp", normalize: "none", scale: 0.3, causal: true, chunkSize: 2 }], ["identity", { featureMap: "identity", normalize: "none" }],
    ["magnitude", { normalize: "magnitude" }], ["causal magnitude, lengths", { normalize: "magnitude", causal: true, chunkSize: 4, lengths: Int32Array.of(6, 11) }],
    ["cosine and count", { featureMap: "cosine", normalize: "count", causal: true, chunkSize: 4 }],
  ];
  const check = (options: LinearAttentionOptions, full: Shapes, logGates?: Tensor<"float32">): void => {
    const [q, k, v] = make(full), up = random([full.B, full.H, full.T, full.E], 5), powers = options.normalize === "count" ? new Tensor("float32", [full.H], Float32Array.from({ length: full.H }, (_, h) => 0.3 + 0.4 * h)) : undefined;
    const all = { ...options, ...(logGates && { logGates }), ...(powers && { countPower: powers }) }, got = linearAttention.withGrad(q, k, v, { ...all, upstream: up });
    expectExact(got.output.data, linearAttention(q, k, v, all).output.data);
    const loss = (a: Numbers, b: Numbers, c: Numbers, d?: Numbers, e?: Numbers): number => definition(full, a, b, c, options, { gates: d ?? logGates?.data, powers: e ?? powers?.data }).reduce((sum, x, at) => sum + x * up.data[at], 0);
    // Central differences in float64 of step 1e-5 are good to about 1e-8; float32 products of cancelling sums are not.
    const near = { atol: 3e-5, rtol: 3e-5 }, wide = (x: Tensor<"float32">): Float64Array => Float64Array.from(x.data);
    expectClose(got.grads.query.data, finiteDifferenceGradient((x) => loss(x, k.data, v.data), wide(q), { step: 1e-5 }), near);
    expectClose(got.grads.key.data, finiteDifferenceGradient((x) => loss(q.data, x, v.data), wide(k), { step: 1e-5 }), near);
    expectClose(got.grads.value.data, finiteDifferenceGradient((x) => loss(q.data, k.data, x), wide(v), { step: 1e-5 }), near);
    if (logGates) expectClose(got.grads.logGates!.data, finiteDifferenceGradient((x) => loss(q.data, k.data, v.data, x), wide(logGates), { step: 1e-5 }), near);
    else expect(got.grads.logGates).toBe(undefined);
    if (powers) expectClose(got.grads.countPower!.data, finiteDifferenceGradient((x) => loss(q.data, k.data, v.data, undefined, x), wide(powers), { step: 1e-5 }), near);
    else expect(got.grads.countPower).toBe(undefined);
  };
  for (const [name, options, own] of cases) it(`agrees with differences of the definition: ${name}`, () => check(options, { ...shapes, ...own }));
  for (const normalize of ["none", "sum"] as const) {
    for (const [chunkSize, T] of [[1, 11], [4, 9], [4, 11], [64, 9]]) {
      it(`agrees with differences of the definition: gates, ${normalize}, chunks of ${chunkSize}, ${T} queries`, () => {
        const options: LinearAttentionOptions = { featureMap: normalize === "none" ? "identity" : "elu", normalize, chunkSize, lengths: Int32Array.of(8, 11) }, full = { ...shapes, T, D: 2 };
        check(options, full, gates([2, 1, 11], 7));
        check(options, full, gates([2, 1, 11, 2], 7));
      });
    }
  }

  it("goes through a feature map of your own, and leaves padding out, NaN or not", () => {
    // phi(x) = (x, x^2), so F = 2 D.
    const featureMap: FeatureMap = {
      name: "powers",
      apply: ({ shape: [rows, d], data }) => new Tensor("float32", [rows, 2 * d], Float32Array.from({ length: 2 * rows * d }, (_, at) => { const x = data[Math.floor(at / (2 * d)) * d + (at % d)]; return at % (2 * d) < d ? x : x * x; })),
      gradient: ({ shape: [rows, d], data }, { data: up }) => new Tensor("float32", [rows, d], data.map((x, at) => { const from = Math.floor(at / d) * 2 * d + (at % d); return up[from] + 2 * x * up[from + d]; })),
    };
    const full: Shapes = { B: 2, H: 2, G: 1, T: 5, S: 7, D: 2, E: 2 }, [q, k, v] = make(full), upstream = random([2, 2, 5, 2], 5), lengths = Int32Array.of(4, 7), options = { normalize: "none", causal: true, lengths, upstream, chunkSize: 3 } as const;
    const got = linearAttention.withGrad(q, k, v, { ...options, featureMap }), squared = (x: Numbers): number[] => Array.from({ length: 2 * x.length }, (_, at) => { const y = x[Math.floor(at / 4) * 2 + (at % 2)]; return at % 4 < 2 ? y : y * y; });
    const loss = (a: Numbers, b: Numbers): number => definition({ ...full, D: 4 }, squared(a), squared(b), v.data, { ...options, featureMap: "identity" }).reduce((sum, x, at) => sum + x * upstream.data[at], 0), near = { atol: 3e-5, rtol: 3e-5 };
    expectClose(got.grads.query.data, finiteDifferenceGradient((x) => loss(x, k.data), Float64Array.from(q.data), { step: 1e-5 }), near);
    expectClose(got.grads.key.data, finiteDifferenceGradient((x) => loss(q.data, x), Float64Array.from(k.data), { step: 1e-5 }), near);
    const keyGrad = got.grads.key.data.slice(), valueGrad = got.grads.value.data.slice();
    k.data.fill(NaN, 8, 14);
    v.data.fill(NaN, 8, 14);
    const again = linearAttention.withGrad(q, k, v, { ...options, featureMap }).grads;
    expectExact(again.key.data, keyGrad);
    expectExact(again.value.data, valueGrad);
    expect([...again.key.data.subarray(8, 14), ...again.value.data.subarray(8, 14)].every((x) => x === 0)).toBe(true);
  });
});
