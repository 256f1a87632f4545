import { Tensor, tensor } from "@logits/tensor";
import { core } from "@logits/core-wasm";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { alibi, alibiSlopes, attention, kerple, mergeAttention, t5Bias, type AttentionOptions } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

const qkv = (b: number, h: number, g: number, t: number, s: number, d: number, e = d): [Tensor<"float32">, Tensor<"float32">, Tensor<"float32">] => [random([b, h, t, d], 1), random([b, g, s, d], 2), random([b, g, s, e], 3)];

/** The definition in float64; `see` says which keys take part, `add` what is added. */
function definition(q: Tensor, k: Tensor, v: Tensor, see: (b: number, h: number, i: number, j: number) => boolean, add: (b: number, h: number, i: number, j: number) => number = () => 0, sink = -Infinity): number[] {
  const [B, H, T, D] = q.shape, [, G, S] = k.shape, E = v.shape[3], out: number[] = [];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = b * G + Math.floor((h * G) / H);
      for (let i = 0; i < T; i++) {
        const weights = Array.from({ length: S }, (_, j) => {
          if (!see(b, h, i, j)) return 0;
          let s = 0;
          for (let f = 0; f < D; f++) s += q.data[((b * H + h) * T + i) * D + f] * k.data[(g * S + j) * D + f];
          return Math.exp(s / Math.sqrt(D) + add(b, h, i, j));
        });
        const total = weights.reduce((a, w) => a + w, Math.exp(sink));
        for (let e = 0; e < E; e++) out.push(total === 0 ? 0 : weights.reduce((a, w, j) => a + w * v.data[(g * S + j) * E + e], 0) / total);
      }
    }
  }
  return out;
}

