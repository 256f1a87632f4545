import { batchLossChecks, lossChecks, testRandom, type BatchValues, type LossArgument } from "@logits/testkit";
import { describe, it } from "vitest";
import { angularLoss, liftedStructureLoss, swapTripletMarginLoss } from "./matrixLoss.ts";
import { metrixLoss } from "./metrix.ts";
import { proxyAnchorLoss } from "./proxyAnchor.ts";
import { tripletListLoss } from "./tripletList.ts";
import { classGradients } from "./fixtures/cases.ts";
import { cosineRef } from "./marginSoftmax.ref.ts";
import { lse, matrixRef, mean, softplusRef } from "./tuples.ref.ts";

const random = testRandom(9), normal = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
const relu = (x: number): number => Math.max(0, x);
const embeddings = (rows: number, features: number): LossArgument => ({ dtype: "float32", shape: [rows, features], data: normal(rows * features) });
const labels = (list: number[]): LossArgument => ({ dtype: "int32", shape: [list.length], data: Int32Array.from(list) });

type Anchor = (i: number, p: number[], n: number[], s: number[][], options: any) => number;
const specs: { name: string; loss: any; measure: string; options: object[]; value: Anchor }[] = [
  {
    name: "swapTripletMarginLoss",
    loss: swapTripletMarginLoss,
    measure: "euclidean",
    options: [{}, { margin: 1, average: "nonZero", distance: "squaredEuclidean" }, { smooth: true, average: "sum" }],
    value: (i, p, n, d, { margin = 0.2, smooth, average = "all" }) => {
      const terms = p.flatMap((a) => n.map((b) => d[i][a] - Math.min(d[i][b], d[a][b]) + margin)).map((x) => (smooth ? softplusRef(x) : relu(x)));
      return terms.reduce((a, b) => a + b, 0) / (average === "sum" ? 1 : average === "all" ? terms.length : Math.max(1, terms.filter((x) => x > 0).length));
    },
  },
  {
    name: "liftedStructureLoss",
    loss: liftedStructureLoss,
    measure: "euclidean",
    options: [{}, { margin: 2, distance: "squaredEuclidean" }],
    value: (i, p, n, d, { margin = 1 }) => mean(p.map((a) => relu(d[i][a] + lse([...n.map((b) => margin - d[i][b]), ...n.map((b) => margin - d[a][b])])) ** 2 / 2)),
  },
  {
    name: "angularLoss",
    loss: angularLoss,
    measure: "cosine",
    options: [{}, { angle: 0.6 }],
    value: (i, p, n, s, { angle = Math.PI / 4 }) => mean(p.map((a) => lse([0, ...n.map((b) => 4 * Math.tan(angle) ** 2 * (s[i][b] + s[a][b]) - 2 * (1 + Math.tan(angle) ** 2) * s[i][a])]))),
  },
];

describe.each(specs)("$name", ({ name, loss, measure, options, value }) => {
  it.each(batchLossChecks({
    name,
    loss,
    cases: options.flatMap((o) => [[0, 1, 0, 1, 1, 2, 0], [3, 3, 7, 7, 3]].map((y) => ({ name: `${y.length}, ${JSON.stringify(o)}`, arguments: [embeddings(y.length, 3), labels(y)], options: o }))),
    reference: ([z, y], o: any, [[rows, features]]): BatchValues => {
      const s = matrixRef(z, features, o.distance ?? measure), lists = Array.from({ length: rows }, (_, i) => [true, false].map((same) => Array.from({ length: rows }, (_, j) => j).filter((j) => j !== i && (y[j] === y[i]) === same)));
      const counts = lists.map(([p, n]) => (p.length > 0 && n.length > 0 ? 1 : 0));
      return { values: lists.map(([p, n], i) => (counts[i] ? value(i, p, n, s, o) : 0)), counts };
    },
    bound: { rtol: 2e-6, atol: 2e-6 }, // distances are float32
    gradientBound: { rtol: 2e-5, atol: 2e-5 },
    labels: { argument: 1 },
    extreme: false,
  }))("$name", ({ run }) => run());
});

