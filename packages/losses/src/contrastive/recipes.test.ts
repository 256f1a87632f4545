import * as core from "@logits/core-wasm";
import * as similarity from "@logits/core-wasm/similarity";
import * as tensors from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { cosines, ntXentRef, rowsOf, supConRef } from "./contrastive.ref.ts";
import * as contrastive from "./index.ts";

type Rows = tensors.Tensor<"float32">;
const { Tensor } = tensors;
const modules = { "@logits/core-wasm": core, "@logits/core-wasm/similarity": similarity, "@logits/tensor": tensors, "@logits/losses/contrastive": contrastive };
const random = testRandom(17);
const rows = (n: number, f: number): Rows => new Tensor("float32", [n, f], Float32Array.from({ length: n * f }, () => random.normal()));
const unit = (x: Rows): Rows => new Tensor("float32", x.shape, Float32Array.from(rowsOf(x.data, x.shape[1]).flatMap((row) => row.map((v) => v / Math.hypot(...row)))));

describe("momentum distillation [paper:align-before-fuse-vision-and-language-representation-learning-with]", () => {
  const { itc, hardNegatives, moved } = recipe<{
    itc(features: Rows, own: Rows, other: Rows, queue: Rows, temperature?: number, alpha?: number): { loss: number; grad: Rows };
    hardNegatives(images: Rows, texts: Rows, temperature: number, seed: number): Int32Array;
    moved(slow: Float32Array, fast: Float32Array, momentum?: number): Float32Array;
  }>("momentum-distillation", ["itc", "hardNegatives", "moved"], modules);
  const [x, own, other, queue] = [unit(rows(4, 3)), unit(rows(4, 3)), unit(rows(4, 3)), unit(rows(5, 3))];

  it("is InfoNCE with the queue where alpha is 0", () => {
    const keys = new Tensor("float32", [9, 3], Float32Array.from([...other.data, ...queue.data]));
    const { loss, grads } = contrastive.infoNceLoss.withGrad(x, keys, { similarity: "dot" }), got = itc(x, own, other, queue, 0.07, 0);
    expectClose(got.loss, loss.item(), { rtol: 1e-6 });
    expectClose(got.grad.data, [...grads.queries.data], { atol: 1e-6 });
  });

  it("is the cross-entropy with the teacher's probabilities mixed in", () => {
    const T = 0.2, alpha = 0.4, keys = [...other.data, ...queue.data], teacher = cosines(own.data, keys, 3);
    const value = (data: ArrayLike<number>): number => rowsOf(data, 3).reduce((sum, row, i) => {
      const s = rowsOf(keys, 3).map((key) => key.reduce((t, v, f) => t + v * row[f], 0) / T), log = Math.log(s.reduce((t, v) => t + Math.exp(v), 0));
      const p = teacher[i].map((v) => Math.exp(v / T)), mass = p.reduce((t, v) => t + v, 0);
      return sum - s.reduce((t, v, j) => t + ((alpha * p[j]) / mass + (i === j ? 1 - alpha : 0)) * (v - log), 0) / 4;
    }, 0);
    const { loss, grad } = itc(x, own, other, queue, T, alpha);
    expectClose(loss, value(x.data), { rtol: 2e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, x.data), { atol: 5e-6 });
  });

  it("draws negatives by the softmax without the own text", () => {
    const counts = new Float64Array(16), draws = 4000;
    for (let seed = 0; seed < draws; seed++) hardNegatives(x, other, 0.5, seed).forEach((j, i) => counts[i * 4 + j]++);
    cosines(x.data, other.data, 3).forEach((row, i) => {
      const e = row.map((v, j) => (i === j ? 0 : Math.exp(v / 0.5))), mass = e.reduce((a, b) => a + b, 0);
      // Chi-square with two degrees of freedom: 25 has probability 4e-6.
      const chi = e.reduce((sum, v, j) => (i === j ? sum : sum + (counts[i * 4 + j] - (draws * v) / mass) ** 2 / ((draws * v) / mass)), 0);
      expect(counts[i * 4 + i]).toBe(0);
      expect(chi).toBeLessThan(25);
    });
    expectExact(moved(Float32Array.of(1), Float32Array.of(3), 0.5), [2]);
  });
});

