import { checkGuarantee, estimatorChecks } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import { describe, expect, it, vi } from "vitest";
import { AdaptiveAlpha, ConformalRegression, ExchangeabilityMonitor, PValueMonitor, RiskMonitor, SplitConformal } from "./index.ts";

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

  it("keeps its bound over random streams and steps: miss rates that wander, jump or depend on the level", () => {
    for (let seed = 0; seed < repetitions; seed++) {
      const random = randomSource(seed, 11), adaptive = AdaptiveAlpha.start({ alpha: 0.02 + 0.9 * random.uniform(), step: 0.002 + 0.2 * random.uniform() });
      let rate = random.uniform();
      for (let t = 0; t < 200; t++) {
        if (random.integer(40) === 0) rate = random.uniform();
        const miss = random.uniform() < (seed % 2 ? rate : Math.min(1, Math.max(0, 2 * adaptive.level)));
        adaptive.update(adaptive.current === 0 || (adaptive.current < 1 && !miss));
        if (Math.abs(adaptive.misses / adaptive.rows - adaptive.alpha) > adaptive.bound + 1e-12) expect.fail(`seed ${seed}, row ${t}: ${adaptive.misses} misses`);
      }
    }
  });

  it("goes with sets of classes, everything at alpha 0 and nothing at alpha 1", () => {
    const sets = SplitConformal.fit([[1, 0, 0], [2, 0, 0], [3, 0, 0]], [0, 0, 0]);
    expect(sets.predictionSet([[1, 2, 3]], { alpha: 0 }).sizes.data[0]).toBe(3);
    expect(sets.predictionSet([[1, 2, 3]], { alpha: 1, allowEmpty: true }).sizes.data[0]).toBe(0);
    for (const method of ["aps", "raps", "saps", "topk", "margin"] as const) {
      const other = SplitConformal.fit([[1, 0, 0], [2, 0, 0], [3, 0, 0]], [0, 0, 0], { method });
      expect([0, 1].map((alpha) => other.predictionSet([[1, 2, 3]], { alpha, allowEmpty: true, ids: [0] }).sizes.data[0])).toEqual([3, 0]);
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
    expect(() => low.update(1 as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: AdaptiveAlpha.update: expected \`covered\` a boolean, got number]`);
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
    for (const bad of [null, undefined, "x"]) expect(() => monitor.update(bad as never)).toThrow(RangeError);
    expect(() => monitor.update(NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ExchangeabilityMonitor.update: expected \`score\` a number, got NaN]`);
    const json = monitor.toJSON();
    for (const [field, bad] of [["level", 2], ["jump", 1], ["seed", -1], ["edges", json.counts], ["counts", json.edges], ["capital", [1, 1, 1]], ["rows", -1], ["logEvidence", "x"], ["largestLogEvidence", -1]] as const) {
      expect(() => ExchangeabilityMonitor.fromJSON({ ...json, [field]: bad })).toThrow(field);
    }
    expect(() => ExchangeabilityMonitor.fromJSON({ ...json, capital: [1] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ExchangeabilityMonitor.fromJSON: expected \`capital\` 3 numbers in [0, 1] that sum to 1, got [1]]`);
  });
});

describe("PValueMonitor", () => {
  /** Smooth p-values of scores against n fixed calibration rows, and the rows' source. */
  const against = (seed: number, n: number) => {
    const random = randomSource(seed, 12), fixed = Float64Array.from({ length: n }, () => noise(random)).sort();
    const below = (s: number) => {
      let low = 0, high = n;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (fixed[middle] <= s) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    return { random, p: (s: number) => (n - below(s) + random.uniform()) / (n + 1) };
  };

  it.each([["small", 100, 2000], ["both", 100, 2000], ["small", 1000, 600]] as const)("raises a false alarm in at most `level` of the streams against fixed calibration rows, %s, %i rows", (side, n, rows) => {
    checkGuarantee({
      name: "false alarm", repetitions, kind: "probability of exceeding", level: 0.1,
      simulate: (seed) => {
        const { random, p } = against(seed, n), monitor = PValueMonitor.start({ level: 0.1, side, calibrationRows: n });
        for (let t = 0; t < rows && !monitor.alarm; t++) monitor.update(p(noise(random)));
        return monitor.alarm;
      },
    });
  });

  it("raises a false alarm in at most `level` of the streams of independent p-values, uniform or larger", () => {
    for (const [side, draw] of [["small", (u: number) => u], ["both", (u: number) => u], ["small", (u: number) => Math.sqrt(u)], ["small", (u: number) => Math.ceil(3 * u) / 3]] as const) {
      checkGuarantee({
        name: `${side}`, repetitions, kind: "probability of exceeding", level: 0.1,
        simulate: (seed) => {
          const random = randomSource(seed, 13), monitor = PValueMonitor.start({ level: 0.1, side });
          for (let t = 0; t < 500 && !monitor.alarm; t++) monitor.update(draw(random.uniform()));
          return monitor.alarm;
        },
      });
    }
  });

  it("needs to be told of the calibration rows: without, p-values against 50 fixed rows raise too many false alarms", () => {
    let alarms = 0;
    for (let seed = 0; seed < 60; seed++) {
      const { random, p } = against(seed, 50), monitor = PValueMonitor.start({ level: 0.1 });
      for (let t = 0; t < 3000; t++) monitor.update(p(noise(random)));
      if (monitor.alarm) alarms++;
    }
    expect(alarms / 60).toBeGreaterThan(0.2); // ten per cent were promised
  });

  it("sees a planted shift, soon where it is large", () => {
    for (let seed = 0; seed < 20; seed++) {
      for (const [n, shift, most] of [[1000, 0.5, 300], [1000, 1.5, 60], [100, 1.5, 60]] as const) {
        const { random, p } = against(seed, n), monitor = PValueMonitor.start({ calibrationRows: n });
        for (let t = 0; t < 300; t++) monitor.update(p(noise(random)));
        expect(monitor.alarm).toBe(false);
        while (!monitor.alarm && monitor.rows < 2000) monitor.update(p(noise(random) + shift));
        expect(monitor.rows - 300).toBeLessThan(most);
        expect(monitor.pValue).toBeLessThanOrEqual(0.01);
      }
    }
    // Scores that fall make p-values large: only "both" sees them.
    const large = ["small", "both"].map((side) => {
      const monitor = PValueMonitor.start({ side: side as "both" });
      for (let t = 0; t < 200; t++) monitor.update(0.9);
      return monitor.alarm;
    });
    expect(large).toEqual([false, true]);
  });

  it("goes with the p-values of sets: those of the label, while nothing changes, raise no alarm", () => {
    const random = randomSource(5), rows = 900;
    const labels = Int32Array.from({ length: rows }, () => random.integer(3)), data = Float32Array.from({ length: 3 * rows }, (_, i) => 4 * random.uniform() + (labels[Math.floor(i / 3)] === i % 3 ? 1 : 0));
    const fitted = SplitConformal.fit({ shape: [400, 3], data: data.subarray(0, 1200) }, labels.subarray(0, 400)), monitor = PValueMonitor.start({ calibrationRows: fitted.n });
    const p = fitted.pValues({ shape: [500, 3], data: data.subarray(1200) }).data;
    for (let t = 0; t < 500; t++) monitor.update(p[3 * t + labels[400 + t]]);
    expect(monitor.alarm).toBe(false);
    for (let t = 0; t < 500 && !monitor.alarm; t++) monitor.update(p[3 * t + ((labels[400 + t] + 1) % 3)]);
    expect(monitor.alarm).toBe(true);
  });

  it("has a state of constant size that survives a reload bit by bit", () => {
    for (const options of [{ calibrationRows: 300, side: "both" as const }, { level: 0.05, jump: 0.1 }]) {
      const random = randomSource(1), whole = PValueMonitor.start(options);
      let parts = PValueMonitor.start(options);
      for (let t = 0; t < 1000; t++) {
        const p = random.uniform() ** 1.2;
        whole.update(p);
        parts = PValueMonitor.fromJSON(JSON.parse(JSON.stringify(parts.update(p))));
      }
      expect(parts.toJSON()).toEqual(whole.toJSON());
      expect([parts.pValue, parts.alarm, parts.slack]).toEqual([whole.pValue, whole.alarm, whole.slack]);
      expect(JSON.stringify(parts).length).toBeLessThan(320);
    }
  });

  it("says what is wrong", () => {
    expect(() => PValueMonitor.start({ level: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueMonitor.start: expected \`level\` in (0, 1), got 0]`);
    expect(() => PValueMonitor.start({ jump: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueMonitor.start: expected \`jump\` in (0, 1), got 1]`);
    expect(() => PValueMonitor.start({ side: "large" as "small" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueMonitor.start: expected \`side\` "small" or "both", got large]`);
    expect(() => PValueMonitor.start({ calibrationRows: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueMonitor.start: expected \`calibrationRows\` an integer >= 1, got 0.5]`);
    expect(() => PValueMonitor.start({ calibrationRows: 5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueMonitor.start: expected \`calibrationRows\` at least 9 at level 0.01, got 5. With fewer no stream could raise an alarm]`);
    const monitor = PValueMonitor.start().update(0.5);
    expect([monitor.pValue, monitor.calibrationRows, monitor.slack]).toEqual([1, undefined, 0]);
    for (const bad of [-0.1, 1.1, NaN, null as never, undefined as never]) expect(() => monitor.update(bad)).toThrow(RangeError);
    expect(() => monitor.update(NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueMonitor.update: expected \`pValue\` in [0, 1], got NaN]`);
    const json = monitor.toJSON();
    for (const [field, bad] of [["level", 1], ["jump", 0], ["side", "up"], ["calibrationRows", 3], ["capital", [1]], ["rows", -1], ["logEvidence", "x"], ["largestLogEvidence", -1], ["format", "x"], ["version", 2]] as const) expect(() => PValueMonitor.fromJSON({ ...json, [field]: bad })).toThrow(field);
    expect(() => PValueMonitor.fromJSON({ ...json, capital: [0.5, 0.6] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PValueMonitor.fromJSON: expected \`capital\` 2 numbers in [0, 1] that sum to 1, got [0.5,0.6]]`);
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

  it("as composed: the misses of sets of one calibration set, watched at the lower end of its Beta interval, raise a false alarm in at most `level` of the streams", () => {
    checkGuarantee({
      name: "level / 2 for the calibration rows, level / 2 for the stream", repetitions, kind: "probability of exceeding", level: 0.1,
      simulate: (seed) => {
        const random = randomSource(seed, 14), conformal = ConformalRegression.fit(new Float32Array(100), Float32Array.from({ length: 100 }, () => random.uniform()));
        const monitor = RiskMonitor.start({ risk: 1 - conformal.expectedCoverage(0.1, 0.9).interval[0], level: 0.05 }), q = conformal.quantile(0.1);
        for (let t = 0; t < 400 && !monitor.alarm; t++) monitor.update(random.uniform() > q ? 1 : 0);
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
    for (const bad of [null, undefined, "x"]) expect(() => monitor.update(bad as never)).toThrow(RangeError);
    expect(() => monitor.update(1.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: RiskMonitor.update: expected \`loss\` in [0, 1], got 1.5]`);
    const json = monitor.toJSON();
    for (const [field, bad] of [["risk", 1], ["bound", 0], ["level", 0], ["rows", -1], ["sum", 1], ["wealth", [1]], ["largestLogEvidence", -1]] as const) expect(() => RiskMonitor.fromJSON({ ...json, [field]: bad })).toThrow(field);
    expect(() => RiskMonitor.fromJSON({ ...json, wealth: [9, 9, 9, 9, 9, 9, 9, 9] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: RiskMonitor.fromJSON: expected \`largestLogEvidence\` at least the evidence of \`wealth\`, got 0]`);
  });
});

describe("every state is an estimator of its stream", () => {
  const random = randomSource(8), reference = Float32Array.from({ length: 120 }, () => noise(random));
  const stream = { shape: [300], data: Float32Array.from({ length: 300 }, () => Math.fround(0.8 * random.uniform())) };
  const each = <T>(start: T, update: (state: T, x: number) => void, x: { data: ArrayLike<number> }): T => {
    for (let t = 0; t < 300; t++) update(start, x.data[t]);
    return start;
  };
  // A state goes on: its answer is what it says after more rows, and must not depend on who asked before.
  const after = <T>(copy: (state: T) => T, update: (state: T, x: number) => void, numbers: (state: T) => number[]) => (state: T) => {
    const on = copy(state);
    for (const x of [0.1, 0.5, 0.9]) update(on, x);
    return { shape: [2 * numbers(on).length], data: [...numbers(state), ...numbers(on)] };
  };
  const adapt = (state: AdaptiveAlpha, x: number) => void state.update(state.current === 0 || (state.current < 1 && x < 0.7));
  const watch = (state: ExchangeabilityMonitor | PValueMonitor | RiskMonitor, x: number) => void state.update(x);
  const evidence = (state: ExchangeabilityMonitor | PValueMonitor | RiskMonitor) => [state.logEvidence, state.pValue, state.rows, Number(state.alarm)];
  const row = { rowOrder: "matters" as const }; // streams are in time

  it.each([
    ...estimatorChecks<AdaptiveAlpha>({ name: "AdaptiveAlpha", data: [stream], fit: (x) => each(AdaptiveAlpha.start(), adapt, x), fromJSON: AdaptiveAlpha.fromJSON, output: after((a) => AdaptiveAlpha.fromJSON(a.toJSON()), adapt, (a) => [a.level, a.rows, a.misses]), ...row }),
    ...estimatorChecks<ExchangeabilityMonitor>({ name: "ExchangeabilityMonitor", data: [stream], fit: (x) => each(ExchangeabilityMonitor.start(reference, { bins: 12 }), watch, x), fromJSON: ExchangeabilityMonitor.fromJSON, output: after((m) => ExchangeabilityMonitor.fromJSON(m.toJSON()), watch, evidence), base64: ["edges.data"], ...row }),
    ...estimatorChecks<PValueMonitor>({ name: "PValueMonitor", data: [stream], fit: (x) => each(PValueMonitor.start({ calibrationRows: 500 }), watch, x), fromJSON: PValueMonitor.fromJSON, output: after((m) => PValueMonitor.fromJSON(m.toJSON()), watch, evidence), ...row }),
    ...estimatorChecks<RiskMonitor>({ name: "RiskMonitor", data: [stream], fit: (x) => each(RiskMonitor.start({ risk: 0.3 }), watch, x), fromJSON: RiskMonitor.fromJSON, output: after((m) => RiskMonitor.fromJSON(m.toJSON()), watch, evidence), ...row }),
  ].map((check, i) => ({ ...check, name: `${i} ${check.name}` })))("$name", ({ run }) => run());
});