/** Float32 products of 8 numbers near 1, an exponential and a sum over at most 300 keys. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };

describe("attention", () => {
  const T = 9, S = 23, offset = S - T;
  const [q, k, v] = qkv(2, 4, 2, T, S, 8, 6);
  const documents = Int32Array.from({ length: S }, (_, j) => [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 2, 2, 2, 2, 2, 9, 9, 9, 9, 9, 9, 9][j]);
  const bits = Uint8Array.from({ length: T * S }, (_, i) => Number((i * 7) % 5 !== 0)), bias = random([4, 1, S], 9);
  const cases: [string, AttentionOptions, Parameters<typeof definition>[3], Parameters<typeof definition>[4]?, number?][] = [
    ["everything", {}, () => true],
    ["causal", { causal: true }, (_b, _h, i, j) => j <= i + offset],
    ["causal from another position", { causal: true, queryOffset: 3 }, (_b, _h, i, j) => j <= i + 3],
    ["causal window", { causal: true, windowSize: 4 }, (_b, _h, i, j) => j <= i + offset && i + offset - j < 4],
    ["window", { windowSize: 4 }, (_b, _h, i, j) => Math.abs(i + offset - j) < 4],
    ["lengths", { lengths: Int32Array.of(17, 5) }, (b, _h, _i, j) => j < [17, 5][b]],
    ["documents", { documents }, (_b, _h, i, j) => documents[i + offset] === documents[j]],
    ["ranges", { ranges: { from: Int32Array.from({ length: T }, (_, i) => i), to: Int32Array.from({ length: T }, (_, i) => 2 * i + 1) } }, (_b, _h, i, j) => j >= i && j < 2 * i + 1],
    ["mask", { mask: new Tensor("uint8", [T, S], bits) }, (_b, _h, i, j) => bits[i * S + j] === 1],
    ["bias of heads", { bias }, () => true, (_b, h, _i, j) => bias.data[h * S + j]],
    ["ALiBi", { positionBias: alibi(alibiSlopes(4)), causal: true }, (_b, _h, i, j) => j <= i + offset, (_b, h, i, j) => -(2 ** (-2 * (h + 1))) * Math.abs(i + offset - j)],
    ["KERPLE", { positionBias: kerple("logarithmic", [1, 0.5, 2, 1], [0.1, 1, 2, 3]) }, () => true, (_b, h, i, j) => -[1, 0.5, 2, 1][h] * Math.log(1 + [0.1, 1, 2, 3][h] * Math.abs(i + offset - j))],
    ["softmax-one", { softmaxOne: true }, () => true, undefined, 0],
    ["sinks", { sinks: [0.7, 0.7, 0.7, 0.7] }, () => true, undefined, 0.7],
  ];
  for (const [name, options, see, add, sink] of cases) {
    it(`agrees with the definition: ${name}`, () => {
      expectClose(attention(q, k, v, options).output.data, definition(q, k, v, see, add, sink), CLOSE);
    });
  }

  it("caps scores before biases", () => {
    const got = attention([[3]], [[1], [-1]], [[1], [0]], { scale: 1, softCap: 2, bias: [[0, 0.5]] }).output.item(), s = 2 * Math.tanh(1.5);
    expectClose(got, 1 / (1 + Math.exp(0.5 - 2 * s)), CLOSE);
  });

  it("weighs with sigmoids of the scores less log S [paper:theory-analysis-and-best-practices-for-sigmoid-self-attention]", () => {
    const [x, y, z] = qkv(1, 2, 2, 5, 40, 4), got = attention(x, y, z, { normalizer: "sigmoid" }), given = attention(x, y, z, { normalizer: "sigmoid", sigmoidBias: [-Math.log(40), -Math.log(40)] });
    const want: number[] = [];
    for (let h = 0; h < 2; h++) {
      for (let i = 0; i < 5; i++) {
        for (let e = 0; e < 4; e++) {
          let sum = 0;
          for (let j = 0; j < 40; j++) {
            let s = 0;
            for (let f = 0; f < 4; f++) s += x.data[(h * 5 + i) * 4 + f] * y.data[(h * 40 + j) * 4 + f];
            sum += z.data[(h * 40 + j) * 4 + e] / (1 + 40 * Math.exp(-s / 2));
          }
          want.push(sum);
        }
      }
    }
    expectClose(got.output.data, want, CLOSE);
    expectClose(given.output.data, want, CLOSE);
    expect(got.logSumExp.data.every(Number.isNaN)).toBe(true);
    // A hidden key contributes 0 exactly, whatever its finite value.
    const mask = Uint8Array.from({ length: 40 }, (_, j) => Number(j % 3 !== 0)), other = new Tensor("float32", z.shape, z.data.map((value, at) => (mask[Math.floor(at / 4) % 40] === 0 ? 1e20 : value)));
    expectExact(attention(x, y, other, { normalizer: "sigmoid", mask }).output.data, attention(x, y, z, { normalizer: "sigmoid", mask }).output.data);
  });

  it("sums to 1 with a softmax, to the keys' share with a sink, and to no fixed number with sigmoids", () => {
    const [x, y] = qkv(1, 1, 1, 6, 30, 8), ones = new Tensor("float32", [1, 1, 30, 1], new Float32Array(30).fill(1));
    expectClose(attention(x, y, ones).output.data, new Float32Array(6).fill(1), { ulp: 4 });
    const { output, logSumExp } = attention(x, y, ones, { softmaxOne: true });
    expectClose(output.data, logSumExp.data.map((l) => 1 - Math.exp(-l)), CLOSE);
    expect(attention(x, y, ones, { normalizer: "sigmoid" }).output.data.some((sum) => Math.abs(sum - 1) > 0.05)).toBe(true);
  });

  it("gives a prompt in chunks, against a growing cache, the bits that it gives it whole", () => {
    const [x, y, z] = qkv(1, 2, 1, 300, 300, 16), options = { causal: true, windowSize: 220, positionBias: alibi(alibiSlopes(2)) }, whole = attention(x, y, z, options).output.data;
    const rows = (t: Tensor<"float32">, from: number, to: number): Tensor<"float32"> => {
      const [, h, , d] = t.shape;
      return tensor(Float32Array.from(Array.from({ length: h }, (_, g) => [...t.data.subarray((g * 300 + from) * d, (g * 300 + to) * d)]).flat()), [1, h, to - from, d]);
    };
    for (const [from, to] of [[0, 77], [77, 78], [78, 300]]) {
      const part = attention(rows(x, from, to), rows(y, 0, to), rows(z, 0, to), options).output;
      expectExact(part.data, rows(new Tensor("float32", [1, 2, 300, 16], whole), from, to).data);
    }
  });

  it("takes two, three and four axes, and resident tensors", () => {
    const [x, y, z] = qkv(1, 1, 1, 3, 4, 5), flat = (t: Tensor<"float32">, axes: number): Tensor<"float32"> => new Tensor("float32", t.shape.slice(4 - axes), t.data), want = attention(x, y, z);
    for (const axes of [2, 3]) {
      const got = attention(flat(x, axes), flat(y, axes), flat(z, axes));
      expect(got.output.shape).toEqual(want.output.shape.slice(4 - axes));
      expect(got.logSumExp.shape).toEqual(want.logSumExp.shape.slice(4 - axes));
      expectExact(got.output.data, want.output.data);
    }
    const held = [x, y, z].map((t) => {
      const made = core.alloc(t.shape.slice(1));
      made.data.set(t.data);
      return made;
    });
    expectExact(attention(held[0], held[1], held[2]).output.data, want.output.data);
    for (const t of held) t.dispose();
  });

  it("gives 0 for no keys and an empty result for no queries", () => {
    const none = attention(random([2, 3], 1), new Tensor("float32", [0, 3], new Float32Array(0)), new Tensor("float32", [0, 2], new Float32Array(0)), { causal: true });
    expectExact(none.output.data, new Float32Array(4));
    expectExact(none.logSumExp.data, [-Infinity, -Infinity]);
    expect(attention(new Tensor("float32", [0, 3], new Float32Array(0)), random([4, 3], 1), random([4, 2], 2), { positionBias: alibi([1]) }).output.shape).toEqual([0, 2]);
    expectExact(attention(random([1, 3], 1), random([1, 3], 2), [[5]]).output.data, [5]);
    expectExact(attention(random([2, 3], 1), random([4, 3], 2), random([4, 2], 3), { mask: new Uint8Array(4) }).output.data, new Float32Array(4));
  });

  it("keeps memory linear in length", () => {
    const n = 16384, x = random([n, 4], 1), before = core.memory.buffer.byteLength;
    attention(x, x, x, { causal: true, windowSize: 64 });
    // Scores would take a gibibyte.
    expect(core.memory.buffer.byteLength - before).toBeLessThan(8 * 2 ** 20);
  });
});

describe("attention.withGrad", () => {
  const T = 4, S = 6, [q, k, v] = qkv(1, 2, 1, T, S, 3, 2), upstream = random([1, 2, T, 2], 5), upstreamLogSumExp = random([1, 2, T], 6);
  const options: [string, AttentionOptions][] = [
    ["ALiBi, causal, sinks", { positionBias: alibi([0.5, 0.1]), causal: true, sinks: [0.3, -0.2] }], ["KERPLE logarithmic", { positionBias: kerple("logarithmic", [1, 0.5], [0.7, 2]) }],
    ["KERPLE power", { positionBias: kerple("power", [1, 0.5], [0.7, 2]), softmaxOne: true }], ["T5", { positionBias: t5Bias(random([8, 2], 8), { maxDistance: 5 }) }],
    ["bias of heads, soft cap", { bias: random([2, 1, S], 9), softCap: 1 }], ["sigmoid", { normalizer: "sigmoid", positionBias: alibi([0.5, 0.1]) }],
  ];
  for (const [name, given] of options) {
    it(`agrees with differences of the outputs in the parameters: ${name}`, () => {
      const sigmoid = given.normalizer === "sigmoid", { grads, output, logSumExp } = attention.withGrad(q, k, v, { ...given, upstream, ...(sigmoid ? {} : { upstreamLogSumExp }) });
      expectExact(output.data, attention(q, k, v, given).output.data);
      expectExact(logSumExp.data, attention(q, k, v, given).logSumExp.data);
      const value = (x: Tensor<"float32">, y: Tensor<"float32">, z: Tensor<"float32">, changed: AttentionOptions): number => {
        const made = attention(x, y, z, { ...given, ...changed });
        return made.output.data.reduce((sum, o, i) => sum + upstream.data[i] * o, 0) + (sigmoid ? 0 : made.logSumExp.data.reduce((sum, l, i) => sum + upstreamLogSumExp.data[i] * l, 0));
      };
      // Differences of float32 results: 1e-7 over a step of 0.02 beside the curvature times its square.
      const near = { atol: 3e-4, rtol: 1e-3 }, step = 0.01, of = (t: Tensor<"float32">) => (x: Float64Array): Tensor<"float32"> => new Tensor("float32", t.shape, Float32Array.from(x));
      const differences = (t: Tensor<"float32">, f: (x: Tensor<"float32">) => number): Float64Array => finiteDifferenceGradient((x) => f(of(t)(x)), t.data, { step });
      expectClose(grads.query.data, differences(q, (x) => value(x, k, v, {})), near);
      expectClose(grads.key.data, differences(k, (x) => value(q, x, v, {})), near);
      expectClose(grads.value.data, differences(v, (x) => value(q, k, x, {})), near);
      if (given.bias) expectClose(grads.bias!.data, differences(given.bias as Tensor<"float32">, (x) => value(q, k, v, { bias: x })), near);
      if (given.sinks) expectClose(grads.sinks!.data, differences(tensor(given.sinks), (x) => value(q, k, v, { sinks: x })), near);
      if (sigmoid) expectClose(grads.sigmoidBias!.data, differences(tensor([-Math.log(S), -Math.log(S)]), (x) => value(q, k, v, { sigmoidBias: x })), near);
      if (given.positionBias) {
        const { parameters } = given.positionBias, made = (x: Tensor<"float32">) => (name.startsWith("KERPLE") ? kerple(name.includes("log") ? "logarithmic" : "power", x.row(0), x.row(1)) : name === "T5" ? t5Bias(x, { maxDistance: 5 }) : alibi(x));
        // A rate of 2 is the largest that the power kind takes: differences there are taken from below.
        const at = name === "KERPLE power" ? Float64Array.from(parameters.data, (x) => Math.min(x, 1.9)) : Float64Array.from(parameters.data);
        const here = attention.withGrad(q, k, v, { ...given, positionBias: made(of(parameters)(at)), upstream, ...(sigmoid ? {} : { upstreamLogSumExp }) }).grads.positionBias!;
        expect(grads.positionBias!.shape).toEqual(parameters.shape);
        expectClose(here.data, finiteDifferenceGradient((x) => value(q, k, v, { positionBias: made(of(parameters)(x)) }), at, { step }), near);
      }
    });
  }
});

describe("mergeAttention", () => {
  it("of parts of the keys is attention over all", () => {
    const [x, y, z] = qkv(1, 2, 2, 5, 40, 8, 3), whole = attention(x, y, z, { softmaxOne: true });
    const parts = [[0, 11], [11, 11], [11, 40]].map(([from, to], p) => {
      const mask = new Tensor("uint8", [40], Uint8Array.from({ length: 40 }, (_, j) => Number(j >= from && j < to)));
      return attention(x, y, z, { mask, softmaxOne: p === 0 });
    });
    const merged = mergeAttention(parts);
    expectClose(merged.output.data, whole.output.data, CLOSE);
    expectClose(merged.logSumExp.data, whole.logSumExp.data, CLOSE);
    expectExact(mergeAttention([whole]).output.data, whole.output.data);
  });

  it("gives 0 where no part had a key, and NaN where one is NaN", () => {
    const empty = { output: [[0, 0]], logSumExp: Float32Array.of(-Infinity) };
    const merged = mergeAttention([empty, empty]);
    expectExact(merged.output.data, [0, 0]);
    expectExact(merged.logSumExp.data, [-Infinity]);
    const unknown = { output: new Tensor("float32", [1, 2], Float32Array.of(NaN, NaN)), logSumExp: Float32Array.of(NaN) };
    for (const parts of [[empty, unknown], [unknown, empty]]) {
      const { output, logSumExp } = mergeAttention(parts);
      expectExact([...output.data, ...logSumExp.data], [NaN, NaN, NaN]);
    }
  });
});

describe("position biases", () => {
  it("ALiBi has the slopes of its code, also where heads are no power of two", () => {
    expectClose(alibiSlopes(8).data, [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256], { ulp: 1 });
    expectClose(alibiSlopes(6).data, [1 / 4, 1 / 16, 1 / 64, 1 / 256, 2 ** -1, 2 ** -3], { ulp: 1 });
  });

  it("KERPLE with power 1 is ALiBi, and falls with distance [paper:kerple-kernelized-relative-positional-embedding-for-length-extrapolation]", () => {
    const power = kerple("power", [0.25, 0.5], [1, 1]), linear = alibi([0.25, 0.5]), slow = kerple("logarithmic", [1, 2], [0.5, 1]), [q, k, v] = qkv(1, 2, 2, 40, 40, 4);
    for (let d = -60; d <= 60; d++) {
      expectClose(power.value(1, d), linear.value(1, d), { rtol: 1e-12 });
      expectClose(slow.value(1, d), -2 * Math.log(1 + Math.abs(d)), { rtol: 1e-7 });
    }
    // Conditionally positive definite: sum_ij c_i c_j b(i - j) >= 0 for coefficients that sum to 0.
    const { normal } = testRandom(4);
    for (const bias of [kerple("power", [1], [0.3]), kerple("power", [1], [1.7]), kerple("power", [1], [2]), kerple("logarithmic", [2], [0.5])]) {
      const c = Float64Array.from({ length: 12 }, () => normal()), mean = c.reduce((a, x) => a + x, 0) / 12;
      let form = 0;
      for (let i = 0; i < 12; i++) for (let j = 0; j < 12; j++) form += (c[i] - mean) * (c[j] - mean) * bias.value(0, i - j);
      expect(form).toBeGreaterThanOrEqual(-1e-9);
    }
    expectClose(attention(q, k, v, { positionBias: power, causal: true }).output.data, attention(q, k, v, { positionBias: linear, causal: true }).output.data, CLOSE);
  });

  it("T5 has the buckets of its code", () => {
    const table = (n: number): Tensor<"float32"> => new Tensor("float32", [n, 1], Float32Array.from({ length: n }, (_, i) => i));
    // The first distance of each bucket, from the reference implementation in PyTorch 1.13 (32 buckets, 128).
    const both = t5Bias(table(32)), before = t5Bias(table(32), { bidirectional: false });
    for (const [i, d] of [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91].entries()) {
      expect([both.value(0, d), both.value(0, Math.max(0, d - 1)), both.value(0, -d)]).toEqual([i, Math.max(0, i - 1), d === 0 ? 0 : 16 + i]);
    }
    for (const [i, d] of [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113].entries()) expect([before.value(0, d), before.value(0, d - 1), before.value(0, -d)]).toEqual([16 + i, 15 + i, 0]);
  });
});
