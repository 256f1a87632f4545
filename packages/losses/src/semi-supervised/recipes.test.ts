import * as core from "@logits/core-wasm";
import * as tensors from "@logits/tensor";
import { expectClose, expectExact, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as semi from "./index.ts";

type Rows = tensors.Tensor<"float32">;
const { Tensor } = tensors, { softmax } = core;
const modules = { "@logits/core-wasm": core, "@logits/tensor": tensors, "@logits/losses/semi-supervised": semi };
const random = testRandom(31);
const rows = (n: number, width: number, draw = () => random.normal()): Rows => new Tensor("float32", [n, width], Float32Array.from({ length: n * width }, draw));
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, v, i) => sum + v * b[i], 0) / Math.hypot(...Array.from(a)) / Math.hypot(...Array.from(b));

describe("labels from neighbours", () => {
  const { softNeighbours, propagated, correlated, blended, promptScores } = recipe<{
    softNeighbours(z: Rows, support: Rows, labels: Rows, temperature: number): Rows;
    propagated(similarities: Rows, labels: Rows, a: number, steps?: number): Rows;
    correlated(features: Rows, p: Rows): Rows;
    blended(p: Rows, q: Rows, distribution: readonly number[], temperature: number): Rows;
    promptScores(x: Rows, prompts: readonly Rows[]): number[][];
  }>("labels-from-neighbours", ["softNeighbours", "propagated", "correlated", "blended", "promptScores"], modules);
  const eye = (n: number): Rows => new Tensor("float32", [n, n], Float32Array.from({ length: n * n }, (_, k) => Number(k % (n + 1) === 0)));

  it("is the softmax of cosines with one row a class, the nearest row where it is cold [paper:a-soft-nearest-neighbor-framework-for-continual-semi-supervised]", () => {
    const z = rows(5, 3), support = rows(4, 3), labels = eye(4), p = softNeighbours(z, support, labels, 0.5);
    for (let i = 0; i < 5; i++) {
      const s = [0, 1, 2, 3].map((c) => cosine(z.row(i).data, support.row(c).data));
      expectClose(p.row(i).data, s.map((x) => Math.exp(x / 0.5) / s.reduce((sum, y) => sum + Math.exp(y / 0.5), 0)), { rtol: 1e-5 });
      expectClose(softNeighbours(z, support, labels, 1e-4).row(i).data, s.map((x) => Number(x === Math.max(...s))), { atol: 1e-4 });
    }
  });

  it("solves the propagation by its series [paper:simmatchv2-semi-supervised-learning-with-graph-consistency]", () => {
    const similarities = rows(3, 3), labels = softmax(rows(3, 2)), a = 0.6, A = softmax(similarities);
    // (I - aA)^-1 by Cramer's rule is long; instead the fixed point: F = Y + a A F.
    const F = [0, 1].map((c) => { let f = [0, 0, 0]; for (let step = 0; step < 500; step++) f = f.map((_, i) => labels.at(i, c) + a * f.reduce((sum, v, j) => sum + A.at(i, j) * v, 0)); return f[0] * (1 - a); });
    const got = propagated(similarities, labels, a);
    expectClose(got.data, F, { rtol: 1e-5 });
    expectClose(got.data[0] + got.data[1], 1, { atol: 1e-5 });
    expectClose(propagated(similarities, labels, 0).data, labels.row(0).data, { atol: 0 });
  });

  it("leaves pixels alone that correlate only with themselves [paper:corrmatch-label-propagation-via-correlation-matching-for-semi-supervised]", () => {
    const p = softmax(rows(4, 3)), strong = new Tensor("float32", [4, 4], eye(4).data.map((v) => 50 * v));
    expectClose(correlated(strong, p).data, p.data, { atol: 1e-6 });
    const mixed = correlated(rows(4, 4), p);
    for (let i = 0; i < 4; i++) expectClose(mixed.row(i).data.reduce((sum, v) => sum + v, 0), 1, { rtol: 1e-5 });
  });

  it("takes the labels of frequent classes from the prototypes [paper:daso-distribution-aware-semantics-oriented-pseudo-label-for-imbalanced]", () => {
    const p = new Tensor("float32", [2, 2], Float32Array.of(0.9, 0.1, 0.2, 0.8)), q = new Tensor("float32", [2, 2], Float32Array.of(0.5, 0.5, 0.6, 0.4));
    expectClose(blended(p, q, [4, 1], 0.5).data, [0.5, 0.5, (15 / 16) * 0.2 + (1 / 16) * 0.6, (15 / 16) * 0.8 + (1 / 16) * 0.4], { rtol: 1e-6 });
    expectClose(blended(p, q, [1, 0], 1).row(1).data, [0.2, 0.8], { rtol: 1e-6 });
  });

  it("scores a class by its best prompt [paper:semivl-semi-supervised-semantic-segmentation-with-vision-language-guidance]", () => {
    const x = rows(3, 4), prompts = [rows(1, 4), rows(3, 4)];
    promptScores(x, prompts).forEach((scores, i) => expectClose(scores, prompts.map((own) => Math.max(...Array.from({ length: own.shape[0] }, (_, j) => cosine(x.row(i).data, own.row(j).data)))), { rtol: 1e-5 }));
  });
});

