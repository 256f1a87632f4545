import { batchLossChecks, lossChecks, testRandom, type LossCase, type LossLike, type LossSpec } from "@logits/testkit";
import { describe, it } from "vitest";
import { dkdRef, klRef, logSoftmaxRef, mixtureRef, pearsonRef, pldRef, standardRef } from "./distillation.ref.ts";
import { binaryKlLoss, distillationLoss, distLoss, dkdLoss, jeffreysLoss, jensenShannonLoss, marginMseLoss, pldLoss, relationDistillationLoss, reverseKlLoss, skewKlLoss, totalVariationLoss } from "./index.ts";

const random = testRandom(8);
const matrix = (rows: number, classes: number, scale = 2) => ({ dtype: "float32" as const, shape: [rows, classes], data: Float32Array.from({ length: rows * classes }, () => scale * random.normal()) });
const two = (options: object = {}, rows = 5, classes = 6): LossCase => ({ name: JSON.stringify(options), arguments: [matrix(rows, classes), matrix(rows, classes)], options });
const three = (options: object = {}, rows = 5, classes = 6): LossCase => ({
  ...two(options, rows, classes),
  arguments: [matrix(rows, classes), matrix(rows, classes), { dtype: "int32", shape: [rows], data: Int32Array.from({ length: rows }, () => random.integer(classes)) }],
});
// Float64 inside, one rounding to float32; values up to 1e4 where predictions are.
const bound = { rtol: 2e-7, atol: 1e-7 }, gradientBound = { rtol: 1e-5, atol: 2e-6 };

type Logs = (s: number[], t: number[], options: any) => number;
const logs = (of: Logs): LossSpec["reference"] => ([x, t], options) => {
  const { temperature = 1, standardize } = options, z = standardize ? standardRef : (v: ArrayLike<number>) => v;
  return temperature ** 2 * of(logSoftmaxRef(z(x), temperature), logSoftmaxRef(z(t), temperature), options);
};
const js: Logs = (s, t, { beta = 0.5 }) => (beta === 0 ? klRef(t, s) : beta === 1 ? klRef(s, t) : beta * klRef(t, mixtureRef(beta, t, s)) + (1 - beta) * klRef(s, mixtureRef(beta, t, s)));
const skew: Logs = (s, t, { alpha = 0.1, reverse }) => (reverse ? klRef(s, mixtureRef(alpha, s, t)) : klRef(t, mixtureRef(alpha, t, s)));

const divergences: [string, LossLike, Logs, LossCase[]][] = [
  ["distillationLoss", distillationLoss, (s, t) => klRef(t, s), [two(), two({ temperature: 4 }), two({ standardize: true, temperature: 2 }, 4, 7), two({}, 4, 1)]],
  ["reverseKlLoss", reverseKlLoss, (s, t) => klRef(s, t), [two({ temperature: 2 })]],
  ["jeffreysLoss", jeffreysLoss, (s, t) => (klRef(s, t) + klRef(t, s)) / 2, [two({ temperature: 3 })]],
  ["jensenShannonLoss", jensenShannonLoss, js, [two(), ...[0, 0.1, 0.9, 1].map((beta) => two({ beta, temperature: 1.5 }))]],
  ["skewKlLoss", skewKlLoss, skew, [two(), two({ reverse: true }), two({ alpha: 0.5 }), two({ alpha: 0.3, reverse: true, temperature: 2 })]],
  ["totalVariationLoss", totalVariationLoss, (s, t) => s.reduce((sum, v, c) => sum + Math.abs(Math.exp(v) - Math.exp(t[c])) / 2, 0), [two({ temperature: 2 })]],
];

describe.each(divergences)("%s", (name, loss, of, cases) => {
  it.each(lossChecks({ name, loss, cases, reference: logs(of), bound, gradientBound }))("$name", ({ run }) => run());
});

describe.each([
  ["dkdLoss", dkdLoss, (s: number[], t: number[], y: number, { alpha = 1, beta = 8 }: any) => dkdRef(s, t, y, alpha, beta), [three(), three({ alpha: 0.5, beta: 2, temperature: 4 }), three({ standardize: true })]],
  ["pldLoss", pldLoss, (s: number[], t: number[], y: number) => pldRef(s, t, y), [three(), three({ temperature: 2 })]],
] as const)("%s", (name, loss, of, cases) => {
  const reference: LossSpec["reference"] = ([x, t, [y]], options) => logs((s, u) => of(s, u, y, options))([x, t], options);
  it.each(lossChecks({ name, loss, cases, reference, bound, gradientBound, labels: { argument: 2, classes: 6 } }))("$name", ({ run }) => run());
});

