import { expectClose, lossChecks } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { classCase, classGradients } from "./fixtures/cases.ts";
import { arcFaceLoss, combinedMarginLoss, cosFaceLoss, marginSoftmaxLoss, normalizedSoftmaxLoss, sphereFaceLoss } from "./marginSoftmax.ts";
import { marginSoftmaxRef } from "./marginSoftmax.ref.ts";
import { arcFaceMargin, combinedMargin, cosFaceMargin, sphereFaceMargin } from "./targetMargins.ts";

const norm = (z: Float64Array): number => Math.sqrt(z.reduce((sum, x) => sum + x * x, 0));
const sphere = (m: number) => (c: number): number => {
  const k = Math.min(m - 1, Math.floor((m * Math.acos(c)) / Math.PI));
  return (-1) ** k * Math.cos(m * Math.acos(c)) - 2 * k;
};
const arc = (m: number) => (c: number): number => (Math.acos(c) <= Math.PI - m ? Math.cos(Math.acos(c) + m) : c - m * Math.sin(m));
const clamped = (f: (c: number) => number) => (c: number): number => f(Math.max(-1, Math.min(1, c)));

interface Spec {
  readonly name: string;
  readonly loss: any;
  readonly reference: (z: Float64Array, w: Float64Array, y: number, options: any) => number;
  readonly options?: readonly object[];
}
const specs: Spec[] = [
  { name: "normalizedSoftmaxLoss", loss: normalizedSoftmaxLoss, reference: (z, w, y, { scale = 20 }) => marginSoftmaxRef(z, w, y, scale, (c) => c), options: [{}, { scale: 4 }] },
  { name: "cosFaceLoss", loss: cosFaceLoss, reference: (z, w, y, { scale = 64, margin = 0.35 }) => marginSoftmaxRef(z, w, y, scale, (c) => c - margin), options: [{}, { scale: 8, margin: 0.2 }] },
  { name: "arcFaceLoss", loss: arcFaceLoss, reference: (z, w, y, { scale = 64, margin = 0.5, centers = 1 }) => marginSoftmaxRef(z, w, y, scale, clamped(arc(margin)), centers), options: [{}, { scale: 8, margin: 1.2 }, { scale: 8, centers: 3 }] },
  { name: "sphereFaceLoss", loss: sphereFaceLoss, reference: (z, w, y, { scale = 1, margin = 4 }) => marginSoftmaxRef(z, w, y, scale * norm(z), clamped(sphere(margin))), options: [{}, { margin: 3, scale: 2 }] },
  {
    name: "combinedMarginLoss",
    loss: combinedMarginLoss,
    reference: (z, w, y, { scale = 64, margins: [a, b, c] = [1, 0.5, 0] }) => marginSoftmaxRef(z, w, y, scale, clamped(a === 1 ? (x) => arc(b)(x) - c : (x) => Math.cos(a * Math.acos(x) + b) - c)),
    options: [{ scale: 8, margins: [1, 0.3, 0.2] }, { scale: 8, margins: [0.9, 0.4, 0.15] }, { scale: 8, margins: [1.35, 0, 0] }],
  },
  { name: "marginSoftmaxLoss", loss: marginSoftmaxLoss, reference: (z, w, y, { scale = 30, embeddingNorm }) => marginSoftmaxRef(z, w, y, embeddingNorm ? scale * norm(z) : scale, (c) => c), options: [{}, { scale: 2, embeddingNorm: true }] },
];

describe.each(specs)("$name", ({ name, loss, reference, options = [{}] }) => {
  it.each(lossChecks({
    name,
    loss,
    cases: options.flatMap((o: any) => [classCase(5, 3, 4, o, { centers: o.centers, seed: 3 }), classCase(3, 4, 5, o, { centers: o.centers, seed: 4 })]),
    reference: ([z, w, [y]], o: any) => reference(z, w, y, o),
    // Cosines are float32 sums: 1e-7 each, times the scale of up to 64.
    bound: { rtol: 1e-6, atol: 8e-6 },
    gradientBound: { rtol: 1e-5, atol: 3e-5 },
    differentiable: classGradients,
    shared: [1],
    labels: { argument: 2, classes: 5 },
    extreme: false,
  }).filter(({ name: check }) => !/label|ignoreIndex/.test(check) || check.startsWith("3 x 4")))("$name", ({ run }) => run());
});

