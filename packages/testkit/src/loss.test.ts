import { describe, expect, it } from "vitest";
import type { Plain } from "./checks.ts";
import { checkLoss, lossChecks, type LossSpec } from "./loss.ts";
import type { LossLike } from "./lossCase.ts";
import { testRandom } from "./random.ts";

/** What the variants below get wrong; all absent = a correct softmax cross-entropy. */
interface Faults {
  gradient?: (g: number, row: number, c: number) => number;
  value?: (v: number) => number;
  ignoreWeight?: boolean;
  ignoreWhere?: boolean;
  meanByBatch?: boolean;
  readDropped?: boolean;
  noUpstream?: boolean;
  naive?: boolean;
  noRange?: boolean;
  rangeMessage?: string;
  sumAsDefault?: boolean;
  zeroIgnored?: boolean;
  writesLogits?: boolean;
  unchecked?: boolean;
  anyOption?: boolean;
  divideByZero?: boolean;
}

interface Options {
  reduction?: "none" | "sum" | "mean";
  weight?: Float32Array;
  where?: Uint8Array;
  ignoreIndex?: number;
  upstream?: Plain;
  scale?: number;
}

function refuseOthers(others: object): void {
  for (const other of Object.keys(others)) throw new TypeError(`expected options such as where, got ${other}`);
}

function crossEntropy(faults: Faults = {}): LossLike {
  const withGrad = (logits: Plain, labels: Plain<Int32Array>, options: Options = {}) => {
    const { weight, where, ignoreIndex, upstream, scale = 1, reduction = faults.sumAsDefault ? "sum" : "mean", ...others } = options;
    if (!faults.anyOption) refuseOthers(others);
    const [rows, classes] = logits.shape;
    const refuse = (field: string, got: unknown): never => {
      throw new RangeError(`crossEntropy: expected \`${field}\` ..., got ${got}`);
    };
    if (!faults.unchecked) {
      if (weight && (weight.length !== rows || weight.some((w) => !(w >= 0 && w < Infinity)))) refuse("weight", weight);
      if (where && (where.length !== rows || where.some((m) => m > 1))) refuse("where", where);
      if (!["none", "sum", "mean"].includes(reduction)) refuse("reduction", reduction);
    }
    const values = new Float32Array(rows);
    const mass = new Float32Array(rows);
    const slopes = new Float32Array(rows * classes);
    for (let i = 0; i < rows; i++) {
      const label = labels.data[i];
      const ignored = ignoreIndex !== undefined && label === ignoreIndex;
      if ((label < 0 || label >= classes) && !ignored && !faults.noRange) throw new RangeError(faults.rangeMessage ?? `crossEntropy: expected \`labels\` in [0, ${classes}), got ${label} at index ${i}`);
      mass[i] = (weight && !faults.ignoreWeight ? weight[i] : 1) * (where && !faults.ignoreWhere ? where[i] : 1) * (ignored && !faults.zeroIgnored ? 0 : 1);
      if (mass[i] === 0 && !faults.readDropped) continue;
      const row = Float64Array.from(logits.data.subarray(i * classes, (i + 1) * classes), (v) => v * scale);
      const max = faults.naive ? 0 : Math.max(...row);
      const sum = row.reduce((s, v) => s + Math.exp(v - max), 0);
      const value = max + Math.log(sum) - row[label];
      values[i] = mass[i] * (faults.value ? faults.value(value) : value);
      for (let c = 0; c < classes; c++) {
        const g = scale * mass[i] * (Math.exp(row[c] - max) / sum - (c === label ? 1 : 0));
        slopes[i * classes + c] = faults.gradient ? faults.gradient(g, i, c) : g;
      }
    }
    if (faults.writesLogits) logits.data[0] = 0;
    const total = values.reduce((a, b) => a + b, 0);
    const all = faults.meanByBatch ? rows : mass.reduce((a, b) => a + b, 0);
    const divisor = reduction === "mean" ? (all === 0 && !faults.divideByZero ? 1 : all) : 1;
    const loss = reduction === "none" ? { shape: [rows], data: values } : { shape: [], data: Float32Array.of(total / divisor) };
    const grad = slopes.map((g, i) => (upstream && !faults.noUpstream ? upstream.data[reduction === "none" ? Math.floor(i / classes) : 0] : 1) * (g / divisor));
    return { loss, grad: { shape: [...logits.shape], data: grad } };
  };
  return Object.assign((...args: Parameters<typeof withGrad>) => withGrad(...args).loss, { withGrad }) as LossLike;
}

const random = testRandom(11);
const logits: Plain = { dtype: "float32", shape: [7, 4], data: Float32Array.from({ length: 28 }, () => 2 * random.normal()) };
const labels: Plain<Int32Array> = { dtype: "int32", shape: [7], data: Int32Array.from({ length: 7 }, () => random.integer(4)) };

const spec = (faults: Faults = {}): LossSpec => ({
  name: "crossEntropy",
  loss: crossEntropy(faults),
  cases: [
    { name: "seven rows", arguments: [logits, labels] },
    { name: "scaled", arguments: [logits, labels], options: { scale: 0.5 } },
  ],
  reference: ([row, [label]], { scale = 1 }) => {
    const z = row.map((v) => v * scale);
    const max = Math.max(...z);
    return max + Math.log(z.reduce((s, v) => s + Math.exp(v - max), 0)) - z[label];
  },
  // One rounding to float32 of values up to 30 and their sum.
  bound: { atol: 1e-5, rtol: 1e-6 },
  gradientBound: { atol: 1e-6 },
  labels: { argument: 1, classes: 4 },
});