describe("selected labels", () => {
  const { shareOfClasses, agreement, shrunk, rectified } = recipe<{
    shareOfClasses(labels: Int32Array, confidence: Float32Array, share: number): Uint8Array;
    agreement(heads: readonly Rows[]): Float32Array;
    shrunk(p: ArrayLike<number>, threshold: number): number[];
    rectified(p: readonly number[], moves: readonly (readonly number[])[], mean: readonly number[], alpha: number): number[];
  }>("selected-labels", ["shareOfClasses", "agreement", "shrunk", "rectified"], modules);

  it("keeps a share of every class [paper:improving-semi-supervised-semantic-segmentation-with-dual-level-siamese]", () => {
    const labels = Int32Array.of(0, 0, 0, 1, 1, 2), confidence = Float32Array.of(0.5, 0.9, 0.7, 0.4, 0.6, 0.1);
    expectExact(shareOfClasses(labels, confidence, 0.5), [0, 1, 1, 0, 1, 1]);
    expectExact(shareOfClasses(labels, confidence, 1), [1, 1, 1, 1, 1, 1]);
  });

  it("agrees by pairs of heads [paper:leveraging-ensemble-diversity-for-robust-self-training-in-the]", () => {
    const heads = [0, 1, 2].map(() => softmax(rows(4, 3))), pairs = (i: number): number => { let sum = 0; for (let m = 0; m < 3; m++) for (let n = 0; n < 3; n++) if (m !== n) for (let c = 0; c < 3; c++) sum += heads[m].at(i, c) * heads[n].at(i, c); return sum / 6; };
    expectClose(agreement(heads), [0, 1, 2, 3].map(pairs), { rtol: 1e-5 });
    const sure = (c: number): Rows => new Tensor("float32", [1, 2], Float32Array.of(1 - c, c));
    expectExact(agreement([sure(0), sure(0)]), [1]);
    expectExact(agreement([sure(0), sure(1)]), [0]);
  });

  it("leaves out the fewest rivals [paper:shrinking-class-space-for-enhanced-certainty-in-semi-supervised]", () => {
    for (let trial = 0; trial < 50; trial++) {
      const p = Array.from(softmax(rows(1, 6)).data), order = p.map((_, c) => c).sort((a, b) => p[b] - p[a]), threshold = 0.5 + 0.4 * random.uniform();
      const sizes = Array.from({ length: 6 }, (_, k) => k + 1).find((k) => p[order[0]] / (p[order[0]] + order.slice(k).reduce((sum, c) => sum + p[c], 0)) >= threshold)!;
      expect(shrunk(p, threshold)).toEqual([order[0], ...order.slice(sizes)]);
    }
    expect(shrunk([0.97, 0.02, 0.01], 0.95)).toEqual([0, 1, 2]);
  });

  it("moves answers as labels have moved before [paper:towards-semi-supervised-learning-with-non-random-missing-labels]", () => {
    const still = [[0, 0], [0, 0]];
    expectClose(rectified([0.6, 0.4], still, [0.5, 0.5], 1), [1, 0], { atol: 0 });
    const got = rectified([0.6, 0.4], [[0, 3], [1, 0]], [0.5, 0.25], 1), raw = [(0.6 * 1) / 0.5, (0.4 * 1) / 0.25];
    expectClose(got, raw.map((x) => x / (raw[0] + raw[1])), { rtol: 1e-12 });
  });
});

