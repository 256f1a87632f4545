import { describe, expect, it } from "vitest";
import type { Plain, Result } from "./checks.ts";
import { checkKernel, kernelChecks, type KernelSpec } from "./kernel.ts";

function softmaxRef(row: Float64Array): Float64Array {
  const max = row.reduce((a, b) => (a > b || a !== a ? a : b), -Infinity);
  const e = row.map((v) => Math.exp(v - max));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

function byRow(x: Plain, width: number | undefined, f: (row: Float32Array, i: number) => ArrayLike<number>): Result {
  const [rows, columns] = x.shape;
  const out = new Float32Array(rows * (width ?? 1));
  for (let i = 0; i < rows; i++) out.set(f(x.data.subarray(i * columns, (i + 1) * columns), i), i * (width ?? 1));
  return { shape: width === undefined ? [rows] : [rows, width], data: out };
}

const softmax = (x: Plain): Result => byRow(x, x.shape[1], (row) => softmaxRef(Float64Array.from(row)));

const good: KernelSpec = {
  name: "softmax",
  run: softmax,
  reference: softmaxRef,
  bound: { ulp: 1 },
  special: [
    { name: "impossible class", row: [-Infinity, 0, -Infinity], want: [0, 1, 0] },
    { name: "equal scores", row: [7, 7, 7], want: [1 / 3, 1 / 3, 1 / 3], bound: { ulp: 1 } },
    { name: "all impossible", row: [-Infinity, -Infinity], want: [NaN, NaN] },
  ],
};

const rowMax: KernelSpec = {
  name: "rowMax",
  run: (x) => byRow(x, undefined, (row) => [Math.max(...row)]),
  reference: (row) => Math.max(...row),
  bound: (row, want) => ({ atol: 1e-7 * Math.abs(want[0]) * row.length }),
};

describe("checkKernel", () => {
  it.each(kernelChecks(good))("$name", ({ run }) => run());
  it.each(kernelChecks(rowMax))("row maximum: $name", ({ run }) => run());

  it("passes elementwise operations and operations that refuse NaN", () => {
    checkKernel({ name: "negate", run: (x) => ({ shape: x.shape, data: x.data.map((v) => -v) }), reference: (row) => row.map((v) => -v), bound: { ulp: 0 }, nan: "element" });
    checkKernel({ ...rowMax, nan: "refused", run: (x) => byRow(x, undefined, (row, i) => {
      if (row.includes(NaN)) throw new RangeError(`rowMax: NaN in row ${i}`);
      return [Math.max(...row)];
    }) });
  });

  let calls = 0;
  const scratch = new Float32Array(4096);
  const broken: [string, Partial<KernelSpec>, string][] = [
    ["a wrong remainder", { run: (x) => byRow(x, x.shape[1], (row) => softmaxRef(Float64Array.from(row)).map((v, i) => (row.length % 4 === 1 && i === row.length - 1 ? v * 1.001 : v))) }, "agrees"],
    ["a wrong scale", { run: (x) => byRow(x, x.shape[1], (row) => softmaxRef(Float64Array.from(row).map((v) => v * 1.0001))) }, "agrees"],
    ["a wrong shape", { run: (x) => ({ ...softmax(x), shape: [x.shape[1], x.shape[0]] }) }, "agrees"],
    ["a missing axis", { run: (x) => ({ ...softmax(x), shape: [x.data.length] }) }, "agrees"],
    ["always NaN", { run: (x) => ({ shape: x.shape, data: x.data.map(() => NaN) }) }, "agrees"],
    ["input overwritten", { run: (x) => { const y = softmax(x); x.data[x.data.length - 1] += 1; return y; } }, "input unchanged"],
    ["a state", { run: (x) => { const y = softmax(x); return { shape: y.shape, data: Float64Array.from(y.data, (v) => v * (1 + 1e-12 * calls++)) }; } }, "same bits"],
    ["a result in scratch memory", { run: (x) => { const y = softmax(x); scratch.set(y.data as Float32Array); return { shape: y.shape, data: scratch.subarray(0, x.data.length) }; } }, "outlives"],
    ["the whole buffer instead of the view", { run: (x) => softmax({ ...x, data: new Float32Array(x.data.buffer, 0, x.data.length) }) }, "view"],
    ["rows that depend on their number", { run: (x) => byRow(x, x.shape[1], (row) => softmaxRef(Float64Array.from(row)).map((v) => v * (x.shape[0] > 1 ? 1 + 2 ** -23 : 1))), bound: { ulp: 3 } }, "alone"],
    ["NaN that is skipped", { run: (x) => byRow(x, x.shape[1], (row) => softmaxRef(Float64Array.from(row, (v) => (Number.isNaN(v) ? 0 : v)))) }, "NaN"],
    ["a NaN that spoils the next row", { run: (x) => byRow(x, x.shape[1], (row, i) => (i > 0 && Number.isNaN(x.data[i * row.length - 1]) ? row.map(() => NaN) : softmaxRef(Float64Array.from(row)))) }, "NaN"],
    ["only the canonical NaN seen", { run: (x) => byRow(x, x.shape[1], (row) => {
      const negative = new Uint32Array(row.slice().buffer).some((word) => word > 0xff800000);
      return negative ? row.map(() => 0.5) : softmaxRef(Float64Array.from(row));
    }) }, "NaN"],
    ["NaN accepted where it is refused", { nan: "refused" }, "refuses NaN"],
    ["an error without the row", { nan: "refused", run: (x) => { if (x.data.includes(NaN)) throw new RangeError("NaN"); return softmax(x); } }, "names its row"],
    ["a crash on no rows", { run: (x) => { if (x.shape[0] === 0) throw new RangeError("empty"); return softmax(x); } }, "no rows"],
    ["a wrong special row", { special: [{ name: "zeros", row: [0, 0], want: [1, 0] }] }, "special row: zeros"],
    ["a special row only at the front", { run: (x) => byRow(x, x.shape[1], (row, i) => (i > 2 && row[0] === -Infinity ? row.map(() => 0) : softmaxRef(Float64Array.from(row)))) }, "special row"],
    ["a zero of the wrong sign", { special: [{ name: "impossible", row: [-Infinity, 0], want: [-0, 1] }] }, "special row: impossible"],
  ];
  it.each(broken)("catches %s", (_, change, text) => {
    expect(() => checkKernel({ ...good, ...change })).toThrow(text);
  });

  it("names operation, assertion, row and numbers", () => {
    expect(() => checkKernel({ ...good, run: (x) => ({ shape: x.shape, data: x.data.map(() => 1) }) })).toThrowErrorMatchingInlineSnapshot(`[AssertionError: softmax agrees with the definition: softmax row 0 of [1, 2]: at index 0: got 1, want 0.04351436425157611, error 0.9564856357484239, 38650850 ulp > bound 1 ulp (2 of 2 elements fail)]`);
  });
});