describe("proxyAnchorLoss", () => {
  it.each(batchLossChecks({
    name: "proxyAnchorLoss",
    loss: proxyAnchorLoss,
    cases: [{}, { scale: 4, margin: 0.3 }].map((options) => ({ name: JSON.stringify(options), arguments: [embeddings(6, 3), embeddings(4, 3), labels([0, 2, 2, 1, 0, 2])], options })),
    reference: ([z, w, y], { margin = 0.1, scale = 32 }: any, [[rows, features], [classes]]) => {
      const s = (i: number, c: number): number => cosineRef(z.subarray(i * features, (i + 1) * features), w.subarray(c * features, (c + 1) * features)), all = Array.from({ length: rows }, (_, i) => i);
      return Array.from({ length: classes }, (_, c) => (classes / new Set(y).size) * lse([0, ...all.filter((i) => y[i] === c).map((i) => -scale * (s(i, c) - margin))]) + lse([0, ...all.filter((i) => y[i] !== c).map((i) => scale * (s(i, c) + margin))]));
    },
    units: "fixed",
    shared: [1],
    differentiable: classGradients,
    bound: { rtol: 2e-6, atol: 2e-6 },
    gradientBound: { rtol: 2e-5, atol: 2e-5 },
    labels: { argument: 2, classes: 4 },
    extreme: false,
  }))("$name", ({ run }) => run());
});

describe("metrixLoss [paper:it-takes-two-to-tango-mixup-for-deep-metric]", () => {
  it.each(lossChecks({
    name: "metrixLoss",
    loss: metrixLoss,
    cases: [{}, { alpha: 3, beta: 5, base: 0.2 }].map((options) => ({ name: JSON.stringify(options), arguments: [embeddings(4, 3), embeddings(5, 3), { dtype: "float32" as const, shape: [4, 5], data: Float32Array.from({ length: 20 }, () => random.uniform()) }], options })),
    reference: ([z, r, a], { alpha = 2, beta = 50, base = 0.5 }: any) => {
      const s = Array.from(a, (_, j) => cosineRef(z, r.subarray(j * z.length, (j + 1) * z.length)));
      return Math.log(1 + s.reduce((sum, v, j) => sum + a[j] * Math.exp(-alpha * (v - base)), 0)) / alpha + Math.log(1 + s.reduce((sum, v, j) => sum + (1 - a[j]) * Math.exp(beta * (v - base)), 0)) / beta;
    },
    shared: [1],
    differentiable: [{ argument: 0, read: (r) => r.grads.embeddings }, { argument: 1, read: (r) => r.grads.mixed }],
    bound: { rtol: 2e-6, atol: 2e-6 },
    gradientBound: { rtol: 2e-5, atol: 2e-5 },
    extreme: false,
  }))("$name", ({ run }) => run());
});

describe("tripletListLoss", () => {
  // The battery has rows on its first argument: triplets first.
  const turned = Object.assign((t: any, z: any, options: any) => tripletListLoss(z, t, options), { withGrad: (t: any, z: any, options: any) => tripletListLoss.withGrad(z, t, options) });
  it.each(lossChecks({
    name: "tripletListLoss",
    loss: turned,
    cases: [{}, { smooth: true, distance: "squaredEuclidean" }].map((options) => ({ name: JSON.stringify(options), arguments: [{ dtype: "int32" as const, shape: [4, 3], data: Int32Array.of(0, 1, 2, 3, 1, 0, 4, 3, 2, 1, 0, 4) }, embeddings(5, 3)], options })),
    reference: ([t, z], { margin = 0.2, smooth, distance = "euclidean" }: any) => {
      const d = matrixRef(z, 3, distance), x = d[t[0]][t[1]] - d[t[0]][t[2]] + margin;
      return smooth ? softplusRef(x) : relu(x);
    },
    shared: [1],
    differentiable: [{ argument: 1 }],
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { rtol: 1e-5, atol: 1e-5 },
    extreme: false,
  }))("$name", ({ run }) => run());
});
