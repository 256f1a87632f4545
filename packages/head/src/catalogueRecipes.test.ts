import * as core from "@logits/core-wasm";
import * as ood from "@logits/ood";
import * as statistics from "@logits/statistics";
import { sampleNormal } from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor, randomSource } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, recipe } from "@logits/testkit";
import { describe, expect, it } from "vitest";

type Rows = Tensor<"float32">;

const modules = { "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors, "@logits/ood": ood };
const random = randomSource(31);
const normal = (): number => sampleNormal(random);
const rows = (shape: readonly number[], make: (i: number) => number): Rows => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => make(i)));
const lists = (x: Rows): number[][] => Array.from({ length: x.shape[0] }, (_, b) => Array.from(x.row(b).data));
const softmaxOf = (z: readonly number[]): number[] => {
  const top = Math.max(...z), e = z.map((x) => Math.exp(x - top)), sum = e.reduce((a, b) => a + b);
  return e.map((x) => x / sum);
};
const cosine = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i], 0) / Math.hypot(...a) / Math.hypot(...b);

describe("the Boltzmann operator [paper:are-transformers-with-one-layer-self-attention-using-low]", () => {
  const { boltzmann, mellowmax, boltzmannGrad } = recipe<{ boltzmann(x: Rows): Float32Array; mellowmax(x: Rows): Float32Array; boltzmannGrad(x: Rows): Rows }>("boltzmann-operator", ["boltzmann", "mellowmax", "boltzmannGrad"], modules);
  const x = rows([20, 6], () => 2 * normal()), mean = (z: readonly number[]): number => softmaxOf(z).reduce((sum, p, i) => sum + p * z[i], 0);

  it("is the mean under softmax: log Z minus the entropy, below the maximum", () => {
    expectClose(boltzmann(x), lists(x).map(mean), { atol: 2e-6 });
    lists(x).forEach((row, b) => expect(boltzmann(x)[b]).toBeLessThanOrEqual(Math.max(...row) + 1e-6));
    expectClose(mellowmax(x), lists(x).map((row) => Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0) / 6)), { atol: 2e-6 });
  });

  it("has the gradient of the definition", () => {
    lists(x).forEach((row, b) => expectClose(boltzmannGrad(x).row(b).data, finiteDifferenceGradient((z) => mean(Array.from(z)), Float64Array.from(row)), { atol: 1e-5 }));
  });

  it("moves with a shift, tends to the maximum and to the mean", () => {
    expectClose(boltzmann(rows(x.shape, (i) => x.data[i] + 8)), boltzmann(x).map((v) => v + 8), { atol: 1e-5 });
    expectClose(boltzmann(rows(x.shape, (i) => 1000 * x.data[i])).map((v) => v / 1000), lists(x).map((row) => Math.max(...row)), { rtol: 1e-3, atol: 1e-3 });
    expectClose(boltzmann(rows([1, 6], () => 3)), [3], { rtol: 1e-6 });
    expectExact(boltzmannGrad(rows([1, 3], (i) => [-Infinity, 0, 0][i])).data, [0, 0.5, 0.5]);
  });
});

describe("selection by mass [paper:fire-together-wire-together-a-dynamic-pruning-approach-with]", () => {
  const { massMask } = recipe<{ massMask(a: Rows, tau: number): Tensor<"uint8"> }>("mass-selection", ["massMask"], modules);

  it("is the smallest set that holds the mass, by a search over all k", () => {
    const a = rows([40, 9], () => Math.round(3 * normal()) / 2);
    for (const tau of [0, 0.3, 0.7, 0.95, 1]) {
      const mask = massMask(a, tau);
      lists(a).forEach((row, b) => {
        const sorted = row.map(Math.abs).sort((p, q) => q - p), total = sorted.reduce((p, q) => p + q, 0);
        const k = Array.from({ length: 10 }, (_, n) => n).find((n) => sorted.slice(0, n).reduce((p, q) => p + q, 0) >= tau * total)!; // halves: exact sums
        const kept = row.filter((_, c) => mask.data[9 * b + c] === 1).map(Math.abs).sort((p, q) => q - p);
        expect(kept).toEqual(sorted.slice(0, k));
        if (tau === 1) expect(kept.length).toBe(row.filter((v) => v !== 0).length);
      });
    }
  });

  it("is the set of nucleus sampling for probabilities", () => {
    const p = core.softmax(rows([20, 8], () => 2 * normal())), mask = massMask(p, 0.8);
    lists(p).forEach((row, b) => {
      const order = row.map((_, c) => c).sort((i, j) => row[j] - row[i]), nucleus = order.filter((_, k) => order.slice(0, k).reduce((sum, c) => sum + row[c], 0) < 0.8 * row.reduce((s, v) => s + v, 0));
      expectExact(Array.from(mask.data.subarray(8 * b, 8 * b + 8)), row.map((_, c) => Number(nucleus.includes(c))));
    });
  });
});

