import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor } from "@logits/tensor";
import { expectClose, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { negativeLabelLoss } from "../semi-supervised/negativeLabelLoss.ts";
import { dot, logSoftmaxRef, softmaxRef } from "./classification.ref.ts";
import * as classification from "./index.ts";

type Rows = Tensor<"float32">;
const modules = { "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors, "@logits/losses/classification": classification, "@logits/losses/semi-supervised": { negativeLabelLoss } };
const random = testRandom(31), rows = (b: number, c: number, make: (i: number) => number = () => 2 * random.normal()): Rows => new Tensor("float32", [b, c], Float32Array.from({ length: b * c }, (_, i) => make(i)));
const lists = (x: ArrayLike<number>, c: number): number[][] => Array.from({ length: x.length / c }, (_, b) => Array.from(x).slice(b * c, (b + 1) * c));
const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;

describe("a classifier as a discriminator [paper:improved-techniques-for-training-gans]", () => {
  const { discriminatorLoss, featureMatching, inceptionScore } = recipe<{ discriminatorLoss(x: Rows, real: boolean): { loss: number; grad: Rows }; featureMatching(a: Rows, b: Rows): { loss: number; grad: Rows }; inceptionScore(x: Rows): number }>(
    "gan-classes", ["discriminatorLoss", "featureMatching", "inceptionScore"], modules);

  it("is a softmax of K + 1 classes whose last logit is 0", () => {
    const x = rows(6, 4);
    for (const real of [true, false]) {
      const value = (z: ArrayLike<number>): number => mean(lists(z, 4).map((row) => {
        const p = softmaxRef([...row, 0]);
        return -Math.log(real ? 1 - p[4] : p[4]);
      }));
      const { loss, grad } = discriminatorLoss(x, real);
      expectClose(loss, value(x.data), { rtol: 1e-6 });
      expectClose(grad.data, finiteDifferenceGradient(value, x.data), { atol: 1e-6 });
    }
    expect(discriminatorLoss(rows(1, 2, () => 500), false).loss).toBeCloseTo(500 + Math.log(2), 3);
  });

  it("matches means of features", () => {
    const a = rows(5, 3), b = rows(4, 3), value = (z: ArrayLike<number>): number => [0, 1, 2].reduce((sum, f) => sum + (mean(lists(z, 3).map((row) => row[f])) - mean(lists(a.data, 3).map((row) => row[f]))) ** 2, 0), { loss, grad } = featureMatching(a, b);
    expectClose(loss, value(b.data), { rtol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, b.data), { atol: 1e-6 });
  });

  it("has an Inception score between 1 and K", () => {
    expectClose(inceptionScore(rows(5, 3, (i) => i % 3)), 1, { rtol: 1e-6 });
    expectClose(inceptionScore(rows(6, 3, (i) => (i % 3 === Math.floor(i / 3) % 3 ? 60 : 0))), 3, { rtol: 1e-6 });
    const some = inceptionScore(rows(50, 4));
    expect(some).toBeGreaterThan(1);
    expect(some).toBeLessThan(4);
  });
});

describe("entropy by groups [paper:happy-a-debiased-learning-framework-for-continual-generalized-category]", () => {
  const { groupEntropy } = recipe<{ groupEntropy(x: Rows, old: number, weights?: readonly [number, number]): { loss: number; grad: Rows } }>("group-entropy", ["groupEntropy"], modules);
  const entropy = (p: number[]): number => -p.reduce((sum, v) => sum + v * Math.log(v), 0);

  it("has the definition's value and gradient", () => {
    const x = rows(6, 5), value = (z: ArrayLike<number>): number => {
      const p = [0, 1, 2, 3, 4].map((c) => mean(lists(z, 5).map((row) => softmaxRef(row)[c]))), a = [p[0] + p[1], p[2] + p[3] + p[4]];
      return Math.log(2) - entropy(a) + 0.5 * (Math.log(2) - entropy(p.slice(0, 2).map((v) => v / a[0]))) + 2 * (Math.log(3) - entropy(p.slice(2).map((v) => v / a[1])));
    };
    const { loss, grad } = groupEntropy(x, 2, [0.5, 2]);
    expectClose(loss, value(x.data), { rtol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, x.data), { atol: 1e-6 });
  });

  it("is 0 where the mean is even, and by the chain rule of entropy log C - H where groups weigh by their masses", () => {
    expectClose(groupEntropy(rows(3, 4, () => 1), 2).loss, 0, { atol: 1e-6 });
    const x = rows(6, 4), p = [0, 1, 2, 3].map((c) => mean(lists(x.data, 4).map((row) => softmaxRef(row)[c]))), a = p[0] + p[1];
    expectClose(groupEntropy(x, 2, [a, 1 - a]).loss, Math.log(4) - entropy(p), { atol: 1e-6 });
  });
});

describe("confident cross-model loss [paper:translation-consistent-semi-supervised-segmentation-for-3d-medical-images]", () => {
  const { confidentCrossLoss } = recipe<{ confidentCrossLoss(z: Rows, p: Rows): { loss: number; grad: Float32Array } }>("confident-cross-model", ["confidentCrossLoss"], modules);

  it("has the definition's value and gradient", () => {
    const z = rows(12, 2), teacher = Array.from({ length: 12 }, () => random.uniform()), p = rows(12, 2, (i) => (i % 2 === 0 ? teacher[i >> 1] : 1 - teacher[i >> 1]));
    const value = (x: ArrayLike<number>): number => {
      const each = lists(x, 2).map((row, b) => {
        const pair = lists(p.data, 2)[b], y = pair[1] > pair[0] ? 1 : 0, q = softmaxRef(row);
        return { sure: pair[y], doubt: pair[1 - y], positive: -pair[y] * Math.log(q[y]), negative: -pair[1 - y] * Math.log(1 - q[1 - y]) };
      });
      return mean(each.filter((e) => e.sure >= 0.6).map((e) => e.positive)) + mean(each.filter((e) => e.doubt < 0.3).map((e) => e.negative));
    };
    const { loss, grad } = confidentCrossLoss(z, p);
    expectClose(loss, value(z.data), { rtol: 1e-6 });
    expectClose(grad, finiteDifferenceGradient(value, z.data), { atol: 1e-6 });
  });

  it("is cross-entropy for a certain teacher, 0 for one that is sure of nothing", () => {
    const z = rows(4, 2), labels = [0, 1, 1, 0];
    expectClose(confidentCrossLoss(z, rows(4, 2, (i) => Number(labels[i >> 1] === i % 2))).loss, mean(labels.map((y, b) => -logSoftmaxRef(z.row(b).data as Float32Array)[y])), { rtol: 1e-6 });
    expect(confidentCrossLoss(z, rows(4, 2, () => 0.5)).loss).toBe(0);
  });
});

describe("dissimilarity coefficient [paper:weakly-supervised-instance-segmentation-by-learning-annotation-consistent-instances]", () => {
  const { disc, discLoss } = recipe<{ disc(p: readonly number[], q: readonly number[], d: (a: number, b: number) => number, gamma?: number): number; discLoss(z: Rows, q: Rows, d: Rows, gamma?: number): { loss: number; grad: Rows } }>("dissimilarity-coefficient", ["disc", "discLoss"], modules);
  const distances = rows(4, 4, (i) => Math.abs((i % 4) - Math.floor(i / 4)));

  it("has the definition's value and gradient", () => {
    const z = rows(3, 4), q = rows(3, 4, (i) => softmaxRef([i, 1, 2, 0])[i % 4]), D = lists(distances.data, 4);
    q.data.set(lists(q.data, 4).flatMap((row) => row.map((v) => v / row.reduce((a, b) => a + b))));
    const pair = (a: number[], b: number[]): number => dot(a, D.map((row) => dot(row, b)));
    const value = (x: ArrayLike<number>): number => mean(lists(x, 4).map((row, b) => {
      const p = softmaxRef(row), other = lists(q.data, 4)[b];
      return pair(p, other) - 0.3 * pair(other, other) - 0.7 * pair(p, p);
    }));
    const { loss, grad } = discLoss(z, q, distances, 0.3);
    expectClose(loss, value(z.data), { atol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 1e-6 });
  });

  it("is 0 for equal distributions, half the squared energy distance on the line, and unbiased from samples", () => {
    const z = rows(1, 4), p = softmaxRef(z.data), q = [0.1, 0.2, 0.3, 0.4];
    expectClose(discLoss(z, rows(1, 4, (i) => p[i]), distances).loss, 0, { atol: 1e-6 });
    // On the line with |a - b|: the integral of the squared difference of the distribution functions.
    let cumulative = 0;
    const energy = [0, 1, 2].reduce((sum, k) => sum + (cumulative += p[k] - q[k]) ** 2, 0), exact = discLoss(z, rows(1, 4, (i) => q[i]), distances).loss;
    expectClose(exact, energy, { atol: 1e-6 });
    const draw = (law: number[]): number => {
      let u = random.uniform(), k = 0;
      while (k < 3 && (u -= law[k]) > 0) k++;
      return k;
    };
    const estimates = Array.from({ length: 4000 }, () => disc(Array.from({ length: 3 }, () => draw(p)), Array.from({ length: 3 }, () => draw(q)), (a, b) => Math.abs(a - b))), deviation = Math.sqrt(mean(estimates.map((e) => (e - mean(estimates)) ** 2)) / estimates.length);
    expect(Math.abs(mean(estimates) - exact)).toBeLessThan(4 * deviation); // four standard errors
  });
});

describe("elastic features [paper:elastic-feature-consolidation-for-cold-start-exemplar-free-incremental]", () => {
  const { featureMatrix, driftLoss, movedMeans } = recipe<{ featureMatrix(z: Rows, w: Rows): Rows; driftLoss(f: Rows, g: Rows, e: Rows, lambda: number, damping: number): { loss: number; grad: Rows }; movedMeans(m: Rows, f: Rows, g: Rows, e: Rows, sigma: number): Float32Array[] }>(
    "elastic-features", ["featureMatrix", "driftLoss", "movedMeans"], modules);
  const weights = rows(5, 3), features = rows(8, 3), head = (x: ArrayLike<number>, w: ArrayLike<number> = weights.data): number[] => lists(w, 3).map((row) => dot(row, x)), logits = rows(8, 5);
  logits.data.set(lists(features.data, 3).flatMap((x) => head(x)));
  const matrix = featureMatrix(logits, weights), quadratic = (d: number[]): number => dot(d, lists(matrix.data, 3).map((row) => dot(row, d)));

  it("is half the curvature of the divergence to a moved feature: KL = d E d / 2 to second order", () => {
    const d = [0.3, -0.2, 0.5].map((v) => v * 1e-3);
    const kl = mean(lists(features.data, 3).map((x) => {
      const a = logSoftmaxRef(head(x)), b = logSoftmaxRef(head(x.map((v, j) => v + d[j])));
      return a.reduce((sum, l, c) => sum + Math.exp(l) * (l - b[c]), 0);
    }));
    expectClose(quadratic(d) / 2, kl, { rtol: 2e-3 }); // the third order
    // Positive semidefinite, and blind to a shift of all classes' weights.
    for (let i = 0; i < 50; i++) expect(quadratic([random.normal(), random.normal(), random.normal()])).toBeGreaterThan(-1e-6);
    expectClose(featureMatrix(logits, new Tensor("float32", [5, 3], weights.data.map((v, i) => v + [1, 2, -1][i % 3]))).data, matrix.data, { atol: 1e-5 });
  });

  it("holds features, with its gradient", () => {
    const before = rows(8, 3), value = (x: ArrayLike<number>): number => mean(lists(x, 3).map((f, n) => {
      const d = f.map((v, j) => v - before.data[3 * n + j]);
      return 10 * quadratic(d) + 0.1 * dot(d, d);
    })), { loss, grad } = driftLoss(features, before, matrix, 10, 0.1);
    expectClose(loss, value(features.data), { rtol: 1e-5 });
    expectClose(grad.data, finiteDifferenceGradient(value, features.data), { rtol: 1e-4, atol: 1e-4 });
  });

  it("moves means along with the rows near them", () => {
    const means = rows(2, 3), before = new Tensor("float32", features.shape, features.data.map((v, i) => v - [0.5, 0, -0.25][i % 3]));
    movedMeans(means, features, before, matrix, 0.2).forEach((m, k) => expectClose(m, [0.5, 0, -0.25].map((v, j) => v + means.data[3 * k + j]), { atol: 1e-6 }));
    // Only the row at a mean has moved, and with a small sigma it alone counts.
    const olds = rows(3, 3, (i) => [0, 0, 0, 4, 4, 4, -4, 4, 0][i]), news = rows(3, 3, (i) => [1, 0, 0, 4, 4, 4, -4, 4, 0][i]), identity = rows(3, 3, (i) => (i % 4 === 0 ? 1 : 0));
    expectClose(movedMeans(rows(1, 3, () => 0), news, olds, identity, 0.05)[0], [1, 0, 0], { atol: 1e-6 });
  });
});
