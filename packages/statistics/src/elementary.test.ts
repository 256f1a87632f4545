import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/elementary.json" with { type: "json" };
import { exp, expm1, log, log1p, log1mExp, log2, logAddExp, logit, pow, sigmoid, softplus, tanh } from "./index.ts";

const SPECIAL = [0, -0, 1, -1, 0.5, 2, -2, 3, Infinity, -Infinity, NaN, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 1e-300];

// The fixture gives the nearest float64 and what it leaves in ULP, so errors of a fraction of an ULP are seen. The bounds are those of the TSDoc; 60,000
// points each against mpmath gave 0.68, 1.24, 0.79, 0.81, 0.50, 2.21, 2.02, 2.22, 1.39, 0.74 and, log1mExp, 1.33.
describe("agrees with mpmath", () => {
  const functions: Record<string, [(...x: number[]) => number, number]> = {
    exp: [exp, 0.7], expm1: [expm1, 1.3], log: [log, 0.8], log1p: [log1p, 0.9], log2: [log2, 0.51], tanh: [tanh, 2.3], sigmoid: [sigmoid, 2.3], logit: [logit, 2.5],
    softplus: [softplus, 1.5], pow: [pow, 0.8], log1mExp: [log1mExp, 1.5],
  };
  it.each(fixture.cases.map(({ name }) => name))("%s", (name) => {
    const [f, bound] = functions[name];
    const { rows } = fixture.cases.find((entry) => entry.name === name)! as { rows: (number | string)[][] };
    expect(rows.length).toBeGreaterThan(150);
    for (const row of rows) {
      const x = row.slice(0, -2).map(Number), [near, rest] = row.slice(-2).map(Number);
      if (near === Infinity) {
        expect(f(...x)).toBe(near);
        continue;
      }
      const error = Math.abs((f(...x) - near) / ulp(near) - rest);
      if (!(error <= bound)) expect.fail(`${name}(${x.join(", ")}): ${error} ULP`);
    }
  });
});

describe("special values are those of ECMAScript", () => {
  it.each(SPECIAL)("at %d", (x) => {
    for (const [ours, theirs] of [[exp, Math.exp], [expm1, Math.expm1], [log, Math.log], [log1p, Math.log1p], [log2, Math.log2], [tanh, Math.tanh]] as const) {
      const want = theirs(x);
      const got = ours(x);
      // V8's functions are themselves off by up to 1 ULP at ordinary points; zeros, infinities and NaN are exact.
      if (want === 0 || want - want !== 0 || Math.abs(want) === 1) expect(got).toBe(want);
      else expect(Math.abs(got - want)).toBeLessThanOrEqual(2 * ulp(want));
    }
    for (const y of SPECIAL) {
      const want = Math.pow(x, y);
      if (want === 0 || want - want !== 0 || Math.abs(want) === 1) expect(pow(x, y), `pow(${x}, ${y})`).toBe(want);
    }
  });

  it("exp overflows and underflows where the result leaves float64", () => {
    expect(exp(709.782712893384)).toBeLessThan(Infinity);
    expect(exp(709.7827128933841)).toBe(Infinity);
    expect(exp(-745.1332191019411)).toBe(5e-324);
    expect(exp(-745.1332191019412)).toBe(0);
    expect(expm1(-800)).toBe(-1);
    expect(log(5e-324)).toBe(-744.4400719213812);
  });
});

function ulp(x: number): number {
  return Math.max(2 ** -1074, 2 ** (Math.floor(Math.log2(Math.abs(x))) - 52));
}

describe("exact cases", () => {
  it("every power with an exact float64 result is exact", () => {
    for (let base = 1; base <= 40; base++) {
      for (let n = 0, want = 1; want <= 2 ** 53; n++, want *= base) {
        expect(pow(base, n), `${base}^${n}`).toBe(want);
        expect(pow(-base, n), `-${base}^${n}`).toBe(n % 2 ? -want : want);
        if (base === 1 && n > 5) break;
      }
      expect(pow(base * base, 0.5)).toBe(base);
    }
  });

  it("log2 of every power of two is its exponent", () => {
    for (let k = -1074; k < 1024; k++) expect(log2(2 ** k)).toBe(k);
  });

  it("the logistic family at its edges", () => {
    for (const [got, want] of [
      [sigmoid(0), 0.5], [sigmoid(Infinity), 1], [sigmoid(-Infinity), 0], [sigmoid(NaN), NaN], [logit(0), -Infinity], [logit(1), Infinity], [logit(0.5), 0], [logit(-1), NaN],
      [logit(2), NaN], [logit(NaN), NaN], [softplus(-Infinity), 0], [softplus(Infinity), Infinity], [softplus(0), Math.LN2], [softplus(NaN), NaN],
      [logAddExp(-Infinity, -Infinity), -Infinity], [logAddExp(-Infinity, 3), 3], [logAddExp(3, -Infinity), 3], [logAddExp(Infinity, -Infinity), Infinity],
      [logAddExp(Infinity, Infinity), Infinity], [logAddExp(NaN, Infinity), NaN], [logAddExp(0, NaN), NaN], [logAddExp(1000, 1000), 1000 + Math.LN2],
      [log1mExp(-Infinity), 0], [log1mExp(-800), 0], [log1mExp(0), -Infinity], [log1mExp(-0), -Infinity], [log1mExp(5e-324), NaN], [log1mExp(Infinity), NaN], [log1mExp(NaN), NaN],
    ]) expect(got).toBe(want);
  });
});

describe("laws", () => {
  it("each is monotone on a grid", () => {
    const increasing: [string, (x: number) => number, number, number][] = [
      ["exp", exp, -750, 710], ["expm1", expm1, -40, 60], ["log", log, 0, 8], ["log1p", log1p, -1, 8], ["log2", log2, 0, 8],
      ["tanh", tanh, -23, 23], ["sigmoid", sigmoid, -40, 40], ["softplus", softplus, -40, 40], ["logit", logit, 0, 1], ["log1mExp of -x", (x) => log1mExp(-x), 0, 40],
    ];
    for (const [name, f, low, high] of increasing) {
      let last = -Infinity;
      for (let i = 0; i <= 40000; i++) {
        const y = f(low + ((high - low) * i) / 40000);
        if (!(y >= last)) expect.fail(`${name} falls at step ${i}: ${last} then ${y}`);
        last = y;
      }
    }
  });

  it("exp and log, expm1 and log1p, sigmoid and logit undo each other", () => {
    fc.assert(fc.property(fc.double({ min: -700, max: 700, noNaN: true }), (x) => {
      // log's relative error and exp's relative error, each below 1.3 ULP, magnified by the condition number max(1, |x|) / |x|.
      expect(Math.abs(log(exp(x)) - x)).toBeLessThanOrEqual(3e-16 * Math.max(1, Math.abs(x)));
      if (Math.abs(x) < 30) expect(Math.abs(logit(sigmoid(x)) - x)).toBeLessThanOrEqual(6e-16 * Math.max(1, Math.abs(x), x > 0 ? Math.exp(x) : 0));
      expect(sigmoid(x) + sigmoid(-x)).toBeCloseTo(1, 15);
      expect(tanh(-x)).toBe(-tanh(x));
    }), { seed: 1, numRuns: 2000 });
  });
});
