import { describe, expect, it } from "vitest";
import { batchLossChecks, checkBatchLoss, type BatchLossSpec } from "./batchLoss.ts";
import type { Plain } from "./checks.ts";
import type { LossLike } from "./lossCase.ts";
import { testRandom } from "./random.ts";

/** What the variants below get wrong; all absent = correct. */
interface Faults {
  value?: number;
  gradient?: number;
  meanByBatch?: boolean;
  ignoreWhere?: boolean;
  partnersKept?: boolean;
  noUpstream?: boolean;
  countLonely?: boolean;
  unchecked?: boolean;
}

interface Options {
  reduction?: "none" | "sum" | "mean";
  weight?: Float32Array;
  where?: Uint8Array;
  ignoreIndex?: number;
  upstream?: Plain;
}

function refuseOthers(others: object): void {
  for (const other of Object.keys(others)) throw new TypeError(`expected options such as where, got ${other}`);
}

// value[i] = mean over the others of the same label of |x_i - x_j|^2 / 2; an anchor without another takes no part.
function spreadLoss(faults: Faults = {}): LossLike {
  const withGrad = (x: Plain, labels: Plain<Int32Array>, { weight, where, ignoreIndex, upstream, reduction = "mean", ...others }: Options = {}) => {
    const [n, f] = x.shape;
    refuseOthers(others);
    for (const [field, values, good] of [["weight", weight, (v: number) => v >= 0 && v < Infinity], ["where", where, (v: number) => v <= 1]] as const) {
      if (!faults.unchecked && values && (values.length !== n || !Array.from(values).every(good))) throw new RangeError(`spread: \`${field}\``);
    }
    if (!["none", "sum", "mean"].includes(reduction)) throw new RangeError("spread: `reduction`");
    const w = Array.from({ length: n }, (_, i) => (weight?.[i] ?? 1) * (faults.ignoreWhere ? 1 : (where?.[i] ?? 1)) * (labels.data[i] === ignoreIndex ? 0 : 1));
    const partners = (i: number): number[] => Array.from({ length: n }, (_, j) => j).filter((j) => j !== i && (w[j] !== 0 || faults.partnersKept) && labels.data[j] === labels.data[i]);
    const active = w.map((v, i) => (v !== 0 && (faults.countLonely || partners(i).length > 0) ? v : 0));
    const mass = reduction === "mean" ? (faults.meanByBatch ? n : active.reduce((a, b) => a + b, 0) || 1) : 1;
    const values = new Float64Array(n), grad = new Float32Array(n * f);
    active.forEach((share, i) => {
      const others = partners(i), c = ((faults.noUpstream ? 1 : (upstream?.data[reduction === "none" ? i : 0] ?? 1)) * share) / mass;
      if (share === 0 || others.length === 0) return;
      for (const j of others) {
        for (let k = 0; k < f; k++) {
          const d = x.data[i * f + k] - x.data[j * f + k];
          values[i] += (share * d * d * (faults.value ?? 1)) / 2 / others.length;
          grad[i * f + k] += (c * d * (faults.gradient ?? 1)) / others.length;
          grad[j * f + k] -= (c * d) / others.length;
        }
      }
    });
    const loss = reduction === "none" ? { shape: [n], data: Float32Array.from(values) } : { shape: [], data: Float32Array.of(values.reduce((a, b) => a + b, 0) / mass) };
    return { loss, grad: { shape: [n, f], data: grad } };
  };
  return Object.assign((...args: Parameters<typeof withGrad>) => withGrad(...args).loss, { withGrad }) as LossLike;
}

const random = testRandom(4), [n, f] = [8, 3];
const spec = (faults?: Faults): BatchLossSpec => ({
  name: "spread",
  loss: spreadLoss(faults),
  cases: [{ name: "eight rows", arguments: [
    { dtype: "float32", shape: [n, f], data: Float32Array.from({ length: n * f }, () => random.normal()) },
    { dtype: "int32", shape: [n], data: Int32Array.of(0, 0, 1, 2, 1, 0, 1, 3) },
  ] }],
  reference: ([x, y]) => {
    const dist = (i: number, j: number): number => Array.from({ length: f }, (_, k) => (x[i * f + k] - x[j * f + k]) ** 2 / 2).reduce((a, b) => a + b, 0);
    const others = Array.from(y, (label, i) => Array.from(y.keys()).filter((j) => j !== i && y[j] === label));
    return { values: others.map((list, i) => (list.length === 0 ? 0 : list.reduce((s, j) => s + dist(i, j), 0) / list.length)), counts: others.map((list) => (list.length === 0 ? 0 : 1)) };
  },
  // A few float32 roundings of values of a few units, and of 1e8 where predictions are 1e4.
  bound: { rtol: 1e-6, atol: 1e-6 },
  gradientBound: { rtol: 1e-6, atol: 1e-5 },
  labels: { argument: 1 },
});