describe("N of M weights [paper:dependency-aware-semi-structured-sparsity-of-glu-variants-in]", () => {
  const { pruned } = recipe<{ pruned(w: Rows, a: Rows, n: number, m: number): Rows }>("structured-pruning", ["pruned"], modules);

  it("keeps the N most important of every M, ties by index", () => {
    const w = rows([6, 12], () => Math.round(2 * normal()) || 1), a = rows([10, 12], (i) => (i % 12 < 4 ? 1 : normal()));
    for (const [n, m] of [[2, 4], [1, 4], [3, 6], [4, 4]]) {
      const got = pruned(w, a, n, m), norms = Array.from({ length: 12 }, (_, j) => Math.hypot(...lists(a).map((row) => row[j])));
      for (let group = 0; group < 72 / m; group++) {
        const at = Array.from({ length: m }, (_, k) => group * m + k), kept = at.toSorted((i, j) => Math.fround(Math.abs(w.data[j]) * norms[j % 12]) - Math.fround(Math.abs(w.data[i]) * norms[i % 12]) || i - j).slice(0, n);
        at.forEach((i) => expect(got.data[i]).toBe(kept.includes(i) ? w.data[i] : 0));
        expect(at.filter((i) => got.data[i] !== 0).length).toBe(n);
      }
    }
  });
});

describe("gates of experts [paper:is-temperature-sample-efficient-for-softmax-gaussian-mixture-of]", () => {
  const { denseToSparse, activationGate, mixtureLogLikelihood } = recipe<{
    denseToSparse(s: Rows, t: number): Rows;
    activationGate(s: Rows, t: number): Rows;
    mixtureLogLikelihood(s: Rows, t: number, means: Rows, deviations: Rows, y: Float32Array): Float32Array;
  }>("expert-gates", ["denseToSparse", "activationGate", "mixtureLogLikelihood"], modules);
  const s = rows([15, 4], normal), means = rows([15, 4], () => 3 * normal()), deviations = rows([15, 4], () => 0.3 + random.uniform()), y = Float32Array.from({ length: 15 }, () => 3 * normal());

  it("tends to one expert and to all alike", () => {
    lists(s).forEach((row, b) => {
      expectClose(denseToSparse(s, 1e-4).row(b).data, row.map((v) => Number(v === Math.max(...row))), { atol: 1e-6 });
      expectClose(activationGate(s, 1e-5).row(b).data, row.map((v) => Number(v === Math.max(...row))), { atol: 1e-3 });
      expectClose(activationGate(s, 0.4).row(b).data, softmaxOf(row.map((v) => 1 / (1 + Math.exp(-v)) / 0.4)), { atol: 1e-6 });
    });
    expectClose(denseToSparse(s, 1e6).data, new Float32Array(60).fill(0.25), { rtol: 1e-5 });
  });

  it("has the likelihood of the definition, and its slope in the temperature", () => {
    const term = (b: number, t: number): number => {
      const g = softmaxOf(lists(s)[b].map((v) => v / t));
      return Math.log(g.reduce((sum, p, k) => sum + (p * Math.exp(-(((y[b] - means.at(b, k)) / deviations.at(b, k)) ** 2) / 2)) / deviations.at(b, k) / Math.sqrt(2 * Math.PI), 0));
    };
    expectClose(mixtureLogLikelihood(s, 0.7, means, deviations, y), Array.from(y, (_, b) => term(b, 0.7)), { rtol: 1e-5, atol: 1e-5 });
    const step = 2 ** -6, slope = mixtureLogLikelihood(s, 0.7 + step, means, deviations, y).map((v, b) => (v - mixtureLogLikelihood(s, 0.7 - step, means, deviations, y)[b]) / (2 * step));
    expectClose(slope, Array.from(y, (_, b) => finiteDifferenceGradient((t) => term(b, t[0]), Float64Array.of(0.7))[0]), { atol: 2e-2 }); // steps of 1/64 in float32
  });
});

