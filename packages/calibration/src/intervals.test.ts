import { checkGuarantee, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { calibrationTest, expectedCalibrationError, smoothCalibrationError, type ExpectedCalibrationErrorOptions } from "./index.ts";

const { process } = globalThis as unknown as { process: { env: Record<string, string | undefined> } };
const repetitions = process.env.LOGITS_SLOW ? 10000 : 100;

/** A population of 20 rows for each confidence k / 20, of which `right(k)` are right: its own rows give the true errors. */
function population(right: (k: number) => number): { confidence: number[]; correct: number[] } {
  const confidence: number[] = [], correct: number[] = [];
  for (let k = 1; k <= 20; k++) for (let i = 0; i < 20; i++) {
    confidence.push(k / 20);
    correct.push(Number(i < right(k)));
  }
  return { confidence, correct };
}

const POPULATIONS = {
  perfect: population((k) => k),
  overconfident: population((k) => Math.round(k * 0.8)),
  crooked: population((k) => Math.max(0, Math.min(20, k + (k % 2 === 0 ? 3 : -3)))),
  "sure of everything": { confidence: Array(400).fill(1), correct: Array.from({ length: 400 }, (_, i) => Number(i < 380)) },
} as const;

interface Interval { readonly value: number; readonly interval: readonly [low: number, high: number] }
type Rows = { confidence: number[]; correct: number[] };

function sample({ confidence, correct }: Rows, seed: number, n: number): Rows {
  const random = testRandom(seed), rows = Array.from({ length: n }, () => random.integer(confidence.length));
  return { confidence: rows.map((i) => confidence[i]), correct: rows.map((i) => correct[i]) };
}

const ece = (options: ExpectedCalibrationErrorOptions) => (rows: Rows): Interval => expectedCalibrationError(rows, options);
const METRICS: Record<string, (rows: Rows) => Interval> = {
  ECE: ece({}),
  "ECE of one bin": ece({ bins: 1 }),
  "ECE of 20 bins": ece({ bins: 20 }),
  RMSCE: ece({ norm: 2 }),
  MCE: ece({ norm: "max", bins: 5 }),
  smooth: (rows) => smoothCalibrationError(rows),
  kuiper: (rows) => calibrationTest(rows).difference!,
  "kolmogorov-smirnov": (rows) => calibrationTest(rows, { method: "kolmogorov-smirnov" }).difference!,
};

describe("intervals cover the truth of the population", () => {
  describe.each(Object.entries(POPULATIONS))("%s", (_, whole) => {
    it.each(Object.entries(METRICS))("%s", (name, measure) => {
      const truth = measure(whole as Rows).value;
      for (const n of [60, 600]) {
        // Asymptotic: 1 % more than promised is allowed. Summed bin by bin, the truth is off by rounding.
        const missed = (seed: number): boolean => {
          const { interval: [low, high] } = measure(sample(whole as Rows, seed, n));
          return truth < low - 1e-12 || truth > high + 1e-12;
        };
        checkGuarantee({ name: `${name} at ${n}`, kind: "probability of exceeding", level: 0.06, repetitions, simulate: missed });
      }
    });
  });

  it("of classes: class-wise and by predicted class", () => {
    // Three classes, four kinds of rows with the shares of labels beside them, in twentieths.
    const kinds = [[[0.6, 0.3, 0.1], [12, 6, 2]], [[0.2, 0.7, 0.1], [4, 10, 6]], [[0.1, 0.1, 0.8], [4, 4, 12]], [[0.5, 0.25, 0.25], [10, 5, 5]]] as const;
    const p: number[][] = [], y: number[] = [];
    for (const [row, labels] of kinds) labels.forEach((count, label) => {
      for (let i = 0; i < count; i++) {
        p.push([...row]);
        y.push(label);
      }
    });
    for (const kind of ["class-wise", "predicted-class"] as const) {
      for (const norm of [1, 2, "max"] as const) {
        const truth = expectedCalibrationError(p, y, { kind, norm, bins: 5 }).value;
        checkGuarantee({
          name: `${kind} ${norm}`, kind: "probability of exceeding", level: 0.06, repetitions,
          simulate: (seed) => {
            const random = testRandom(seed), rows = Array.from({ length: 200 }, () => random.integer(p.length));
            const { interval: [low, high] } = expectedCalibrationError(rows.map((i) => p[i]), rows.map((i) => y[i]), { kind, norm, bins: 5 });
            return truth < low - 1e-12 || truth > high + 1e-12;
          },
        });
      }
    }
  });

  it("are not empty promises: they shrink with the rows and leave 0 where the gap is real", () => {
    for (const [name, measure] of Object.entries(METRICS)) {
      const few = measure(sample(POPULATIONS.overconfident, 1, 200)).interval, many = measure(sample(POPULATIONS.overconfident, 1, 20000)).interval;
      expect(many[1] - many[0], name).toBeLessThan((few[1] - few[0]) / 3);
      expect(many[0], name).toBeGreaterThan(0.04);
    }
  });

  it("verified_calibration passes alpha where a percentage is expected, so that its 90 % interval is one of 99.9 %: a lower level is narrower here, by the ratio of the normal's quantiles", () => {
    const rows = sample(POPULATIONS.overconfident, 2, 5000);
    const width = (level: number): number => expectedCalibrationError(rows, { bins: 1, level }).interval[1] - expectedCalibrationError(rows, { bins: 1, level }).value;
    expect(width(0.9) / width(0.999)).toBeCloseTo(1.6448536269514722 / 3.290526731491894, 12);
  });

  it("say what is wrong", () => {
    expect(() => expectedCalibrationError({ confidence: [0.5], correct: [1] }, { level: 95 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`level\` in (0, 1), got 95]`);
    expect(() => smoothCalibrationError({ confidence: [0.5], correct: [1] }, { level: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: smoothCalibrationError: expected \`level\` in (0, 1), got 0]`);
    expect(() => calibrationTest({ confidence: [0.5], correct: [1] }, { level: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: calibrationTest: expected \`level\` in (0, 1), got NaN]`);
  });
});
