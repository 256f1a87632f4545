import { readFileSync } from "node:fs";
import { core } from "@logits/core-wasm";
import { Tensor, tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { alibi, attention, haloBlocks, kerple, stridedBlocks, t5Bias, toeplitz, type AttentionOptions } from "../index.ts";
import { entmax15, relu, reweightedSoftplus, rowNormalizer, softmax, softplus, sparsemax, type RowNormalizer } from "./index.ts";
import { rowRef } from "./normalizers.ref.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const qkv = (b: number, h: number, g: number, t: number, s: number, d: number, e = d): [Tensor<"float32">, Tensor<"float32">, Tensor<"float32">] => [random([b, h, t, d], 1), random([b, g, s, d], 2), random([b, g, s, e], 3)];

const ALL: [name: string, RowNormalizer, power?: number][] = [
  ["softmax", softmax], ["sparsemax", sparsemax], ["entmax15", entmax15], ["relu", relu], ["softplus", softplus], ["reweightedSoftplus", reweightedSoftplus({ power: 3 }), 3], ["reweightedSoftplus", reweightedSoftplus(), 15],
  ["reweightedSoftplus", reweightedSoftplus({ power: 0.5 }), 0.5],
];

interface Problem { q: Float64Array; k: Float64Array; v: Float64Array; sizes: readonly number[] }

/** The definition in float64, key by key. */
function definition({ q, k, v, sizes: [B, H, G, T, S, D, E] }: Problem, name: string, power: number, see: (b: number, h: number, i: number, j: number) => boolean, add: (b: number, h: number, i: number, j: number) => number, cap = Infinity, factor: (h: number, i: number, j: number) => number = () => 1): number[] {
  const out: number[] = [];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = b * G + Math.floor((h * G) / H);
      for (let i = 0; i < T; i++) {
        const keys = Array.from({ length: S }, (_, j) => j).filter((j) => see(b, h, i, j));
        const weights = rowRef(keys.map((j) => {
          let s = 0;
          for (let f = 0; f < D; f++) s += q[((b * H + h) * T + i) * D + f] * k[(g * S + j) * D + f];
          s /= Math.sqrt(D);
          return (cap === Infinity ? s : cap * Math.tanh(s / cap)) + add(b, h, i, j);
        }), name, power);
        for (let e = 0; e < E; e++) out.push(keys.reduce((sum, j, c) => sum + weights[c] * factor(h, i, j) * v[(g * S + j) * E + e], 0));
      }
    }
  }
  return out;
}
const doubles = (q: Tensor, k: Tensor, v: Tensor): Problem => ({ q: Float64Array.from(q.data), k: Float64Array.from(k.data), v: Float64Array.from(v.data), sizes: [q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3]] });

/** Scores within 5e-7 of float64; the steepest normaliser, a power of 15 of weights relative to the largest, multiplies that by the power and by log n. */
const CLOSE = { atol: 2e-5, rtol: 2e-5 };

