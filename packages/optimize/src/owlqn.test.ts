import { expectClose, expectExact } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/owlqn.json" with { type: "json" };
import { lbfgs, owlqn, owlqnSteps, run, runAsync, type Objective, type SteppedObjective } from "./index.ts";

const [data, ...cases] = fixture.cases as [{ x: number[][]; y: number[] }, ...{ penalty: number; weights: number[]; value: number }[]];
const logistic: Objective = (w, g) => {
  let value = 0;
  g.fill(0);
  data.x.forEach((row, n) => {
    const z = row.reduce((sum, v, i) => sum + v * w[i], 0), q = 1 / (1 + Math.exp(-z));
    value += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - data.y[n] * z;
    for (let i = 0; i < w.length; i++) g[i] += row[i] * (q - data.y[n]);
  });
  return value;
};

/** (x[i] - c[i])^2 / 2 each: the minimum with penalty l is c shrunk by l towards 0. */
const centred = (c: readonly number[]): Objective => (x, g) => {
  let value = 0;
  for (let i = 0; i < c.length; i++) {
    g[i] = x[i] - c[i];
    value += (g[i] * g[i]) / 2;
  }
  return value;
};

describe("owlqn", () => {
  it("agrees with the definition: a quadratic is shrunk towards 0, and what is smaller than the penalty is 0", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 8 }), fc.double({ min: 0, max: 3, noNaN: true }), fc.boolean(), (c, l1, far) => {
        const { x, converged } = owlqn(centred(c), c.map(() => (far ? 4 : 0)), { l1 });
        expect(converged).toBe(true);
        // The Hessian is 1, so the error is at most the tolerance of the gradient.
        expectClose(x, c.map((v) => Math.sign(v) * Math.max(0, Math.abs(v) - l1)), { atol: 1e-8 });
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  it("agrees with scipy and scikit-learn on L1-penalised logistic regressions, zeros exactly", () => {
    for (const { penalty, weights, value } of cases) {
      const result = owlqn(logistic, new Float64Array(8), { l1: penalty, gradientTolerance: 1e-10 });
      expect([result.converged, result.reason]).toEqual([true, "gradient"]);
      // The Hessian's smallest eigenvalue on the variables that are not 0 is above 1 here.
      expectClose(result.x, weights, { atol: 1e-9 });
      expect(Array.from(result.x, (w) => w === 0)).toEqual(weights.map((w) => w === 0));
      expectClose(result.value, value, { rtol: 1e-13 });
    }
  });

  it("is the same optimum as lbfgs without a penalty", () => {
    const a = owlqn(logistic, new Float64Array(8), { l1: 0, gradientTolerance: 1e-9 }), b = lbfgs(logistic, new Float64Array(8), { gradientTolerance: 1e-9 });
    expect([a.converged, b.converged]).toEqual([true, true]);
    expectClose(a.x, b.x, { atol: 1e-8 });
  });

  it("takes a penalty for each variable", () => {
    const { x } = owlqn(centred([3, 3, -3]), [0, 0, 0], { l1: [0, 1, 5] });
    expectClose(x, [3, 2, 0], { atol: 1e-8 });
  });

  it("leaves the point where it is when the penalty holds everything at 0", () => {
    const { iterations, evaluations, converged, x } = owlqn(centred([1, -1]), [0, 0], { l1: 1 });
    expect({ iterations, evaluations, converged, x: [...x] }).toEqual({ iterations: 0, evaluations: 1, converged: true, x: [0, 0] });
  });

  it("never raises the objective, and in pieces has the same bits", async () => {
    let last = Infinity;
    const steps = owlqnSteps(logistic, new Float64Array(8).fill(1), { l1: 2 });
    let step = steps.next();
    for (; !step.done; step = steps.next()) {
      // Within the rounding of the value.
      expect(step.value.value).toBeLessThanOrEqual(last + 1e-13);
      last = step.value.value;
    }
    const start = new Float64Array(8).fill(1);
    const pieces: SteppedObjective<ReturnType<typeof progress>> = function* (x, g) {
      yield progress();
      return logistic(x, g);
    };
    const progress = () => ({ x: start, value: 0, gradientNorm: 0, iterations: 0, evaluations: 0 });
    expectExact(run(owlqnSteps(pieces, start, { l1: 2 })).x, step.value.x);
    expectExact((await runAsync(owlqnSteps(logistic, start, { l1: 2 }))).x, step.value.x);
  });

  it("walks around points where the objective is infinite", () => {
    const { x, converged } = owlqn((x, g) => {
      if (x[0] <= 0) return Infinity;
      g[0] = 9 - 100 / x[0];
      return 9 * x[0] - 100 * Math.log(x[0]);
    }, [30], { l1: 1 });
    expect(converged).toBe(true);
    expectClose(x, [10], { rtol: 1e-8 });
  });

  it("says so when it stops at the limit or cannot go on", () => {
    expect(owlqn(logistic, new Float64Array(8), { l1: 1, maxIterations: 2 })).toMatchObject({ converged: false, reason: "iterations", iterations: 2 });
    expect(owlqn((x, g) => { g[0] = 5; return x[0] * x[0] + 1; }, [0], { l1: 1 })).toMatchObject({ converged: false, reason: "lineSearch", iterations: 0 });
  });

  it("names what is wrong", () => {
    const message = (make: () => unknown): string => { try { make(); } catch (error) { return String(error); } return "no error"; };
    expect(message(() => owlqn(logistic, [0], { l1: -1 }))).toMatchInlineSnapshot(`"RangeError: owlqn: expected \`l1\` a finite number >= 0, got -1"`);
    expect(message(() => owlqn(logistic, [0], { l1: [1, 2] }))).toMatchInlineSnapshot(`"RangeError: owlqn: expected \`l1\` of shape [1], got [2]"`);
    expect(message(() => owlqn(logistic, [0, 0], { l1: [1, NaN] }))).toMatchInlineSnapshot(`"RangeError: owlqn: expected \`l1[1]\` a finite number >= 0, got NaN"`);
    expect(message(() => owlqn(logistic, [0], { l1: "1" as never }))).toMatchInlineSnapshot(`"TypeError: owlqn: expected \`l1\` a number, a Float64Array or an array of numbers, got String"`);
    expect(message(() => owlqn(() => NaN, [1], { l1: 1 }))).toMatchInlineSnapshot(`"RangeError: owlqn: expected \`f\` to return a number above -Infinity, got NaN at evaluation 1"`);
  });
});
