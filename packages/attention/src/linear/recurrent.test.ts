import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { matmul } from "@logits/core-wasm";
import { describe, expect, it } from "vitest";
import { LinearAttentionState, hiddenAttention, linearAttention, selectiveScan, type LinearAttentionOptions } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const softplus = ({ shape, data }: Tensor<"float32">, sign: number): Tensor<"float32"> => new Tensor("float32", shape, data.map((x) => sign * Math.log1p(Math.exp(x))));

/** Rows `from` to `to` of the second axis of [H, T, D]. */
function part(x: Tensor<"float32">, from: number, to: number): Tensor<"float32"> {
  const [h, t] = x.shape, rest = x.shape.slice(2), d = rest.reduce((a, b) => a * b, 1);
  return new Tensor("float32", [h, to - from, ...rest], Float32Array.from({ length: h * (to - from) * d }, (_, at) => x.data[(Math.floor(at / ((to - from) * d)) * t + from) * d + (at % ((to - from) * d))]));
}
/** Row `at` of the second axis, without the axis. */
const one = (x: Tensor<"float32">, at: number): Tensor<"float32"> => new Tensor("float32", [x.shape[0], ...x.shape.slice(2)], part(x, at, at + 1).data);

/** Sums of float32 scores whose signs differ; the state is float64 in one form, scores float32 in the others. */
const NEAR = { atol: 1e-5, rtol: 1e-5 };

describe("the quadratic, the chunked and the recurrent form agree", () => {
  const T = 75, q = random([4, T, 5], 1), k = random([2, T, 5], 2), v = random([2, T, 3], 3);
  const strong = softplus(random([2, T, 5], 4), -1), weak = softplus(random([2, T], 5), -0.1);
  strong.data.fill(-Infinity, 20 * 5, 21 * 5);
  const cases: [string, LinearAttentionOptions][] = [
    ["elu, sum", {}], ["identity, none", { featureMap: "identity", normalize: "none", scale: 0.4 }], ["MALA", { normalize: "magnitude" }], ["Cottention", { featureMap: "cosine", normalize: "count", countPower: 0.62 }], ["Cottention, a power for each head", { featureMap: "cosine", normalize: "count", countPower: [0.25, 0.5, 0.75, 1] }], ["exp, sum", { featureMap: "exp" }],
    ["gates of tokens", { featureMap: "identity", normalize: "none", logGates: weak }], ["gates of features, one of them 0", { featureMap: "identity", normalize: "none", logGates: strong }], ["gates with sums", { logGates: strong }],
  ];
  for (const [name, options] of cases) {
    it(`${name} [paper:understanding-the-differences-in-foundation-models-attention-state-space]`, () => {
      const { logGates, causal: _, ...kind } = options, gates = logGates as Tensor<"float32"> | undefined, { output, rowSum } = linearAttention(q, k, v, { ...options, causal: true, chunkSize: 16 });
      const weights = hiddenAttention(q, k, { ...options, causal: true }), values = new Tensor("float32", [4, T, 3], Float32Array.from({ length: 4 * T * 3 }, (_, at) => v.data[Math.floor(at / (T * 6)) * T * 3 + (at % (T * 3))]));
      expect(weights.shape).toEqual([4, T, T]);
      expectClose(output.data, matmul(weights, values).data, NEAR);
      const make = (): LinearAttentionState => new LinearAttentionState({ ...kind, heads: 2, features: 5, width: 3 });
      const state = make();
      for (let t = 0; t < T; t++) {
        state.append(one(k, t), one(v, t), gates && { logGates: one(gates, t) });
        const step = state.attend(one(q, t));
        expectClose(step.output.data, one(output, t).data, NEAR);
        expectClose(step.rowSum.data, one(rowSum, t).data, NEAR);
      }
      // A prompt in pieces, then token by token, through JSON and clones.
      const pieces = make(), got: Float32Array[] = [];
      for (const [from, to] of [[0, 1], [1, 40], [40, 40], [40, 70]]) got.push(pieces.extend(part(q, from, to), part(k, from, to), part(v, from, to), { chunkSize: 8, ...(gates && { logGates: part(gates, from, to) }) }).output.data);
      expectClose(got[1], part(output, 1, 40).data, NEAR);
      expectClose(got[3], part(output, 40, 70).data, NEAR);
      const again = LinearAttentionState.fromJSON(JSON.parse(JSON.stringify(pieces)));
      expect(again.length).toBe(70);
      const branch = again.clone();
      branch.append(part(k, 0, 5), part(v, 0, 5), gates && { logGates: part(gates, 0, 5) });
      for (const each of [again, pieces]) each.append(part(k, 70, 75), part(v, 70, 75), gates && { logGates: part(gates, 70, 75) });
      expectExact(again.attend(one(q, 74)).output.data, pieces.attend(one(q, 74)).output.data);
      expectClose(again.attend(one(q, 74)).output.data, one(output, 74).data, NEAR);
    });
  }
});