describe("attention with a normaliser of rows", () => {
  const B = 2, H = 4, T = 9, S = 23, offset = S - T, [q, k, v] = qkv(B, H, 2, T, S, 8, 6), given = doubles(q, k, v);
  const bits = Uint8Array.from({ length: T * S }, (_, i) => Number((i * 7) % 5 !== 0)), bias = random([H, 1, S], 9), table = random([H, 11], 7), blocks = stridedBlocks(S, 6, { size: 3 });
  const documents = Int32Array.from({ length: S }, (_, j) => [7, 2, 9][Math.floor(j / 9)]);
  const never = (): number => 0;
  const cases: [string, AttentionOptions, Parameters<typeof definition>[3], Parameters<typeof definition>[4], number?][] = [
    ["everything", {}, () => true, never],
    ["causal window", { causal: true, windowSize: 4 }, (_b, _h, i, j) => j <= i + offset && i + offset - j < 4, never],
    ["lengths", { lengths: Int32Array.of(17, 5) }, (b, _h, _i, j) => j < [17, 5][b], never],
    ["documents", { documents }, (_b, _h, i, j) => documents[i + offset] === documents[j], never],
    ["mask, bias and soft cap", { mask: new Tensor("uint8", [T, S], bits), bias, softCap: 1.5 }, (_b, _h, i, j) => bits[i * S + j] === 1, (_b, h, _i, j) => bias.data[h * S + j], 1.5],
    ["ALiBi over strided blocks", { positionBias: alibi([0.5, 0.25, 0.1, 0.01]), causal: true, blocks }, (_b, _h, i, j) => {
      const [n, m] = [Math.floor((i + offset) / 3), Math.floor(j / 3)];
      return j <= i + offset && (n - m <= 2 || (n - m) % 2 === 0);
    }, (_b, h, i, j) => -Math.fround([0.5, 0.25, 0.1, 0.01][h]) * Math.abs(i + offset - j)],
  ];
  for (const [name, normalizer, power = 1] of ALL) {
    for (const [what, options, see, add, cap] of cases) {
      it(`agrees with the definition: ${name} ${power}, ${what}`, () => {
        const { output, logSumExp } = attention(q, k, v, { ...options, normalizer });
        expectClose(output.data, definition(given, name, power, see, add, cap), CLOSE);
        expect(logSumExp.data.every(Number.isNaN)).toBe(true);
        const factor = (h: number, i: number, j: number): number => table.data[h * 11 + 5 + Math.min(5, Math.max(-5, i + offset - j))];
        expectClose(attention(q, k, v, { ...options, normalizer, positionWeights: toeplitz(table) }).output.data, definition(given, name, power, see, add, cap, factor), { ...CLOSE, atol: 5e-5 });
      });
    }
  }

  it("over several blocks of queries: memory holds a block of scores", () => {
    const n = 131, [x, y, z] = qkv(1, 1, 1, n, n, 4), all = doubles(x, y, z), before = core.memory.buffer.byteLength;
    for (const [name, normalizer, power = 1] of ALL) expectClose(attention(x, y, z, { normalizer, causal: true }).output.data, definition(all, name, power, (_b, _h, i, j) => j <= i, never), CLOSE);
    const long = random([8192, 2], 1);
    attention(long, long, long, { normalizer: relu, causal: true, windowSize: 64 });
    // All scores would take 256 MiB.
    expect(core.memory.buffer.byteLength - before).toBeLessThan(8 * 2 ** 20);
  });

  it("softmax gives what the tiles give", () => {
    expectClose(attention(q, k, v, { normalizer: softmax, causal: true }).output.data, attention(q, k, v, { causal: true }).output.data, { atol: 3e-6, rtol: 3e-6 });
  });

  it("rows sum to 1, and those of relu to no fixed number", () => {
    const ones = new Tensor("float32", [1, 1, 40, 1], new Float32Array(40).fill(1)), [x, y] = qkv(1, 1, 1, 12, 40, 8);
    // Sums of 40 weights, each within an ulp or so; sparse ones within 8e-7 by contract.
    for (const [name, normalizer] of ALL) if (name !== "relu") expectClose(attention(x, y, ones, { normalizer }).output.data, new Float32Array(12).fill(1), { atol: 2e-6 });
    expect(attention(x, y, ones, { normalizer: relu }).output.data.some((sum) => Math.abs(sum - 1) > 0.2)).toBe(true);
    const sums = attention(x, y, ones, { positionWeights: toeplitz([[2, 2, 2]]), normalizer: softmax }).output.data;
    expectClose(sums, new Float32Array(12).fill(2), { atol: 2e-6 });
  });

  it("gives 0 for a query that sees no key and for no keys, nothing for no queries, and the value for one key", () => {
    const empty = (d: number): Tensor<"float32"> => new Tensor("float32", [0, d], new Float32Array(0)), mask = Uint8Array.of(1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0);
    for (const [name, normalizer] of ALL) {
      expectExact(attention(random([2, 3], 1), empty(3), empty(2), { normalizer, causal: true }).output.data, new Float32Array(4));
      expect(attention(empty(3), random([4, 3], 1), random([4, 2], 2), { normalizer }).output.shape).toEqual([0, 2]);
      const { output, grads } = attention.withGrad(random([3, 3], 1), random([4, 3], 1), random([4, 2], 3), { normalizer, mask: new Tensor("uint8", [3, 4], mask), upstream: [[1, 2], [3, 4], [5, 6]] });
      expectExact(output.row(1).data, [0, 0]);
      expectExact(grads.query.row(1).data, [0, 0, 0]);
      if (name !== "relu") expectExact(output.row(2).data, random([4, 2], 3).row(0).data);
      expectExact(attention.withGrad(random([2, 3], 1), empty(3), empty(2), { normalizer, upstream: random([2, 2], 1) }).grads.query.data, new Float32Array(6));
      // A bias of -Infinity hides as a mask does.
      expectExact(attention(random([1, 3], 1), random([4, 3], 1), random([4, 2], 3), { normalizer, bias: Float32Array.of(-Infinity, 0, 0, -Infinity) }).output.data, attention(random([1, 3], 1), random([4, 3], 1), random([4, 2], 3), { normalizer, mask: [0, 1, 1, 0] }).output.data);
    }
  });

  it("keeps NaN to its query, and hidden keys without influence", () => {
    const [x, y, z] = qkv(1, 1, 1, 6, 10, 4), mask = Uint8Array.of(1, 1, 0, 1, 1, 1, 1, 0, 1, 1), other = new Tensor("float32", z.shape, z.data.map((value, at) => (mask[Math.floor(at / 4)] === 0 ? 1e20 : value)));
    x.data[2 * 4] = NaN;
    for (const [, normalizer] of ALL) {
      const { output } = attention(x, y, z, { normalizer, mask });
      for (let i = 0; i < 6; i++) expect(output.data.subarray(4 * i, 4 * i + 4).some(Number.isNaN)).toBe(i === 2);
      expectExact(attention(x, y, other, { normalizer, mask }).output.data, output.data);
    }
  });

  it("takes resident tensors", () => {
    const [x, y, z] = qkv(1, 2, 1, 5, 9, 4), held = [x, y, z].map((t) => {
      const made = core.alloc(t.shape);
      made.data.set(t.data);
      return made;
    });
    for (const [, normalizer] of ALL) expectExact(attention(held[0], held[1], held[2], { normalizer }).output.data, attention(x, y, z, { normalizer }).output.data);
    for (const t of held) t.dispose();
  });
});