describe("a codebook [paper:du-in-discrete-units-guided-mask-modeling-for-decoding]", () => {
  interface Codebook { codes: Rows; counts: Float64Array; sums: Float64Array }
  const { quantise, moved, perplexity } = recipe<{
    quantise(z: Rows, book: Codebook, beta: number): { indices: Int32Array; quantised: Rows; commitment: number; grad: Rows };
    moved(z: Rows, book: Codebook, indices: Int32Array, decay: number, least: number, pick: () => number): Codebook;
    perplexity(indices: Int32Array, k: number): number;
  }>("vector-quantisation", ["quantise", "moved", "perplexity"], modules);
  const z = rows([50, 3], normal), codes = rows([6, 3], normal), book: Codebook = { codes, counts: new Float64Array(6).fill(1), sums: Float64Array.from(codes.data) };

  it("takes the nearest code, with the gradient of the commitment", () => {
    const { indices, quantised, commitment, grad } = quantise(z, book, 0.25);
    lists(z).forEach((x, b) => {
      const distances = lists(codes).map((e) => e.reduce((sum, v, f) => sum + (v - x[f]) ** 2, 0));
      expect(indices[b]).toBe(distances.indexOf(Math.min(...distances)));
      // The same code by inner products.
      const scores = lists(codes).map((e) => e.reduce((sum, v, f) => sum + v * x[f] - (v * v) / 2, 0));
      expect(indices[b]).toBe(scores.indexOf(Math.max(...scores)));
      expectExact(quantised.row(b).data, codes.row(indices[b]).data);
    });
    const want = finiteDifferenceGradient((x) => Array.from(x).reduce((sum, v, i) => sum + 0.25 * (v - quantised.data[i]) ** 2, 0), Float64Array.from(z.data));
    expectClose(grad.data, want, { atol: 1e-6 });
    expectClose(commitment, lists(z).reduce((sum, x, b) => sum + 0.25 * x.reduce((s, v, f) => s + (v - codes.at(indices[b], f)) ** 2, 0), 0), { rtol: 1e-6 });
  });

  it("is a step of k-means without memory, and restarts what nothing uses", () => {
    const { indices } = quantise(z, book, 1), next = moved(z, book, indices, 0, 0.5, () => 7);
    for (let c = 0; c < 6; c++) {
      const own = lists(z).filter((_, b) => indices[b] === c);
      expectClose(next.codes.row(c).data, own.length > 0 ? [0, 1, 2].map((f) => own.reduce((sum, x) => sum + x[f] / own.length, 0)) : z.row(7).data, { atol: 1e-6 });
    }
    expectClose(moved(z, book, indices, 1, 0.5, () => 7).codes.data, codes.data, { atol: 1e-6 });
    expectExact(moved(z, book, new Int32Array(50), 0, 0.5, () => 7).codes.row(5).data, z.row(7).data);
  });

  it("counts how many codes are in use", () => {
    expectClose([perplexity(Int32Array.of(2, 2, 2), 4), perplexity(Int32Array.of(0, 1, 2, 3), 4), perplexity(Int32Array.of(0, 0, 1, 1), 4)], [1, 4, 2], { rtol: 1e-12 });
  });
});

describe("an accurate and a robust model [paper:improving-the-accuracy-robustness-trade-off-of-classifiers-via]", () => {
  const { mixture, certified } = recipe<{ mixture(g: Rows, r: Rows, alpha: Float32Array, t?: { accurate: number; robust: number }): Rows; certified(r: Rows, alpha: Float32Array, t?: number): boolean[] }>("adaptive-smoothing", ["mixture", "certified"], modules);
  const g = rows([60, 4], () => 5 * normal()), r = rows([60, 4], () => 2 * normal()), alpha = Float32Array.from({ length: 60 }, () => random.uniform());

  it("is the logarithm of the mixture of probabilities", () => {
    const p = (temperatures: { accurate: number; robust: number }): number[] => lists(g).flatMap((row, b) => {
      const [a, s] = [softmaxOf(row.map((v) => v / temperatures.accurate)), softmaxOf(lists(r)[b].map((v) => v / temperatures.robust))];
      return a.map((v, c) => (1 - alpha[b]) * v + alpha[b] * s[c]);
    });
    for (const t of [{ accurate: 1, robust: 1 }, { accurate: 3, robust: 0.5 }]) expectClose(mixture(g, r, alpha, t).data.map(Math.exp), p(t), { atol: 1e-6 });
    expectClose(mixture(g, r, new Float32Array(60)).data, core.logSoftmax(g).data, { atol: 1e-5 });
    expectClose(mixture(g, r, new Float32Array(60).fill(1)).data, core.logSoftmax(r).data, { atol: 1e-5 });
  });

  it("certifies rows that no accurate model changes, and all others can be changed", () => {
    const safe = certified(r, alpha);
    expect(safe.filter(Boolean).length).toBeGreaterThan(5);
    safe.forEach((holds, b) => {
      const row = lists(r)[b], top = row.indexOf(Math.max(...row));
      // The worst accurate model is sure of another class: the corners of the simplex suffice, the mixture is linear in it.
      const changed = row.some((_, c) => {
        if (c === top) return false;
        const against = mixture(rows([1, 4], (j) => (j === c ? 0 : -Infinity)), rows([1, 4], (j) => row[j]), alpha.subarray(b, b + 1)).data;
        return against[c] > against[top];
      });
      expect(changed).toBe(!holds);
    });
  });
});