describe("hiddenAttention", () => {
  it("is a Toeplitz matrix for a gate that never changes", () => {
    const ones = new Tensor("float32", [8, 1], new Float32Array(8).fill(1)), weights = hiddenAttention(ones, ones, { featureMap: "identity", normalize: "none", logGates: new Float32Array(8).fill(Math.log(0.5)) });
    for (let i = 0; i < 8; i++) for (let j = 0; j < 8; j++) expectClose(weights.at(i, j), j > i ? 0 : 0.5 ** (i - j), { rtol: 2e-7 * 8 });
  });

  it("keeps what a quotient of the products up to two tokens loses, both of which underflow", () => {
    // The products up to the last two tokens are 1e-400 and 5e-401, 0 in float64; their quotient is 0.5.
    const ones = new Tensor("float32", [12, 1], new Float32Array(12).fill(1)), logGates = new Float32Array(12).fill(Math.log(1e-40));
    logGates[11] = Math.log(0.5);
    expectClose(hiddenAttention(ones, ones, { featureMap: "identity", normalize: "none", logGates }).at(11, 10), 0.5, { ulp: 1 });
    expectClose(linearAttention(ones, ones, ones, { featureMap: "identity", normalize: "none", logGates }).output.at(11, 0), 1.5, { ulp: 2 });
  });

  it("of a selective scan, channel by channel, applies what the scan applies [paper:a-unified-implicit-attention-formulation-for-gated-linear-recurrent]", () => {
    const T = 40, C = 3, N = 4, u = random([1, T, C], 1), delta = softplus(random([1, T, C], 2), 1), A = softplus(random([C, N], 3), -1), B = random([1, T, N], 4), read = random([1, T, N], 5);
    const rows = (f: (c: number, t: number, n: number) => number): Tensor<"float32"> => new Tensor("float32", [C, T, N], Float32Array.from({ length: C * T * N }, (_, at) => f(Math.floor(at / (T * N)), Math.floor(at / N) % T, at % N)));
    const query = rows((_, t, n) => read.data[t * N + n]), key = rows((c, t, n) => delta.data[t * C + c] * B.data[t * N + n]), logGates = rows((c, t, n) => delta.data[t * C + c] * A.data[c * N + n]);
    const hidden = hiddenAttention(query, key, { logGates, featureMap: "identity", normalize: "none" }), { output } = selectiveScan(u, delta, A, B, read);
    const input = new Tensor("float32", [C, T, 1], Float32Array.from({ length: C * T }, (_, at) => u.data[(at % T) * C + Math.floor(at / T)])), wanted = Float32Array.from({ length: C * T }, (_, at) => output.data[(at % T) * C + Math.floor(at / T)]);
    expectClose(matmul(hidden, input).data, wanted, NEAR);
    expectClose(linearAttention(query, key, input, { logGates, featureMap: "identity", normalize: "none" }).output.data, wanted, NEAR);
  });
});