describe("sparse weights", () => {
  it("are exactly 0 far below the best", () => {
    const scores = [[3], [2.9], [-5], [0]];
    for (const normalizer of [sparsemax, entmax15]) {
      const seen = attention([[1]], scores, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], { normalizer, scale: 1 }).output.data;
      expectExact(seen.subarray(2), [0, 0]);
      expect(seen[0]).toBeGreaterThan(seen[1]);
    }
  });
});

describe("softplus attention [paper:softplus-attention-with-re-weighting-boosts-length-extrapolation-in]", () => {
  const weights = (scores: readonly number[], normalizer: RowNormalizer): Float32Array => attention([[1]], scores.map((s) => [s]), scores.map((_, j) => scores.map((_s, c) => Number(c === j))), { normalizer, scale: 1 }).output.data;

  it("is softmax for very low scores, which do not underflow", () => {
    // Beyond -17 / log 4 softplus is the exponential to the last bit of float32.
    expectClose(weights([-300, -301, -302.5, -320], softplus), weights([-300, -301, -302.5, -320].map((s) => s * Math.log(4)), softmax), { atol: 2e-6 });
    expectClose(weights([-13, -14, -15, -12.5], softplus), rowRef([-13, -14, -15, -12.5], "softplus", 1), { atol: 2e-6 });
  });

  it("re-weighting with power 1 takes the mean off and keeps the order; large powers choose the best key; equal scores leave nothing", () => {
    const scores = [0.3, -0.5, 0.9, 0.1, -1], plain = Array.from(weights(scores, softplus)), above = plain.map((a) => Math.max(5 * a - 1, 0)), total = above.reduce((a, b) => a + b, 0);
    expectClose(weights(scores, reweightedSoftplus({ power: 1 })), above.map((a) => a / total), { atol: 2e-6 });
    expectClose(weights(scores, reweightedSoftplus({ power: 400 })), [0, 0, 1, 0, 0], { atol: 1e-6 });
    expectExact(weights([0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7], reweightedSoftplus()), new Float32Array(7));
    // At most three keys: a power of the weights alone.
    const few = Array.from(weights([0.2, 0.4, -1], softplus), (a) => a ** 3), sum = few.reduce((a, b) => a + b, 0);
    expectClose(weights([0.2, 0.4, -1], reweightedSoftplus({ power: 3 })), few.map((a) => a / sum), { atol: 2e-6 });
  });

  it("keeps the share of the best key as keys are added, where softmax spreads", () => {
    const share = (n: number, normalizer: RowNormalizer): number => weights([1, ...new Array<number>(n - 1).fill(0)].map((s) => s * Math.log(64)), normalizer)[0];
    expect(share(1024, reweightedSoftplus())).toBeGreaterThan(0.99);
    expect(share(1024, softmax)).toBeLessThan(0.1);
  });
});

