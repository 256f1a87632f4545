import { softmax } from "@logits/core-wasm";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { AdaMatchThreshold, CorrMatchThreshold, DashThreshold, FixMatchThreshold, FlexMatchThreshold, FreeMatchThreshold, SoftMatchThreshold, thresholdFromJSON, type Threshold } from "./index.ts";

const random = testRandom(21);
const batch = (rows: number, classes: number): { shape: number[]; data: Float32Array } => ({ shape: [rows, classes], data: Float32Array.from({ length: rows * classes }, (_, k) => 3 * random.normal() + (k % classes === 0 ? 2 : 0)) });
const read = (z: { shape: number[]; data: Float32Array }): { top: number; label: number; p: number[] }[] => {
  const p = softmax(z).data, C = z.shape[1];
  return Array.from({ length: z.shape[0] }, (_, i) => { const row = Array.from(p.subarray(i * C, (i + 1) * C)), top = Math.max(...row); return { top, label: row.indexOf(top), p: row }; });
};
const mean = (x: number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

// The statistics are checked against plain re-implementations of what the papers (and USB, where it differs) compute, over several batches.
describe("thresholds [paper:usb-a-unified-semi-supervised-learning-benchmark-for-classification]", () => {
  it("FixMatch cuts at one confidence, which itself counts", () => {
    const { labels, weight, confidence } = new FixMatchThreshold({ threshold: 0.75 }).select([[0.75, 0.25], [0.25, 0.75], [0.7, 0.3]], { input: "probabilities" });
    expectExact(labels.data, [0, 1, 0]);
    expectExact(weight.data, [1, 1, 0]);
    expectExact(confidence.data, Float32Array.of(0.75, 0.75, 0.7));
    expectExact(new FixMatchThreshold().select([[4, 0], [1, 0]]).weight.data, [1, 0]);
    expectExact(new FixMatchThreshold({ threshold: 0 }).select(batch(5, 3)).weight.data, [1, 1, 1, 1, 1]);
  });

  it("FlexMatch lowers the thresholds of classes that are rarely answered", () => {
    const size = 40, rule = new FlexMatchThreshold({ classes: 3, size, threshold: 0.8 }), last = new Array<number>(size).fill(-1);
    for (let step = 0; step < 8; step++) {
      const z = batch(10, 3), ids = random.permutation(size).slice(0, 10), seen = read(z);
      const counts = [-1, 0, 1, 2].map((c) => last.filter((label) => label === c).length), b = [0, 1, 2].map((c) => counts[c + 1] / Math.max(...counts)), want = b.map((x) => (0.8 * x) / (2 - x));
      expectClose(rule.thresholds(), want, { rtol: 1e-12, atol: 0 });
      expectExact(rule.select(z, { ids: Int32Array.from(ids) }).weight.data, seen.map(({ top, label }) => Number(top >= want[label])));
      seen.forEach(({ top, label }, i) => { if (top >= 0.8) last[ids[i]] = label; });
    }
    expect(Math.max(...rule.thresholds())).toBeLessThanOrEqual(0.8);
  });

  it("FreeMatch follows the model's confidence, of all and of each class", () => {
    const rule = new FreeMatchThreshold({ classes: 3, momentum: 0.7 });
    let t = 1 / 3, q = [1 / 3, 1 / 3, 1 / 3], h = [1 / 3, 1 / 3, 1 / 3];
    for (let step = 0; step < 5; step++) {
      const z = batch(8, 3), seen = read(z);
      t = 0.7 * t + 0.3 * mean(seen.map(({ top }) => top));
      q = q.map((x, c) => 0.7 * x + 0.3 * mean(seen.map(({ p }) => p[c])));
      h = h.map((x, c) => 0.7 * x + (0.3 * seen.filter(({ label }) => label === c).length) / 8);
      expectExact(rule.select(z).weight.data, seen.map(({ top, label }) => Number(top >= (t * q[label]) / Math.max(...q))));
      expectClose(rule.thresholds(), q.map((x) => (t * x) / Math.max(...q)), { rtol: 1e-6 });
    }
    expectClose(rule.prediction, q, { rtol: 1e-6 });
    expectClose(rule.histogram, h, { rtol: 1e-9 });
  });

  it("SoftMatch weighs by a truncated Gaussian", () => {
    const rule = new SoftMatchThreshold({ classes: 3, momentum: 0.5 });
    let m = 1 / 3, v = 1;
    for (let step = 0; step < 6; step++) {
      const z = batch(8, 3), tops = read(z).map(({ top }) => top), own = mean(tops);
      m = 0.5 * m + 0.5 * own;
      v = 0.5 * v + (0.5 * tops.reduce((sum, x) => sum + (x - own) ** 2, 0)) / 7;
      const { weight } = rule.select(z);
      expectClose(weight.data, tops.map((top) => Math.exp(-(Math.min(top - m, 0) ** 2) / ((2 * v) / 4))), { rtol: 1e-5 });
      // Monotone in the confidence, 1 above the mean.
      tops.forEach((a, i) => tops.forEach((b, j) => { if (a > b) expect(weight.data[i]).toBeGreaterThanOrEqual(weight.data[j]); }));
    }
    expectClose(rule.thresholds(), [m], { rtol: 1e-6 });
    expectExact(rule.select(batch(0, 3)).weight.data, []);
  });

  it("AdaMatch is relative to the labelled rows of the step [paper:adamatch-a-unified-approach-to-semi-supervised-learning-and]", () => {
    const rule = new AdaMatchThreshold({ ratio: 0.8 }), labelled = batch(6, 3), z = batch(9, 3), cut = 0.8 * mean(read(labelled).map(({ top }) => top));
    expectExact(rule.select(z, { labelled }).weight.data, read(z).map(({ top }) => Number(top >= cut)));
    expectExact(new AdaMatchThreshold({ ratio: 0 }).select(z, { labelled }).weight.data, new Float32Array(9).fill(1));
  });

  it("CorrMatch follows the most confident row of each answered class", () => {
    const rule = new CorrMatchThreshold({ momentum: 0.6 });
    let t = 0.85;
    for (let step = 0; step < 4; step++) {
      const z = batch(7, 4), seen = read(z), answered = [...new Set(seen.map(({ label }) => label))];
      t = 0.6 * t + 0.4 * mean(answered.map((c) => Math.max(...seen.filter(({ label }) => label === c).map(({ top }) => top))));
      expectExact(rule.select(z).weight.data, seen.map(({ top }) => Number(top >= t)));
    }
    expectClose(rule.thresholds(), [t], { rtol: 1e-7 });
  });

  it("Dash bounds the loss, lower with every step", () => {
    const rule = new DashThreshold({ initial: 1 }), z = [[1, 0], [0.2, 0]]; // losses 0.31 and 0.60
    expectExact(rule.select(z).weight.data, [1, 1]);
    for (let step = 0; step < 3; step++) rule.advance(); // 1.0001 / 1.27^3 = 0.488
    expectExact(rule.select(z).weight.data, [1, 0]);
    expectClose(rule.thresholds(), [Math.exp(-1.0001 / 1.27 ** 3)], { rtol: 1e-12 });
    for (let step = 0; step < 50; step++) rule.advance();
    expectClose(rule.thresholds(), [Math.exp(-0.05)], { rtol: 1e-12 });
  });

  it.each<[string, () => Threshold]>([
    ["fixmatch", () => new FixMatchThreshold()], ["flexmatch", () => new FlexMatchThreshold({ classes: 3, size: 20 })], ["freematch", () => new FreeMatchThreshold({ classes: 3 })], ["softmatch", () => new SoftMatchThreshold({ classes: 3 })],
    ["adamatch", () => new AdaMatchThreshold()], ["corrmatch", () => new CorrMatchThreshold()], ["dash", () => new DashThreshold({ initial: 1.5 })],
  ])("%s goes on from its JSON as if nothing had happened", (kind, make) => {
    const rule = make(), options = () => ({ ids: Int32Array.from(random.permutation(20).slice(0, 8)), labelled: batch(4, 3) });
    for (let step = 0; step < 3; step++) rule.select(batch(8, 3), options());
    const copy = thresholdFromJSON(JSON.parse(JSON.stringify(rule)));
    expect(copy.kind).toBe(kind);
    expect(copy).toBeInstanceOf(rule.constructor);
    for (let step = 0; step < 3; step++) {
      const z = batch(8, 3), given = options();
      expectExact(copy.select(z, given).weight, rule.select(z, given).weight);
    }
    expect(JSON.stringify(copy)).toBe(JSON.stringify(rule));
  });

  it("has these messages", () => {
    const flex = new FlexMatchThreshold({ classes: 2, size: 3 }), json = JSON.parse(JSON.stringify(flex));
    expect(() => new FixMatchThreshold({ threshold: 1.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FixMatchThreshold: expected \`threshold\` in [0, 1], got 1.5]`);
    expect(() => new FixMatchThreshold().select([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: fixmatch threshold: select: expected \`scores\` of shape [B, C], got [2]]`);
    expect(() => new FixMatchThreshold().select([[1, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: fixmatch threshold: select: expected \`scores\` finite logits, or -Infinity for impossible classes, got a row without probabilities: row 0]`);
    expect(() => new FixMatchThreshold().select([[-Infinity, -Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: fixmatch threshold: select: expected \`scores\` finite logits, or -Infinity for impossible classes, got a row without probabilities: row 0]`);
    expect(() => new FixMatchThreshold().select([[3, 1]], { input: "probabilities" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fixmatch threshold: select: expected \`scores\` with probabilities in [0, 1], got 3 in row 0, column 0. For logits apply softmax first]`);
    expect(() => flex.select([[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: flexmatch threshold: select: expected \`ids\` int32 [1], which rows of the unlabelled set these are, got undefined]`);
    expect(() => flex.select([[1, 2]], { ids: [3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: flexmatch threshold: select: expected \`ids[0]\` an integer in [0, 2], got 3]`);
    expect(() => flex.select([[1, 2, 3]], { ids: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: flexmatch threshold: select: expected \`scores\` of shape [B, 2], got [1, 3]]`);
    expect(() => new AdaMatchThreshold().select([[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: adamatch threshold: select: expected \`labelled\` scores of the labelled rows of the step, got undefined]`);
    expect(() => new FreeMatchThreshold({ classes: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FreeMatchThreshold: expected \`classes\` an integer in [1, 2147483647], got 0]`);
    expect(() => thresholdFromJSON({ ...json, kind: "other" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: thresholdFromJSON: expected \`kind\` "fixmatch" or "flexmatch" or "freematch" or "softmatch" or "adamatch" or "corrmatch" or "dash", got "other"]`);
    expect(() => thresholdFromJSON({ ...json, options: { classes: 2 } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: thresholdFromJSON: expected \`options\` options of the rule, got FlexMatchThreshold: expected \`size\` an integer in [1, 2147483647], got undefined]`);
    expect(() => thresholdFromJSON({ ...json, state: [1] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: thresholdFromJSON: expected \`state\` 3 numbers, got 1]`);
    expect(() => thresholdFromJSON({ ...json, state: [-1, -1, 2] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: thresholdFromJSON: expected \`state\` labels in [-1, 2), got another number]`);
    expect(() => thresholdFromJSON({ ...json, state: "no" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: thresholdFromJSON: expected \`state\` a list of finite numbers, got no]`);
    expect(() => thresholdFromJSON({ ...JSON.parse(JSON.stringify(new SoftMatchThreshold({ classes: 2 }))), state: [-1, 1] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: thresholdFromJSON: expected \`state\` no negative number, got -1]`);
  });
});
