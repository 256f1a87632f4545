import { batchLossChecks, expectClose, lossChecks, testRandom, type LossCase } from "@logits/testkit";
import { describe, it } from "vitest";
import * as losses from "./index.ts";
import { answers, coverageRef, grpoRef, ls, plainPairs, referencePairs, sapoRef } from "./preference.ref.ts";

const random = testRandom(5);
const list = (scale: number, of = (x: number) => x, rows = 6) => ({ dtype: "float32" as const, shape: [rows], data: Float32Array.from({ length: rows }, () => of(scale * random.normal())) });
// One rounding to float32 of values in float64; log-ratios of float32 arguments are exact in float64.
const bound = { rtol: 2e-7, atol: 1e-7 }, gradientBound = { rtol: 2e-6, atol: 1e-7 };
const sides = ["chosen", "rejected"] as const, differentiable = sides.map((side, argument) => ({ argument, read: (r: any) => r.grads[side] }));

const settings: Record<string, object[]> = {
  dpoLoss: [{}, { beta: 0.5, labelSmoothing: 0.1 }, { divergence: "forward-kl" }, { divergence: "jensen-shannon", beta: 1 }, { divergence: 0.5, labelSmoothing: 0.2 }, { divergence: 1 }],
  robustDpoLoss: [{ labelSmoothing: 0.2 }, { beta: 1 }],
  ipoLoss: [{}, { beta: 0.5 }],
  slicLoss: [{ beta: 0.7 }],
  exoLoss: [{}, { labelSmoothing: 0.1, beta: 1 }],
  noiseContrastiveAlignmentLoss: [{}, { beta: 1 }],
  sppoLoss: [{}, { beta: 1 }],
  apoZeroLoss: [{}, { beta: 1 }],
  apoDownLoss: [{}, { beta: 1 }],
  discopopLoss: [{}, { tau: 0.5, beta: 1 }],
  cpoLoss: [{}, { beta: 1, labelSmoothing: 0.2 }],
  simpoLoss: [{}, { gamma: 0.5, beta: 1, alpha: 0.25 }, { labelSmoothing: 0.1, alpha: -0.5 }],
  orpoLoss: [{}, { beta: 1 }],
  rewardModelLoss: [{}, { centering: 0.01 }],
};

describe.each(Object.keys(referencePairs))("%s", (name) => {
  const cases: LossCase[] = settings[name].map((options) => ({ name: JSON.stringify(options), arguments: [list(3), list(3), list(3), list(3)], options }));
  // Exponentials of log-ratios of 1e4 do not fit any float.
  const fits = (options: object = {}): boolean => !["forward-kl", 0.5].includes((options as { divergence: string }).divergence);
  for (const extreme of [false, 1e4] as const) {
    const chosen = cases.filter(({ options }) => fits(options) === (extreme !== false));
    if (chosen.length > 0) it.each(lossChecks({ name, loss: (losses as any)[name], cases: chosen, reference: ([[w], [l], [rw], [rl]], options) => referencePairs[name](w - rw, l - rl, options), bound, gradientBound, differentiable, extreme }))("$name", ({ run }) => run());
  }
});

describe.each(Object.keys(plainPairs))("%s", (name) => {
  const of = name === "orpoLoss" ? (x: number) => -Math.abs(x) - 0.01 : undefined;
  const cases: LossCase[] = settings[name].map((options) => ({ name: JSON.stringify(options), arguments: [list(1, of), list(1, of)], options }));
  it.each(lossChecks({ name, loss: (losses as any)[name], cases, reference: ([[w], [l]], options) => plainPairs[name](w, l, options), bound, gradientBound: { rtol: 5e-6, atol: 1e-6 }, differentiable, extreme: ["orpoLoss", "simpoLoss"].includes(name) ? false : 1e4 }))("$name", ({ run }) => run());
});

