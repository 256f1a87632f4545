import { checkGuarantee, estimatorChecks } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import { describe, expect, it, vi } from "vitest";
import { MultiLabelConformal, conformalRiskControl } from "./index.ts";

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });
const repetitions = process.env.LOGITS_SLOW ? 10000 : 400;

/** Rows with none to five of five labels. */
function world(rows: number, seed: number) {
  const random = randomSource(seed), data = new Float32Array(5 * rows), targets = new Uint8Array(5 * rows);
  for (let n = 0; n < rows; n++) {
    const share = random.uniform();
    for (let i = 5 * n; i < 5 * n + 5; i++) {
      targets[i] = random.uniform() < share ? 1 : 0;
      data[i] = 5 * (random.uniform() + random.uniform() - 1) + (targets[i] ? 2 : -2);
    }
  }
  return { logits: { shape: [rows, 5], data }, targets: { shape: [rows, 5], data: targets } };
}

const lossesOf = (mask: Uint8Array, targets: Uint8Array, promise: "recall" | "all"): number[] =>
  Array.from({ length: targets.length / 5 }, (_, n) => {
    const own = [0, 1, 2, 3, 4].filter((c) => targets[5 * n + c]), missed = own.filter((c) => !mask[5 * n + c]).length;
    return own.length === 0 ? 0 : promise === "all" ? Math.min(1, missed) : missed / own.length;
  });

describe("MultiLabelConformal", () => {
  it("is conformal risk control over every threshold there is", () => {
    for (let seed = 0; seed < 12; seed++) {
      const n = 20 + seed, { logits, targets } = world(n, seed);
      for (const promise of ["recall", "all"] as const) {
        const fitted = MultiLabelConformal.fit(logits, targets, { promise });
        const scores = [...logits.data].map((z) => Math.fround(1 / (1 + Math.exp(z))));
        const settings = [-1, ...scores.filter((_, i) => targets.data[i])].sort((a, b) => a - b);
        const table = settings.map((t) => lossesOf(Uint8Array.from(scores, (s) => (s <= t ? 1 : 0)), targets.data, promise));
        const losses = { shape: [n, settings.length], data: Float32Array.from({ length: n * settings.length }, (_, i) => table[i % settings.length][Math.floor(i / settings.length)]) };
        // No alpha (n + 1) that is a sum of shares: the table holds thirds in float32.
        for (const alpha of [0.0313, 0.1017, 0.3019, 0.7043]) {
          const { index } = conformalRiskControl(losses, { alpha });
          const q = index === null ? Infinity : index === 0 ? -Infinity : settings[index];
          // Math.exp and ours agree to the last bits of float64, so to one of float32.
          if (Number.isFinite(q)) expect(Math.abs(fitted.quantile(alpha) - q)).toBeLessThanOrEqual(6e-8);
          else expect(fitted.quantile(alpha)).toBe(q);
        }
      }
    }
  });

  it.each(["recall", "all"] as const)("promises the mean loss of new rows, %s", (promise) => {
    const n = 49;
    checkGuarantee({
      name: promise, repetitions, kind: "marginal mean", level: 0.1, slack: 2 / (n + 1), // a loss jumps by at most 1 of n + 1
      simulate: (seed) => {
        const a = world(n, seed), b = world(20, seed + 1e6);
        const sets = MultiLabelConformal.fit(a.logits, a.targets, { promise }).predictionSet(b.logits, { alpha: 0.1 });
        return lossesOf(sets.mask.data, b.targets.data, promise).reduce((x, y) => x + y, 0) / 20;
      },
    });
  });

  it("takes rows without labels, infinite logits, no rows, and too few rows", () => {
    const none = MultiLabelConformal.fit([[1, 2], [3, -1], [0, 0]], [[0, 0], [0, 0], [0, 0]]);
    expect(none.predictionSet([[9, 9]], { alpha: 0.5 }).labels(0)).toEqual([]);
    expect(none.predictionSet([[-9, -9]], { alpha: 0.1 }).labels(0)).toEqual([0, 1]);
    const fitted = MultiLabelConformal.fit([[Infinity, 0], [1, -Infinity], [2, 0]], [[1, 0], [1, 0], [1, 0]], { promise: "all" });
    const sets = fitted.predictionSet([[Infinity, -Infinity], [0, 5]], { alpha: 0.3 });
    expect([sets.labels(0), sets.labels(1), sets.probabilities.at(0, 0), sets.probabilities.at(0, 1)]).toEqual([[0], [1], 1, 0]);
    expect(fitted.predictionSet({ shape: [0, 2], data: new Float32Array(0) }).sizes.size).toBe(0);
  });

  const { logits, targets } = world(60, 1), probe = world(20, 2).logits;
  it.each((["recall", "all"] as const).flatMap((promise) => estimatorChecks<MultiLabelConformal>({
    name: promise, data: [logits, targets],
    fit: (z, y) => MultiLabelConformal.fit(z, y, { promise }),
    output: (fitted) => [fitted.predictionSet(probe, { alpha: 0.1 }).mask, fitted.predictionSet(probe, { alpha: 0.4 }).mask],
    fromJSON: MultiLabelConformal.fromJSON,
    wrongWidth: [(fitted) => fitted.predictionSet([[1, 2, 3]])],
    base64: ["scores.data"],
  }).map((check) => ({ ...check, name: `${promise}: ${check.name}` }))))("$name", ({ run }) => run());

  it("says what is wrong", () => {
    const z = [[1, 0]], y = [[1, 0]], fitted = MultiLabelConformal.fit(z, y);
    expect(() => MultiLabelConformal.fit(z, [1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelConformal.fit: expected \`targets\` of shape [1, 2], got [2]]`);
    expect(() => MultiLabelConformal.fit(z, [[2, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelConformal.fit: expected \`targets\` of 0 and 1, got 2 at index 0]`);
    expect(() => MultiLabelConformal.fit([[NaN, 0]], y)).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelConformal.fit: expected \`logits\` without NaN, got NaN in row 0, column 0]`);
    expect(() => MultiLabelConformal.fit({ shape: [0, 2], data: new Float32Array(0) }, { shape: [0, 2], data: new Uint8Array(0) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelConformal.fit: expected \`logits\` with at least one row, got shape [0, 2]]`);
    expect(() => MultiLabelConformal.fit(z, y, { promise: "some" as "all" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelConformal.fit: expected \`promise\` "recall" or "all", got some]`);
    expect(() => fitted.predictionSet(z, { alpha: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelConformal.quantile: expected \`alpha\` in (0, 1), got 0]`);
    expect(() => fitted.predictionSet([[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelConformal.predictionSet: expected \`logits\` of 2 classes on the last axis, got shape [1, 1]]`);
    expect(() => MultiLabelConformal.fromJSON({ ...fitted.toJSON(), classes: 0 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MultiLabelConformal.fromJSON: expected \`classes\` an integer in [1, 4194304], got 0]`);
  });
});