describe("checkBatchLoss", () => {
  it.each(batchLossChecks(spec()))("$name", ({ run }) => run());

  it.each<[string, Faults, string]>([
    ["a wrong value", { value: 1.0001 }, "agrees with the definition"],
    ["a value of NaN", { value: NaN }, "agrees with the definition"],
    ["a wrong gradient", { gradient: 1.001 }, "gradient of argument 0"],
    ["a mean by batch size", { meanByBatch: true }, "reduction mean"],
    ["anchors without a partner that count", { countLonely: true }, "reduction mean"],
    ["an ignored mask", { ignoreWhere: true }, "with where"],
    ["rows that take no part as partners", { partnersKept: true }, "with weight"],
    ["an ignored upstream", { noUpstream: true }, "random upstream"],
    ["bad weights that are accepted", { unchecked: true }, "weight was accepted"],
  ])("catches %s", (_, faults, text) => {
    expect(() => checkBatchLoss(spec(faults))).toThrow(text);
  });

  it("refuses to check nothing", () => {
    expect(() => checkBatchLoss({ ...spec(), cases: [] })).toThrowErrorMatchingInlineSnapshot(`[AssertionError: spread: nothing was checked]`);
  });
});

describe("checkBatchLoss of a loss with one value", () => {
  // The squared norm of the mean row, weight of shape [1].
  const centre = (fault = 1): LossLike => {
    const withGrad = (x: Plain, { weight, where, upstream, reduction = "mean", ...others }: Options = {}) => {
      refuseOthers(others);
      const [rows, cols] = x.shape, kept = Array.from({ length: rows }, (_, i) => i).filter((i) => where?.[i] !== 0), share = weight?.[0] ?? 1;
      for (const [field, bad] of [["weight", weight && !(weight.length === 1 && share >= 0 && share < Infinity)], ["where", where && (where.length !== rows || where.some((m) => m > 1))], ["reduction", !["none", "sum", "mean"].includes(reduction)]] as const) {
        if (bad) throw new RangeError(`centre: \`${field}\``);
      }
      const grad = new Float32Array(rows * cols), scale = reduction === "mean" ? (share === 0 ? 0 : 1) : share;
      let value = 0;
      for (let c = 0; c < cols && kept.length > 0; c++) {
        const mean = kept.reduce((s, i) => s + x.data[i * cols + c], 0) / kept.length;
        value += mean * mean;
        for (const i of kept) grad[i * cols + c] = (fault * 2 * mean * scale * (upstream?.data[0] ?? 1)) / kept.length;
      }
      return { loss: { shape: reduction === "none" ? [1] : [], data: Float32Array.of(value * scale) }, grad: { shape: x.shape, data: grad } };
    };
    return Object.assign((...args: Parameters<typeof withGrad>) => withGrad(...args).loss, { withGrad }) as LossLike;
  };
  const single = (fault?: number): BatchLossSpec => ({
    name: "centre",
    loss: centre(fault),
    units: "fixed",
    cases: [{ name: "five rows", arguments: [{ dtype: "float32", shape: [5, 2], data: Float32Array.from({ length: 10 }, () => random.normal()) }] }],
    reference: ([x], _, [[rows, cols]]) => [Array.from({ length: cols }, (__, c) => (Array.from({ length: rows }, (___, i) => x[i * cols + c]).reduce((a, b) => a + b, 0) / rows) ** 2).reduce((a, b) => a + b, 0)],
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { atol: 1e-6, rtol: 1e-6 },
  });

  it.each(batchLossChecks(single()))("$name", ({ run }) => run());

  it("catches a wrong gradient", () => {
    expect(() => checkBatchLoss(single(1.01))).toThrow("gradient of argument 0");
  });
});