describe("contrastive masks", () => {
  const { semiCon, guided, graph } = recipe<{
    semiCon(views: Rows, labels: Int32Array, alpha: number, temperature?: number): { loss: Rows; grad: Rows };
    guided(z: Rows, labels: Int32Array, guide: Rows, temperature?: number): { loss: Rows; grad: Rows };
    graph(z: Rows, edges: readonly (readonly [number, number, number])[], temperature?: number): { loss: Rows; grad: Rows };
  }>("contrastive-masks", ["semiCon", "guided", "graph"], modules);

  it("SemiCon is SupCon with all labels and NT-Xent with none [paper:contrastive-learning-for-online-semi-supervised-general-continual-learning]", () => {
    const z = rows(8, 3), mean = ({ values }: { values: number[] }): number => values.reduce((a, b) => a + b, 0) / 8;
    expectClose(semiCon(z, Int32Array.of(0, 1, 0, 1), 1, 0.2).loss.item(), mean(supConRef(z.data, [0, 1, 0, 1, 0, 1, 0, 1], 3, { temperature: 0.2 })), { rtol: 2e-6 });
    expectClose(semiCon(z, Int32Array.of(-1, -1, -1, -1), 1, 0.2).loss.item(), mean(ntXentRef(z.data, [0, 1, 2, 3, 0, 1, 2, 3], 3, { temperature: 0.2 })), { rtol: 2e-6 });
    // Two memory rows, two of the stream with half the weight; the mean is over all eight.
    const y = [0, 0, 5, 6, 0, 0, 5, 6], weights = y.map((v) => (v > 0 ? 0.5 : 1)), value = (x: ArrayLike<number>): number => supConRef(x, y, 3, { temperature: 0.2 }).values.reduce((a, v, i) => a + (weights[i] * v) / 8, 0);
    const { loss, grad } = semiCon(z, Int32Array.of(0, 0, -1, -1), 0.5, 0.2);
    expectClose(loss.item(), value(z.data), { rtol: 2e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 1e-5 });
  });

  it("a guide that sees no false negative changes nothing, one that sees only such leaves none; a graph of labels is SupCon", () => {
    const z = rows(6, 3), y = Int32Array.of(0, 0, 1, 1, 2, 2), axis = (c: number): number[] => [0, 1, 2].map((k) => (k === c ? 1 : 0));
    const guide = new Tensor("float32", [6, 3], Float32Array.from(Array.from(y).flatMap(axis)));
    const want = contrastive.supConLoss(z, y).item();
    expectClose(guided(z, y, guide).loss.item(), want, { rtol: 1e-6 });
    const confused = new Tensor("float32", [6, 3], Float32Array.from([0, 1, 0, 1, 0, 1].flatMap(axis)));
    // Each row is like two of other labels and unlike its own partner: those two are left out.
    expect(guided(z, y, confused).loss.item()).toBeLessThan(want);
    expectClose(graph(z, [[0, 1, 1], [2, 3, 1], [4, 5, 1]]).loss.item(), want, { rtol: 1e-6 });
  });
});

