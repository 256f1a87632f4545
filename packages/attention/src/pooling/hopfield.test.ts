import { ConvergenceError, Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { hopfieldRetrieve, hopfieldStep } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

const of = (data: ArrayLike<number>, ...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(data));

/** States after a step and energies before it, in float64. */
function definition(states: ArrayLike<number>, patterns: ArrayLike<number>, width: number, beta: number, one: boolean): { states: number[]; energy: number[] } {
  const made = Array.from({ length: states.length / width }, (_, i) => {
    const dot = (x: ArrayLike<number>, j: number): number => Array.from({ length: width }, (_, f) => states[i * width + f] * x[j * width + f]).reduce((a, b) => a + b, 0), e = Array.from({ length: patterns.length / width }, (_, j) => Math.exp(beta * dot(patterns, j))), z = e.reduce((a, b) => a + b, one ? 1 : 0);
    return { next: Array.from({ length: width }, (_, f) => e.reduce((sum, x, j) => sum + (x / z) * patterns[j * width + f], 0)), energy: 0.5 * dot(states, i) - Math.log(z) / beta };
  });
  return { states: made.flatMap(({ next }) => next), energy: made.map(({ energy }) => energy) };
}

describe("hopfieldStep [paper:outlier-efficient-hopfield-layers-for-large-transformer-based-models]", () => {
  const states = random([5, 8], 1), patterns = random([20, 8], 2);

  it("agrees with the definition, with and without an appended zero", () => {
    for (const softmaxOne of [false, true]) {
      for (const beta of [0.1, 1]) {
        const got = hopfieldStep(states, patterns, { beta, softmaxOne }), want = definition(states.data, patterns.data, 8, beta, softmaxOne);
        // Float32 scores of 8 products, an exponential; energies of size 10.
        expectClose(got.states.data, want.states, { atol: 5e-6 });
        expectClose(got.energy.data, want.energy, { atol: 2e-5 / Math.min(1, beta) });
      }
    }
    expectExact(hopfieldStep(states, patterns).states.data, hopfieldStep(states, patterns, { beta: 1 / Math.sqrt(8) }).states.data);
  });

  it("never raises the energy, whose gradient is the state less the step", () => {
    for (const softmaxOne of [false, true]) {
      for (const beta of [0.05, 0.3, 2]) {
        let now = random([8, 8], 3), before = new Float32Array(8).fill(Infinity);
        for (let n = 0; n < 20; n++) {
          const { states: next, energy } = hopfieldStep(now, patterns, { beta, softmaxOne });
          // Rounding of log-sum-exps near 3, divided by beta.
          for (let i = 0; i < 8; i++) expect(energy.data[i]).toBeLessThanOrEqual(before[i] + 2e-6 / Math.min(1, beta) + 1e-5);
          [now, before] = [next, Float32Array.from(energy.data)];
        }
      }
      const slope = finiteDifferenceGradient((x) => definition(x, patterns.data, 8, 0.7, softmaxOne).energy.reduce((a, b) => a + b, 0), states.data), { states: next } = hopfieldStep(states, patterns, { beta: 0.7, softmaxOne });
      expectClose(next.data.map((x, at) => states.data[at] - x), slope, { atol: 1e-5 });
    }
  });

  it("has gradients of the new states in states and patterns", () => {
    const x = random([3, 4], 4), y = random([5, 4], 5), upstream = random([3, 4], 6);
    for (const softmaxOne of [false, true]) {
      const { grads } = hopfieldStep.withGrad(x, y, { beta: 0.6, softmaxOne, upstream }), value = (a: ArrayLike<number>, b: ArrayLike<number>): number => definition(a, b, 4, 0.6, softmaxOne).states.reduce((sum, s, i) => sum + s * upstream.data[i], 0);
      expectClose(grads.states.data, finiteDifferenceGradient((a) => value(a, y.data), x.data), { atol: 1e-5 });
      expectClose(grads.patterns.data, finiteDifferenceGradient((b) => value(x.data, b), y.data), { atol: 1e-5 });
    }
    const plain = hopfieldStep.withGrad(x, y, { upstream });
    expectExact(plain.states.data, hopfieldStep(x, y).states.data);
  });

  it("goes nowhere without patterns, and nearly so far from all with softmax-one", () => {
    const none = of([], 0, 2);
    expectExact(hopfieldStep([[3, 4]], none).states.data, [0, 0]);
    expectExact(hopfieldStep([[3, 4]], none).energy.data, [Infinity]);
    expectExact(hopfieldStep([[3, 4]], none, { softmaxOne: true }).energy.data, [12.5]);
    expectClose(hopfieldStep([[-9, -9]], [[9, 9], [9, 8]], { beta: 1, softmaxOne: true }).states.data, [0, 0], { atol: 1e-30 });
    expectClose(hopfieldStep([[-9, -9]], [[9, 9]], { beta: 1 }).states.data, [9, 9], { ulp: 1 });
    expectExact(hopfieldStep([[NaN, 0]], [[1, 1]]).states.data, [NaN, NaN]);
    expect(hopfieldStep(of([], 0, 2), [[1, 1]]).states.shape).toEqual([0, 2]);
  });
});

describe("hopfieldRetrieve", () => {
  it("is the pattern in one step for a large beta, and the mean of all for a small one", () => {
    const patterns = random([6, 16], 11), near = of(patterns.row(2).data.map((x) => x * 0.9), 1, 16);
    expectClose(hopfieldStep(near, patterns, { beta: 20 }).states.data, patterns.row(2).data, { atol: 1e-6 });
    // exp(beta s) within beta |s| of 1, scores up to 30.
    expectClose(hopfieldStep(near, patterns, { beta: 1e-7 }).states.data, Array.from({ length: 16 }, (_, f) => [0, 1, 2, 3, 4, 5].reduce((sum, j) => sum + patterns.at(j, f) / 6, 0)), { atol: 1e-5 });
  });

  it("completes noisy patterns, at a fixed point", () => {
    const patterns = random([20, 32], 7), noise = random([20, 32], 8), noisy = new Tensor("float32", [20, 32], patterns.data.map((x, i) => x + 0.3 * noise.data[i])), { states, energy, steps } = hopfieldRetrieve(noisy, patterns, { beta: 2 });
    expectClose(states.data, patterns.data, { atol: 1e-3 });
    expect(steps).toBeLessThan(6);
    const again = hopfieldStep(states, patterns, { beta: 2 });
    // Moved by at most the tolerance in the last step; the map contracts near a stored pattern.
    expectClose(again.states.data, states.data, { atol: 1e-5 });
    expectExact(again.energy.data, energy.data);
  });

  it("throws where the steps are not enough, and ends with NaN among the states", () => {
    const patterns = random([6, 4], 9), states = random([2, 4], 10);
    expect(() => hopfieldRetrieve(states, patterns, { beta: 0.3, maxSteps: 2 })).toThrow(ConvergenceError);
    const { states: made } = hopfieldRetrieve([[NaN, 0], [4, 0]], [[4, 0], [0, 4]], { beta: 1 });
    expect(made.data.slice(0, 2).every(Number.isNaN)).toBe(true);
    expectClose(made.data.slice(2), [4, 0], { atol: 1e-5 });
  });
});