describe("checkLoss", () => {
  it.each(lossChecks(spec()))("$name", ({ run }) => run());

  it.each<[string, Faults, string]>([
    ["a wrong value", { value: (v) => v * 1.0001 }, "agrees with the definition"],
    ["a value that is NaN", { value: () => NaN }, "agrees with the definition"],
    ["a gradient of the wrong sign", { gradient: (g) => -g }, "gradient of argument 0"],
    ["one wrong element of the gradient", { gradient: (g, row, c) => (row === 6 && c === 3 ? g + 1e-4 : g) }, "gradient of argument 0"],
    ["a gradient that is NaN", { gradient: () => NaN }, "gradient of argument 0"],
    ["an ignored weight", { ignoreWeight: true }, "with weight"],
    ["an ignored mask", { ignoreWhere: true }, "with where"],
    ["a mean by batch size", { meanByBatch: true }, "reduction mean with weight"],
    ["an ignored upstream", { noUpstream: true }, "random upstream"],
    ["rows that take no part but are read", { readDropped: true }, "whatever they hold"],
    ["overflow", { naive: true }, "10000"],
    ["labels that are not checked", { noRange: true }, "was accepted"],
    ["a label error without an index", { rangeMessage: "crossEntropy: bad `labels` 4" }, "does not name"],
    ["a sum as the default", { sumAsDefault: true }, "takes the mean"],
    ["an ignoreIndex that is not ignored", { zeroIgnored: true }, "ignoreIndex"],
    ["logits that are overwritten", { writesLogits: true }, "unchanged"],
    ["bad weights that are accepted", { unchecked: true }, "negative weight was accepted"],
    ["options without effect that are accepted", { anyOption: true }, "option wheer was accepted"],
    ["0 / 0 where no row takes part", { divideByZero: true }, "no row takes part"],
  ])("catches %s", (_, faults, text) => {
    expect(() => checkLoss(spec(faults))).toThrow(text);
  });

  it("refuses to check nothing", () => {
    expect(() => checkLoss({ ...spec(), cases: [] })).toThrowErrorMatchingInlineSnapshot(`[AssertionError: crossEntropy: nothing was checked]`);
  });
});

describe("checkLoss of a loss with a shared argument", () => {
  // loss[b] = (x[b] . w - y[b])^2 / 2, gradients of x and of w.
  const squared = (fault = 1): LossLike => {
    const withGrad = (x: Plain, w: Plain, y: Plain, options: Options = {}) => {
      const { weight, where, reduction = "mean", upstream, ...others } = options;
      refuseOthers(others);
      const [rows, columns] = x.shape;
      for (const [field, values, good] of [["weight", weight, (v: number) => v >= 0 && v < Infinity], ["where", where, (v: number) => v <= 1]] as const) {
        if (values && (values.length !== rows || !Array.from(values).every(good))) throw new RangeError(`squared: \`${field}\``);
      }
      if (!["none", "sum", "mean"].includes(reduction)) throw new RangeError("squared: `reduction`");
      const mass = Float64Array.from({ length: rows }, (_, i) => (weight?.[i] ?? 1) * (where?.[i] ?? 1));
      const divisor = reduction === "mean" ? mass.reduce((a, b) => a + b, 0) || 1 : 1;
      const data = new Float32Array(rows), gx = new Float32Array(rows * columns), gw = new Float64Array(columns);
      for (let i = 0; i < rows; i++) {
        if (mass[i] === 0) continue;
        let residual = -y.data[i];
        for (let c = 0; c < columns; c++) residual += x.data[i * columns + c] * w.data[c];
        data[i] = (mass[i] * residual * residual) / 2;
        const slope = (mass[i] * residual * (upstream ? upstream.data[reduction === "none" ? i : 0] : 1)) / divisor;
        for (let c = 0; c < columns; c++) {
          gx[i * columns + c] = slope * w.data[c];
          gw[c] += slope * x.data[i * columns + c] * fault;
        }
      }
      const loss = reduction === "none" ? { shape: [rows], data } : { shape: [], data: Float32Array.of(data.reduce((a, b) => a + b, 0) / divisor) };
      return { loss, grads: { x: { shape: x.shape, data: gx }, w: { shape: w.shape, data: Float32Array.from(gw) } } };
    };
    return Object.assign((...args: Parameters<typeof withGrad>) => withGrad(...args).loss, { withGrad }) as LossLike;
  };
  const shared = (fault?: number): LossSpec => {
    const normal = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
    return {
      name: "squared",
      loss: squared(fault),
      cases: [{ name: "five rows", arguments: [
        { dtype: "float32", shape: [5, 3], data: normal(15) }, { dtype: "float32", shape: [3], data: normal(3) }, { dtype: "float32", shape: [5], data: normal(5) },
      ] }],
      reference: ([x, w, [y]]) => (x.reduce((s, v, c) => s + v * w[c], -y)) ** 2 / 2,
      bound: { rtol: 1e-5, atol: 1e-5 },
      gradientBound: { rtol: 1e-5, atol: 1e-5 },
      shared: [1],
      differentiable: [{ argument: 0, read: (r) => r.grads.x }, { argument: 1, read: (r) => r.grads.w }],
    };
  };

  it.each(lossChecks(shared()))("$name", ({ run }) => run());

  it("catches a wrong gradient of the shared argument", () => {
    expect(() => checkLoss(shared(1.001))).toThrow("gradient of argument 1");
  });
});