describe("ReLU attention [paper:active-dormant-attention-heads-mechanistically-demystifying-extreme-token-phenomena]", () => {
  it("is dormant, with output 0, where no score is positive, and no key has to take the rest", () => {
    expectExact(attention([[1]], [[-1], [-2]], [[5], [7]], { normalizer: relu, scale: 1 }).output.data, [0]);
    expectClose(attention([[1]], [[3], [-2]], [[5], [7]], { normalizer: relu, scale: 1 }).output.data, [7.5], { ulp: 2 });
  });
});

describe("Toeplitz weights after the normaliser [paper:your-transformer-may-not-be-as-powerful-as-you]", () => {
  const [q, k, v] = qkv(1, 2, 2, 12, 12, 4);
  it("of ones change nothing, and 0 above the diagonal hides what causal hides, but not from the sum", () => {
    expectExact(attention(q, k, v, { normalizer: softmax, positionWeights: toeplitz([[1], [1]]) }).output.data, attention(q, k, v, { normalizer: softmax }).output.data);
    const step = toeplitz([[0, 1, 1], [0, 1, 1]]), ones = new Tensor("float32", v.shape, new Float32Array(v.size).fill(1));
    const sums = attention(q, k, ones, { normalizer: softmax, positionWeights: step }).output.data;
    for (let i = 0; i < 11; i++) expect(sums[i * 4]).toBeLessThan(0.999);
    expectClose(sums.subarray(11 * 4, 12 * 4), [1, 1, 1, 1], { atol: 1e-6 });
    // As in the paper, with a causal mask too.
    expectClose(attention(q, k, ones, { normalizer: softmax, positionWeights: step, causal: true }).output.data, new Float32Array(96).fill(1), { atol: 1e-6 });
  });
});

