import * as coreWasm from "@logits/core-wasm";
import * as tensors from "@logits/tensor";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as own from "./index.ts";

type Rows = Tensor<"float32">;
const modules = { "@logits/attention": own, "@logits/core-wasm": coreWasm, "@logits/tensor": tensors };
const random = (shape: readonly number[], seed: number): Rows => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const product = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, x, f) => sum + x * b[f], 0);

/** Softmax of scores (-Infinity hides) over rows of values, in float64. */
function weighed(scores: readonly number[], value: (j: number) => ArrayLike<number>, width: number): number[] {
  const weights = scores.map(Math.exp), total = weights.reduce((a, b) => a + b);
  return Array.from({ length: width }, (_, e) => weights.reduce((sum, w, j) => sum + (w / total) * value(j)[e], 0));
}

describe("concentric causal attention [paper:mitigating-object-hallucination-via-concentric-causal-attention]", () => {
  interface Layout { positions: Int32Array; mask: Tensor<"uint8"> }
  const { concentric, concentricAttention } = recipe<{ concentric(rows: number, columns: number, before: number, after: number): Layout; concentricAttention(q: Rows, k: Rows, v: Rows, layout: Layout, base?: number): Rows }>("concentric-causal-attention", ["concentric", "concentricAttention"], modules);

  it("counts an image from its border inwards, and the text goes on behind its rings", () => {
    const { positions } = concentric(4, 4, 3, 2);
    expectExact(positions, [0, 1, 2, 3, 3, 3, 3, 3, 4, 4, 3, 3, 4, 4, 3, 3, 3, 3, 3, 5, 6]);
    expect([...concentric(3, 5, 0, 1).positions]).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 2]);
    for (const [rows, columns] of [[24, 24], [7, 10], [5, 5]]) {
      const at = concentric(rows, columns, 0, 1).positions, rings = Math.ceil(Math.min(rows, columns) / 2);
      for (let r = 0; r < Math.floor(Math.min(rows, columns) / 2); r++) expect(at.subarray(0, -1).filter((p) => p === r).length).toBe(2 * (rows + columns - 4 * r) - 4);
      expect(at[rows * columns]).toBe(rings);
    }
  });

  it("an image token sees its ring and those outside it; text sees what stands before", () => {
    const { mask } = concentric(5, 4, 2, 2), ring = (t: number): number => Math.min(Math.floor(t / 4), t % 4, 4 - Math.floor(t / 4), 3 - (t % 4)), inside = (i: number): boolean => i >= 2 && i < 22;
    for (let i = 0; i < 24; i++) for (let j = 0; j < 24; j++) expect(mask.at(i, j)).toBe(Number(inside(i) && inside(j) ? ring(j - 2) <= ring(i - 2) : j <= i));
  });

  it("is rotary attention under that mask, and causal attention without an image", () => {
    const [q, k, v] = [1, 2, 3].map((seed) => random([2, 13, 8], seed)), layout = concentric(3, 3, 2, 2), rotary = new own.RotaryEmbedding(layout.positions, { dimensions: 8, base: 500 });
    const y = concentricAttention(q, k, v, layout, 500), [a, b] = [rotary.rotate(q), rotary.rotate(k)];
    for (let h = 0; h < 2; h++) for (let i = 0; i < 13; i++) expectClose(y.data.subarray((h * 13 + i) * 8, (h * 13 + i + 1) * 8), weighed(Array.from({ length: 13 }, (_, j) => (layout.mask.at(i, j) === 1 ? product(a.data.subarray((h * 13 + i) * 8, (h * 13 + i + 1) * 8), b.data.subarray((h * 13 + j) * 8, (h * 13 + j + 1) * 8)) / Math.sqrt(8) : -Infinity)), (j) => v.data.subarray((h * 13 + j) * 8, (h * 13 + j + 1) * 8), 8), { atol: 3e-6 });
    const none = concentric(0, 5, 13, 0), plain = new own.RotaryEmbedding(none.positions, { dimensions: 8 });
    expectExact(concentricAttention(q, k, v, none).data, own.attention(plain.rotate(q), plain.rotate(k), v, { causal: true }).output.data);
  });
});