describe("clusters as labels [paper:clusterfit-improving-generalization-of-visual-representations]", () => {
  const { kMeans } = recipe<{ kMeans(x: Rows, k: number, seed: number, steps?: number): { labels: Int32Array; centres: Rows; inertia: number } }>("clusters-as-labels", ["kMeans"], modules);

  it("finds separated groups, never gets worse, and has inertia 0 with a cluster for each row", () => {
    const x = new Tensor("float32", [60, 2], Float32Array.from({ length: 120 }, (_, k) => 10 * ((Math.floor(k / 2) % 3) * (k % 2 === 0 ? 1 : -1)) + 0.3 * random.normal())), { labels } = kMeans(x, 3, 5);
    for (let i = 0; i < 60; i++) expect(labels[i]).toBe(labels[i % 3]);
    expect(new Set(labels).size).toBe(3);
    const cloud = rows(80, 3), after = [1, 2, 4, 8, 30].map((steps) => kMeans(cloud, 5, 7, steps).inertia);
    for (let i = 1; i < after.length; i++) expect(after[i]).toBeLessThanOrEqual(after[i - 1]);
    expect(kMeans(rows(6, 2), 6, 3).inertia).toBe(0);
  });
});

describe("teachers ahead", () => {
  const { averaged, lookAhead, orthogonality, orthogonalityGradient, spectralGap } = recipe<{
    averaged(teacher: Float32Array, student: Float32Array, momentum: number): Float32Array;
    lookAhead(teacher: Float32Array, student: Float32Array, gradient: (p: Float32Array) => Float32Array, rate: number, momentum: number, steps?: number): Float32Array;
    orthogonality(weights: Rows): number;
    orthogonalityGradient(weights: Rows): Rows;
    spectralGap(weights: Rows, steps?: number): number;
  }>("teachers-ahead", ["averaged", "lookAhead", "orthogonality", "orthogonalityGradient", "spectralGap"], modules);

  it("averages with the closed form, and ahead of the student [paper:learning-from-future-a-novel-self-training-framework-for]", () => {
    let phi = Float32Array.of(1);
    for (let t = 1; t <= 5; t++) phi = averaged(phi, Float32Array.of(t), 0.5) as Float32Array<ArrayBuffer>;
    expectClose(phi, [0.5 ** 5 + [1, 2, 3, 4, 5].reduce((sum, t) => sum + 0.5 * 0.5 ** (5 - t) * t, 0)], { rtol: 1e-6 });
    const slope = (p: Float32Array): Float32Array => p.map((v) => 2 * v);
    expectClose(lookAhead(Float32Array.of(0), Float32Array.of(1), slope, 0.25, 0.5, 2), [0.5 * (0.5 * 0.5) + 0.5 * 0.25], { rtol: 1e-6 });
    expectExact(lookAhead(Float32Array.of(3), Float32Array.of(1), () => Float32Array.of(0), 1, 0.5), averaged(Float32Array.of(3), Float32Array.of(1), 0.5));
  });

  it("penalises what is not orthogonal [paper:navigating-data-heterogeneity-in-federated-learning-a-semi-supervised]", () => {
    const turn = new Tensor("float32", [2, 2], Float32Array.of(0.6, -0.8, 0.8, 0.6));
    expectClose(orthogonality(turn), 0, { atol: 1e-12 });
    const w = rows(4, 3), grad = orthogonalityGradient(w), h = 1e-3;
    const definition = (x: Float64Array): number => { let sum = 0; for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++) { let g = -Number(a === b); for (let i = 0; i < 4; i++) g += x[3 * i + a] * x[3 * i + b]; sum += g * g; } return sum; };
    expectClose(orthogonality(w), definition(Float64Array.from(w.data)), { rtol: 1e-5 });
    expectClose(grad.data, Array.from(w.data, (v, k) => { const at = (d: number): number => definition(Float64Array.from(w.data, (u, j) => (j === k ? v + d : u))); return (at(h) - at(-h)) / (2 * h); }), { rtol: 1e-4, atol: 1e-4 });
    expectClose(spectralGap(new Tensor("float32", [2, 2], Float32Array.of(2, 0, 0, 0.5))), 3, { rtol: 1e-5 });
  });
});

