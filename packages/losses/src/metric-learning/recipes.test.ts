import * as core from "@logits/core-wasm";
import * as tensors from "@logits/tensor";
import { expectClose, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as classification from "../classification/index.ts";
import * as vocabulary from "../large-vocabulary/index.ts";
import * as losses from "./index.ts";

type Rows = tensors.Tensor<"float32">;
const { Tensor, randomSource } = tensors, modules = { "@logits/core-wasm": core, "@logits/tensor": tensors, "@logits/losses/classification": classification, "@logits/losses/large-vocabulary": vocabulary, "@logits/losses/metric-learning": losses };
const random = testRandom(3), rows = (n: number, f: number): Rows => new Tensor("float32", [n, f], Float32Array.from({ length: n * f }, () => random.normal()));
const square = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number, f: number): number => Array.from({ length: f }, (_, k) => (a[i * f + k] - b[j * f + k]) ** 2).reduce((x, y) => x + y, 0);

describe("clusters that sharpen themselves [paper:a-novel-self-learning-framework-for-bladder-cancer-grading]", () => {
  const { clusterScores, clusterTargets, clusterLoss } = recipe<{ clusterScores(z: Rows, c: Rows): Rows; clusterTargets(q: Rows): Rows; clusterLoss(z: Rows, c: Rows, p: Rows): { loss: number; z: Rows; centers: Rows } }>("deep-cluster-targets", ["clusterScores", "clusterTargets", "clusterLoss"], modules);
  const z = rows(5, 3), c = rows(3, 3), assigned = (x: ArrayLike<number>, m: ArrayLike<number>): number[][] => Array.from({ length: 5 }, (_, i) => {
    const kernel = [0, 1, 2].map((j) => 1 / (1 + square(x, i, m, j, 3))), sum = kernel.reduce((a, b) => a + b);
    return kernel.map((v) => v / sum);
  });

  it("has the divergence and the gradients of its definition, targets held", () => {
    const q = core.softmax(clusterScores(z, c)), p = clusterTargets(q as Rows);
    expectClose(q.data, assigned(z.data, c.data).flat(), { atol: 1e-6 });
    for (let i = 0; i < 5; i++) expectClose(p.row(i).data.reduce((a, b) => a + b), 1, { atol: 1e-6 });
    const value = (x: ArrayLike<number>, m: ArrayLike<number>): number => assigned(x, m).flat().reduce((sum, v, k) => sum + (p.data[k] * Math.log(p.data[k] / v)) / 5, 0), got = clusterLoss(z, c, p);
    expectClose(got.loss, value(z.data, c.data), { atol: 1e-6 });
    expectClose(got.z.data, finiteDifferenceGradient((x) => value(x, c.data), z.data), { atol: 1e-6 });
    expectClose(got.centers.data, finiteDifferenceGradient((m) => value(z.data, m), c.data), { atol: 2e-6 });
  });

  it("sharpens", () => {
    const q = core.softmax(clusterScores(z, c)) as Rows, entropy = (x: Rows): number => -x.data.reduce((sum, v) => sum + v * Math.log(v), 0);
    expect(entropy(clusterTargets(q))).toBeLessThan(entropy(q));
  });
});

describe("random classes and columns [paper:unicom-universal-and-compact-representation-learning-for-image-retrieval]", () => {
  const { randomColumns } = recipe<{ randomColumns(z: Rows, w: Rows, y: Int32Array, classes: number, columns: number, r: tensors.RandomSource): { loss: number; classes: Int32Array; embeddings: Rows; weights: Rows } }>("random-columns", ["randomColumns"], modules);
  const z = rows(4, 6), w = rows(9, 6), y = Int32Array.of(2, 7, 2, 0);

  it("is CosFace with all classes and columns", () => {
    const got = randomColumns(z, w, y, 9, 6, randomSource(1)), { loss, grads } = losses.cosFaceLoss.withGrad(z, w, y, { scale: 64, margin: 0.3 });
    expectClose(got.loss, loss.item(), { rtol: 1e-6 });
    expectClose(got.embeddings.data, grads.embeddings.data, { atol: 1e-5 });
    expectClose(got.weights.data, grads.weights.data, { atol: 1e-5 });
  });

  it("keeps the classes of the batch, and leaves the other columns alone", () => {
    const got = randomColumns(z, w, y, 5, 3, randomSource(2)), touched = new Set(Array.from(got.embeddings.data.keys()).filter((k) => got.embeddings.data[k] !== 0).map((k) => k % 6));
    expect(got.classes.length).toBe(5);
    for (const label of y) expect(got.classes).toContain(label);
    expect(touched.size).toBe(3);
    expect(got.weights.shape).toEqual([5, 6]);
  });
});

describe("triplets against prototypes [paper:susana-distancia-is-all-you-need-enforcing-class-separability]", () => {
  const { protoTriplet } = recipe<{ protoTriplet(s: Rows, sl: Int32Array, q: Rows, l: Int32Array, classes: number, margin?: number): { loss: number; support: Rows; queries: Rows } }>("proto-triplet", ["protoTriplet"], modules);

  it("has the value and the gradients of its definition", () => {
    const support = rows(6, 3), of = Int32Array.of(0, 0, 1, 1, 2, 2), queries = rows(4, 3), y = Int32Array.of(1, 0, 2, 1);
    const value = (s: ArrayLike<number>, q: ArrayLike<number>): number => {
      const means = Array.from({ length: 9 }, (_, k) => (s[6 * Math.floor(k / 3) + (k % 3)] + s[6 * Math.floor(k / 3) + 3 + (k % 3)]) / 2);
      return Array.from(y, (label, i) => [0, 1, 2].filter((n) => n !== label).map((n) => Math.max(0, Math.sqrt(square(q, i, means, label, 3)) - Math.sqrt(square(q, i, means, n, 3)) + 1))).flat().reduce((a, b) => a + b) / 8;
    };
    const got = protoTriplet(support, of, queries, y, 3);
    expectClose(got.loss, value(support.data, queries.data), { rtol: 1e-6 });
    expectClose(got.support.data, finiteDifferenceGradient((s) => value(s, queries.data), support.data), { atol: 1e-6 });
    expectClose(got.queries.data, finiteDifferenceGradient((q) => value(support.data, q), queries.data), { atol: 1e-6 });
  });
});
