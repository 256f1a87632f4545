import { auroc } from "@logits/metrics";
import { benjaminiHochberg } from "@logits/statistics";
import { Tensor, randomSource, type RandomSource } from "@logits/tensor";
import { checkGuarantee, detectorChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { ConformalPValues, LogitDetector, MahalanobisDetector, NearestNeighborDetector, OnlineDiscoveries, PValueFusion, SsdDetector, Threshold, VimDetector, allDetectors, detectorFromJSON, discoveries, readDetector, type Detector } from "./index.ts";

const SLOW = Boolean(process.env.LOGITS_SLOW), W = 4;
const repetitions = SLOW ? 10_000 : 400;
const patience = SLOW ? 3_600_000 : 60_000;

/** Rows that are features and logits alike, so that both kinds of detectors read them. */
function rows(n: number, seed: number, shift = 0): { features: Tensor<"float32">; logits: Tensor<"float32"> } {
  const random = testRandom(seed), data = Float32Array.from({ length: n * W }, (_, i) => random.normal() + (i % W === 0 ? 3 : 0) + shift * (i % W === 3 ? 1 : 0));
  return { features: new Tensor("float32", [n, W], data), logits: new Tensor("float32", [n, W], data.slice()) };
}

const labels = new Int32Array(80);
const fused = (method: "fisher" | "harmonic" | "minimum" = "fisher") =>
  PValueFusion.fit([LogitDetector.of("energy"), MahalanobisDetector.fit(rows(80, 1).features, labels, { classes: 1 }), NearestNeighborDetector.fit(rows(80, 2).features, { k: 3, normalize: false })], rows(60, 3), { method });

describe("PValueFusion", () => {
  it.each(["fisher", "harmonic", "minimum"] as const)("%s agrees with its definition on the detectors' own p-values", (method) => {
    const fusion = fused(method), fresh = rows(20, 4), reference = rows(60, 3), p = fusion.pValues(fresh);
    fusion.detectors.forEach((detector, d) => {
      const inside = detector.score(reference).data;
      expectExact(p[d], Float64Array.from(detector.score(fresh).data, (s) => (1 + inside.filter((x) => x >= s).length) / 61));
    });
    const want = Array.from({ length: 20 }, (_, n) => {
      const own = p.map((list) => list[n]);
      return method === "fisher" ? -own.reduce((sum, x) => sum + Math.log(x), 0) / 3 : method === "harmonic" ? own.reduce((sum, x) => sum + 1 / x, 0) / 3 : -Math.log(Math.min(...own));
    });
    // Rounded to float32 once.
    expectClose(fusion.score(fresh).data, want, { rtol: 6e-8, atol: 1e-9 });
  });

  it("does not change with an increasing function of a detector's score, nor with the order of detectors", () => {
    const fresh = rows(30, 5), reference = rows(50, 6), energy = LogitDetector.of("energy"), stretched = { ...energy, method: "stretched", needs: energy.needs, toJSON: () => energy.toJSON(), score: (x: Parameters<typeof energy.score>[0]) => {
      const { data, shape } = energy.score(x);
      return new Tensor("float32", shape, data.map((s) => Math.fround(8 * s)));
    } };
    const other = LogitDetector.of("msp");
    expectExact(PValueFusion.fit([stretched, other], reference).score(fresh).data, PValueFusion.fit([energy, other], reference).score(fresh).data);
    expectClose(PValueFusion.fit([other, energy], reference).score(fresh).data, PValueFusion.fit([energy, other], reference).score(fresh).data, { rtol: 1e-7 });
    expectClose(PValueFusion.fit([energy], reference).score(fresh).data, Float32Array.from(ConformalPValues.fit(energy.score(reference).data).pValues(energy.score(fresh).data), (p) => -Math.log(p)), { rtol: 6e-8, atol: 1e-9 });
  });

  const usual = { dtype: "float32" as const, ...plain(rows(60, 7).features) };
  const far = { dtype: "float32" as const, shape: [2, W], data: Float32Array.from([3, 0, 0, 5, 3, 0, 0, 30]) };
  it.each(detectorChecks<Detector>({
    // Far beyond all reference rows p-values are equal, so the nearer row must lie among them: a reference that reaches further.
    name: "fusion", fromJSON: detectorFromJSON, usual, far,
    make: () => PValueFusion.fit([SsdDetector.fit(rows(80, 1).features, { normalize: false })], { features: [...Array.from({ length: 60 }, (_, n) => [...rows(60, 3).features.row(n).data]), ...Array.from({ length: 8 }, (_, n) => [3, 0, 0, 4 * n])] }),
  }))("$name", ({ run }) => run());

  it("is close to the best of its detectors where one is blind, and above the blind one", () => {
    const out = rows(200, 8, 3), inside = rows(200, 9), positives = Uint8Array.from({ length: 400 }, (_, i) => Number(i >= 200));
    const area = (detector: { score(x: object): Tensor<"float32"> }): number => auroc(Float32Array.from([...detector.score(inside).data, ...detector.score(out).data]), positives);
    // The shift is along a feature, which the largest logit seldom is.
    const blind = LogitDetector.of("maxLogit"), sees = MahalanobisDetector.fit(rows(80, 1).features, labels, { classes: 1 });
    const both = PValueFusion.fit([blind, sees], rows(200, 10));
    expect(area(both)).toBeGreaterThan(area(blind));
    expect(area(both)).toBeGreaterThan((area(blind) + area(sees)) / 2);
  });

  it("keeps the promise of a threshold and of p-values, composed as a user does, with detectors that depend on each other", () => {
    const simulate = (seed: number) => {
      const train = rows(40, 5 * seed), fusion = PValueFusion.fit([LogitDetector.of("energy"), MahalanobisDetector.fit(train.features, new Int32Array(40), { classes: 1 }), SsdDetector.fit(train.features, { normalize: false })], rows(40, 5 * seed + 1));
      const scores = fusion.score(rows(60, 5 * seed + 2)).data, fresh = fusion.score(rows(20, 5 * seed + 3)).data;
      const threshold = Threshold.fit(scores, { maxFalsePositiveRate: 0.1, confidence: "marginal" }), p = ConformalPValues.fit(scores);
      fusion.dispose();
      return { flagged: fresh.filter((score) => threshold.exceeds(score)).length, small: Array.from(fresh, (score) => p.pValue(score)).filter((x) => x <= 0.2).length };
    };
    const outcomes = Array.from({ length: repetitions }, (_, i) => simulate(i + 1));
    checkGuarantee({ name: "threshold", kind: "marginal mean", level: 0.1, repetitions, simulate: (i) => ({ successes: outcomes[i].flagged, trials: 20 }) });
    checkGuarantee({ name: "p-values", kind: "marginal mean", level: 0.2, repetitions, simulate: (i) => ({ successes: outcomes[i].small, trials: 20 }) });
  }, patience);

  it("reads what it wrote, with the classes of its detectors", () => {
    const vim = VimDetector.fit(rows(60, 11).features, rows(60, 11).logits, { dimension: 2, alpha: 1 }), fusion = PValueFusion.fit([vim, LogitDetector.of("msp")], rows(30, 12)), fresh = rows(9, 13);
    const json = JSON.parse(JSON.stringify(fusion)) as object;
    expect(PValueFusion.fromJSON(json, [VimDetector]).toJSON()).toEqual(fusion.toJSON());
    expectExact(readDetector(json, [PValueFusion, VimDetector]).score(fresh).data, fusion.score(fresh).data);
    expectExact(detectorFromJSON(json).score(fresh).data, fusion.score(fresh).data);
    expect(allDetectors).toContain(PValueFusion);
    expect([fusion.needs, fusion.features, fusion.n, fusion.nonNegative]).toEqual([["logits", "features"], W, 30, false]);
    expect(fusion.fingerprints!.firstShared(rows(30, 12).features)).toBe(0);
    expect(fusion.fingerprints!.firstShared(rows(60, 11).features)).toBe(0);
    expect(fusion.fingerprints!.firstShared(fresh.features)).toBe(-1);
    expect(() => PValueFusion.fromJSON(json)).toThrowErrorMatchingInlineSnapshot(`[FormatError: PValueFusion.fromJSON: expected \`format\` that of a detector that is known here (logits/logit-detector, logits/mahalanobis-detector, logits/nearest-neighbor-detector), got "logits/vim-detector". Import { VimDetector } from "@logits/ood" and pass it: \`classes: [VimDetector]\`]`);
    const read = (over: object) => () => PValueFusion.fromJSON({ ...json, ...over }, [VimDetector]);
    expect(read({ method: "sum" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PValueFusion.fromJSON: expected \`method\` "fisher" or "harmonic" or "minimum", got "sum"]`);
    expect(read({ detectors: [] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PValueFusion.fromJSON: expected \`detectors\` a list of at least one detector, got Array]`);
    expect(read({ references: [] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PValueFusion.fromJSON: expected \`references\` a list of 2, one for each detector, got 0]`);
    const { references } = fusion.toJSON();
    expect(read({ references: [references[0], ConformalPValues.fit([1]).toJSON()] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PValueFusion.fromJSON: expected \`references\` of one number of rows, at least 1, got 1 at index 1]`);
  });

  it("messages", () => {
    const fit = (...args: unknown[]) => () => (PValueFusion.fit as (...all: unknown[]) => unknown)(...args);
    const own = rows(20, 1), two = MahalanobisDetector.fit(own.features, new Int32Array(20), { classes: 1 }), narrow = SsdDetector.fit([[1], [2], [4]], { normalize: false });
    expect(fit([], own)).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueFusion.fit: expected \`detectors\` at least one, got none]`);
    expect(fit([{}], own)).toThrowErrorMatchingInlineSnapshot(`[TypeError: PValueFusion.fit: expected \`detectors\` fitted detectors, got Object at index 0]`);
    expect(fit([two, narrow], own)).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueFusion.fit: expected \`detectors\` of features of one width, got 4 and 1]`);
    expect(fit([two], own)).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueFusion.fit: expected \`reference\` of rows that fitted no detector, got row 0, which is one of the fit of "mahalanobis". On its own rows a detector's scores are too low]`);
    expect(fit([LogitDetector.of("msp")], { logits: { data: new Float32Array(0), shape: [0, 2] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueFusion.fit: expected \`reference\` of at least one row, [N, C] and [N, F], got shape [0] of the scores]`);
    expect(fit([LogitDetector.of("msp")], { logits: [[1, 2], [NaN, 1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueFusion.fit: expected \`reference\` with a score by the detector "msp", got NaN for row 1]`);
    expect(fit([two], rows(5, 2), { method: "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueFusion.fit: expected \`method\` "fisher", "harmonic", "minimum", got mean]`);
    expect(() => PValueFusion.fit([two, LogitDetector.of("msp")], rows(5, 2)).score({ logits: [[1, 2, 3, 4]], features: [[1, 2, 3, 4], [1, 2, 3, 4]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PValueFusion.score: expected \`rows\` of the same number of logits and features, got 2 and 1]`);
  });
});

function plain({ shape, data }: Tensor<"float32">): { shape: number[]; data: Float32Array } {
  return { shape: [...shape], data };
}

const uniform = (random: RandomSource, n: number, shift = 0): Float32Array => Float32Array.from({ length: n }, () => shift + random.uniform() + random.uniform() + random.uniform());

describe("discoveries", () => {
  it("are Benjamini and Hochberg's on the p-values", () => {
    const p = ConformalPValues.fit(uniform(randomSource(1), 99)), scores = Float32Array.from([...uniform(randomSource(2), 30), ...uniform(randomSource(3), 10, 2)]);
    const found = discoveries(p, scores, { maxFalseDiscoveryRate: 0.2 });
    expectExact(found.pValues, p.pValues(scores));
    expectExact(found.adjusted, benjaminiHochberg(found.pValues));
    expectExact(found.flagged.data, Uint8Array.from(found.adjusted, (q) => Number(q <= 0.2)));
    expect(found.flagged.data.subarray(30).reduce((sum, x) => sum + x, 0)).toBeGreaterThan(5);
    expect(discoveries(p, []).flagged.size).toBe(0);
  });
  it("flag at least N / (q (n + 1)) rows, or none", () => {
    const p = ConformalPValues.fit(uniform(randomSource(1), 19));
    const count = (outliers: number): number => discoveries(p, [...Array.from({ length: outliers }, () => 9), ...Array.from({ length: 10 - outliers }, () => 0)]).flagged.data.reduce((sum, x) => sum + x, 0);
    expect([0, 1, 4, 5, 6, 10].map(count)).toEqual([0, 0, 0, 5, 6, 10]);
  });
  it("keep the share of false ones at q in the mean", () => {
    checkGuarantee({ name: "discoveries", kind: "marginal mean", level: 0.2 * 0.6, repetitions, simulate: (seed) => {
      const random = randomSource(seed), { flagged } = discoveries(ConformalPValues.fit(uniform(random, 200)), [...uniform(random, 30), ...uniform(random, 20, 1)], { maxFalseDiscoveryRate: 0.2 });
      const all = flagged.data.reduce((sum, x) => sum + x, 0);
      return all === 0 ? 0 : flagged.data.subarray(0, 30).reduce((sum, x) => sum + x, 0) / all;
    } });
  });
  it("messages", () => {
    expect(() => discoveries({} as never, [1])).toThrowErrorMatchingInlineSnapshot(`[TypeError: discoveries: expected \`calibration\` a ConformalPValues, got Object]`);
    expect(() => discoveries(ConformalPValues.fit([1]), [1], { maxFalseDiscoveryRate: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: discoveries: expected \`maxFalseDiscoveryRate\` in (0, 1), got 1]`);
    expect(() => discoveries(ConformalPValues.fit([1]), [NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalPValues.pValues: expected \`scores\` without NaN, got NaN in row 0]`);
  });
});

/** The rules as their papers write them, over the whole past each time. */
function reference(rule: "lond" | "lord", q: number, p: readonly number[]): { flagged: boolean; level: number }[] {
  const gamma = (t: number): number => (0.07720838 * Math.log(Math.max(t, 2))) / (t * Math.exp(Math.sqrt(Math.log(t))));
  const out: { flagged: boolean; level: number }[] = [];
  for (let t = 1; t <= p.length; t++) {
    const times = out.flatMap(({ flagged }, i) => (flagged ? [i + 1] : [])), w0 = q / 2;
    const level = rule === "lond" ? q * gamma(t) * (times.length + 1) : gamma(t) * w0 + times.reduce((sum, tau, j) => sum + (j === 0 ? q - w0 : q) * gamma(t - tau), 0);
    out.push({ flagged: p[t - 1] <= level, level });
  }
  return out;
}

describe("OnlineDiscoveries", () => {
  it.each(["lond", "lord"] as const)("%s agrees with its definition", (rule) => {
    const random = testRandom(3), p = Array.from({ length: 300 }, () => (random.uniform() < 0.3 ? 1e-4 * random.uniform() : random.uniform()));
    const stream = OnlineDiscoveries.start({ rule }), want = reference(rule, 0.1, p), got = p.map((x) => stream.test(x));
    expect(got.map(({ flagged }) => flagged)).toEqual(want.map(({ flagged }) => flagged));
    // Logarithm, exponential and a sum of as many terms as discoveries: 1e-13.
    expectClose(got.map(({ level }) => level), want.map(({ level }) => level), { rtol: 1e-13 });
    expect([stream.tested, stream.discoveries]).toEqual([300, want.filter(({ flagged }) => flagged).length]);
    expect(stream.discoveries).toBeGreaterThan(60);
  });

  it("has levels that sum to at most q where nothing is found", () => {
    for (const rule of ["lond", "lord"] as const) {
      const stream = OnlineDiscoveries.start({ rule });
      let sum = 0;
      for (let t = 0; t < 100_000; t++) sum += stream.test(1).level;
      expect(sum).toBeLessThan(rule === "lond" ? 0.1 : 0.05);
    }
  });

  it("goes on after a restart", () => {
    const random = testRandom(4), p = Array.from({ length: 100 }, () => random.uniform() ** 4), whole = OnlineDiscoveries.start({ rule: "lord" });
    const want = p.map((x) => whole.test(x));
    let stream = OnlineDiscoveries.start({ rule: "lord" });
    const got = p.map((x) => {
      stream = OnlineDiscoveries.fromJSON(JSON.parse(JSON.stringify(stream)));
      return stream.test(x);
    });
    expect(got).toEqual(want);
    expect(stream.toJSON()).toEqual(whole.toJSON());
  });

  /** A stream of 200 rows, one in five an outlier, against the same calibration rows, as a user composes it: the share of false ones among the discoveries so far, at the end and at its worst moment checked. */
  const stream = (rule: "lond" | "lord", n: number) => (seed: number): readonly [end: number, middle: number, found: number] => {
    const random = randomSource(seed), p = ConformalPValues.fit(uniform(random, n)), online = OnlineDiscoveries.start({ maxFalseDiscoveryRate: 0.2, rule });
    let wrong = 0, all = 0, middle = 0;
    for (let t = 0; t < 200; t++) {
      const outlier = random.uniform() < 0.2;
      if (online.test(p.pValue(uniform(random, 1, outlier ? 2 : 0)[0])).flagged) {
        all++;
        if (!outlier) wrong++;
      }
      if (t === 49) middle = all === 0 ? 0 : wrong / all;
    }
    return [all === 0 ? 0 : wrong / all, middle, all - wrong];
  };
  it.each([["lond", 1000], ["lord", 1000], ["lond", 100], ["lord", 100]] as const)("%s keeps the share of false ones at q with %i calibration rows", (rule, n) => {
    const outcomes = Array.from({ length: repetitions }, (_, i) => stream(rule, n)(i));
    for (const at of [0, 1] as const) checkGuarantee({ name: `${rule} ${n}`, kind: "marginal mean", level: 0.2, repetitions, simulate: (i) => outcomes[i][at] });
    const found = outcomes.reduce((sum, [, , one]) => sum + one, 0) / repetitions;
    console.info(`${rule}, ${n} calibration rows: false share ${outcomes.reduce((sum, [one]) => sum + one, 0) / repetitions}, found ${found} of 40`);
    // Of 100 calibration rows the smallest p-value is 1 / 101 = 0.0099; the first levels are 0.2 x 0.0535 = 0.0107, half of that for "lord", and falling.
    if (n === 1000) expect(found).toBeGreaterThan(4);
    else expect(found).toBeLessThan(1);
  }, patience);
  it("fails without the rule: every p-value below q", () => {
    expect(() => checkGuarantee({ name: "naive", kind: "marginal mean", level: 0.2, repetitions: 100, simulate: (seed) => {
      const random = randomSource(seed), p = ConformalPValues.fit(uniform(random, 1000));
      let wrong = 0, all = 0;
      for (let t = 0; t < 200; t++) {
        const outlier = random.uniform() < 0.2;
        if (p.pValue(uniform(random, 1, outlier ? 2 : 0)[0]) > 0.2) continue;
        all++;
        if (!outlier) wrong++;
      }
      return wrong / all;
    } })).toThrow("promised at most 0.2");
  });

  it("messages", () => {
    expect(() => OnlineDiscoveries.start({ maxFalseDiscoveryRate: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: OnlineDiscoveries.start: expected \`maxFalseDiscoveryRate\` in (0, 1), got 0]`);
    expect(() => OnlineDiscoveries.start({ rule: "saffron" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: OnlineDiscoveries.start: expected \`rule\` "lond" or "lord", got saffron]`);
    const online = OnlineDiscoveries.start();
    expect(() => online.test(NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: OnlineDiscoveries.test: expected \`pValue\` in [0, 1], got NaN]`);
    expect(online.tested).toBe(0);
    online.test(0.9);
    expect(() => OnlineDiscoveries.fromJSON({ ...online.toJSON(), discoveries: [2] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: OnlineDiscoveries.fromJSON: expected \`discoveries\` ascending integers in [1, 1], got [2]]`);
    expect(() => OnlineDiscoveries.fromJSON({ ...online.toJSON(), maxFalseDiscoveryRate: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: OnlineDiscoveries.fromJSON: expected \`maxFalseDiscoveryRate\` in (0, 1), got 1]`);
    expect(() => OnlineDiscoveries.fromJSON({ ...online.toJSON(), version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: OnlineDiscoveries.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/ood to read it]`);
  });
});
