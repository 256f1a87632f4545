import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { softmaxFreeAttention } from "./index.ts";

type Numbers = ArrayLike<number>;
const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

/** Inverse by elimination with pivots, in float64. */
function inverse(a: number[][]): number[][] {
  const n = a.length, rows = a.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (let c = 0; c < n; c++) {
    const pivot = rows.slice(c).reduce((best, row, i) => (Math.abs(row[c]) > Math.abs(rows[best][c]) ? c + i : best), c);
    [rows[c], rows[pivot]] = [rows[pivot], rows[c]];
    rows[c] = rows[c].map((x, _, row) => x / row[c]);
    for (let r = 0; r < n; r++) if (r !== c) rows[r] = rows[r].map((x, j, row) => x - row[c] * rows[c][j]);
  }
  return rows.map((row) => row.slice(n));
}

/** One head: kernel of tokens and landmarks, the exact inverse, values. */
function definition(x: Numbers, v: Numbers, l: Numbers, [T, M, D, E]: readonly number[], ridge: number, symmetric: boolean): number[] {
  const kernel = (a: Numbers, i: number, b: Numbers, j: number): number => Math.exp(-Array.from({ length: D }, (_, f) => (a[i * D + f] - b[j * D + f]) ** 2).reduce((p, q) => p + q, 0) / (2 * Math.sqrt(D)));
  const K = Array.from({ length: T }, (_, i) => Array.from({ length: M }, (__, j) => kernel(x, i, l, j))), A = Array.from({ length: M }, (_, i) => Array.from({ length: M }, (__, j) => kernel(l, i, l, j)));
  const sides = A.map((row) => (symmetric ? row.reduce((p, q) => p + q, 0) ** -0.5 : 1)), X = inverse(A.map((row, i) => row.map((y, j) => y + (i === j ? ridge : 0)))).map((row, i) => row.map((y, j) => y * sides[i] * sides[j]));
  const W = X.map((row) => Array.from({ length: E }, (_, e) => row.reduce((sum, y, j) => sum + y * K.reduce((s, k, i) => s + k[j] * v[i * E + e], 0), 0)));
  return K.flatMap((row) => Array.from({ length: E }, (_, e) => row.reduce((sum, k, j) => sum + k * W[j][e], 0)));
}

