import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LinearAttentionState, linearAttention, type LinearAttentionOptions } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

/** The recurrence in float64, one head, elu + 1. */
function recurrence(q: Tensor<"float32">, k: Tensor<"float32">, v: Tensor<"float32">, logGates: Float32Array | undefined, divide: boolean): Float64Array {
  const [T, D] = q.shape, E = v.shape[1], S = new Float64Array(D * E), z = new Float64Array(D), out = new Float64Array(T * E), phi = (x: number): number => (x > 0 ? x + 1 : Math.exp(x));
  for (let t = 0; t < T; t++) {
    let Z = 0;
    for (let d = 0; d < D; d++) {
      const gate = logGates ? Math.exp(logGates[t * D + d]) : 1, x = phi(k.data[t * D + d]), y = phi(q.data[t * D + d]);
      z[d] = gate * z[d] + x;
      Z += y * z[d];
      for (let e = 0; e < E; e++) out[t * E + e] += y * (S[d * E + e] = gate * S[d * E + e] + x * v.data[t * E + e]);
    }
    if (divide) for (let e = 0; e < E; e++) out[t * E + e] /= Z;
  }
  return out;
}

describe("long sequences", () => {
  const T = 20_000, q = random([T, 4], 1), k = random([T, 4], 2), v = random([T, 3], 3), logGates = random([T, 4], 4);
  for (let at = 0; at < logGates.size; at++) logGates.data[at] = -Math.log1p(Math.exp(logGates.data[at] - 2));

  it("20,000 tokens: no error runs along, with and without gates, in chunks and from a state", () => {
    // A matrix of scores would have 1.6 GB.
    const whole = linearAttention(q, k, v, { causal: true }).output.data, want = recurrence(q, k, v, undefined, true);
    expectClose(whole, want, { atol: 2e-6, rtol: 2e-6 });
    expectClose(linearAttention(q, k, v, { logGates }).output.data, recurrence(q, k, v, logGates.data, true), { atol: 3e-6, rtol: 3e-6 });
    const sums = recurrence(q, k, v, logGates.data, false), size = Math.max(...sums.map(Math.abs));
    expectClose(linearAttention(q, k, v, { logGates, normalize: "none" }).output.data, sums, { atol: 3e-7 * size, rtol: 3e-6 });
    const state = new LinearAttentionState({ heads: 1, features: 4, width: 3 });
    state.append(new Tensor("float32", [1, T, 4], k.data), new Tensor("float32", [1, T, 3], v.data));
    expectClose(state.attend(new Tensor("float32", [1, 4], q.data.slice(-4))).output.data, want.slice(-3), { atol: 1e-6, rtol: 1e-6 });
    expect(state.bytes).toBe(8 * (12 + 4 + 3));
  });

  it("gradients of a loss at the end are those of the last 200 tokens alone: the rest is forgotten", () => {
    const upstream = new Tensor("float32", [T, 3], new Float32Array(3 * T));
    upstream.data.fill(1, 3 * T - 3);
    const n = 200, head = <D extends Tensor<"float32">>(x: D): Tensor<"float32"> => new Tensor("float32", [n, x.shape[1]], x.data.slice(-n * x.shape[1]));
    const long = linearAttention.withGrad(q, k, v, { logGates, upstream }).grads, short = linearAttention.withGrad(head(q), head(k), head(v), { logGates: head(logGates), upstream: head(upstream), chunkSize: 1 }).grads;
    // What lies 200 tokens back has been forgotten: exp(-0.13 * 200) is 5e-12, so both see the same.
    expectClose(long.logGates!.data.slice(-n * 4 + 4), short.logGates!.data.slice(4), { atol: 2e-7, rtol: 2e-5 });
    expectClose(long.key.data.slice(-n * 4), short.key.data, { atol: 2e-7, rtol: 2e-5 });
  });

  it("gradients of weak gates over 5,000 tokens agree with the recurrence backwards in float64", () => {
    const n = 5000, [x, y, w, up] = [random([n, 2], 5), random([n, 2], 6), random([n, 2], 7), random([n, 2], 8)], weak = new Tensor("float32", [n, 2], random([n, 2], 9).data.map((g) => -0.001 * Math.abs(g)));
    const { grads } = linearAttention.withGrad(x, y, w, { logGates: weak, featureMap: "identity", normalize: "none", upstream: up }), S = new Float64Array(4 * (n + 1)), by = new Float64Array(4), wantGates = new Float64Array(2 * n), wantKey = new Float64Array(2 * n);
    for (let t = 0; t < n; t++) for (let d = 0; d < 2; d++) for (let e = 0; e < 2; e++) S[4 * (t + 1) + 2 * d + e] = Math.exp(weak.data[2 * t + d]) * S[4 * t + 2 * d + e] + y.data[2 * t + d] * w.data[2 * t + e];
    for (let t = n - 1; t >= 0; t--) {
      for (let d = 0; d < 2; d++) {
        for (let e = 0; e < 2; e++) {
          const at = 2 * d + e, gate = Math.exp(weak.data[2 * t + d]);
          by[at] += x.data[2 * t + d] * up.data[2 * t + e];
          wantKey[2 * t + d] += by[at] * w.data[2 * t + e];
          wantGates[2 * t + d] += by[at] * gate * S[4 * t + at];
          by[at] *= gate;
        }
      }
    }
    // Relative to the largest: each is a sum of states of hundreds, in float32 products, which the baseline binary rounds twice for each addition.
    const largest = (g: Float64Array): number => Math.max(...g.map(Math.abs));
    expectClose(grads.logGates!.data, wantGates, { atol: 4e-7 * largest(wantGates) });
    expectClose(grads.key.data, wantKey, { atol: 3e-7 * largest(wantKey) });
  });
});