describe("unsupported spans [paper:lettucedetect-a-hallucination-detection-framework-for-rag-applications]", () => {
  interface Span { start: number; end: number; score: number }
  const { spansOf, overlap } = recipe<{ spansOf(z: Rows, offsets: [number, number][], tau: number, score?: "mean" | "max"): Span[]; overlap(a: Omit<Span, "score">[], b: Omit<Span, "score">[]): { precision: number; recall: number; f1: number } }>("unsupported-spans", ["spansOf", "overlap"], modules);
  const p = [0.1, 0.9, 0.7, 0.2, 0.6, 0.5], offsets: [number, number][] = [[0, 3], [4, 7], [8, 10], [11, 15], [16, 20], [20, 24]];
  const logits = rows([6, 2], (i) => (i % 2 ? Math.log(p[i >> 1] / (1 - p[i >> 1])) : 0));

  it("merges neighbours above the threshold", () => {
    expect(spansOf(logits, offsets, 0.55)).toEqual([{ start: 4, end: 10, score: expect.closeTo(0.8, 6) }, { start: 16, end: 20, score: expect.closeTo(0.6, 6) }]);
    expect(spansOf(logits, offsets, 0.55, "max")[0].score).toBeCloseTo(0.9, 6);
    expect(spansOf(logits, offsets, 0.99)).toEqual([]);
    expect(spansOf(logits, offsets, 0).length).toBe(1);
  });

  it("finds more characters the lower the threshold, and measures them", () => {
    const truth = [{ start: 4, end: 15 }];
    let recall = 0;
    for (const tau of [0.95, 0.8, 0.65, 0.4, 0]) {
      const found = overlap(spansOf(logits, offsets, tau), truth);
      expect(Number.isNaN(found.recall) ? 0 : found.recall).toBeGreaterThanOrEqual(recall);
      recall = found.recall;
    }
    expect(recall).toBe(1);
    expect(overlap([{ start: 4, end: 10 }, { start: 16, end: 20 }], truth)).toEqual({ precision: 0.6, recall: 6 / 11, f1: 12 / 21 });
    expect(overlap([], truth)).toEqual({ precision: NaN, recall: 0, f1: 0 });
  });
});

describe("concept matrix search [paper:sparse-concept-bottleneck-models-gumbel-tricks-in-contrastive-learning]", () => {
  const { conceptSearch, chosenConcepts } = recipe<{ conceptSearch(images: Rows, classes: Rows, concepts: Rows, power?: number): { labels: Int32Array; scores: Rows; described: Rows }; chosenConcepts(described: Rows, t: number, seed: number): Rows }>("concept-matrix-search", ["conceptSearch", "chosenConcepts"], modules);
  const images = rows([25, 5], normal), classes = rows([4, 5], normal), concepts = rows([9, 5], normal);

  it("agrees with the definition, with and without cubes", () => {
    for (const power of [1, 3]) {
      const got = conceptSearch(images, classes, concepts, power), column = (x: number[]): number[] => lists(concepts).map((concept) => cosine(x, concept) ** power);
      const want = lists(images).map((x) => lists(classes).map((c) => cosine(column(x), column(c))));
      expectClose(got.scores.data, want.flat(), { atol: 1e-5 });
      expectExact(got.labels, want.map((row) => row.indexOf(Math.max(...row))));
    }
  });

  it("is the nearest class by cosine for orthonormal concepts", () => {
    const axes = rows([5, 5], (i) => Number(i % 6 === 0)), want = lists(images).map((x) => lists(classes).map((c) => cosine(x, c)));
    expectExact(conceptSearch(images, classes, axes).labels, want.map((row) => row.indexOf(Math.max(...row))));
  });

  it("chooses concepts one-hot, with the frequencies of softmax", () => {
    const { described } = conceptSearch(images, classes, concepts), hard = chosenConcepts(described, 0.5, 3);
    lists(hard).forEach((row) => expect(row.toSorted()).toEqual([...new Array<number>(8).fill(0), 1]));
    const many = chosenConcepts(rows([20000, 2], (i) => (i % 2 ? 0 : 1)), 1, 4).data.filter((_, i) => i % 2 === 0).reduce((a, b) => a + b) / 20000;
    expect(Math.abs(many - Math.E / (1 + Math.E))).toBeLessThan(3.29 * Math.sqrt(0.2 / 20000));
  });
});

