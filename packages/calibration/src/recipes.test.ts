import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import { sampleGamma, sampleNormal } from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor, randomSource } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, recipe } from "@logits/testkit";
import { describe, expect, it } from "vitest";

type Rows = Tensor<"float32">;

const modules = { "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors };
const random = randomSource(23);
const normal = (): number => sampleNormal(random);
const rows = (shape: number[], make: (i: number) => number): Rows => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => make(i)));
const lists = (x: Rows): number[][] => Array.from({ length: x.shape[0] }, (_, b) => Array.from(x.row(b).data));
const logSoftmaxOf = (z: number[]): number[] => z.map((x) => x - Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0)));
const unigram = Float32Array.of(0.4, 0.3, 0.2, 0.06, 0.04), logits = rows([12, 5], () => 2 * normal());

describe("confidence regulation [paper:confidence-regulation-neurons-in-language-models]", () => {
  const { entropyAt, distanceFromUnigram, changeOfLoss, nullShare } = recipe<{
    entropyAt(z: Rows, s: number): { entropy: Float32Array; slope: number[] };
    distanceFromUnigram(z: Rows, unigram: Float32Array): number[];
    changeOfLoss(z: Rows, labels: Int32Array, unigram: Float32Array, beta: number): number[];
    nullShare(unembedding: Rows, weight: Float32Array, k: number): number;
  }>("confidence-regulation", ["entropyAt", "distanceFromUnigram", "changeOfLoss", "nullShare"], modules);

  it("has the slope of the entropy in the scale", () => {
    const entropyOf = (row: number[], s: number): number => logSoftmaxOf(row.map((z) => s * z)).reduce((sum, l) => sum - l * Math.exp(l), 0);
    for (const s of [0.3, 1, 2.5]) {
      const got = entropyAt(logits, s);
      expectClose(got.entropy, lists(logits).map((row) => entropyOf(row, s)), { atol: 2e-6 });
      expectClose(got.slope, lists(logits).map((row) => finiteDifferenceGradient((x) => entropyOf(row, x[0]), Float64Array.of(s))[0]), { rtol: 1e-4, atol: 1e-5 });
    }
    expectExact(entropyAt(rows([1, 4], () => 3), 2).slope[0] + 0, 0);
  });

  it("measures the distance from the unigram: 0 for the unigram itself", () => {
    expectClose(distanceFromUnigram(logits, unigram), lists(logits).map((row) => logSoftmaxOf(row).reduce((sum, l, c) => sum + Math.exp(l) * (l - Math.log(unigram[c])), 0)), { atol: 2e-6 });
    expectClose(distanceFromUnigram(rows([1, 5], (i) => Math.log(unigram[i])), unigram), [0], { atol: 1e-7 });
  });

  it("measures what a shift towards the unigram does to the loss", () => {
    const labels = Int32Array.from({ length: 12 }, (_, i) => i % 5), beta = 0.7;
    expectClose(changeOfLoss(logits, labels, unigram, beta), lists(logits).map((row, b) => logSoftmaxOf(row)[labels[b]] - logSoftmaxOf(row.map((z, c) => z + beta * Math.log(unigram[c])))[labels[b]]), { atol: 2e-6 });
    expectClose(changeOfLoss(logits, labels, unigram, 0), new Float32Array(12), { atol: 0 });
  });

  it("finds weights in the null space, which change the entropy only through the normalisation", () => {
    // An unembedding [C = 5, F = 8]: three directions that it cannot read.
    const unembedding = rows([5, 8], normal), gram = Float64Array.from({ length: 64 }, (_, i) => lists(unembedding).reduce((sum, row) => sum + row[i % 8] * row[Math.floor(i / 8)], 0));
    const weak = Float32Array.from(core.symmetricEigen(gram).vectors.subarray(48, 56)), strong = unembedding.row(0).data, any = Float32Array.from({ length: 8 }, normal);
    expectClose([nullShare(unembedding, weak, 3), nullShare(unembedding, strong, 3), nullShare(unembedding, any, 8)], [1, 0, 1], { atol: 1e-5 });
    const after = (x: Float32Array): number[] => {
      const scale = Math.sqrt(8) / Math.hypot(...x);
      return lists(unembedding).map((row) => scale * row.reduce((sum, w, f) => sum + w * x[f], 0));
    };
    const moved = any.map((x, f) => x + 9 * weak[f]), [before, later] = [any, moved].map((x) => entropyAt(rows([1, 5], (c) => after(x)[c]), 1).entropy[0]);
    expect(later).toBeGreaterThan(before);
    const ratio = after(moved).map((z, c) => z / after(any)[c]);
    expectClose(ratio, new Float32Array(5).fill(ratio[0]), { rtol: 1e-4 }); // the logits only shrink
  });
});

describe("latent label shift [paper:unsupervised-learning-under-latent-label-shift]", () => {
  const { corners, posterior, inDomain } = recipe<{
    corners(cells: number[][], classes: number): number[][];
    posterior(columns: number[][], domains: number[][]): Rows;
    inDomain(columns: number[][], p: ArrayLike<number>, d: number): number[];
  }>("latent-label-shift", ["corners", "posterior", "inDomain"], modules);
  const simplexPoint = (size: number): number[] => {
    const x = Array.from({ length: size }, () => sampleGamma(0.7, random)), sum = x.reduce((a, b) => a + b);
    return x.map((v) => v / sum);
  };

  it("recovers the shares and the posteriors exactly, up to the names of the classes", () => {
    for (const [domains, classes] of [[2, 2], [4, 3], [6, 5], [5, 5]]) {
      const q = Array.from({ length: classes }, () => simplexPoint(domains)), n = 60;
      // One input of its own for each class, at random places; the others are mixed.
      const own = Array.from(random.permutation(n).subarray(0, classes)), truth = Array.from({ length: n }, (_, i) => (own.includes(i) ? q.map((_, y) => Number(y === own.indexOf(i))) : simplexPoint(classes)));
      const pd = truth.map((p) => Array.from({ length: domains }, (_, d) => q.reduce((sum, column, y) => sum + column[d] * p[y], 0)));
      const found = corners(pd, classes), name = found.map((column) => q.findIndex((other) => other.every((x, d) => Math.abs(x - column[d]) < 1e-9)));
      expect(name.toSorted()).toEqual(q.map((_, y) => y)); // each column of Q once, and exactly
      const got = lists(posterior(found, pd));
      got.forEach((p, i) => {
        expectClose(p, name.map((y) => truth[i][y]), { atol: 1e-4 }); // float64, but the columns can be nearly dependent
        expectClose(p.reduce((a, b) => a + b), 1, { rtol: 1e-6 });
        // No residual of the factorisation.
        expectClose(pd[i].map((_, d) => found.reduce((sum, column, y) => sum + column[d] * p[y], 0)), pd[i], { atol: 1e-5 });
      });
      const p0 = inDomain(found, got[0], 1), want = name.map((y) => q[y][1] * truth[0][y]), sum = want.reduce((a, b) => a + b);
      expectClose(p0, want.map((x) => x / sum), { atol: 1e-3 });
    }
  });

  it("refuses classes that no domain tells apart", () => {
    expect(() => posterior([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: two classes have the same shares in all domains]`);
    expect(() => posterior([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]], [[0.5, 0.5]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: two classes have the same shares in all domains]`);
  });
});
