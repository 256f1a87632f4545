import { expectClose, expectExact } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/optimize.json" with { type: "json" };
import { adam, adamSteps, lbfgs, lbfgsSteps, lineSearch, newton, newton1d, newton1dSteps, run, runAsync, type Objective, type SecondOrderObjective } from "./index.ts";

const rosenbrock: Objective = (x, g) => {
  const a = 1 - x[0], b = x[1] - x[0] * x[0];
  g[0] = -2 * a - 400 * x[0] * b;
  g[1] = 200 * b;
  return a * a + 100 * b * b;
};

/** sum_i c[i] (x[i] - i)^2 / 2: condition number max c / min c. */
const quadratic = (c: readonly number[]): Objective => (x, g) => {
  let value = 0;
  for (let i = 0; i < c.length; i++) {
    g[i] = c[i] * (x[i] - i);
    value += (g[i] * (x[i] - i)) / 2;
  }
  return value;
};

const regression = fixture.cases[0] as { x: number[][]; y: number[]; penalty: number; weights: number[]; value: number };
const logistic: SecondOrderObjective = (w, g, h) => {
  const { x, y, penalty } = regression;
  const p = w.length;
  let value = 0;
  h.fill(0);
  for (let i = 0; i < p; i++) {
    value += (penalty / 2) * w[i] * w[i];
    g[i] = penalty * w[i];
    h[i * p + i] = penalty;
  }
  x.forEach((row, n) => {
    const z = row.reduce((sum, v, i) => sum + v * w[i], 0), q = 1 / (1 + Math.exp(-z));
    value += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - y[n] * z;
    for (let i = 0; i < p; i++) {
      g[i] += row[i] * (q - y[n]);
      for (let j = 0; j < p; j++) h[i * p + j] += row[i] * row[j] * q * (1 - q);
    }
  });
  return value;
};

describe("lineSearch", () => {
  const search = (f: (t: number) => { value: number; slope: number }, noise?: number) => {
    const steps = lineSearch({ step: 0, ...f(0) }, 1, noise);
    let asked = steps.next(), evaluations = 0;
    for (; !asked.done; evaluations++) asked = steps.next({ step: asked.value, ...f(asked.value) });
    return { ...asked.value, evaluations };
  };

  it("ends where the strong Wolfe conditions hold", () => {
    for (const scale of [1e-3, 1, 1e3]) {
      const f = (t: number) => ({ value: (scale * t - 2) ** 2, slope: 2 * scale * (scale * t - 2) });
      const { at, ok } = search(f);
      expect([ok, at.value <= 4 - 1e-4 * at.step * 4 * scale, Math.abs(at.slope) <= 0.9 * 4 * scale]).toEqual([true, true, true]);
    }
  });

  it("judges by the slopes where the values differ by no more than the noise", () => {
    // A decrease of 1e-9 in a value of 1 that is rounded upwards by 1e-8, as float32 sums are.
    const f = (t: number) => ({ value: 1 + 1e-9 * ((t - 1) ** 2 - 1) + (t > 0 ? 1e-8 : 0), slope: 2e-9 * (t - 1) });
    expect(search(f).ok).toBe(false);
    const { ok, at, evaluations } = search(f, 1e-7);
    expect([ok, at.step, evaluations]).toEqual([true, 1, 1]);
  });
});