describe("attention.withGrad through rows", () => {
  const T = 5, S = 7, offset = S - T, [q, k, v] = qkv(1, 2, 1, T, S, 3, 2), upstream = random([1, 2, T, 2], 5), bias = random([2, 1, S], 9), given = doubles(q, k, v);
  const table = Float32Array.from(random([2, 5], 8).data, (x) => 1 + 0.3 * x), rates = [0.7, 2], scales = [1, 0.5];
  for (const [name, normalizer, power = 1] of ALL) {
    it(`agrees with central differences of the definition: ${name} ${power}`, () => {
      const mask = Uint8Array.from({ length: T * S }, (_, at) => Number(at % 6 !== 4));
      const value = (problem: Problem, b: ArrayLike<number>, c: ArrayLike<number>, r: ArrayLike<number>): number =>
        definition(problem, name, power, (_b, _h, i, j) => mask[i * S + j] === 1, (_b, h, i, j) => b[h * S + j] - r[h] * Math.log1p(r[2 + h] * Math.abs(i + offset - j)), 2, (h, i, j) => c[h * 5 + 2 + Math.min(2, Math.max(-2, i + offset - j))])
          .reduce((sum, o, at) => sum + upstream.data[at] * o, 0);
      const rate = Float64Array.from([...scales, ...rates], Math.fround), at = [bias.data, table, rate] as const;
      const { grads, output } = attention.withGrad(q, k, v, { normalizer, softCap: 2, bias, positionBias: kerple("logarithmic", scales, rates), positionWeights: toeplitz(new Tensor("float32", [2, 5], table)), mask: new Tensor("uint8", [T, S], mask), upstream });
      expectExact(output.data, attention(q, k, v, { normalizer, softCap: 2, bias, positionBias: kerple("logarithmic", scales, rates), positionWeights: toeplitz(new Tensor("float32", [2, 5], table)), mask: new Tensor("uint8", [T, S], mask) }).output.data);
      // Float32 passes against float64 differences; the steepest weights have derivatives of about 15 log 7.
      const near = { atol: power === 15 ? 3e-4 : 3e-5, rtol: power === 15 ? 1e-3 : 1e-4 }, step = 1e-6;
      expectClose(grads.query.data, finiteDifferenceGradient((x) => value({ ...given, q: x }, ...at), given.q, { step }), { ...near, label: "query" });
      expectClose(grads.key.data, finiteDifferenceGradient((x) => value({ ...given, k: x }, ...at), given.k, { step }), { ...near, label: "key" });
      expectClose(grads.value.data, finiteDifferenceGradient((x) => value({ ...given, v: x }, ...at), given.v, { step }), { ...near, label: "value" });
      expectClose(grads.bias!.data, finiteDifferenceGradient((x) => value(given, x, at[1], at[2]), Float64Array.from(bias.data), { step }), { ...near, label: "bias" });
      expectClose(grads.positionWeights!.data, finiteDifferenceGradient((x) => value(given, at[0], x, at[2]), Float64Array.from(table), { step }), { ...near, label: "positionWeights" });
      expectClose(grads.positionBias!.data, finiteDifferenceGradient((x) => value(given, at[0], at[1], x), rate, { step }), { ...near, label: "positionBias" });
    });
  }

  it("over blocks of queries that see lists of keys agrees with a mask that says the same", () => {
    const { order, blocks } = haloBlocks(6, 9, 3, 1), n = 54, [x, y, z] = qkv(1, 2, 1, n, n, 4), u = random([1, 2, n, 4], 6), mask = new Uint8Array(n * n);
    for (let i = 0; i < n; i++) {
      const block = Math.floor(i / 9), [y0, x0] = [3 * Math.floor(block / 3), 3 * (block % 3)];
      for (let j = 0; j < n; j++) mask[i * n + j] = Number(Math.floor(j / 9) >= y0 - 1 && Math.floor(j / 9) < y0 + 4 && j % 9 >= x0 - 1 && j % 9 < x0 + 4);
    }
    expect(order.data.slice(0, 4)).toEqual(Int32Array.of(0, 1, 2, 9));
    for (const [, normalizer] of ALL) {
      const got = attention.withGrad(x, y, z, { normalizer, blocks, upstream: u, positionBias: t5Bias(random([8, 2], 8)) }), want = attention.withGrad(x, y, z, { normalizer, mask: new Tensor("uint8", [n, n], mask), upstream: u, positionBias: t5Bias(random([8, 2], 8)) });
      expectClose(got.output.data, want.output.data, CLOSE);
      for (const part of ["query", "key", "value", "positionBias"] as const) expectClose(got.grads[part]!.data, want.grads[part]!.data, { atol: 2e-4, rtol: 1e-4, label: part });
    }
  });
});

