import { LogitDetector, MahalanobisDetector, SsdDetector, VimDetector } from "@logits/ood";
import { auroc, falsePositiveRateAtRecall } from "@logits/metrics";
import { Tensor, randomSource } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { selectDetector, selectDetectorAsync, type DetectorChoice } from "./index.ts";

const F = 8;

/** C classes at corners; logits are what a linear head with the right directions says. */
function world(rows: number, seed: number, { classes = 5, spread = 1, shift = 0 } = {}) {
  const random = testRandom(seed), features = new Float32Array(rows * F), logits = new Float32Array(rows * classes), labels = new Int32Array(rows);
  for (let n = 0; n < rows; n++) {
    const y = (labels[n] = n % classes);
    for (let f = 0; f < F; f++) features[n * F + f] = spread * random.normal() + (f === y ? 4 : 0) + (f === F - 1 ? shift : 0);
    for (let c = 0; c < classes; c++) logits[n * classes + c] = features[n * F + c];
  }
  return { features: new Tensor("float32", [rows, F], features), logits: new Tensor("float32", [rows, classes], logits), labels };
}

/** The rows of 200 that are not among `half`. */
const rest = (half: Int32Array): number[] => Array.from({ length: 200 }, (_, row) => row).filter((row) => !half.includes(row));

const ssd: DetectorChoice = ({ features }) => SsdDetector.fit(features, { normalize: false });