describe("token contrast [paper:token-contrast-for-weakly-supervised-semantic-segmentation]", () => {
  const { patchTokenContrast, classTokenContrast } = recipe<{
    patchTokenContrast(tokens: Rows, labels: Int32Array, uncertain?: number): { loss: number; grad: Rows };
    classTokenContrast(image: Rows, crops: Rows, certain: Int32Array, temperature?: number): { loss: Rows; grad: Rows };
  }>("token-contrast", ["patchTokenContrast", "classTokenContrast"], modules);

  it("agrees with the authors' formula, and uncertain patches have no gradient", () => {
    const z = rows(7, 4), y = Int32Array.of(0, 1, 255, 0, 1, 2, 0);
    const value = (x: ArrayLike<number>): number => {
      const s = cosines(x, x, 4), pairs = Array.from({ length: 49 }, (_, k) => [Math.floor(k / 7), k % 7]).filter(([i, j]) => i !== j && y[i] !== 255 && y[j] !== 255);
      const [same, other] = [true, false].map((own) => pairs.filter(([i, j]) => (y[i] === y[j]) === own)), sum = (list: number[][]): number => list.reduce((t, [i, j]) => t + Math.abs(s[i][j]), 0);
      return 0.5 * (1 - sum(same) / (same.length + 1)) + (0.5 * sum(other)) / (other.length + 1);
    };
    const { loss, grad } = patchTokenContrast(z, y);
    expectClose(loss, value(z.data), { atol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 1e-6 });
    expectExact(grad.row(2).data, [0, 0, 0, 0]);
  });

  it("class tokens: the image against certain crops, uncertain ones as negatives", () => {
    const image = rows(1, 3), crops = rows(4, 3), s = cosines(image.data, crops.data, 3)[0].map((v) => Math.exp(v / 0.5));
    const want = [0, 2].reduce((sum, p) => sum - Math.log(s[p] / (s[p] + s[1] + s[3])) / 2, 0);
    expectClose(classTokenContrast(image, crops, Int32Array.of(1, 0, 1, 0)).loss.item(), want, { rtol: 2e-6 });
  });
});

describe("interpolation consistency [paper:continual-semi-supervised-learning-through-contrastive-interpolation-consistency]", () => {
  const { hardRanks, mixed } = recipe<{
    hardRanks(z: Rows, labels: Int32Array, k: number, margin?: number, negativeOnly?: boolean): { loss: number; grad: Rows };
    mixed(x: Float32Array, other: Float32Array, lambda: number): Float32Array;
  }>("interpolation-consistency", ["hardRanks", "mixed"], modules);

  it.each([[1, false], [3, false], [3, true]] as const)("agrees with the authors' ranks, k %i, negatives only %s", (k, negativeOnly) => {
    const z = rows(8, 3), y = Int32Array.of(0, 1, 0, 1, 1, 2, 0, 1);
    const value = (x: ArrayLike<number>): number => {
      const v = rowsOf(x, 3), d = v.map((a) => v.map((b) => a.reduce((t, u, f) => t + (u - b[f]) ** 2, 0))), gaps: number[] = [];
      d.forEach((row, i) => {
        const positive = row.map((u, j) => (y[i] === y[j] ? u : 0)).sort((a, b) => b - a), negative = row.map((u, j) => (y[i] === y[j] ? Infinity : u)).sort((a, b) => a - b);
        for (let r = 0; r < k; r++) if (negative[r] < Infinity) gaps.push(Math.max(0, (negativeOnly ? 0 : positive[r]) - negative[r] + 1));
      });
      return gaps.reduce((a, b) => a + b, 0) / gaps.length;
    };
    const { loss, grad } = hardRanks(z, y, k, 1, negativeOnly);
    expectClose(loss, value(z.data), { rtol: 2e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 2e-6 });
  });

  it("mixes as lambda says; without a negative, or far from all, there is nothing to learn", () => {
    expectExact(mixed(Float32Array.of(1, 2), Float32Array.of(5, 6), 1), [1, 2]);
    expectExact(mixed(Float32Array.of(1, 2), Float32Array.of(5, 6), 0), [5, 6]);
    expectExact(hardRanks(rows(3, 2), Int32Array.of(4, 4, 4), 2).loss, 0);
    expectExact(hardRanks(new Tensor("float32", [2, 1], Float32Array.of(0, 9)), Int32Array.of(0, 1), 1).loss, 0);
  });
});