describe("selectiveScan", () => {
  const [B, T, C, N] = [2, 37, 3, 4], u = random([B, T, C], 1), delta = softplus(random([B, T, C], 2), 1), A = softplus(random([C, N], 3), -1), write = random([B, T, N], 4), read = random([B, T, N], 5), D = random([C], 6), state = random([B, C, N], 7);
  type Numbers = ArrayLike<number>;
  /** The recurrence in float64: outputs, then states. */
  const definition = (x: Numbers, step: Numbers, a: Numbers, b: Numbers, c: Numbers, d: Numbers, h0: Numbers): number[] => {
    const out: number[] = [], ends: number[] = [];
    for (let i = 0; i < B; i++) {
      const h = Array.from({ length: C * N }, (_, at) => h0[i * C * N + at]);
      for (let t = 0; t < T; t++) {
        for (let k = 0; k < C; k++) {
          let y = d[k] * x[(i * T + t) * C + k];
          for (let n = 0; n < N; n++) {
            h[k * N + n] = Math.exp(step[(i * T + t) * C + k] * a[k * N + n]) * h[k * N + n] + step[(i * T + t) * C + k] * b[(i * T + t) * N + n] * x[(i * T + t) * C + k];
            y += c[(i * T + t) * N + n] * h[k * N + n];
          }
          out.push(y);
        }
      }
      ends.push(...h);
    }
    return [...out, ...ends];
  };
  const data = [u, delta, A, write, read, D, state].map((x) => Float64Array.from(x.data)) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];

  it("agrees with the recurrence in float64", () => {
    const got = selectiveScan(u, delta, A, write, read, { D, state }), want = definition(...data);
    expectClose(got.output.data, want.slice(0, B * T * C), { atol: 5e-6, rtol: 2e-6 });
    expectClose(got.state.data, want.slice(B * T * C), { atol: 5e-6, rtol: 2e-6 });
    expectClose(selectiveScan(u, delta, A, write, read).output.data, definition(data[0], data[1], data[2], data[3], data[4], new Float64Array(C), new Float64Array(B * C * N)).slice(0, B * T * C), { atol: 5e-6, rtol: 2e-6 });
  });

  it("goes on from a state: in two parts it gives what it gives whole, but for the state's rounding to float32", () => {
    const cut = 20, whole = selectiveScan(u, delta, A, write, read, { D }), first = selectiveScan(part(u, 0, cut), part(delta, 0, cut), A, part(write, 0, cut), part(read, 0, cut), { D });
    const second = selectiveScan(part(u, cut, T), part(delta, cut, T), A, part(write, cut, T), part(read, cut, T), { D, state: first.state });
    expectExact(first.output.data, part(whole.output, 0, cut).data);
    expectClose(second.output.data, part(whole.output, cut, T).data, { atol: 1e-6, rtol: 1e-6 });
    expectClose(second.state.data, whole.state.data, { atol: 1e-6, rtol: 1e-6 });
  });

  it("has the gradients of the recurrence", () => {
    const upstream = random([B, T, C], 8), upstreamState = random([B, C, N], 9), all = [...upstream.data, ...upstreamState.data], got = selectiveScan.withGrad(u, delta, A, write, read, { D, state, upstream, upstreamState });
    const { output, state: end } = selectiveScan(u, delta, A, write, read, { D, state });
    expectExact(got.output.data, output.data);
    expectExact(got.state.data, end.data);
    const { grads } = got, each = [grads.input, grads.delta, grads.A, grads.B, grads.C, grads.D!, grads.state!];
    for (const [at, mine] of each.entries()) {
      const numeric = finiteDifferenceGradient((x) => definition(...(data.map((old, i) => (i === at ? x : old)) as typeof data)).reduce((sum, y, i) => sum + y * all[i], 0), data[at], { step: 1e-5 });
      expectClose(mine.data, numeric, { atol: 2e-5, rtol: 2e-5 });
    }
    const bare = selectiveScan.withGrad(u, delta, A, write, read, { upstream }).grads;
    expect([bare.D, bare.state]).toEqual([undefined, undefined]);
  });

  it("keeps the state where delta is 0, forgets it, NaN too, where a gate is 0, and takes no tokens", () => {
    const still = selectiveScan([[[5], [5]]], [[[0], [0]]], [[-1]], [[[3], [3]]], [[[1], [1]]], { state: [[[2]]] });
    expectExact(still.output.data, [2, 2]);
    const over = selectiveScan([[[0], [1]]], [[[0], [1]]], [[-2000]], [[[1], [1]]], [[[1], [1]]], { state: [[[NaN]]] });
    expectExact(over.output.data, [NaN, 1]);
    const none = selectiveScan(new Tensor("float32", [1, 0, 1], new Float32Array(0)), new Tensor("float32", [1, 0, 1], new Float32Array(0)), [[-1]], new Tensor("float32", [1, 0, 1], new Float32Array(0)), new Tensor("float32", [1, 0, 1], new Float32Array(0)), { state: [[[2]]] });
    expect([none.output.shape, none.state.toArray()]).toEqual([[1, 0, 1], [[[2]]]]);
  });

  it("no error runs along where gates are near 1: the state of a constant input is a mean over 1 / delta tokens", () => {
    // With gates in float32 the second would be off by 2e-4.
    for (const [step, count] of [[1e-3, 10_000], [1e-4, 40_000]]) {
      const ones = new Tensor("float32", [1, count, 1], new Float32Array(count).fill(1)), steps = new Tensor("float32", [1, count, 1], new Float32Array(count).fill(step)), gate = Math.exp(-Math.fround(step));
      const want = (Math.fround(step) * (1 - gate ** count)) / (1 - gate);
      expectClose(selectiveScan(ones, steps, [[-1]], ones, ones).output.data[count - 1], want, { ulp: 1 });
    }
  });

  it("a rate of -Infinity has gates of 0: each token for itself, and gradients without NaN", () => {
    const { output, grads } = selectiveScan.withGrad([[[1], [2]]], [[[1], [3]]], [[-Infinity]], [[[1], [1]]], [[[1], [1]]], { state: [[[5]]], upstream: [[[1], [1]]] });
    expectExact(output.data, [1, 6]);
    expectExact(grads.delta.data, [1, 2]);
    expectExact([...grads.A.data, ...grads.state!.data], [0, 0]);
  });
});