it("softmax over rows and the tiled softmax agree for options drawn at random, forward and backward", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const { integer, normal, uniform } = testRandom(seed), B = 1 + integer(2), G = 1 + integer(2), H = G * (1 + integer(2)), T = 1 + integer(90), S = T + integer(80), D = 1 + integer(9), E = 1 + integer(5), offset = S - T;
    const data = (...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, normal)), maybe = (): boolean => uniform() < 0.35;
    const size = 1 + integer(40), list = (): { size: number; offsets: number[]; from: number[]; to: number[] } => {
      const offsets = [0], from: number[] = [], to: number[] = [];
      for (let n = 0; n * size < S; n++) {
        for (let at = integer(10); at < S; at = to[to.length - 1] + integer(30)) {
          from.push(at);
          to.push(at + integer(20));
        }
        offsets.push(from.length);
      }
      return { size, offsets, from, to };
    };
    const options: AttentionOptions = {
      ...(maybe() && { scale: 0.3 }), ...(maybe() && { causal: true }), ...(maybe() && { windowSize: 1 + integer(S) }), ...(maybe() && { lengths: Int32Array.from({ length: B }, () => integer(S + 1)) }), ...(maybe() && { softCap: 1.5 }),
      ...(maybe() && { ranges: { from: Int32Array.from({ length: T }, () => integer(S)), to: Int32Array.from({ length: T }, () => integer(S + 1)) } }), ...(maybe() && { blocks: maybe() ? Array.from({ length: H }, list) : list() }),
      ...(maybe() && { mask: new Tensor("uint8", [B, 1, 1, S], Uint8Array.from({ length: B * S }, () => Number(uniform() < 0.8))) }), ...(maybe() && { bias: maybe() ? data(H, T, S) : data(B, 1, 1, S) }),
      ...(maybe() && { positionBias: alibi(Float32Array.from({ length: H }, uniform)) }), ...(maybe() && { documents: Int32Array.from({ length: S }, (_, j) => Math.floor((3 * j) / S)) }), ...(maybe() && { queryOffset: integer(offset + 1) }),
    };
    const [q, k, v, upstream] = [data(B, H, T, D), data(B, G, S, D), data(B, G, S, E), data(B, H, T, E)], want = attention.withGrad(q, k, v, { ...options, upstream }), got = attention.withGrad(q, k, v, { ...options, upstream, normalizer: softmax }), label = `seed ${seed}`;
    expectClose(got.output.data, want.output.data, { atol: 5e-6, rtol: 5e-6, label });
    // Sums over up to 90 queries of two groups, in float32 in the tiles and in float64 here.
    for (const part of ["query", "key", "value", "bias", "positionBias"] as const) if (want.grads[part]) expectClose(got.grads[part]!.data, want.grads[part].data, { atol: part === "positionBias" ? 1e-3 : 3e-5, rtol: 1e-4, label: `${label} ${part}` });
  }
});

describe("rowNormalizer", () => {
  it("makes attention of two functions: cosine similarities without a normaliser", () => {
    const identity = rowNormalizer({ name: "identity", weights: (scores) => new Tensor("float32", scores.shape, scores.data.slice()), gradient: (_scores, _weights, upstream) => upstream });
    const [q, k, v] = qkv(1, 1, 1, 6, 6, 3), { output, grads } = attention.withGrad(q, k, v, { normalizer: identity, causal: true, scale: 0.5, upstream: random([1, 1, 6, 3], 4) });
    const want = Array.from({ length: 6 }, (_, i) => Array.from({ length: 3 }, (_e, e) => Array.from({ length: i + 1 }, (_j, j) => 0.5 * [0, 1, 2].reduce((sum, f) => sum + q.data[i * 3 + f] * k.data[j * 3 + f], 0) * v.data[j * 3 + e]).reduce((a, b) => a + b, 0))).flat();
    expectClose(output.data, want, { atol: 3e-6, rtol: 1e-6 });
    expect(grads.key.data.every(Number.isFinite)).toBe(true);
  });
});

it("agrees with PyTorch's softmax attention, and with rows by torch and their autograd", () => {
  const { cases } = JSON.parse(readFileSync(new URL("../fixtures/attention.json", import.meta.url), "utf8")) as { cases: { name: string; normalizer: string; power: number; shape: number[]; causal: boolean; bias: number[]; arrays: Record<string, number[]> }[] };
  for (const { name, normalizer, power, shape: [B, H, G, T, S, D, E], causal, arrays } of cases) {
    const of = (part: string, ...shape: number[]): Tensor<"float32"> => tensor(Float32Array.from(arrays[part]), shape), bias = of("bias", H, T, S), byName = { softmax: "softmax", sparsemax, entmax15, relu, softplus, reweightedSoftplus: reweightedSoftplus({ power: power || 1 }) }[normalizer] as RowNormalizer;
    for (const chosen of normalizer === "softmax" ? [byName, softmax] : [byName]) {
      const { output, grads } = attention.withGrad(of("query", B, H, T, D), of("key", B, G, S, D), of("value", B, G, S, E), { causal, bias, normalizer: chosen, upstream: of("upstream", B, H, T, E) });
      expectClose(output.data, arrays.output, { ...CLOSE, label: name });
      for (const part of ["query", "key", "value", "bias"] as const) expectClose(grads[part]!.data, arrays[`${part}Gradient`], { atol: 3e-4, rtol: 1e-3, label: `${name} ${part}` });
    }
  }
});
