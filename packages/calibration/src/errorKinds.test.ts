import { randomSource } from "@logits/tensor";
import { expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectedCalibrationError, type ExpectedCalibrationErrorOptions } from "./index.ts";

interface Row { readonly c: number; readonly y: number }

/** Rows in order, cut as numpy.array_split does, then every row at the lowest bin that holds its value. */
function massBins(rows: readonly Row[], bins: number): Row[][] {
  const sorted = [...rows].sort((a, b) => a.c - b.c), n = rows.length, small = Math.floor(n / bins), more = n % bins;
  const tops = Array.from({ length: bins }, (_, b) => sorted[(b + 1) * small + Math.min(b + 1, more) - 1]?.c ?? -1);
  const cells: Row[][] = tops.map(() => []);
  for (const row of sorted) cells[tops.findIndex((top) => row.c <= top)].push(row);
  return cells;
}

const mean = (rows: readonly Row[], key: "c" | "y"): number => rows.reduce((sum, row) => sum + row[key], 0) / rows.length;

function definition(cells: readonly Row[][], norm: 1 | 2 | "max", debiased = false): number {
  const filled = cells.filter((cell) => cell.length > 0), n = filled.reduce((sum, cell) => sum + cell.length, 0);
  const gaps = filled.map((cell) => Math.abs(mean(cell, "y") - mean(cell, "c")));
  if (norm === "max") return Math.max(...gaps);
  if (norm === 1) return gaps.reduce((sum, gap, i) => sum + (gap * filled[i].length) / n, 0);
  const squares = filled.map((cell, i) => (!debiased ? gaps[i] ** 2 : cell.length < 2 ? 0 : gaps[i] ** 2 - (mean(cell, "y") * (1 - mean(cell, "y"))) / (cell.length - 1)));
  return Math.sqrt(Math.max(0, squares.reduce((sum, square, i) => sum + (square * filled[i].length) / n, 0)));
}

// Multiples of 1/32 up to 1: many ties, exact sums.
const rowsOf = fc.array(fc.record({ c: fc.integer({ min: 0, max: 32 }).map((k) => k / 32), y: fc.integer({ min: 0, max: 1 }) }), { minLength: 1, maxLength: 50 });
const error = (rows: readonly Row[], options: ExpectedCalibrationErrorOptions) => expectedCalibrationError({ confidence: rows.map(({ c }) => c), correct: rows.map(({ y }) => y) }, options);

