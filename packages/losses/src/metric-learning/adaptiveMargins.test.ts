import { expectClose, lossChecks } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { adaCosScale, adaFaceLoss, curricularFaceLoss, madaCos, magFaceLoss, targetCosines } from "./adaptiveMargins.ts";
import { classCase, classGradients } from "./fixtures/cases.ts";
import { arcFaceLoss, cosFaceLoss, normalizedSoftmaxLoss } from "./marginSoftmax.ts";
import { cosineRef, marginSoftmaxRef } from "./marginSoftmax.ref.ts";
import { p2sGradLoss, proxyNcaLoss, softTripleLoss } from "./proxies.ts";
import { sphereFace2Bias, sphereFace2Loss } from "./sphereFace2.ts";
import { lse, softplusRef } from "./tuples.ref.ts";

const norm = (z: Float64Array): number => Math.sqrt(z.reduce((sum, x) => sum + x * x, 0)), clip = (x: number, low: number, high: number): number => Math.max(low, Math.min(high, x));
const arc = (c: number, m: number): number => (Math.acos(clip(c, -1, 1)) <= Math.PI - m ? Math.cos(Math.acos(clip(c, -1, 1)) + m) : c - m * Math.sin(m));
const cosines = (z: Float64Array, w: Float64Array): number[] => Array.from({ length: w.length / z.length }, (_, k) => cosineRef(z, w.subarray(k * z.length, (k + 1) * z.length)));
const crossEntropy = (f: number[], y: number, s: number): number => lse(f.map((v) => s * v)) - s * f[y];

interface Spec {
  readonly name: string;
  readonly loss: any;
  readonly options: readonly any[];
  readonly reference: (z: Float64Array, w: Float64Array, y: number, options: any) => number;
}
const g = (c: number, t: number): number => 2 * ((c + 1) / 2) ** t - 1;
const specs: Spec[] = [
  {
    name: "curricularFaceLoss",
    loss: curricularFaceLoss,
    options: [{ scale: 8 }, { scale: 8, curriculum: 0.4, margin: 0.3 }],
    reference: (z, w, y, { scale = 64, margin = 0.5, curriculum: t = 0 }) => {
      const c = cosines(z, w), target = arc(c[y], margin);
      return crossEntropy(c.map((v, j) => (j === y ? target : v > target ? v * (t + v) : v)), y, scale);
    },
  },
  {
    name: "magFaceLoss",
    loss: magFaceLoss,
    options: [{ scale: 8, norms: [0.5, 5], lambda: 2 }, { scale: 8, norms: [1.5, 2], margins: [0.1, 1.3] }],
    reference: (z, w, y, { scale, norms: [l, u], margins: [low, high] = [0.45, 0.8], lambda = 35 }) => {
      const a = clip(norm(z), l, u), m = low + ((high - low) / (u - l)) * (a - l);
      return marginSoftmaxRef(z, w, y, scale, (c) => arc(c, m)) + lambda * (a / u ** 2 + 1 / a);
    },
  },
  {
    name: "sphereFace2Loss",
    loss: sphereFace2Loss,
    options: [{ gradient: "exact" }, { gradient: "exact", kind: "A", scale: 8 }, { gradient: "exact", kind: "M", margin: 1.4, scale: 8, power: 2, bias: -1 }],
    reference: (z, w, y, { kind = "C", margin: m = 0.4, power: t = 3, balance = 0.7, scale: s = 40, bias }) => {
      const c = cosines(z, w), b = bias ?? sphereFace2Bias(c.length, { kind, margin: m, power: t, balance, scale: s }), own = kind === "C" ? g(c[y], t) - m : g(Math.cos(Math.min(Math.PI, kind === "A" ? Math.acos(c[y]) + m : m * Math.acos(c[y]))), t);
      return c.reduce((sum, v, j) => sum + (j === y ? (balance / s) * softplusRef(-(s * own + b)) : ((1 - balance) / s) * softplusRef(s * (g(v, t) + (kind === "C" ? m : 0)) + b)), 0);
    },
  },
  { name: "p2sGradLoss", loss: p2sGradLoss, options: [{}], reference: (z, w, y) => cosines(z, w).reduce((sum, c, j, all) => sum + (c - (j === y ? 1 : 0)) ** 2 / all.length, 0) },
  {
    name: "softTripleLoss",
    loss: softTripleLoss,
    options: [{}, { centers: 3, gamma: 0.3, margin: 0.2 }],
    reference: (z, w, y, { centers = 1, gamma = 0.1, margin = 0.01, scale = 20 }) => {
      const c = cosines(z, w), S = Array.from({ length: c.length / centers }, (_, k) => c.slice(k * centers, (k + 1) * centers)).map((own) => own.reduce((sum, v) => sum + v * Math.exp(v / gamma - lse(own.map((x) => x / gamma))), 0));
      return crossEntropy(S.map((v, j) => (j === y ? v - margin : v)), y, scale);
    },
  },
  { name: "proxyNcaLoss", loss: proxyNcaLoss, options: [{}, { scale: 3 }], reference: (z, w, y, { scale = 1 }) => crossEntropy(cosines(z, w).map((c) => c - 1), y, 2 * scale) },
];