describe("a selector [paper:distilling-blackbox-to-interpretable-models-for-efficient-transfer-learning]", () => {
  interface Selective { risk: number; coverage: number; loss: number; gradSelector: Float64Array; gradLosses: Float64Array }
  const { selectiveLoss, route } = recipe<{ selectiveLoss(l: Float32Array, s: Float32Array, tau: number, lambda: number): Selective; route(s: ArrayLike<number>[], threshold: number): number[] }>("selective-training", ["selectiveLoss", "route"], modules);
  const losses = Float32Array.from({ length: 12 }, () => 2 * random.uniform()), selector = Float32Array.from({ length: 12 }, () => random.uniform());
  const definition = (l: ArrayLike<number>, pi: ArrayLike<number>, tau: number, lambda: number): number => {
    const total = Array.from(pi).reduce((a, b) => a + b), risk = Array.from(pi).reduce((sum, p, i) => sum + p * l[i], 0) / total;
    return risk + lambda * Math.max(0, tau - total / 12) ** 2;
  };

  it("agrees with the definition and its gradients, with and without the penalty", () => {
    for (const tau of [0.1, 0.9]) {
      const got = selectiveLoss(losses, selector, tau, 32);
      expectClose(got.loss, definition(losses, selector, tau, 32), { rtol: 1e-6 });
      expectClose(got.gradSelector, finiteDifferenceGradient((pi) => definition(losses, pi, tau, 32), Float64Array.from(selector)), { atol: 1e-6 });
      expectClose(got.gradLosses, finiteDifferenceGradient((l) => definition(l, selector, tau, 32), Float64Array.from(losses)), { atol: 1e-6 });
      expect(got.loss > got.risk).toBe(tau === 0.9);
    }
  });

  it("is the mean loss for a selector that wants everything; the others go on", () => {
    expectClose(selectiveLoss(losses, new Float32Array(12).fill(1), 1, 32).loss, losses.reduce((a, b) => a + b) / 12, { rtol: 1e-6 });
    expect(route([[0.9, 0.2, 0.1], [0.1, 0.8, 0.4]], 0.5)).toEqual([0, 1, -1]);
  });
});

describe("ODIN [paper:enhancing-the-reliability-of-out-of-distribution-image-detection]", () => {
  const { logitGradient, odin } = recipe<{ logitGradient(z: Rows, t: number): Rows; odin(x: Rows, forward: (x: Rows) => Rows, backward: (x: Rows, u: Rows) => Rows, epsilon: number, t?: number): Float32Array }>("odin", ["logitGradient", "odin"], modules);
  const weights = rows([5, 8], normal), x = rows([30, 8], normal), forward = (inputs: Rows): Rows => core.matmul(inputs, weights, { transposeB: true }), backward = (_: Rows, upstream: Rows): Rows => core.matmul(upstream, weights);
  const logS = (input: ArrayLike<number>, t: number): number => Math.log(Math.max(...softmaxOf(lists(weights).map((w) => w.reduce((sum, v, f) => sum + v * input[f], 0) / t))));
  const order = (values: ArrayLike<number>): number[] => Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b]);

  it("orders rows as the largest probability at T = 1 and as max minus mean at large T", () => {
    const z = lists(forward(x));
    expect(order(odin(x, forward, backward, 0, 1))).toEqual(order(z.map((row) => -Math.max(...softmaxOf(row)))));
    expect(order(odin(x, forward, backward, 0, 1e5))).toEqual(order(z.map((row) => row.reduce((sum, v) => sum + v / 5, 0) - Math.max(...row))));
  });

  it("has the gradient of the input of a linear model, and steps against it", () => {
    for (const t of [1, 10]) {
      const slope = backward(x, logitGradient(forward(x), t)), epsilon = 0.01, moved = odin(x, forward, backward, epsilon, t);
      lists(x).forEach((input, b) => {
        const want = finiteDifferenceGradient((v) => -logS(v, t), Float64Array.from(input));
        expectClose(slope.row(b).data, want, { atol: 1e-6 });
        expectClose(moved[b], -t * (Math.log(5) + logS(input.map((v, f) => v - epsilon * Math.sign(want[f])), t)), { atol: 1e-4 });
      });
      odin(x, forward, backward, 0, t).forEach((score, b) => expect(moved[b]).toBeLessThan(score)); // the step makes every row surer
    }
  });
});