describe("lbfgs", () => {
  it("finds the minimum of Rosenbrock's function from its usual start", () => {
    const { x, value, gradientNorm, converged, reason, iterations, evaluations } = lbfgs(rosenbrock, [-1.2, 1], { gradientTolerance: 1e-10 });
    // The Hessian's smallest eigenvalue there is 0.4, so |x - 1| <= gradientNorm / 0.4.
    expectClose(x, [1, 1], { atol: 2.5e-10 });
    expect({ converged, reason, low: value < 1e-18, small: gradientNorm <= 1e-10 }).toEqual({ converged: true, reason: "gradient", low: true, small: true });
    expect(iterations).toBeLessThan(60);
    expect(evaluations).toBeLessThan(80);
  });

  it("solves quadratics of condition 1 to 1e6", () => {
    for (const condition of [1, 1e2, 1e4, 1e6]) {
      const c = Array.from({ length: 12 }, (_, i) => Math.pow(condition, i / 11));
      const result = lbfgs(quadratic(c), new Float64Array(12).fill(50), { gradientTolerance: 1e-9, maxIterations: 2500 });
      // scipy 1.10 (L-BFGS-B, 10 pairs) takes 2488 iterations at condition 1e6.
      expect(result.converged, `condition ${condition}: ${JSON.stringify(result)}`).toBe(true);
      // |x - x*| <= gradientNorm / min c = 1e-9.
      expectClose(result.x, c.map((_, i) => i), { atol: 1.1e-9 });
    }
  });

  it("agrees with scipy on a logistic regression", () => {
    const h = new Float64Array(16);
    const { x, value, converged } = lbfgs((w, g) => logistic(w, g, h), [0, 0, 0, 0], { gradientTolerance: 1e-10 });
    expect(converged).toBe(true);
    // gradientNorm / smallest eigenvalue (above the penalty 0.1): 4e-9 at the very most.
    expectClose(x, regression.weights, { atol: 4e-9 });
    expectClose(value, regression.value, { rtol: 1e-14 });
  });

  it("takes an objective in pieces: the same bits, and the pieces are passed on", () => {
    const steps = lbfgsSteps<string>(function* (x, g) {
      yield "half";
      const value = rosenbrock(x, g);
      yield "whole";
      return value;
    }, [-1.2, 1]);
    const seen: unknown[] = [];
    let step = steps.next();
    for (; !step.done; step = steps.next()) seen.push(step.value);
    const want = lbfgs(rosenbrock, [-1.2, 1]);
    expect(step.value).toEqual(want);
    expect([seen.filter((piece) => piece === "half").length, seen.filter((piece) => typeof piece === "object").length]).toEqual([want.evaluations, want.evaluations]);
    expect(seen.slice(0, 3).map((piece) => typeof piece)).toEqual(["string", "string", "object"]);
  });

  it("converges on values with noise where it is told of it", () => {
    // Sums of 1e6 in float32 err by 0.06: here each evaluation more than the one before.
    const noisy = (): Objective => { let evaluations = 0; return (x, g) => 1e6 + quadratic([1, 3, 20])(x, g) + 0.001 * evaluations++; };
    expect(lbfgs(noisy(), [9, -9, 5], { gradientTolerance: 1e-6, noise: 1e-7 }).converged).toBe(true);
    expect(lbfgs(noisy(), [9, -9, 5], { gradientTolerance: 1e-6 }).reason).toBe("lineSearch");
  });

  it("satisfies the strong Wolfe conditions at every accepted step", () => {
    const shifted: Objective = (x, g) => {
      // log cosh, with a far start: flat gradients and strong curvature in one function.
      let value = 0;
      for (let i = 0; i < x.length; i++) {
        g[i] = Math.tanh(x[i] - i) * (i + 1);
        value += (Math.abs(x[i] - i) + Math.log1p(Math.exp(-2 * Math.abs(x[i] - i)))) * (i + 1);
      }
      return value;
    };
    fc.assert(
      fc.property(fc.constantFrom(rosenbrock, shifted, quadratic([1, 1000])), fc.double({ min: -9, max: 9, noNaN: true }), fc.double({ min: -9, max: 9, noNaN: true }), (f, a, b) => {
        const steps = lbfgsSteps(f, [a, b], { gradientTolerance: 1e-6 });
        let before = Float64Array.of(a, b), seen = 0;
        const g0 = new Float64Array(2), g1 = new Float64Array(2);
        const check = (x: Float64Array, iterations: number): void => {
          if (iterations === seen) return;
          expect(iterations).toBe(seen + 1);
          seen = iterations;
          const f0 = f(before, g0), f1 = f(x, g1);
          const s = [x[0] - before[0], x[1] - before[1]];
          const slope0 = g0[0] * s[0] + g0[1] * s[1], slope1 = g1[0] * s[0] + g1[1] * s[1];
          // The step is recomputed from rounded points, so the slopes carry a rounding of |g| ulp(x).
          const noise = 1e-15 * (Math.abs(g0[0]) + Math.abs(g0[1]) + Math.abs(g1[0]) + Math.abs(g1[1])) * 20;
          expect(slope0).toBeLessThan(noise);
          expect(f1).toBeLessThanOrEqual(f0 + 1e-4 * slope0 + 1e-14 * Math.abs(f0) + noise);
          expect(Math.abs(slope1)).toBeLessThanOrEqual(0.9 * Math.abs(slope0) + noise);
          before = x.slice();
        };
        let step = steps.next();
        for (; !step.done; step = steps.next()) check(step.value.x, step.value.iterations);
        check(step.value.x, step.value.iterations);
        expect(step.value.converged).toBe(true);
      }),
      { seed: 2, numRuns: 200 },
    );
  });

  it("walks around points where the objective is infinite", () => {
    // x - log x on x > 0, minimum at 1; the first trial steps leave the domain.
    const barrier: Objective = (x, g) => {
      if (x[0] <= 0) return Infinity;
      g[0] = 100 - 100 / x[0];
      return 100 * (x[0] - Math.log(x[0]));
    };
    const { x, converged } = lbfgs(barrier, [30]);
    expect(converged).toBe(true);
    expectClose(x, [1], { atol: 1e-10 });
  });

  it("says so when it stops at the limit or cannot go on", () => {
    const { reason, converged, iterations } = lbfgs(rosenbrock, [-1.2, 1], { maxIterations: 3 });
    expect({ reason, converged, iterations }).toEqual({ reason: "iterations", converged: false, iterations: 3 });
    const wrong = lbfgs((x, g) => { g[0] = 1; return x[0] * x[0] + 1; }, [0]);
    expect({ reason: wrong.reason, converged: wrong.converged, x: [...wrong.x] }).toEqual({ reason: "lineSearch", converged: false, x: [0] });
    const there = lbfgs(quadratic([1]), [0]);
    expect({ iterations: there.iterations, evaluations: there.evaluations, converged: there.converged }).toEqual({ iterations: 0, evaluations: 1, converged: true });
  });

  it("names what is wrong", () => {
    const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };
    expect(message(() => lbfgs(() => NaN, [1]))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`f\` to return a number above -Infinity, got NaN at evaluation 1"`);
    expect(message(() => lbfgs((_, g) => { g[0] = NaN; return 1; }, [1]))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`f\` to give a finite gradient, got NaN at index 0, evaluation 1"`);
    expect(message(() => lbfgs(() => Infinity, [1]))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`x0\` in the domain of \`f\`, got a start of value Infinity"`);
    expect(message(() => lbfgs(rosenbrock, []))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`x0\` with at least 1 element, got 0"`);
    expect(message(() => lbfgs(rosenbrock, [0, NaN]))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`x0\` of finite numbers, got NaN at index 1"`);
    expect(message(() => lbfgs(rosenbrock, "0" as never))).toMatchInlineSnapshot(`"TypeError: lbfgs: expected \`x0\` a Float64Array or an array of numbers, got String"`);
    expect(message(() => lbfgs(rosenbrock, [0, 0], { gradientTolerance: -1 }))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`gradientTolerance\` a finite number >= 0, got -1"`);
    expect(message(() => lbfgs(rosenbrock, [0, 0], { memory: 0 }))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`memory\` an integer in [1, 1000], got 0"`);
    expect(message(() => lbfgs(rosenbrock, [0, 0], { noise: -1 }))).toMatchInlineSnapshot(`"RangeError: lbfgs: expected \`noise\` a finite number >= 0, got -1"`);
    expect(message(() => newton1d(() => ({ value: NaN, gradient: 1, curvature: 1 }), { low: 0, high: 1 }))).toMatchInlineSnapshot(`"RangeError: newton1d: expected \`f\` to give a finite value and gradient, got value NaN, gradient 1 at x = 0.5"`);
    expect(message(() => newton1d(() => ({ value: 1, gradient: 1, curvature: NaN }), { low: 0, high: 1 }))).toMatchInlineSnapshot(`"RangeError: newton1d: expected \`f\` to give a curvature, got NaN at x = 0.5"`);
    expect(message(() => newton1d(() => ({ value: 1, gradient: 1, curvature: 1 }), { low: 1, high: 1 }))).toMatchInlineSnapshot(`"RangeError: newton1d: expected \`options\` with finite low < high, got low 1, high 1"`);
    expect(message(() => newton1d(() => ({ value: 1, gradient: 1, curvature: 1 }), { low: 0, high: 1, start: 2 }))).toMatchInlineSnapshot(`"RangeError: newton1d: expected \`start\` in [0, 1], got 2"`);
    expect(message(() => newton((_, g, h) => { g[0] = 1; h[0] = Infinity; return 0; }, [1]))).toMatchInlineSnapshot(`"RangeError: newton: expected \`f\` to give a finite gradient, got Infinity at index 0, evaluation 1"`);
    expect(message(() => adam(() => Infinity, [1]))).toMatchInlineSnapshot(`"RangeError: adam: expected \`f\` to return a finite number, got Infinity at evaluation 1"`);
    expect(message(() => adam(rosenbrock, [0, 0], { beta1: 1 }))).toMatchInlineSnapshot(`"RangeError: adam: expected \`beta1\` a number in [0, 1), got 1"`);
    expect(message(() => adam(rosenbrock, [0, 0], { learningRate: 0 }))).toMatchInlineSnapshot(`"RangeError: adam: expected \`learningRate\` a finite number > 0, got 0"`);
  });
});