describe.each(specs)("$name", ({ name, loss, reference, options }) => {
  it.each(lossChecks({
    name,
    loss,
    cases: options.flatMap((o) => [classCase(5, 3, 4, o, { centers: o.centers, seed: 3 }), classCase(3, 4, 5, o, { centers: o.centers, seed: 8 })]),
    reference: ([z, w, [y]], o: any) => reference(z, w, y, o),
    bound: { rtol: 1e-6, atol: 4e-6 }, // cosines are float32 sums, 1e-7 each, times the scale
    gradientBound: { rtol: 1e-5, atol: 1e-5 },
    differentiable: classGradients,
    shared: [1],
    labels: { argument: 2, classes: 5 },
    extreme: false,
  }).filter(({ name: check }) => !/label|ignoreIndex/.test(check) || check.startsWith("3 x 4")))("$name", ({ run }) => run());
});

describe("adaFaceLoss", () => {
  const options = { scale: 8, normMean: 1.5, normDeviation: 0.3 }, [z, w, y] = classCase(5, 3, 4, {}, { seed: 3 }).arguments;
  it("has the margin of the definition, whose quality has no gradient", () => {
    const quality = Array.from({ length: 5 }, (_, i) => clip((0.333 * (norm(Float64Array.from(z.data.subarray(3 * i, 3 * i + 3))) - 1.5)) / 0.3, -1, 1));
    const value = (x: Float64Array, i: number): number => marginSoftmaxRef(x, Float64Array.from(w.data), y.data[i], 8, (c) => Math.cos(clip(Math.acos(c) - 0.4 * quality[i], 0, Math.PI)) - 0.4 * (1 + quality[i]));
    const { loss, grads } = adaFaceLoss.withGrad(z as any, w as any, y as any, { ...options, reduction: "none" });
    for (let i = 0; i < 5; i++) {
      const row = Float64Array.from(z.data.subarray(3 * i, 3 * i + 3));
      expectClose(loss.data[i], value(row, i), { rtol: 1e-6, atol: 2e-6 });
      for (let f = 0; f < 3; f++) {
        const shifted = (h: number): Float64Array => row.map((v, k) => (k === f ? v + h : v));
        expectClose(grads.embeddings.data[3 * i + f], (value(shifted(1e-5), i) - value(shifted(-1e-5), i)) / 2e-5, { rtol: 1e-5, atol: 1e-5 });
      }
    }
  });

  it("is CosFace for embeddings of mean length, and ArcFace with a cosine margin of 0 for short ones", () => {
    const unit = [[0.6, 0.8]], classes = [[0, 1], [1, 0]];
    expectClose(adaFaceLoss(unit, classes, [0], { normMean: 1, scale: 8 }).item(), cosFaceLoss(unit, classes, [0], { margin: 0.4, scale: 8 }).item(), { rtol: 1e-6 });
    expectClose(adaFaceLoss(unit, classes, [0], { normMean: 100, normDeviation: 1, scale: 8 }).item(), arcFaceLoss(unit, classes, [0], { margin: 0.4, scale: 8 }).item(), { rtol: 1e-6 });
  });
});