describe("aotLoss", () => {
  const cases: LossCase[] = [{}, { unpaired: true }, { beta: 1, labelSmoothing: 0.1 }].map((options) => ({ name: JSON.stringify(options), arguments: [list(3), list(3), list(3), list(3)], options }));
  it.each(batchLossChecks({
    name: "aotLoss",
    loss: losses.aotLoss,
    cases,
    reference: ([w, l, rw, rl], { beta = 0.1, labelSmoothing: e = 0, unpaired }) => {
      const u = w.map((x, i) => x - (unpaired ? rw : l)[i]), v = Array.from(unpaired ? l.map((x, i) => x - rl[i]) : rw.map((x, i) => x - rl[i])).sort((a, b) => a - b);
      return u.map((x) => {
        const m = beta * (x - v[u.filter((y) => y < x).length]);
        return -(1 - e) * ls(m) - e * ls(-m);
      });
    },
    bound,
    gradientBound,
    differentiable,
    extreme: false, // ties: places are decided by the order of the pairs
  }))("$name", ({ run }) => run());
});

describe.each(Object.keys(answers))("%s", (name) => {
  const options = { ktoLoss: [{}, { kl: 0.7, desirableWeight: 1.3, undesirableWeight: 0.5 }], bcoLoss: [{}, { delta: 0.4, beta: 1 }] }[name]!;
  const cases: LossCase[] = options.map((o) => ({ name: JSON.stringify(o), arguments: [list(3), list(3), { dtype: "float32", shape: [6], data: Float32Array.of(1, 0, 1, 0, 0, 0.25) }], options: o }));
  it.each(lossChecks({ name, loss: (losses as any)[name], cases, reference: ([[x], [r], [good]], o) => answers[name](x - r, good, o), bound, gradientBound }))("$name", ({ run }) => run());
});

describe("coverageLoss", () => {
  const cases: LossCase[] = [1, 4, 256].map((samples) => ({ name: `${samples} samples`, arguments: [list(2, (x) => -Math.abs(x) - 0.05)], options: { samples } }));
  it.each(lossChecks({ name: "coverageLoss", loss: losses.coverageLoss, cases, reference: ([[x]], { samples }) => (samples === 1 ? -x : coverageRef(x, samples)), bound, gradientBound: { rtol: 5e-6, atol: 1e-6 }, extreme: false }))("$name", ({ run }) => run());
});

describe("grpoLoss", () => {
  const reference = list(0.3), cases: LossCase[] = [{}, { clip: [0.1, 0.3] as const }, { maxRatio: 1.2, clip: 0.05 }, { gate: [1, 1.05] }].map((options) => ({ name: JSON.stringify(options), arguments: [list(0.3), list(0.3), list(2)], options }));
  it.each(lossChecks({
    name: "grpoLoss",
    loss: losses.grpoLoss,
    cases,
    reference: ([[x], [old], [a]], { clip = 0.2, maxRatio = Infinity, gate }) => gate ? sapoRef(x, old, a, gate) : grpoRef(x, old, a, ...(typeof clip === "number" ? ([clip, clip] as const) : (clip as [number, number])), maxRatio, 0, 0),
    bound,
    gradientBound,
    extreme: false, // a ratio of e^10000
  }))("$name", ({ run }) => run());

  it("adds the divergence from a reference", () => {
    const [x, old, a] = [list(0.3), list(0.3), list(2)], { loss, grad } = losses.grpoLoss.withGrad(x, old, a, { beta: 0.5, reference, reduction: "none" });
    const f = (i: number, d = 0): number => grpoRef(x.data[i] + d, old.data[i], a.data[i], 0.2, 0.2, Infinity, 0.5, reference.data[i]);
    expectClose(loss.data, Array.from(x.data, (_, i) => f(i)), bound);
    expectClose(grad.data, Array.from(x.data, (_, i) => (f(i, 1e-5) - f(i, -1e-5)) / 2e-5), { rtol: 1e-5, atol: 1e-6 });
  });
});