describe("marginMseLoss", () => {
  const reference: LossSpec["reference"] = ([s, t]) => s.slice(1).reduce((sum, v, d) => sum + (s[0] - v - (t[0] - t[d + 1])) ** 2 / (s.length - 1), 0);
  it.each(lossChecks({ name: "marginMseLoss", loss: marginMseLoss, cases: [two({}, 5, 2), two({}, 4, 4)], reference, bound, gradientBound }))("$name", ({ run }) => run());
});

describe("binaryKlLoss", () => {
  const log1pexp = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const reference: LossSpec["reference"] = ([s, t], { temperature: T = 1, normalize = true }) => T * T * s.reduce((sum, v, c) => {
    const [a, b, d] = [v / T, t[c] / T, Math.abs(v - t[c]) / (2 * T)], p = 1 / (1 + Math.exp(-b));
    return sum + (normalize ? d + Math.log1p(Math.exp(-2 * d)) - Math.LN2 : p * (log1pexp(-a) - log1pexp(-b)) + (1 - p) * (log1pexp(a) - log1pexp(b)));
  }, 0);
  it.each(lossChecks({ name: "binaryKlLoss", loss: binaryKlLoss, cases: [two(), two({ temperature: 3 }), two({ normalize: false }), two({ normalize: false, temperature: 2 })], reference, bound, gradientBound }))("$name", ({ run }) => run());
});

describe("distLoss", () => {
  it.each(batchLossChecks({
    name: "distLoss",
    loss: distLoss,
    cases: [two(), two({ temperature: 4, beta: 2, gamma: 0.5 })],
    reference: ([x, t], { temperature = 1, beta = 1, gamma = 1 }, [[rows, classes]]) => {
      const soft = (z: Float64Array): number[][] => Array.from({ length: rows }, (_, r) => logSoftmaxRef(z.subarray(r * classes, (r + 1) * classes), temperature).map(Math.exp)), s = soft(x), p = soft(t);
      const column = (m: number[][], c: number): number[] => m.map((row) => row[c]), intra = s[0].reduce((sum, _, c) => sum + (1 - pearsonRef(column(s, c), column(p, c))) / classes, 0);
      return s.map((row, r) => temperature ** 2 * (beta * (1 - pearsonRef(row, p[r])) + gamma * intra));
    },
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { rtol: 1e-5, atol: 2e-6 },
    extreme: false, // a student of zeros and ones: the correlation of a constant has no value
  }))("$name", ({ run }) => run());
});

describe("relationDistillationLoss", () => {
  // One sequence: its tokens are the batch.
  const one: LossLike = Object.assign((x: any, y: any, options: any) => lift(relationDistillationLoss(seq(x), seq(y), lower(options)), options), {
    withGrad: (x: any, y: any, { upstream, ...options }: any) => {
      const given = upstream && { ...upstream, shape: options.reduction === "none" ? [1, ...upstream.shape] : upstream.shape }, { loss, grad } = relationDistillationLoss.withGrad(seq(x), seq(y), { ...lower(options), upstream: given });
      return { loss: lift(loss, options), grad: { shape: grad.shape.slice(1), data: grad.data } };
    },
  });
  const seq = (x: any) => ({ ...x, shape: [1, ...x.shape] }), up = (x: any) => x && { dtype: x instanceof Float32Array ? "float32" : "uint8", shape: [1, x.length], data: x };
  const lower = (options: any = {}) => ({ ...options, weight: up(options.weight), where: up(options.where) }), lift = (x: any, options: any) => (options?.reduction === "none" ? { shape: x.shape.slice(1), data: x.data } : x);
  it.each(batchLossChecks({
    name: "relationDistillationLoss",
    loss: one,
    cases: [{ ...two({ heads: 2 }, 4, 6), arguments: [matrix(4, 6), matrix(4, 4)] }, two({}, 5, 3)],
    reference: ([x, y], { heads = 1 }, [[rows]]) => Array.from({ length: rows }, (_, i) => Array.from({ length: heads }, (_, a) => {
      const relation = (z: Float64Array): number[] => {
        const width = z.length / rows / heads, part = (j: number): Float64Array => z.subarray((j * heads + a) * width, (j * heads + a + 1) * width);
        return logSoftmaxRef(Array.from({ length: rows }, (_, j) => part(i).reduce((sum, v, f) => sum + v * part(j)[f], 0)), Math.sqrt(width));
      };
      return klRef(relation(y), relation(x)) / heads;
    }).reduce((a, b) => a + b, 0)),
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { rtol: 1e-5, atol: 1e-5 },
    extreme: false,
  }))("$name", ({ run }) => run());
});
