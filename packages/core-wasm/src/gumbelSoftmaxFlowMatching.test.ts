import * as tensors from "@logits/tensor";
import { randomSource, Tensor } from "@logits/tensor";
import { expectClose, expectExact, recipe } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { gumbelRef } from "./gumbelSoftmax.ref.ts";
import * as core from "./index.ts";
import { softmaxRef } from "./softmax.ref.ts";

type Rows = Tensor<"float32">;

interface Recipe {
  tauMax: number;
  lambda: number;
  beta: number;
  interpolant(oneHot: Rows, t: number, seed: number): Rows;
  velocity(x: Rows): Rows;
  targetVelocity(x: Rows, posterior: Rows, t: number): Rows;
  guidance(x: Rows, gradient: (oneHot: Rows) => Rows, samples: number, seed: number): Rows;
}

const PAPER = "[paper:gumbel-softmax-flow-matching-with-straight-through-guidance-for]";
const { tauMax, lambda, beta, interpolant, velocity, targetVelocity, guidance } = recipe<Recipe>(
  "gumbel-softmax-flow-matching",
  ["tauMax", "lambda", "beta", "interpolant", "velocity", "targetVelocity", "guidance"],
  { "@logits/core-wasm": core, "@logits/tensor": tensors },
);
const C = 7, seed = 11;
const targets = [2, 0, 6];
const oneHot = new Tensor("float32", [3, C], Float32Array.from({ length: 3 * C }, (_, i) => (i % C === targets[Math.floor(i / C)] ? 1 : 0)));
/** e_k + g / beta of position r. */
const scores = (r: number): Float64Array => {
  const random = randomSource(seed, r);
  return Float64Array.from({ length: C }, (_, c) => (c === targets[r] ? 1 : 0) + gumbelRef(random.uint32()) / beta);
};
const tau = (t: number): number => tauMax * Math.exp(-lambda * t);
const path = (r: number, t: number): Float64Array => softmaxRef(scores(r), tau(t));
const tangent = (x: ArrayLike<number>, v: ArrayLike<number>): Float64Array => {
  const mean = Array.from(x).reduce((sum, p, i) => sum + p * v[i], 0);
  return Float64Array.from(x, (p, i) => p * (v[i] - mean));
};

describe("recipe: Gumbel-softmax flow matching", () => {
  it(`interpolates: softmax((e_k + g / beta) / tau(t)) with the same noise at every t ${PAPER}`, () => {
    for (const t of [0, 0.25, 0.5, 1]) {
      const x = interpolant(oneHot, t, seed);
      // Perturbed scores of up to 10 rounded to 2^-24 relative, over tau of at least 0.5.
      for (let r = 0; r < 3; r++) expectClose(x.row(r).data, path(r, t), { rtol: 1e-5, label: `t = ${t}, row ${r}` });
    }
  });

  it(`moves with the velocity that central differences of the interpolant show ${PAPER}`, () => {
    const h = 1e-5;
    for (const t of [0, 0.3, 0.7, 1]) {
      const u = velocity(interpolant(oneHot, t, seed));
      for (let r = 0; r < 3; r++) {
        const before = path(r, t - h), after = path(r, t + h), x = path(r, t), v = scores(r);
        // x and log x are float32: 1e-5 relative in x gives 1e-5 in log x, times lambda, at most 1 in weight.
        const bound = { atol: 2e-5 * lambda, label: `t = ${t}, row ${r}` };
        expectClose(u.row(r).data, x.map((_, c) => (after[c] - before[c]) / (2 * h)), bound);
        expectClose(u.row(r).data, tangent(x, v).map((d) => (lambda / tau(t)) * d), bound);
        expectClose(u.row(r).data.reduce((a, b) => a + b, 0), 0, { atol: 1e-5 });
      }
    }
  });

  it(`has a target part that points to the vertex, linear in the posterior ${PAPER}`, () => {
    const t = 0.6, x = interpolant(oneHot, t, seed);
    const u = targetVelocity(x, oneHot, t);
    for (let r = 0; r < 3; r++) {
      const row = x.row(r).data, k = targets[r];
      expectClose(u.row(r).data, Float64Array.from(row, (p, c) => (lambda / tau(t)) * row[k] * ((c === k ? 1 : 0) - p)), { atol: 1e-5 }); // roundings of numbers of order 1
    }
  });

  it(`ends one-hot as tau falls to 0 and begins uniform as tau grows ${PAPER}`, () => {
    const late = interpolant(oneHot, 8, seed);
    for (let r = 0; r < 3; r++) {
      const v = scores(r), top = v.indexOf(Math.max(...v));
      expectExact(late.row(r).data, Float32Array.from({ length: C }, (_, c) => (c === top ? 1 : 0)));
    }
    expectClose(interpolant(oneHot, -4, seed).data, new Float64Array(3 * C).fill(1 / C), { atol: 1e-5 }); // |e_k + g / beta| / tau is below 1e-4
    expectExact(velocity(late).data.map(Math.abs), new Float32Array(3 * C));
  });

  it(`guides by the gradient at one-hot samples that follow x_t ${PAPER}`, () => {
    const x = interpolant(oneHot, 0.4, seed), weights = Float32Array.from({ length: 3 * C }, (_, i) => Math.sin(i));
    const seen = new Float64Array(3 * C), samples = 4000;
    const u = guidance(x, (hard) => {
      hard.data.forEach((v, i) => (seen[i] += v));
      for (let r = 0; r < 3; r++) expect(hard.row(r).data.reduce((a, b) => a + b, 0)).toBe(1);
      return new Tensor("float32", x.shape, weights);
    }, samples, seed);
    for (let r = 0; r < 3; r++) {
      const row = Float64Array.from(x.row(r).data), w = weights.subarray(r * C, (r + 1) * C);
      // A linear classifier has the same gradient everywhere: the guidance is its projection. 4,000 float32 additions of parts of 1 / 4000.
      expectClose(u.row(r).data, tangent(row, w), { atol: 1e-4 });
      // It raises the classifier's score at x.
      expect(u.row(r).data.reduce((sum, d, c) => sum + d * w[c], 0)).toBeGreaterThan(0);
      const chi2 = row.reduce((sum, p, c) => sum + (seen[r * C + c] - samples * p) ** 2 / (samples * p), 0);
      expect(chi2).toBeLessThan(22.46); // 99.9 % point of chi-square with 6 degrees of freedom
    }
  });
});