describe("selectDetector", () => {
  it("chooses by given outliers: the AUROC of each is that of its definition", () => {
    const data = world(200, 1), { labels: _, ...outliers } = world(60, 2, { shift: 5 });
    const { detector, best, candidates, rows, outliers: count, proxy } = selectDetector(["msp", "mahalanobis"], { ...data, outliers });
    expect([detector.method, best, rows, count, proxy]).toEqual(["mahalanobis", 1, 100, 60, undefined]);
    expect(candidates.map(({ name, within }) => [name, within])).toEqual([["msp", true], ["mahalanobis", true]]);
    // MSP is not fitted: its number is that of the held half, which the 100 rows that Mahalanobis did not see are.
    const half = randomSource(0, 1).permutation(200).slice(100).sort(), scores = LogitDetector.of("msp").score(data).data, outside = LogitDetector.of("msp").score(outliers).data;
    expect(candidates[0].auroc).toBe(auroc([...Array.from(half, (row) => scores[row]), ...outside], [...half.map(() => 0), ...outside.map(() => 1)]));
    const own = MahalanobisDetector.fit({ data: Float32Array.from(rest(half).flatMap((row) => [...data.features.row(row).data])), shape: [100, F] }, rest(half).map((row) => data.labels[row]), { classes: 5 });
    const inner = own.score(data).data, outer = own.score(outliers).data, truth = [...half.map(() => 0), ...outer.map(() => 1)];
    expect(candidates[1].auroc).toBe(auroc([...Array.from(half, (row) => inner[row]), ...outer], truth));
    expect(candidates[1].falsePositiveRate).toBe(falsePositiveRateAtRecall([...Array.from(half, (row) => inner[row]), ...outer], truth));
    expect(candidates[1].falsePositiveRate).toBeLessThan(0.1);
    expectExact(detector.score(data).data, MahalanobisDetector.fit(data.features, data.labels, { classes: 5 }).score(data).data);
  });

  it("holds classes out where no outliers are given: each row is an outlier once, and a candidate never sees a held-out class", () => {
    const data = world(100, 3), seen: number[][] = [], sizes: number[] = [];
    const spy: DetectorChoice = ({ logits, labels, kept, classes, features }) => {
      seen.push([...kept]);
      sizes.push(labels.size);
      expect(classes).toBe(logits.shape[1]);
      expect(kept.length).toBe(classes);
      expect(Math.max(...labels.data)).toBeLessThan(classes);
      // The columns are those of the kept classes.
      for (let n = 0; n < labels.size; n++) for (const [k, c] of kept.entries()) expect(logits.data[n * classes + k]).toBe(features.data[n * F + c]);
      return LogitDetector.of("energy");
    };
    const { rows, outliers, proxy, candidates } = selectDetector(["mahalanobis", spy], data);
    expect(proxy).toBe("held-out classes");
    expect(seen.length).toBe(4 + Number(candidates[1].auroc > candidates[0].auroc));
    expect(seen.slice(0, 4).flatMap((kept) => [0, 1, 2, 3, 4].filter((c) => !kept.includes(c))).sort()).toEqual([0, 1, 2, 3, 4]);
    expect(outliers).toBe(100);
    expect(rows).toBe(sizes.slice(0, 4).reduce((sum, size) => sum + size, 0));
  });

  it("finds the detector of a world: features that say more than logits, and logits that say more than features", () => {
    const rich = world(300, 4);
    expect(selectDetector(["msp", "mahalanobis"], rich).detector.method).toBe("mahalanobis");
    const blind = { ...rich, features: world(300, 5, { classes: 1 }).features };
    expect(selectDetector(["mahalanobis", "energy"], blind).detector.method).toBe("energy");
  });

  it("keeps budgets of bytes and time, and says what was given up", () => {
    const data = world(300, 6), candidates = ["energy", "mahalanobis", { method: "knn", k: 5 }] as const;
    const free = selectDetector(candidates, data, { maxBytes: 1e9 });
    const sizes = free.candidates.map(({ bytes }) => bytes!);
    expect(sizes[0]).toBe(new TextEncoder().encode(JSON.stringify(LogitDetector.of("energy"))).length);
    expect(sizes[2]).toBeGreaterThan(300 * F * 4);
    const tight = selectDetector(candidates, data, { maxBytes: sizes[0] });
    expect([tight.detector.method, tight.candidates.map(({ within }) => within)]).toEqual(["energy", [true, false, false]]);
    expect(tight.candidates.map(({ auroc }) => auroc)).toEqual(free.candidates.map(({ auroc }) => auroc));
    // A clock by which the first two candidates take 1 ms a row and the third 3 ms.
    let reads = 0, now = 0;
    const clock = (): number => (reads++ % 2 === 0 ? now : (now += reads <= 2 * 2 * 73 ? 1 : 3));
    const quick = selectDetector(candidates, data, { maxLatencyMs: 2, clock });
    expect(quick.candidates.map(({ latencyMs, within }) => [latencyMs, within])).toEqual([[1, true], [1, true], [3, false]]);
  });

  it("is the same twice, without and with pauses, by either criterion", async () => {
    const data = world(120, 7), options = { criterion: "falsePositiveRate", seed: 3 } as const, candidates = ["msp", "energy", ssd] as const;
    const plain = selectDetector(candidates, data, options), paused = await selectDetectorAsync(candidates, data, options);
    expect(paused.candidates).toEqual(plain.candidates);
    expect(JSON.stringify(paused.detector)).toBe(JSON.stringify(plain.detector));
    const rates = plain.candidates.map(({ falsePositiveRate }) => falsePositiveRate);
    expect(plain.best).toBe(rates.indexOf(Math.min(...rates)));
    const areas = plain.candidates.map(({ auroc }) => auroc);
    expect(selectDetector(candidates, data, { seed: 3 }).best).toBe(areas.indexOf(Math.max(...areas)));
  });

  it("takes the first of equals, and a class without rows as one that is never held out", () => {
    const data = world(90, 8, { classes: 4 });
    expect(selectDetector(["energy", { method: "energy", temperature: 1 }], data).best).toBe(0);
    const five = { ...data, logits: new Tensor("float32", [90, 5], Float32Array.from({ length: 450 }, (_, i) => (i % 5 === 4 ? -9 : data.logits.data[Math.floor(i / 5) * 4 + (i % 5)]))) };
    const { outliers } = selectDetector(["msp", "energy"], five);
    expect(outliers).toBe(90);
    const one = selectDetector(["msp"], data);
    expect([one.best, one.candidates.length]).toEqual([0, 1]);
  });

  it("messages", () => {
    const data = world(20, 9, { classes: 2 }), more = world(20, 10);
    const failing = (run: () => unknown) => expect(run);
    failing(() => selectDetector([], more)).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`candidates\` at least one detector, got none]`);
    failing(() => selectDetector(["msp", "energy"], data)).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`outliers\` to choose among 2 detectors with fewer than 3 classes, got nothing. Pass rows known to be outside, or one detector]`);
    failing(() => selectDetector(["msp", VimDetector.fit(more.features, more.logits, { dimension: 2 })], more)).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`outliers\` to judge the fitted detector "vim", got nothing. It saw every class, so none can be held out: pass rows known to be outside, or a function that fits it]`);
    failing(() => selectDetector(["msp"], more, { maxBytes: 10 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`detector\` one that keeps the budgets, got msp of 77 bytes]`);
    failing(() => selectDetector(["msp"], more, { maxBytes: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`maxBytes\` a number > 0, got 0]`);
    failing(() => selectDetector(["msp"], more, { maxLatencyMs: 1 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: selectDetector: expected \`clock\` a function where there is a \`maxLatencyMs\`, got nothing. Pass () => performance.now()]`);
    failing(() => selectDetector(["msp"], more, { criterion: "best" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`criterion\` "auroc" or "falsePositiveRate", got best]`);
    failing(() => selectDetector(["msp"], { logits: [[0.5, 0.5], [0.2, 0.8]], labels: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`logits\` of scores before the softmax, got probabilities: each row >= 0 with a sum of 1. Pass probabilitiesToLogits(p).logits]`);
    failing(() => selectDetector(["msp"], { ...more, outliers: { logits: [[1, 2]] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`outliers.logits\` of 5 classes on the last axis, got shape [1, 2]]`);
    failing(() => selectDetector(["msp"], { logits: [[1, 2]], labels: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`detector\` one detector where there are fewer than 2 fit rows, got 1]`);
    failing(() => selectDetector(["msp"], { logits: [[1, 2], [2, 1]], labels: [0, 1], outliers: { logits: { data: new Float32Array(0), shape: [0, 2] } } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectDetector: expected \`outliers\` of at least one row, got none]`);
  });
});