describe("other bins and norms", () => {
  it("agree with the definition, ties and empty bins included", () => {
    fc.assert(fc.property(rowsOf, fc.integer({ min: 1, max: 60 }), (rows, bins) => {
      const cells = massBins(rows, bins);
      const at = { bins, binning: "equal-mass" } as const;
      // Rounding of at most 50 sums of numbers up to 1; a root of a difference that is 0 exactly may be the root of that.
      expectClose(error(rows, at).value, definition(cells, 1), { atol: 1e-14 });
      expectClose(error(rows, { ...at, norm: "max" }).value, definition(cells, "max"), { atol: 1e-14 });
      expectClose(error(rows, { ...at, norm: 2 }).value ** 2, definition(cells, 2) ** 2, { atol: 1e-14 });
      expectClose(error(rows, { ...at, norm: 2, debiased: true }).value ** 2, definition(cells, 2, true) ** 2, { atol: 1e-14 });
    }), { seed: 11, numRuns: 300 });
  });

  it("do not depend on the order of the rows; norms are ordered", () => {
    fc.assert(fc.property(rowsOf, fc.constantFrom("equal-width", "equal-mass", "sweep"), (rows, binning) => {
      expect(error([...rows].reverse(), { binning, norm: 2 })).toEqual(error(rows, { binning, norm: 2 }));
      const [one, two, most] = ([1, 2, "max"] as const).map((norm) => error(rows, { binning, norm }).value);
      expect(one).toBeLessThanOrEqual(two + 1e-12);
      expect(two).toBeLessThanOrEqual(most + 1e-12);
    }), { seed: 12, numRuns: 200 });
  });

  it("sweep: the most bins that rise, one after the other", () => {
    fc.assert(fc.property(rowsOf, (rows) => {
      let bins = 1;
      const rises = (count: number): boolean => massBins(rows, count).filter((cell) => cell.length > 0).map((cell) => mean(cell, "y")).every((y, b, all) => b === 0 || y >= all[b - 1] - 1e-12);
      while (bins < rows.length && rises(bins + 1)) bins++;
      expect(error(rows, { binning: "sweep" }).bins).toBe(bins);
      expectClose(error(rows, { binning: "sweep" }).value, definition(massBins(rows, bins), 1), { atol: 1e-14 });
    }), { seed: 13, numRuns: 300 });
    const separated = Array.from({ length: 40000 }, (_, i) => ({ c: i / 40000, y: Number(i >= 20000) }));
    expect(error(separated, { binning: "sweep" }).bins).toBe(10000);
    expect(error(separated, { binning: "sweep", bins: 7 }).bins).toBe(7);
  });

  it("debiased: no more than chance on average for a perfect model, where the plain one has 15 / N", () => {
    const random = testRandom(3);
    let plain = 0, debiased = 0;
    for (let i = 0; i < 400; i++) {
      const rows = Array.from({ length: 300 }, () => random.uniform()).map((c) => ({ c, y: Number(random.uniform() < c) }));
      plain += error(rows, { binning: "equal-mass", norm: 2 }).value ** 2 / 400;
      // The estimate is cut at 0: the part above 0 of a mean-zero number with standard deviation near plain * sqrt(2 / 15) has the mean 0.4 standard deviations.
      debiased += error(rows, { binning: "equal-mass", norm: 2, debiased: true }).value ** 2 / 400;
    }
    // 15 bins of 20 rows: the mean of c (1 - c) / 20 is 1 / 120; 400 runs have a standard error of 2 %.
    expectClose(plain, 1 / 120, { rtol: 0.08 });
    expect(debiased).toBeLessThan(0.2 * plain);
    expect(debiased).toBeGreaterThan(0);
  });
});

describe("debiased with norm 1", () => {
  it("is the plain error twice, less its mean when the shares of right answers are drawn again", () => {
    const random = testRandom(8), rows = Array.from({ length: 200 }, () => ({ c: (1 + random.integer(5)) / 6, y: random.integer(2) })), at = { binning: "equal-width", bins: 6 } as const;
    const plain = error(rows, at).value, cells = massBins(rows, 1)[0].reduce((map, row) => map.set(row.c, [...(map.get(row.c) ?? []), row]), new Map<number, Row[]>());
    let drawn = 0;
    const draws = 20000;
    for (let i = 0; i < draws; i++) for (const cell of cells.values()) {
      const share = mean(cell, "y");
      drawn += ((cell.length / 200) * Math.abs(share + Math.sqrt((share * (1 - share)) / cell.length) * random.normal() - mean(cell, "c"))) / draws;
    }
    expectClose(error(rows, { ...at, debiased: true }).value, 2 * plain - drawn, { atol: (4 * 0.04) / Math.sqrt(draws) }); // 4 standard errors; one draw has a deviation below 0.04
  });

  it("is nearer to 0 for a perfect model, and never below", () => {
    const random = testRandom(9);
    let plain = 0, debiased = 0;
    for (let i = 0; i < 200; i++) {
      const rows = Array.from({ length: 2000 }, () => random.uniform()).map((c) => ({ c, y: Number(random.uniform() < c) }));
      plain += error(rows, {}).value;
      const value = error(rows, { debiased: true }).value;
      expect(value).toBeGreaterThanOrEqual(0);
      debiased += value;
    }
    // |g| of a gap that is all noise s Z has the mean 0.80 s; 2 |g| less the mean of |g + s Z'| has 0.47 s: 2 times 0.798 less 1.128.
    expectClose(debiased / plain, 0.468 / 0.798, { atol: 0.04 }); // the shares of right answers are estimated, too, and the value is cut at 0
  });
});