describe("conditional cross-attention [paper:conditional-detr-for-fast-training-convergence]", () => {
  interface Part { content: Rows; place: Rows }
  const { sinePositions, conditionalCrossAttention } = recipe<{ sinePositions(points: Rows, features: number): Rows; conditionalCrossAttention(query: Part, key: Part, value: Rows): Rows }>("conditional-cross-attention", ["sinePositions", "conditionalCrossAttention"], modules);

  it("the score is the sum of two products", () => {
    const [cq, pq] = [1, 2].map((seed) => random([2, 5, 4], seed)), [ck, pk, v] = [3, 4, 5].map((seed) => random([2, 7, 4], seed)), y = conditionalCrossAttention({ content: cq, place: pq }, { content: ck, place: pk }, v);
    const row = ({ data }: Rows, at: number): Float32Array => data.subarray(4 * at, 4 * at + 4);
    for (let h = 0; h < 2; h++) {
      for (let i = 0; i < 5; i++) {
        const scores = Array.from({ length: 7 }, (_, j) => (product(row(cq, h * 5 + i), row(ck, h * 7 + j)) + product(row(pq, h * 5 + i), row(pk, h * 7 + j))) / Math.sqrt(8));
        expectClose(row(y, h * 5 + i), weighed(scores, (j) => row(v, h * 7 + j), 4), { atol: 3e-6 });
      }
    }
  });

  it("places are cosines and sines of 2 pi x at falling frequencies; a place is likest itself", () => {
    const points = new Tensor("float32", [3, 2], Float32Array.of(0.25, 0.5, 0.3, 0.5, 0.9, 0.1)), pe = sinePositions(points, 8);
    expect(pe.shape).toEqual([3, 16]);
    for (let n = 0; n < 3; n++) {
      for (let a = 0; a < 2; a++) {
        for (let i = 0; i < 4; i++) {
          const angle = (2 * Math.PI * points.at(n, a)) / 10000 ** (i / 4);
          expectClose([pe.at(n, 8 * a + 2 * i), pe.at(n, 8 * a + 2 * i + 1)], [Math.cos(angle), Math.sin(angle)], { atol: 3e-7 });
        }
      }
    }
    const like = (a: number, b: number): number => product(pe.row(a).data, pe.row(b).data);
    expectClose(like(0, 0), 8, { atol: 1e-6 });
    expect(like(0, 0)).toBeGreaterThan(like(0, 1));
    expect(like(0, 1)).toBeGreaterThan(like(0, 2));
  });
});

describe("multi-variate parallel attention [paper:a-foundation-model-with-multi-variate-parallel-attention-to]", () => {
  const { parallelAttention } = recipe<{ parallelAttention(q: Rows, k: Rows, v: Rows, time: Rows, channel: Rows, biases: Rows[]): Rows }>("multi-variate-parallel-attention", ["parallelAttention"], modules);
  const L = 5, N = 3, D = 4, [q, k, v] = [1, 2, 3].map((seed) => random([2, L * N, D], seed)), time = random([2, L, D], 4), channel = random([2, N, D], 5), biases = [6, 7, 8].map((seed) => random([2, D], seed));
  const row = ({ data }: Rows, at: number): Float32Array => data.subarray(D * at, D * at + D);

  it("agrees with its definition, and shifts with time", () => {
    const y = parallelAttention(q, k, v, time, channel, biases);
    for (let h = 0; h < 2; h++) {
      const plus = (i: number, b: number): number[] => Array.from(row(q, h * L * N + i), (x, f) => x + biases[b].at(h, f));
      for (let i = 0; i < L * N; i++) {
        const scores = Array.from({ length: L * N }, (_, j) => {
          const gap = Math.floor(i / N) - Math.floor(j / N);
          return gap < 0 ? -Infinity : (product(plus(i, 0), row(k, h * L * N + j)) + product(plus(i, 1), row(time, h * L + gap)) + product(plus(i, 2), row(channel, h * N + Math.abs((i % N) - (j % N))))) / Math.sqrt(D);
        });
        expectClose(row(y, h * L * N + i), weighed(scores, (j) => row(v, h * L * N + j), D), { atol: 5e-6 });
      }
    }
  });

  it("is causal attention time by time without keys of distances; channels in reverse give the same in reverse", () => {
    const zero = (x: Rows): Rows => new Tensor("float32", x.shape, new Float32Array(x.size)), to = Int32Array.from({ length: L * N }, (_, i) => (Math.floor(i / N) + 1) * N);
    expectExact(parallelAttention(q, k, v, zero(time), zero(channel), biases.map(zero)).data, own.attention(q, k, v, { ranges: { from: new Int32Array(L * N), to } }).output.data);
    const turned = (x: Rows): Rows => new Tensor("float32", x.shape, Float32Array.from({ length: x.size }, (_, at) => {
      const f = at % D, n = Math.floor(at / D) % N;
      return x.data[at - f - n * D + (N - 1 - n) * D + f];
    }));
    expectClose(turned(parallelAttention(turned(q), turned(k), turned(v), time, channel, biases)).data, parallelAttention(q, k, v, time, channel, biases).data, { atol: 3e-6 });
  });
});
