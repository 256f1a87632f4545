import { randomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import {
  ConformalRegression, MultiLabelConformal, SplitConformal, clusterClasses, clusterClassesAsync, conformalRiskControl, conformalRiskControlAsync, learnThenTest, learnThenTestAsync,
} from "./index.ts";

const random = randomSource(3), rows = 3000, classes = 40;
const logits = { shape: [rows, classes], data: Float32Array.from({ length: rows * classes }, () => 6 * random.uniform()) };
const labels = Int32Array.from({ length: rows }, () => random.integer(classes));
const targets = { shape: [rows, classes], data: Uint8Array.from({ length: rows * classes }, () => (random.uniform() < 0.1 ? 1 : 0)) };
const numbers = 200000, y = Float32Array.from({ length: numbers }, () => random.uniform()), m = new Float32Array(numbers);
const weights = Float32Array.from({ length: numbers }, () => random.integer(5) + 1), groups = Int32Array.from({ length: numbers }, () => random.integer(3));
const losses = { shape: [20000, 30], data: Float32Array.from({ length: 600000 }, (_, i) => 1 - (i % 30) / 29) };

const together: Record<string, readonly [now: () => unknown, later: (options: { signal?: AbortSignal; onProgress?: (share: number) => void }) => Promise<unknown>]> = {
  "SplitConformal.fit, groups and weights": [
    () => SplitConformal.fit(logits, labels, { method: "raps", groups: groups.subarray(0, rows), weights: weights.subarray(0, rows) }).toJSON(),
    async (o) => (await SplitConformal.fitAsync(logits, labels, { method: "raps", groups: groups.subarray(0, rows), weights: weights.subarray(0, rows), ...o })).toJSON(),
  ],
  "SplitConformal.tune": [() => SplitConformal.tune(logits, labels, { method: "raps" }), (o) => SplitConformal.tuneAsync(logits, labels, { method: "raps", ...o })],
  clusterClasses: [() => clusterClasses(logits, labels), (o) => clusterClassesAsync(logits, labels, o)],
  "ConformalRegression.fit": [() => ConformalRegression.fit(m, y).toJSON(), async (o) => (await ConformalRegression.fitAsync(m, y, o)).toJSON()],
  "ConformalRegression.fit, groups and weights": [() => ConformalRegression.fit(m, y, { groups, weights }).toJSON(), async (o) => (await ConformalRegression.fitAsync(m, y, { groups, weights, ...o })).toJSON()],
  "MultiLabelConformal.fit": [() => MultiLabelConformal.fit(logits, targets).toJSON(), async (o) => (await MultiLabelConformal.fitAsync(logits, targets, o)).toJSON()],
  conformalRiskControl: [() => conformalRiskControl(losses, { alpha: 0.2 }), (o) => conformalRiskControlAsync(losses, { alpha: 0.2, ...o })],
  learnThenTest: [() => learnThenTest(losses, { alpha: 0.2 }), (o) => learnThenTestAsync(losses, { alpha: 0.2, ...o })],
};

describe.each(Object.entries(together))("%s, with pauses", (_, [now, later]) => {
  it("gives the same bits and reports rising shares up to 1", async () => {
    const shares: number[] = [];
    expect(await later({ onProgress: (share) => shares.push(share) })).toEqual(now());
    expect(shares[0]).toBe(0);
    expect(shares.at(-1)).toBe(1);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
  });

  it("stops on abort with the signal's reason", async () => {
    const controller = new AbortController();
    await expect(later({ signal: controller.signal, onProgress: () => controller.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});