describe("kinds", () => {
  const p = [[0.75, 0.25, 0], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.75, 0]], labels = [0, 1, 1, 1];

  it("class-wise: each class against all others", () => {
    const { value, perClass, n, bins, convention } = expectedCalibrationError(p, labels, { kind: "class-wise", bins: 1 });
    // Class 0: mean probability 7/16, share 1/4; class 1: 7/16 and 3/4; class 2: 1/8 and 0.
    expect(perClass).toEqual(Float64Array.of(3 / 16, 5 / 16, 1 / 8));
    expectClose(value, 10 / 48, { atol: 1e-16 });
    expect({ n, bins, convention }).toEqual({ n: 4, bins: 1, convention: "mean over classes, equal width, bins (low, high], 0 in the first" });
    expect(expectedCalibrationError(p, labels, { kind: "class-wise", bins: 1, norm: "max" }).value).toBe(5 / 16);
    expectClose(expectedCalibrationError(p, labels, { kind: "class-wise", bins: 1, norm: 2 }).value, Math.sqrt((9 + 25 + 4) / 256 / 3), { atol: 1e-16 });
  });

  it("predicted-class: within the rows of each predicted class, NaN where there are none", () => {
    const { value, perClass } = expectedCalibrationError(p, labels, { kind: "predicted-class", bins: 1 });
    // Class 0: confidence 5/8, half right; class 1: 5/8, all right; each half of the rows.
    expect(perClass).toEqual(Float64Array.of(1 / 8, 3 / 8, NaN));
    expect(value).toBe(1 / 4);
    expect(expectedCalibrationError(p, labels, { bins: 1 }).value).toBe(1 / 8); // without the classes the gaps cancel
  });
});

describe("null distribution of other norms", () => {
  it("simulates the norm that was asked for", () => {
    const rows = { confidence: [0.25], correct: [1] };
    for (const norm of [1, 2, "max"] as const) {
      const { value, null: got } = expectedCalibrationError(rows, { norm, binning: "equal-mass", bins: 1, nullDistribution: { random: randomSource(3), repetitions: 20000 } });
      expect(value).toBe(0.75);
      expectClose(got!.mean, 0.375, { atol: (4 * 0.2165) / Math.sqrt(20000) }); // |y - c| is 0.25 or 0.75
      expectClose(got!.pValue, 0.25, { atol: 4 * Math.sqrt(0.1875 / 20000) });
    }
  });
});

describe("messages of the options", () => {
  it("say what is wrong", () => {
    const rows = { confidence: [0.5], correct: [1] };
    const random = randomSource(1);
    expect(() => expectedCalibrationError(rows, { binning: "quantile" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`binning\` "equal-width", "equal-mass" or "sweep", got quantile]`);
    expect(() => expectedCalibrationError(rows, { kind: "canonical" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`kind\` "top-label", "class-wise" or "predicted-class", got canonical]`);
    expect(() => expectedCalibrationError(rows, { norm: 3 as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`norm\` 1, 2 or "max", got 3]`);
    expect(() => expectedCalibrationError(rows, { norm: "max", debiased: true })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`norm\` 1 or 2 with \`debiased\`, got max]`);
    expect(() => expectedCalibrationError(rows, { kind: "class-wise" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`kind\` "top-label" with confidences, got "class-wise". Pass probabilities and labels]`);
    expect(() => expectedCalibrationError(rows, { binning: "sweep", nullDistribution: { random } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`nullDistribution\` with "top-label", bins that do not depend on the answers, and not \`debiased\`, got "top-label", "sweep"]`);
    expect(() => expectedCalibrationError(rows, { binning: "equal-mass", bins: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`bins\` an integer in [1, 1000000], got 0]`);
  });
});