describe("softmaxFreeAttention [paper:softmax-free-linear-transformers]", () => {
  const sizes = [11, 4, 6, 3] as const, [T, M, D, E] = sizes, x = random([T, D], 1), v = random([T, E], 2), l = random([M, D], 3);

  for (const symmetric of [false, true]) {
    it(`agrees with the exact inverse, ${symmetric ? "symmetric" : "plain"}: values and gradients`, () => {
      const upstream = random([T, E], 4), got = softmaxFreeAttention.withGrad(x, v, l, { symmetric, upstream });
      expectClose(got.output.data, definition(x.data, v.data, l.data, sizes, 0.01, symmetric), { atol: 1e-5, rtol: 1e-5 });
      expect(got.residual.item()).toBeLessThan(1e-12);
      expectExact(softmaxFreeAttention(x, v, l, { symmetric }).output.data, got.output.data);
      const loss = (a: Numbers, b: Numbers, c: Numbers): number => definition(a, b, c, sizes, 0.01, symmetric).reduce((sum, y, i) => sum + y * upstream.data[i], 0), near = { atol: 3e-5, rtol: 3e-5 };
      expectClose(got.grads.tokens.data, finiteDifferenceGradient((y) => loss(y, v.data, l.data), Float64Array.from(x.data), { step: 1e-5 }), near);
      expectClose(got.grads.value.data, finiteDifferenceGradient((y) => loss(x.data, y, l.data), Float64Array.from(v.data), { step: 1e-5 }), near);
      expectClose(got.grads.landmarks.data, finiteDifferenceGradient((y) => loss(x.data, v.data, y), Float64Array.from(l.data), { step: 1e-5 }), near);
    });
  }

  it("with the tokens as landmarks is the whole kernel", () => {
    const { output, residual } = softmaxFreeAttention(x, v, x, { ridge: 0, iterations: 40 }), want: number[] = [];
    for (let i = 0; i < T; i++) for (let e = 0; e < E; e++) want.push(Array.from({ length: T }, (_, j) => Math.exp(-Array.from({ length: D }, (__, f) => (x.data[i * D + f] - x.data[j * D + f]) ** 2).reduce((p, q) => p + q, 0) / (2 * Math.sqrt(D))) * v.data[j * E + e]).reduce((p, q) => p + q, 0));
    expectClose(output.data, want, { atol: 1e-4, rtol: 1e-4 }); // the inverse multiplies float32 rounding by the kernel's condition, about 100
    expect(residual.item()).toBeLessThan(1e-6);
  });

  it("distances do not suffer far from the origin", () => {
    // What moving by 1,000 rounds off the inputs, 3e-5, is in both.
    const moved = (y: Tensor<"float32">): Tensor<"float32"> => new Tensor("float32", y.shape, y.data.map((z) => z + 1000)), back = (y: Tensor<"float32">): Tensor<"float32"> => new Tensor("float32", y.shape, y.data.map((z) => z - 1000)), upstream = random([T, E], 4);
    const far = softmaxFreeAttention.withGrad(moved(x), v, moved(l), { upstream }), near = softmaxFreeAttention.withGrad(back(moved(x)), v, back(moved(l)), { upstream });
    for (const [a, b] of [[far.output, near.output], [far.grads.tokens, near.grads.tokens], [far.grads.landmarks, near.grads.landmarks]]) expectClose(a.data, b.data, { atol: 2e-5, rtol: 1e-5 });
  });

  it("inverts rows of equal sums and a single landmark, where the paper's start ends at 0", () => {
    expectClose(softmaxFreeAttention([[3], [3]], [[1], [2]], [[3]], { ridge: 0 }).output.data, [3, 3], { ulp: 2 });
    expectClose(softmaxFreeAttention([[0], [1]], [[1], [0]], [[0], [1]], { ridge: 0 }).output.data, [1, Math.exp(-0.5)], { rtol: 1e-6 });
  });

  it("says what the iterations left: one step is far from the inverse, repeated landmarks without a ridge never come near", () => {
    expect(softmaxFreeAttention(x, v, l, { iterations: 1 }).residual.item()).toBeGreaterThan(0.1);
    expectClose(softmaxFreeAttention(x, v, [...l.toArray() as number[][], ...l.toArray() as number[][]], { ridge: 0, iterations: 30 }).residual.item(), 0.5, { atol: 1e-3 });
    // The pseudo-inverse: twice the same landmarks say what they say once. Near as the test with the exact inverse.
    const twice = softmaxFreeAttention(x, v, [...l.toArray() as number[][], ...l.toArray() as number[][]], { ridge: 0, iterations: 30 });
    expectClose(twice.output.data, softmaxFreeAttention(x, v, l, { ridge: 0, iterations: 30 }).output.data, { atol: 1e-5, rtol: 1e-5 });
  });

  it("works head by head, and on no tokens", () => {
    const tokens = random([2, 2, 5, 4], 5), values = random([2, 2, 5, 2], 6), marks = random([2, 2, 3, 4], 7), { output, residual } = softmaxFreeAttention(tokens, values, marks);
    expect([output.shape, residual.shape]).toEqual([[2, 2, 5, 2], [2, 2]]);
    for (let b = 0; b < 2; b++) for (let h = 0; h < 2; h++) expectExact(output.row(b).row(h).data, softmaxFreeAttention(tokens.row(b).row(h), values.row(b).row(h), marks.row(b).row(h)).output.data);
    const none = new Tensor("float32", [0, D], new Float32Array(0)), empty = softmaxFreeAttention.withGrad(none, new Tensor("float32", [0, E], new Float32Array(0)), l, { upstream: new Tensor("float32", [0, E], new Float32Array(0)) });
    expect([empty.output.shape, empty.grads.landmarks.data.every((g) => g === 0)]).toEqual([[0, E], true]);
  });
});