describe("laws", () => {
  const sizes = fc.record({ T: fc.integer({ min: 1, max: 70 }), chunkSize: fc.integer({ min: 1, max: 40 }), kind: fc.constantFrom<LinearAttentionOptions>({}, { normalize: "none", featureMap: "identity" }, { normalize: "magnitude" }, { normalize: "count", featureMap: "cosine" }), strength: fc.constantFrom(0, 0.1, 5, 60), seed: fc.integer({ min: 1, max: 1000 }) });

  it("a query does not see what comes after it: later keys and values change no bit of its result", () => {
    fc.assert(
      fc.property(sizes, fc.nat(), ({ T, chunkSize, kind, seed }, pick) => {
        const q = random([T, 3], seed), k = random([T, 3], seed + 1), v = random([T, 2], seed + 2), at = pick % T, options = { ...kind, causal: true, chunkSize }, before = linearAttention(q, k, v, options).output.data.slice(0, 2 * at);
        k.data.fill(7, 3 * at);
        v.data.fill(-9, 2 * at);
        expectExact(linearAttention(q, k, v, options).output.data.slice(0, 2 * at), before);
      }),
      { seed: 11, numRuns: 60 },
    );
  });

  it("without causal the order of keys does not matter", () => {
    fc.assert(
      fc.property(sizes, ({ T, kind, seed }) => {
        const q = random([4, 3], seed), k = random([T, 3], seed + 1), v = random([T, 2], seed + 2), turned = (x: Tensor<"float32">): Tensor<"float32"> => new Tensor("float32", x.shape, Float32Array.from(x.data, (_, at) => x.data[x.size - x.shape[1] * (Math.floor(at / x.shape[1]) + 1) + (at % x.shape[1])]));
        expectClose(linearAttention(q, turned(k), turned(v), kind).output.data, linearAttention(q, k, v, kind).output.data, { atol: 2e-5, rtol: 2e-5 });
      }),
      { seed: 12, numRuns: 40 },
    );
  });

  it("chunks of any size, gates of any strength: the results agree", () => {
    fc.assert(
      fc.property(sizes, ({ T, chunkSize, strength, seed }) => {
        const q = random([T, 3], seed), k = random([T, 3], seed + 1), v = random([T, 2], seed + 2), logGates = random([T, 3], seed + 3), options = { featureMap: "identity", normalize: "none", logGates } as const;
        for (let at = 0; at < logGates.size; at++) logGates.data[at] = -strength * Math.abs(logGates.data[at]);
        expectClose(linearAttention(q, k, v, { ...options, chunkSize }).output.data, linearAttention(q, k, v, { ...options, chunkSize: 1 }).output.data, { atol: 2e-5, rtol: 1e-5 });
      }),
      { seed: 13, numRuns: 60 },
    );
  });
});