describe("virtual adversarial training [paper:adversarial-training-methods-for-semi-supervised-text-classification]", () => {
  const { directions, virtualDirection, virtualAdversarial, normalisedEmbeddings } = recipe<{
    directions(g: Rows): Rows;
    virtualDirection(model: object, x: Rows, seed: number, small?: number, steps?: number): Rows;
    virtualAdversarial(model: object, x: Rows, radius: number, seed: number): { at: Rows; loss: number; grad: Rows };
    normalisedEmbeddings(words: Rows, frequency: readonly number[]): Rows;
  }>("virtual-adversarial-training", ["directions", "virtualDirection", "virtualAdversarial", "normalisedEmbeddings"], modules);
  const w = rows(5, 3), model = { logits: (x: Rows) => core.matmul(x, w), back: (_: Rows, upstream: Rows) => core.matmul(upstream, w, { transposeB: true }) };

  it("finds a direction that changes the prediction more than almost all others", () => {
    const x = rows(4, 5), d = virtualDirection(model, x, 3, 0.1, 8), change = (u: Rows): number => semi.consistencyLoss(model.logits(new Tensor("float32", x.shape, x.data.map((v, k) => v + 0.5 * u.data[k]))), model.logits(x), { reduction: "sum" }).item();
    for (let i = 0; i < 4; i++) expectClose(Math.hypot(...d.row(i).data), 1, { rtol: 1e-5 });
    const own = Math.max(change(d), change(new Tensor("float32", d.shape, d.data.map((v) => -v)))), others = Array.from({ length: 200 }, () => change(directions(rows(4, 5))));
    expect(others.filter((other) => other > own).length).toBeLessThan(4);
    const { at, loss, grad } = virtualAdversarial(model, x, 0.5, 3);
    expect(at.shape).toEqual([4, 5]);
    expectClose(loss, semi.consistencyLoss(model.logits(at), model.logits(x)).item(), { atol: 0 });
    expect(grad.shape).toEqual([4, 3]);
    expectClose(virtualAdversarial(model, x, 0, 3).loss, 0, { atol: 1e-7 });
  });

  it("gives embeddings mean 0 and variance 1 by frequency", () => {
    const words = rows(6, 2), frequency = [0.3, 0.2, 0.2, 0.1, 0.1, 0.1], e = normalisedEmbeddings(words, frequency);
    for (let f = 0; f < 2; f++) {
      expectClose(frequency.reduce((sum, p, i) => sum + p * e.at(i, f), 0), 0, { atol: 1e-6 });
      expectClose(frequency.reduce((sum, p, i) => sum + p * e.at(i, f) ** 2, 0), 1, { rtol: 1e-5 });
    }
  });
});
