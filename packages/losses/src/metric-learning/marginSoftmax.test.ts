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
    cases: options.flatMap((o: any) => [classCase(5, 3, 4, o, { centers: o.centers, seed: 3 }), classCase(4, 6, 5, o, { centers: o.centers, seed: 4 })]),
    reference: ([z, w, [y]], o: any) => reference(z, w, y, o),
    // Cosines are float32 sums: 1e-7 each, times the scale of up to 64.
    bound: { rtol: 1e-6, atol: 8e-6 },
    gradientBound: { rtol: 1e-5, atol: 3e-5 },
    differentiable: classGradients,
    shared: [1],
    labels: { argument: 2, classes: 5 },
    extreme: false,
  }).filter(({ name: check }) => !/label|ignoreIndex/.test(check) || check.startsWith("4 x 6")))("$name", ({ run }) => run());
});