describe("limits", () => {
  const [z, w, y] = classCase(5, 3, 4, {}, { seed: 5 }).arguments as any[];
  it("are one another", () => {
    const plain = normalizedSoftmaxLoss(z, w, y, { scale: 8 }).item();
    for (const value of [cosFaceLoss(z, w, y, { scale: 8, margin: 0 }), arcFaceLoss(z, w, y, { scale: 8, margin: 0 }), softTripleLoss(z, w, y, { scale: 8, margin: 0 }), proxyNcaLoss(z, w, y, { scale: 4 })]) expectClose(value.item(), plain, { rtol: 1e-6 });
    expectClose(magFaceLoss(z, w, y, { scale: 8, lambda: 0, margins: [0.5, 0.5] }).item(), arcFaceLoss(z, w, y, { scale: 8, margin: 0.5 }).item(), { rtol: 1e-6 });
    expectClose(arcFaceLoss(z, w, y, { scale: 8, centers: 1 }).item(), arcFaceLoss(z, { data: Float32Array.from([0, 1, 2, 3].flatMap((k) => [...w.data.subarray(3 * k, 3 * k + 3), ...w.data.subarray(3 * k, 3 * k + 3)])), shape: [8, 3] }, y, { scale: 8, centers: 2 }).item(), { rtol: 1e-6 });
  });
});

describe("scales and margins of a batch", () => {
  const [z, w, y] = classCase(5, 3, 4, {}, { seed: 5 }).arguments as any[];
  const rows = [0, 1, 2, 3, 4].map((i) => cosines(Float64Array.from(z.data.subarray(3 * i, 3 * i + 3)), Float64Array.from(w.data))), own = rows.map((c, i) => c[y.data[i]]);

  it("are AdaCos's", () => {
    expectClose(targetCosines(z, w, y).data, own, { atol: 1e-7 });
    expect(adaCosScale(z, w, y)).toBeCloseTo(Math.SQRT2 * Math.log(3), 14);
    const B = rows.reduce((sum, c, i) => sum + c.reduce((part, v, j) => (j === y.data[i] ? part : part + Math.exp(3 * v)), 0), 0) / 5, median = own.slice().sort((a, b) => a - b)[2];
    expectClose(adaCosScale(z, w, y, { scale: 3 }), Math.log(B) / Math.cos(Math.min(Math.PI / 4, Math.acos(median))), { rtol: 1e-6 });
  });

  it("give the median row of MadaCos the probability alpha [paper:coarse-to-fine-learning-compact-discriminative-representation-for-single]", () => {
    for (const alpha of [0.1, 0.03]) {
      const made = madaCos(z, w, y, { alpha }), median = own.slice().sort((a, b) => a - b)[2], at = own.indexOf(median);
      const { loss } = cosFaceLoss.withGrad(z, w, y, { ...made, reduction: "none" });
      if (made.margin > 0) expectClose(Math.exp(-loss.data[at]), alpha, { rtol: 2e-4 }); // a scale of up to 60 times cosines within 1e-7
      expect(made.scale).toBeCloseTo(Math.max(32, Math.log((9999999 * (1 - alpha)) / alpha) / (1 - median)), 4);
    }
    expect(madaCos([[1, 1]], [[1, 0], [0, 1]], [0]).margin).toBeCloseTo(Math.log(9) / 62.53, 4);
  });
});