describe("near the label's vector", () => {
  it("arcFaceLoss keeps the gradient of its definition down to an angle of 1e-5, where the slope is 50,000", () => {
    for (const theta of [0.1, 1e-3, 1e-5]) {
      // dL/dz = s q (d cos(theta + m) / d theta) (d theta / d z), which has the length s q sin(theta + m) / |z|.
      const { loss, grads } = arcFaceLoss.withGrad([[2, 2 * theta]], [[1, 0], [0, 1]], [0], { scale: 8 }), angle = Math.atan(Math.fround(2 * theta) / 2);
      const q = 1 - Math.exp(-loss.item()), other = 8 * q * Math.cos(angle);
      expectClose(Math.hypot(...grads.embeddings.data), (8 * q * Math.sin(angle + 0.5) + other) / Math.hypot(2, 2 * theta), { rtol: 2e-6 });
    }
  });

  it("gradients are finite at cosines of 1 and -1, and at vectors of zeros", () => {
    for (const loss of [arcFaceLoss, sphereFaceLoss, cosFaceLoss, combinedMarginLoss]) {
      for (const z of [[3, 0], [-3, 0], [0, 0]]) {
        const { loss: value, grads } = loss.withGrad([z], [[1, 0], [0, 1]], [0]);
        for (const x of [...value.data, ...grads.embeddings.data, ...grads.weights.data]) expect(Number.isFinite(x)).toBe(true);
      }
    }
    expect(normalizedSoftmaxLoss.withGrad([[0, 0]], [[1, 0], [0, 1]], [0]).loss.item()).toBeCloseTo(Math.log(2), 6);
    expect(normalizedSoftmaxLoss.withGrad([[NaN, 0]], [[1, 0], [0, 1]], [0]).loss.item()).toBeNaN();
  });

  it("gradients are across embeddings and vectors, whose length does not count [paper:hyperspherical-embedding-for-novel-class-classification]", () => {
    const z = [[0.3, -0.7, 2]], w = [[1, 2, 3], [-1, 0.5, 0], [0.2, 0.2, -1]], { loss, grads } = normalizedSoftmaxLoss.withGrad(z, w, [1], { scale: 6 });
    expectClose(grads.embeddings.data.reduce((sum, g, f) => sum + g * z[0][f], 0), 0, { atol: 1e-6 });
    expectClose(normalizedSoftmaxLoss([z[0].map((x) => 5 * x)], w.map((row, k) => row.map((x) => x * (k + 2))), [1], { scale: 6 }).item(), loss.item(), { rtol: 1e-6 });
  });
});

describe("margins as functions", () => {
  const margins: [string, (c: number) => readonly [number, number], (c: number) => number][] = [
    ["cosFaceMargin", cosFaceMargin(0.35), (c) => c - 0.35],
    ["arcFaceMargin", arcFaceMargin(0.5), arc(0.5)],
    ["sphereFaceMargin 3", sphereFaceMargin(3), sphere(3)],
    ["sphereFaceMargin 4", sphereFaceMargin(4), sphere(4)],
    ["combinedMargin", combinedMargin(1.3, 0.2, 0.1), (c) => Math.cos(1.3 * Math.acos(c) + 0.2) - 0.1],
  ];
  it.each(margins)("%s has the value and the slope of its definition", (_, margin, definition) => {
    for (let k = -99; k <= 99; k += 3) {
      const c = (k + 0.37) / 100, [value, slope] = margin(c);
      expectClose(value, definition(c), { atol: 1e-14 });
      expectClose(slope, (definition(c + 1e-6) - definition(c - 1e-6)) / 2e-6, { rtol: 1e-7, atol: 1e-7 });
    }
  });

  it("sphereFaceMargin goes from 1 down to 1 - 2m without a jump", () => {
    for (const m of [1, 2, 3, 4, 5]) {
      expectClose(sphereFaceMargin(m)(1)[0], 1, { atol: 1e-14 });
      expectClose(sphereFaceMargin(m)(-1)[0], 1 - 2 * m, { atol: 1e-13 });
      for (let k = 1; k <= 2000; k++) expect(sphereFaceMargin(m)(Math.cos((k * Math.PI) / 2000))[0]).toBeLessThan(sphereFaceMargin(m)(Math.cos(((k - 1) * Math.PI) / 2000))[0] + 1e-12);
    }
  });

  it("say what they cannot be", () => {
    expect(() => sphereFaceMargin(1.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: sphereFaceMargin: expected \`margin\` an integer >= 1, got 1.5]`);
    expect(() => combinedMargin(9, 0, 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: combinedMargin: expected \`multiple\` in (0, 8), got 9]`);
    expect(() => arcFaceMargin(-0.1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: arcFaceMargin: expected \`margin\` in [0, pi], got -0.1]`);
  });
});
