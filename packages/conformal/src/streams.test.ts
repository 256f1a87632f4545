import { checkGuarantee } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import { describe, expect, it, vi } from "vitest";
import { AdaptiveAlpha, ConformalRegression, ExchangeabilityMonitor, RiskMonitor, SplitConformal } from "./index.ts";

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });

const repetitions = process.env.LOGITS_SLOW ? 10000 : 400;

/** Sum of three uniform numbers, from -1.5 to 1.5. */
const noise = (random: ReturnType<typeof randomSource>): number => random.uniform() + random.uniform() + random.uniform() - 1.5;

describe("AdaptiveAlpha", () => {
  const fitted = (() => {
    const random = randomSource(1);
    return ConformalRegression.fit(new Float32Array(500), Float32Array.from({ length: 500 }, () => noise(random)));
  })();

  /** A stream whose spread is 1, then 5, then 0.2. */
  function run(adaptive: AdaptiveAlpha | undefined, rows: number, seed: number): { misses: number; bounds: boolean } {
    const random = randomSource(seed, 2);
    let misses = 0, bounds = true;
    for (let t = 0; t < rows; t++) {
      const y = noise(random) * (t < rows / 3 ? 1 : t < (2 * rows) / 3 ? 5 : 0.2);
      const { low, high } = fitted.interval([0], { alpha: adaptive?.current ?? 0.1 });
      const covered = y >= low.data[0] && y <= high.data[0];
      if (!covered) misses++;
      if (adaptive) {
        adaptive.update(covered);
        bounds &&= Math.abs(adaptive.misses / adaptive.rows - 0.1) <= adaptive.bound + 1e-12 && adaptive.level >= -adaptive.step && adaptive.level <= 1 + adaptive.step;
      }
    }
    return { misses, bounds };
  }

  it("keeps its bound at every row, under shifts that break a fixed alpha", () => {
    for (const step of [0.005, 0.05]) {
      const { misses, bounds } = run(AdaptiveAlpha.start({ step }), 6000, 3);
      expect(bounds).toBe(true);
      expect(Math.abs(misses / 6000 - 0.1)).toBeLessThan(step === 0.05 ? 0.004 : 0.04); // the bounds are 0.0032 and 0.03
    }
    expect(run(undefined, 6000, 3).misses / 6000).toBeGreaterThan(0.2);
  });

  it("keeps its bound against an adversary who chooses misses", () => {
    for (const strategy of [(t: number) => t % 2 === 0, () => true, () => false, (t: number) => Math.floor(t / 300) % 2 === 0]) {
      const adaptive = AdaptiveAlpha.start({ alpha: 0.2, step: 0.03 });
      for (let t = 0; t < 3000; t++) {
        adaptive.update(adaptive.current === 0 || (adaptive.current < 1 && strategy(t)));
        expect(Math.abs(adaptive.misses / adaptive.rows - 0.2)).toBeLessThanOrEqual(adaptive.bound + 1e-12);
      }
    }
  });

  it("goes with sets of classes, everything at alpha 0 and nothing at alpha 1", () => {
    const sets = SplitConformal.fit([[1, 0, 0], [2, 0, 0], [3, 0, 0]], [0, 0, 0]);
    expect(sets.predictionSet([[1, 2, 3]], { alpha: 0 }).sizes.data[0]).toBe(3);
    expect(sets.predictionSet([[1, 2, 3]], { alpha: 1, allowEmpty: true }).sizes.data[0]).toBe(0);
    for (const method of ["aps", "raps", "saps", "topk", "margin"] as const) {
      const other = SplitConformal.fit([[1, 0, 0], [2, 0, 0], [3, 0, 0]], [0, 0, 0], { method });
      expect([0, 1].map((alpha) => other.predictionSet([[1, 2, 3]], { alpha, allowEmpty: true }).sizes.data[0])).toEqual([3, 0]);
    }
  });

  it("survives a reload bit by bit", () => {
    const whole = AdaptiveAlpha.start({ alpha: 0.13, step: 0.017 });
    let parts = AdaptiveAlpha.start({ alpha: 0.13, step: 0.017 });
    const random = randomSource(4);
    for (let t = 0; t < 500; t++) {
      const covered = whole.current === 0 || (whole.current < 1 && random.uniform() < 0.8);
      whole.update(covered);
      parts = AdaptiveAlpha.fromJSON(JSON.parse(JSON.stringify(parts.update(covered))));
    }
    expect(parts.toJSON()).toEqual(whole.toJSON());
    expect(JSON.stringify(whole).length).toBeLessThan(200);
  });

  it("says what is wrong", () => {
    expect(() => AdaptiveAlpha.start({ alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: AdaptiveAlpha.start: expected \`alpha\` in (0, 1), got 1]`);
    expect(() => AdaptiveAlpha.start({ step: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: AdaptiveAlpha.start: expected \`step\` a finite number > 0, got 0]`);
    const low = AdaptiveAlpha.start({ alpha: 0.5, step: 2 }).update(false);
    expect(() => low.update(false)).toThrowErrorMatchingInlineSnapshot(`[RangeError: AdaptiveAlpha.update: expected \`covered\` true at alpha 0, whose set holds everything, got false. Ask for the set at \`current\`, with allowEmpty: true]`);
    expect(() => AdaptiveAlpha.start({ alpha: 0.5, step: 2 }).update(true).update(true)).toThrowErrorMatchingInlineSnapshot(`[RangeError: AdaptiveAlpha.update: expected \`covered\` false at alpha 1, whose set holds nothing, got true. Ask for the set at \`current\`, with allowEmpty: true]`);
    const json = low.toJSON();
    for (const [field, bad] of [["alpha", 0], ["step", -1], ["level", 9], ["rows", 0.5], ["misses", 2], ["version", 2], ["format", "x"]] as const) expect(() => AdaptiveAlpha.fromJSON({ ...json, [field]: bad })).toThrow(field);
    expect(() => AdaptiveAlpha.fromJSON({ ...json, misses: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: AdaptiveAlpha.fromJSON: expected \`misses\` an integer in [0, 1], got 2]`);
  });
});

describe("ExchangeabilityMonitor", () => {
  const start = (seed: number, level: number, draw: (random: ReturnType<typeof randomSource>) => number, reference = 100) => {
    const random = randomSource(seed, 5);
    return { random, monitor: ExchangeabilityMonitor.start(Float32Array.from({ length: reference }, () => draw(random)), { level, seed, bins: 20 }) };
  };

  it.each([["continuous", noise], ["with ties", (random: ReturnType<typeof randomSource>) => Math.floor(3 * random.uniform())]] as const)("raises a false alarm in at most `level` of the streams, %s scores", (_, draw) => {
    checkGuarantee({
      name: "false alarm", repetitions, kind: "probability of exceeding", level: 0.1,
      simulate: (seed) => {
        const { random, monitor } = start(seed, 0.1, draw);
        for (let t = 0; t < 600; t++) monitor.update(draw(random));
        return monitor.alarm;
      },
    });
  });

  it("has the p-values of a fixed calibration set to warn of: they raise more false alarms", () => {
    // The same jumper on p-values against 50 fixed rows over 3,000 rows: what one must not do.
    let alarms = 0;
    for (let seed = 0; seed < 60; seed++) {
      const random = randomSource(seed, 6), fixed = Float32Array.from({ length: 50 }, () => noise(random)).sort();
      let capital = [1 / 3, 1 / 3, 1 / 3], logarithm = 0, largest = 0;
      for (let t = 0; t < 3000; t++) {
        const s = noise(random), p = (fixed.filter((x) => x > s).length + random.uniform()) / 51;
        capital = capital.map((c, e) => (0.99 * c + 0.01 / 3) * (1 + (e - 1) * (p - 0.5)));
        const sum = capital[0] + capital[1] + capital[2];
        capital = capital.map((c) => c / sum);
        largest = Math.max(largest, (logarithm += Math.log(sum)));
      }
      if (largest > Math.log(10)) alarms++;
    }
    expect(alarms / 60).toBeGreaterThan(0.2); // ten per cent were promised
  });

  it("sees a planted shift, from the first row or later, up or down", () => {
    for (const [at, shift] of [[0, 0.5], [400, 0.5], [400, -0.5], [0, -0.5]]) {
      for (let seed = 0; seed < 20; seed++) {
        const { random, monitor } = start(seed, 0.01, noise, 1000);
        let first = -1;
        for (let t = 0; t < at + 600 && first < 0; t++) if (monitor.update(noise(random) + (t < at ? 0 : shift)).alarm) first = t;
        expect(first).toBeGreaterThanOrEqual(at);
        expect(first - at).toBeLessThan(500); // one standard deviation
        expect(monitor.pValue).toBeLessThanOrEqual(0.01);
      }
    }
  });

  it("has a state of constant size that survives a reload bit by bit", () => {
    const random = randomSource(3), reference = Float32Array.from({ length: 400 }, () => noise(random));
    const whole = ExchangeabilityMonitor.start(reference, { seed: 9 });
    let parts = ExchangeabilityMonitor.start(reference, { seed: 9 });
    const before = JSON.stringify(parts).length;
    for (let t = 0; t < 2000; t++) {
      const score = noise(random);
      whole.update(score);
      parts.update(score);
      if (t % 50 === 0) parts = ExchangeabilityMonitor.fromJSON(JSON.parse(JSON.stringify(parts)));
    }
    expect(parts.toJSON()).toEqual(whole.toJSON());
    expect(JSON.stringify(parts).length).toBeLessThan(before + 60); // digits of three numbers
  });

  it("takes equal, infinite and few scores", () => {
    const equal = ExchangeabilityMonitor.start([1, 1, 1, 1]);
    for (let t = 0; t < 50; t++) equal.update(1);
    expect(equal.alarm).toBe(false);
    const infinite = ExchangeabilityMonitor.start([Infinity, -Infinity, 0, 1, Infinity, -Infinity]).update(Infinity).update(-Infinity);
    expect(Number.isFinite(infinite.logEvidence)).toBe(true);
    expect([equal.rows, infinite.rows, infinite.pValue <= 1]).toEqual([50, 2, true]);
  });

  it("says what is wrong", () => {
    expect(() => ExchangeabilityMonitor.start([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ExchangeabilityMonitor.start: expected \`reference\` of shape [n], n >= 4, got [3]]`);
    expect(() => ExchangeabilityMonitor.start([1, 2, 3, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ExchangeabilityMonitor.start: expected \`reference\` without NaN, got NaN at index 3]`);
    expect(() => ExchangeabilityMonitor.start([1, 2, 3, 4], { level: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ExchangeabilityMonitor.start: expected \`level\` in (0, 1), got 1]`);
    expect(() => ExchangeabilityMonitor.start([1, 2, 3, 4], { jump: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ExchangeabilityMonitor.start: expected \`jump\` in (0, 1), got 0]`);
    expect(() => ExchangeabilityMonitor.start([1, 2, 3, 4], { bins: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ExchangeabilityMonitor.start: expected \`bins\` an integer in [2, 65536], got 1]`);
    const monitor = ExchangeabilityMonitor.start([1, 2, 3, 4]);
    expect(() => monitor.update(NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ExchangeabilityMonitor.update: expected \`score\` a number, got NaN]`);
    const json = monitor.toJSON();
    for (const [field, bad] of [["level", 2], ["jump", 1], ["seed", -1], ["edges", json.counts], ["counts", json.edges], ["capital", [1, 1, 1]], ["rows", -1], ["logEvidence", "x"], ["largestLogEvidence", -1]] as const) {
      expect(() => ExchangeabilityMonitor.fromJSON({ ...json, [field]: bad })).toThrow(field);
    }
    expect(() => ExchangeabilityMonitor.fromJSON({ ...json, capital: [1] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ExchangeabilityMonitor.fromJSON: expected \`capital\` 3 numbers in [0, 1] that sum to 1, got [1]]`);
  });
});

describe("RiskMonitor", () => {
  it("raises a false alarm in at most `level` of the streams, at the allowed mean itself", () => {
    checkGuarantee({
      name: "false alarm", repetitions, kind: "probability of exceeding", level: 0.1,
      simulate: (seed) => {
        const random = randomSource(seed, 7), monitor = RiskMonitor.start({ risk: 0.1, level: 0.1 });
        for (let t = 0; t < 1500 && !monitor.alarm; t++) monitor.update(random.uniform() < 0.1 ? 1 : 0);
        return monitor.alarm;
      },
    });
    checkGuarantee({
      name: "losses in [0, 5]", repetitions, kind: "probability of exceeding", level: 0.2,
      simulate: (seed) => {
        const random = randomSource(seed, 8), monitor = RiskMonitor.start({ risk: 2.5, bound: 5, level: 0.2 });
        for (let t = 0; t < 500 && !monitor.alarm; t++) monitor.update(5 * random.uniform());
        return monitor.alarm;
      },
    });
  });

  it("sees a mean that is too high, soon where it is far too high", () => {
    const first = (rate: number, seed: number) => {
      const random = randomSource(seed, 9), monitor = RiskMonitor.start({ risk: 0.1 });
      while (!monitor.alarm && monitor.rows < 20000) monitor.update(random.uniform() < rate ? 1 : 0);
      return monitor.rows;
    };
    for (let seed = 0; seed < 20; seed++) {
      expect(first(0.4, seed)).toBeLessThan(120);
      expect(first(0.2, seed)).toBeLessThan(700);
      expect(first(0.13, seed)).toBeLessThan(6000);
    }
  });

  it("has a state of constant size that survives a reload bit by bit", () => {
    const random = randomSource(1), whole = RiskMonitor.start({ risk: 0.3, bound: 2, level: 0.05 });
    let parts = RiskMonitor.start({ risk: 0.3, bound: 2, level: 0.05 });
    for (let t = 0; t < 1000; t++) {
      const loss = 2 * random.uniform() ** 4;
      whole.update(loss);
      parts = RiskMonitor.fromJSON(JSON.parse(JSON.stringify(parts.update(loss))));
    }
    expect(parts.toJSON()).toEqual(whole.toJSON());
    expect(parts.mean).toBe(whole.mean);
    expect(JSON.stringify(parts).length).toBeLessThan(400);
  });

  it("says what is wrong", () => {
    expect(() => RiskMonitor.start({ risk: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: RiskMonitor.start: expected \`risk\` in (0, 1), got 1]`);
    expect(() => RiskMonitor.start({ risk: 0.1, level: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: RiskMonitor.start: expected \`level\` in (0, 1), got 0]`);
    expect(() => RiskMonitor.start({ risk: 0.1, bound: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: RiskMonitor.start: expected \`bound\` a finite number > 0, got -1]`);
    const monitor = RiskMonitor.start({ risk: 0.1 });
    expect(monitor.mean).toBe(null);
    expect(() => monitor.update(1.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: RiskMonitor.update: expected \`loss\` in [0, 1], got 1.5]`);
    const json = monitor.toJSON();
    for (const [field, bad] of [["risk", 1], ["bound", 0], ["level", 0], ["rows", -1], ["sum", 1], ["wealth", [1]], ["largestLogEvidence", -1]] as const) expect(() => RiskMonitor.fromJSON({ ...json, [field]: bad })).toThrow(field);
    expect(() => RiskMonitor.fromJSON({ ...json, wealth: [9, 9, 9, 9, 9, 9, 9, 9] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: RiskMonitor.fromJSON: expected \`largestLogEvidence\` at least the evidence of \`wealth\`, got 0]`);
  });
});