describe("early decisions [paper:a-text-classification-framework-for-simple-and-effective-early]", () => {
  type Gv = (word: string) => number[];
  const { confidences, added, firstAlarm, erde } = recipe<{
    confidences(counts: Record<string, number>[], options?: { sigma?: number; lambda?: number; rho?: number }): Gv;
    added(scores: number[], words: string[], gv: Gv): number[];
    firstAlarm(messages: string[][], gv: Gv, margin: number): number;
    erde(alarms: number[], truth: number[], o: number, falseAlarm: number): number;
  }>("early-decisions", ["confidences", "added", "firstAlarm", "erde"], modules);
  const counts: Record<string, number>[] = [{ the: 90, ball: 30, sad: 1, rain: 9 }, { the: 80, sad: 40, alone: 20, rain: 8 }, { the: 100, vote: 50, ball: 2, rain: 12 }];

  it("agrees with the definition by hand", () => {
    const gv = confidences(counts, { sigma: 0.5, lambda: 0.7, rho: 1.3 });
    for (const word of ["the", "ball", "sad", "alone", "vote", "rain"]) {
      const lv = counts.map((of: Record<string, number>) => Math.sqrt((of[word] ?? 0) / Math.max(...Object.values(of)))), middle = lv.toSorted((a, b) => a - b)[1], spread = lv.map((x) => Math.abs(x - middle)).sort((a, b) => a - b)[1];
      const sg = lv.map((x) => (spread > 0 ? Math.tanh((3 * (x - middle)) / (0.7 * spread) - 3) / 2 + 0.5 : Number(x > middle)));
      expectClose(gv(word), lv.map((x, c) => x * sg[c] * ((3 - (sg.reduce((a, b) => a + b) - sg[c] + 1)) / (2 * (sg.reduce((a, b) => a + b) - sg[c] + 1))) ** 1.3), { rtol: 1e-12, atol: 1e-12 });
    }
    expectExact(gv("the"), [0, 0, 0]);
    expectExact(gv("never"), [0, 0, 0]);
  });

  it("gives a word of one class its whole weight, at median + lambda MAD half of it", () => {
    // lv over three classes 0.2, 0.4, 0.6 for sigma = 1: median 0.4, MAD 0.2; lambda = 1 puts 0.6 at one half.
    const gv = confidences([{ a: 2, b: 10 }, { a: 4, b: 10 }, { a: 6, b: 10 }], { sigma: 1, lambda: 1, rho: 1 }), small = (Math.tanh(-3) + 1) / 2, tiny = (Math.tanh(-6) + 1) / 2, s = small + tiny;
    expectClose(gv("a")[2], (0.6 * 0.5 * (3 - (s + 1))) / (2 * (s + 1)), { rtol: 1e-12 });
    expectClose(confidences(counts)("vote"), [0, 0, (50 / 100) ** 0.45], { rtol: 1e-12 }); // in one class only: sg and sn are 1
  });

  it("adds up message by message, and costs later alarms more", () => {
    const gv = confidences(counts.slice(0, 2), { sigma: 1 }), messages = [["the", "ball"], ["sad"], ["alone", "rain"], ["sad", "sad"]];
    expectClose(messages.reduce((scores, words) => added(scores, words, gv), [0, 0]), added([0, 0], messages.flat(), gv), { rtol: 1e-12 });
    expect(firstAlarm(messages, gv, 1e9)).toBe(0);
    const alarms = [0.01, 0.2, 0.6].map((margin) => firstAlarm(messages, gv, margin));
    expect(alarms).toEqual(alarms.toSorted((a, b) => a - b));
    expectClose(erde([1, 0, 3, 0], [1, 1, 0, 0], 2, 0.1), (1 - 1 / (1 + Math.exp(-1)) + 1 + 0.1) / 4, { rtol: 1e-12 });
    expect(erde([1], [1], 5, 0.1)).toBeLessThan(erde([9], [1], 5, 0.1));
  });
});