describe("sphereFace2Loss [paper:sphereface2-binary-classification-is-all-you-need-for-deep]", () => {
  it("balances the gradients of the label and of the others where cosines are 0", () => {
    for (const options of [{}, { kind: "A" as const }, { kind: "M" as const, margin: 1.5, power: 2 }]) {
      const { grads } = sphereFace2Loss.withGrad([[0, 0, 0, 1]], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], [1], options), [a, b, c] = grads.embeddings.data;
      expectClose(-b, a + c, { rtol: 1e-5 });
      expect(a).toBeGreaterThan(0);
    }
  });

  it("is one-against-rest binary cross-entropy with t = 1, r = 1 and no margin", () => {
    expectClose(sphereFace2Loss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 1, margin: 0, power: 1, bias: 0, balance: 0.5 }).item(), (softplusRef(-1) + softplusRef(0)) / 2, { rtol: 1e-6 });
  });

  it("has the published gradient: that of the score, through the cosine alone", () => {
    const z = [[0.6, 0.8]], w = [[1, 0], [0, 1]], s = 5, b = 0.3, { grads } = sphereFace2Loss.withGrad(z, w, [0], { scale: s, bias: b }), sigma = (x: number): number => 1 / (1 + Math.exp(-x));
    const own = -0.7 * sigma(-(s * (g(0.6, 3) - 0.4) + b)), other = 0.3 * sigma(s * (g(0.8, 3) + 0.4) + b);
    expectClose(grads.embeddings.data, [own * (1 - 0.36) - other * 0.48, other * (1 - 0.64) - own * 0.48], { rtol: 1e-5 });
  });
});

it("messages", () => {
  const message = (f: () => unknown): string => {
    try {
      f();
    } catch (error) {
      return (error as Error).message;
    }
    return "none";
  };
  expect([
    () => arcFaceLoss([1, 2], [[1, 2]], [0]),
    () => arcFaceLoss([[1, 2]], [[1, 2, 3]], [0]),
    () => arcFaceLoss([[1, 2]], [[1, 2]], [0, 1]),
    () => arcFaceLoss([[1, 2]], [[1, 2], [3, 4], [1, 1]], [0], { centers: 2 }),
    () => arcFaceLoss([[1, 2]], [[1, 2]], [0], { scale: 0 }),
    () => arcFaceLoss([[1, 2]], [[1, 2]], [0], { margin: 4 }),
    () => magFaceLoss([[1, 2]], [[1, 2]], [0], { norms: [2, 1] }),
    () => sphereFace2Loss([[1, 2]], [[1, 2], [2, 1]], [0], { balance: 1 }),
    () => sphereFace2Bias(1),
    () => madaCos([[1, 2]], [[1, 2]], [0], { alpha: 1 }),
    () => madaCos([[1, 0]], [[1, 0]], [0]),
    () => adaCosScale({ data: new Float32Array(0), shape: [0, 2] }, [[1, 2]], { data: new Int32Array(0), shape: [0] }, { scale: 1 }),
  ].map(message)).toMatchInlineSnapshot(`
    [
      "arcFaceLoss: expected \`embeddings\` of shape [B, F], got [2]",
      "arcFaceLoss: expected \`weights\` of shape [C, 2], got [1, 3]",
      "arcFaceLoss: expected \`labels\` of shape [1], got [2]",
      "arcFaceLoss: expected \`rows of weights / centers\` an integer in [1, 3], got 1.5",
      "arcFaceLoss: expected \`scale\` a finite number > 0, got 0",
      "arcFaceMargin: expected \`margin\` in [0, pi], got 4",
      "magFaceLoss: expected \`norms\` [l, u] with 0 < l < u, got [2, 1]",
      "sphereFace2Loss: expected \`balance\` in (0, 1), got 1",
      "sphereFace2Bias: expected \`classes\` an integer >= 2, got 1",
      "madaCos: expected \`alpha\` in (0, 1), got 1",
      "madaCos: expected \`embeddings\` with a median cosine below 1: the scale would be infinite, got 1",
      "adaCosScale: expected \`embeddings\` with at least one row, got none",
    ]
  `);
});