describe("newton1d", () => {
  const convex = (centre: number, sharpness: number) => (x: number) => {
    const t = sharpness * (x - centre), e = Math.exp(-Math.abs(t));
    return { value: Math.abs(t) + 2 * Math.log1p(e), gradient: sharpness * Math.sign(t) * ((1 - e) / (1 + e)), curvature: (sharpness * sharpness * 2 * e) / ((1 + e) * (1 + e)) };
  };

  it("finds the minimum of convex functions whose curvature vanishes far away, from any start", () => {
    fc.assert(
      fc.property(fc.double({ min: -4.9, max: 4.9, noNaN: true }), fc.double({ min: 0.1, max: 300, noNaN: true }), fc.double({ min: -5, max: 5, noNaN: true }), (centre, sharpness, start) => {
        const { x, converged, atBound, evaluations } = newton1d(convex(centre, sharpness), { low: -5, high: 5, start });
        expect({ converged, atBound }).toEqual({ converged: true, atBound: false });
        // |gradient| <= 1e-10 with curvature s^2 / 2, or the bracket closed to 1e-14.
        expect(Math.abs(x - centre)).toBeLessThanOrEqual(2.1e-10 / (sharpness * sharpness) + 2e-14);
        expect(evaluations).toBeLessThan(80);
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  it("converges quadratically where Newton does", () => {
    expect(newton1d(convex(0.3, 1), { low: -5, high: 5, start: 0 }).evaluations).toBeLessThanOrEqual(5);
  });

  it("stops at an end of the interval when the optimum is there or beyond", () => {
    for (const [centre, end] of [[-7, -5], [9, 5], [5, 5], [-5, -5]] as const) {
      const { x, atBound, converged, evaluations } = newton1d(convex(centre, 0.5), { low: -5, high: 5, gradientTolerance: 0 });
      expect({ x, atBound, converged }).toEqual({ x: end, atBound: true, converged: true });
      expect(evaluations).toBeLessThan(100);
    }
    expect(newton1d((x) => ({ value: x, gradient: 1, curvature: 0 }), { low: 0, high: 8 })).toMatchObject({ x: 0, atBound: true, converged: true });
  });

  it("says so when it stops at the limit", () => {
    expect(newton1d(convex(1, 1), { low: -5, high: 5, maxIterations: 1 })).toMatchObject({ converged: false, iterations: 1, evaluations: 2 });
  });
});

describe("newton", () => {
  it("agrees with scipy on a logistic regression", () => {
    const { x, value, converged, ridge, iterations } = newton(logistic, [0, 0, 0, 0], { gradientTolerance: 1e-12 });
    expect({ converged, ridge }).toEqual({ converged: true, ridge: 0 });
    expect(iterations).toBeLessThan(10);
    // Two float64 solutions of a problem of condition below 1e4.
    expectClose(x, regression.weights, { rtol: 1e-11, atol: 1e-12 });
    expectClose(value, regression.value, { rtol: 1e-14 });
  });

  it("adds a ridge where the Hessian is singular or indefinite, and reports it", () => {
    const flat = newton((x, g, h) => {
      const s = x[0] + x[1] - 2;
      g.fill(2 * s);
      h.fill(2);
      return s * s;
    }, [5, 5]);
    expect(flat.converged).toBe(true);
    expect(flat.ridge).toBeGreaterThan(0);
    expectClose(flat.x[0] + flat.x[1], 2, { atol: 1e-10 });
    const saddle = newton((x, g, h) => {
      g[0] = 4 * x[0] * (x[0] * x[0] - 1);
      h[0] = 12 * x[0] * x[0] - 4;
      return (x[0] * x[0] - 1) ** 2;
    }, [0.1]);
    expect(saddle).toMatchObject({ converged: true });
    expect(saddle.ridge).toBeGreaterThan(0);
    expectClose(Math.abs(saddle.x[0]), 1, { atol: 1e-10 });
  });

  it("stops at the limit of its steps", () => {
    expect(newton(logistic, [0, 0, 0, 0], { maxIterations: 1 })).toMatchObject({ converged: false, reason: "iterations", iterations: 1 });
  });
});

describe("adam", () => {
  it("follows torch.optim.Adam", () => {
    const { trajectory, learningRate, beta1, beta2, epsilon } = fixture.cases[1] as { trajectory: number[][]; learningRate: number; beta1: number; beta2: number; epsilon: number };
    const got: number[][] = [];
    for (const { x } of adamSteps(rosenbrock, trajectory[0], { learningRate, beta1, beta2, epsilon, maxIterations: 100 })) got.push([...x]);
    // 100 steps of a smooth recursion whose rounding errors of 1e-16 a valley of condition 2500 magnifies.
    expectClose(got, trajectory, { atol: 1e-11 });
  });

  it("stops by the gradient where asked", () => {
    expect(adam(quadratic([1, 2]), [3, 3], { learningRate: 0.1, gradientTolerance: 1e-3, maxIterations: 10000 })).toMatchObject({ converged: true, reason: "gradient" });
    expect(adam(quadratic([1, 2]), [3, 3], { maxIterations: 5 })).toMatchObject({ converged: false, reason: "iterations", iterations: 5, evaluations: 6 });
  });
});

describe("runAsync", () => {
  it("gives the same bits as run", async () => {
    const now = lbfgs(rosenbrock, [-1.2, 1]);
    const later = await runAsync(lbfgsSteps(rosenbrock, [-1.2, 1]));
    expectExact(later.x, now.x);
    expect({ ...later, x: 0 }).toEqual({ ...now, x: 0 });
    expect(run(newton1dSteps((x) => ({ value: x * x, gradient: 2 * x, curvature: 2 }), { low: -1, high: 3 })).x).toBe(0);
  });

  it("lets the event loop turn, reports progress and stops on abort", async () => {
    const slow: Objective = (x, g) => {
      for (const end = performance.now() + 3; performance.now() < end; );
      return rosenbrock(x, g);
    };
    const controller = new AbortController();
    let turns = 0, reports = 0;
    const timer = setInterval(() => turns++, 1);
    const promise = runAsync(adamSteps(slow, [-1.2, 1], { maxIterations: 1_000_000 }), { signal: controller.signal, onProgress: () => { if (++reports === 5) controller.abort(); } });
    await expect(promise).rejects.toThrow("aborted");
    clearInterval(timer);
    expect(reports).toBe(5);
    expect(turns).toBeGreaterThan(0);
    await expect(runAsync(lbfgsSteps(rosenbrock, [0, 0]), { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
  });
});
