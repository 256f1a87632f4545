import { expectClose, expectExact, guarded, guardedInput, kernelChecks, testRandom, type KernelSpec } from "@logits/testkit";
import { asFloat32, Tensor, tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as binary from "#wasm/softmax";
import { family } from "./family.ts";
import logSoftmaxFixture from "./fixtures/logSoftmax.json" with { type: "json" };
import logSumExpFixture from "./fixtures/logSumExp.json" with { type: "json" };
import softmaxFixture from "./fixtures/softmax.json" with { type: "json" };
import { core, logSoftmax, logSumExp, ResidentTensor, softmax, type SoftmaxOptions } from "./index.ts";
import { logSoftmaxRef, logSumExpRef, softmaxRef } from "./softmax.ref.ts";

const U = 2 ** -24;
const INF = Infinity;

type Operation = (x: Parameters<typeof softmax>[0], options?: SoftmaxOptions) => Tensor<"float32">;

/** Largest |z| = |x - max| / T of a row, of those that do not end as 0. */
function spread(row: Float64Array, temperature: number): number {
  const max = Math.max(...row);
  return row.reduce((most, v) => Math.max(most, Math.min((max - v) / temperature, 88)), 0);
}

// Roundings of one result: x - max and, where T is not 1, two more of |z| each; exp 1.2 ULP (2.4 U), its half of the sum, the quotient; and of the sum
// at most one per addition, of which random data show a fraction: below 33 columns all of them are allowed for.
const roundings = (row: Float64Array, temperature: number): number => (8 + Math.min(row.length, 33) + (temperature === 1 ? 1 : 3) * spread(row, temperature)) * U;

function specs(temperature: number): KernelSpec[] {
  const options = temperature === 1 ? {} : { temperature };
  const common = { rowIndependence: "bound" as const, generate: temperature === 1 ? undefined : (random: { normal(): number }) => 4 * temperature * random.normal() };
  const even = (n: number, value: number): number[] => Array<number>(n).fill(value);
  return [
    {
      ...common,
      name: "softmax",
      run: (x) => softmax(x, options),
      reference: (row) => softmaxRef(row, temperature),
      bound: (row) => ({ rtol: roundings(row, temperature), atol: 2 ** -126 }), // below that, 0
      special: [
        { name: "one element", row: [-3e38], want: [1] },
        { name: "equal", row: [7, 7, 7, 7], want: even(4, 0.25) },
        { name: "equal and huge", row: [3e38, 3e38], want: even(2, 0.5) },
        { name: "an impossible class", row: [-INF, 5, -INF, 5, -INF], want: [0, 0.5, 0, 0.5, 0] },
        { name: "one possible class", row: [-INF, -3e38, -INF], want: [0, 1, 0] },
        { name: "nothing possible", row: even(5, -INF), want: even(5, NaN) },
        { name: "one impossible element", row: [-INF], want: [NaN] },
        { name: "+Infinity", row: [0, INF, -INF, 1, 2], want: even(5, NaN) },
        { name: "+Infinity alone", row: [INF], want: [NaN] },
        { name: "far apart", row: [3e38, -3e38, 0], want: [1, 0, 0] },
        { name: "NaN beside -Infinity", row: [-INF, NaN, -INF], want: even(3, NaN) },
        { name: "zeros of both signs", row: [0, -0], want: even(2, 0.5) },
      ],
    },
    {
      ...common,
      name: "logSoftmax",
      run: (x) => logSoftmax(x, options),
      reference: (row) => logSoftmaxRef(row, temperature),
      bound: (row) => ({ atol: roundings(row, temperature), rtol: 2 * U }),
      special: [
        { name: "one element", row: [-3e38], want: [0] },
        { name: "equal", row: [7, 7], want: even(2, Math.fround(-Math.LN2)), bound: { ulp: 1 } },
        { name: "an impossible class", row: [-INF, 5, -INF], want: [-INF, 0, -INF] },
        { name: "nothing possible", row: even(5, -INF), want: even(5, NaN) },
        { name: "+Infinity", row: [0, INF, -INF, 1, 2], want: even(5, NaN) },
        { name: "+Infinity alone", row: [INF], want: [NaN] },
        { name: "far apart", row: [3e38, -3e38, 0, 0, 0, 0], want: [0, -INF, ...even(4, Math.fround(Math.fround(-3e38) * Math.fround(1 / temperature)))] },
        { name: "NaN beside -Infinity", row: [-INF, NaN, -INF], want: even(3, NaN) },
      ],
    },
    {
      ...common,
      name: "logSumExp",
      run: (x) => logSumExp(x, options),
      reference: (row) => logSumExpRef(row, temperature),
      bound: (row, want) => ({ atol: roundings(row, temperature) + 2 * U * Math.abs(want[0]) }),
      special: [
        { name: "one element", row: [temperature === 1 ? 1.25 : 1.25 * temperature], want: [1.25], bound: { ulp: 1 } },
        { name: "an impossible class", row: [-INF, 0, -INF], want: [0] },
        { name: "nothing possible", row: even(5, -INF), want: [-INF] },
        { name: "one impossible element", row: [-INF], want: [-INF] },
        { name: "+Infinity", row: [0, INF, -INF, 1, 2], want: [INF] },
        { name: "+Infinity before NaN", row: [INF, 0, NaN, 1, 2], want: [NaN] },
        { name: "NaN before +Infinity", row: [NaN, 0, INF, 1, 2], want: [NaN] },
        { name: "NaN beside -Infinity", row: [-INF, -INF, NaN], want: [NaN] },
      ],
    },
  ];
}

for (const temperature of [1, 2.5, 0.3]) {
  for (const spec of specs(temperature)) {
    describe(`${spec.name} at temperature ${temperature}`, () => it.each(kernelChecks(spec))("$name", ({ run }) => run()));
  }
}

const operations: [string, Operation, "row" | "one", (row: Float64Array, temperature?: number) => Float64Array | number][] = [
  ["softmax", softmax, "row", softmaxRef],
  ["logSoftmax", logSoftmax, "row", logSoftmaxRef],
  ["logSumExp", logSumExp, "one", logSumExpRef],
];

function normals(seed: number, rows: number, cols: number, deviation = 3): Tensor<"float32"> {
  const random = testRandom(seed);
  return new Tensor("float32", [rows, cols], Float32Array.from({ length: rows * cols }, () => deviation * random.normal()));
}

describe("wide rows", () => {
  it.each([1, 2, 3, 4, 5, 9])("agree with the definition for %i rows around the width where the kernels change", (rows) => {
    for (const cols of [47, 48, 49, 50, 51, 52, 1023, 1024, 1025, 4099]) {
      const x = normals(rows * cols, rows, cols);
      const p = softmax(x);
      const log = logSoftmax(x);
      const z = logSumExp(x);
      for (let r = 0; r < rows; r++) {
        const row = Float64Array.from(x.row(r).data);
        // 256 additions in a lane at most, of random rounding: their square root, 16, times 4.
        const bound = (64 + spread(row, 1)) * U;
        expectClose(p.row(r), softmaxRef(row), { rtol: bound, atol: 2 ** -126, label: `softmax row ${r} of ${cols}` });
        expectClose(log.row(r), logSoftmaxRef(row), { atol: bound, rtol: U, label: `logSoftmax row ${r} of ${cols}` });
        expectClose(z.data[r], logSumExpRef(row), { atol: bound, label: `logSumExp row ${r} of ${cols}` });
      }
    }
  });

  const vocabulary = 151936;
  const shapes: [string, (random: ReturnType<typeof testRandom>, i: number) => number][] = [
    ["of normal scores", (random) => 3 * random.normal()],
    ["of scores as of a language model, one token above the rest", (random, i) => (i === 77777 ? 25 : 2.5 * random.normal())],
    ["of equal scores", () => -4.25],
    // Beside the largest, an addition to a float32 lane would lose all of the others.
    ["of which the first stands 17 above the rest", (random, i) => (i === 0 ? 0 : -17.3 - 0.01 * random.uniform())],
    ["of large scores", (random) => 1000 + 10 * random.normal()],
  ];
  it.each(shapes)("151,936 columns %s: logSumExp is within 1e-7 max(1, |lse|) of float64", (_, score) => {
    const random = testRandom(5);
    const x = Float32Array.from({ length: vocabulary }, (_, i) => score(random, i));
    const want = logSumExpRef(Float64Array.from(x));
    expectClose(logSumExp(x).item(), want, { atol: 1e-7 * Math.max(1, Math.abs(want)), label: "logSumExp" });
    const total = softmax(x).data.reduce((sum, p) => sum + p, 0);
    // 1.2 ULP of exp, the quotient, one rounding of the sum; softmax does not add up what its sum loses beside the largest: 256 * 2^-24 at most.
    expectClose(total, 1, { atol: score(random, 0) === 0 ? 256 * U : 3e-7, label: "sum of probabilities" });
  });
});

describe("laws", () => {
  const scores = fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 40 });
  const seed = { seed: 20240607, numRuns: 200 };

  it("softmax sums to 1 and keeps the order of the scores", () => {
    fc.assert(fc.property(scores, (x) => {
      const { data } = softmax(x);
      expectClose(data.reduce((a, b) => a + b, 0), 1, { atol: 50 * U });
      x.forEach((a, i) => x.forEach((b, j) => expect(!(Math.fround(a) > Math.fround(b)) || data[i] >= data[j]).toBe(true)));
    }), seed);
  });

  it("a shift by a power of two that rounds nothing changes no probability and moves log Z by itself", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -4000, max: 4000 }), { minLength: 1, maxLength: 40 }), (steps) => {
      const x = steps.map((k) => k / 64); // multiples of 2^-6 below 2^6; shifted by 2^10 still exact
      const shifted = x.map((v) => v + 1024);
      expectExact(softmax(shifted), softmax(x));
      expectExact(logSoftmax(shifted), logSoftmax(x));
      expectClose(logSumExp(shifted).item(), logSumExp(x).item() + 1024, { atol: 1024 * 2 * U + 1e-6 });
    }), seed);
  });

  it("a permutation of the scores permutes the result", () => {
    fc.assert(fc.property(scores, fc.integer(), (x, salt) => {
      const order = testRandom(salt).permutation(x.length);
      const bound = { rtol: 60 * U, atol: 2 ** -126 }; // only the order of the sum differs
      expectClose(softmax(order.map((i) => x[i])), order.map((i) => softmax(x).data[i]), bound);
    }), seed);
  });

  it("log Z grows with every score, lies between the maximum and the maximum + log C, and logSoftmax = x - log Z", () => {
    fc.assert(fc.property(scores, fc.nat(), (x, at) => {
      const max = Math.max(...x.map(Math.fround));
      const z = logSumExp(x).item();
      const room = 1e-6 * Math.max(1, Math.abs(z));
      expect(z).toBeGreaterThanOrEqual(max - room);
      expect(z).toBeLessThanOrEqual(max + Math.log(x.length) + room);
      const raised = x.map((v, i) => (i === at % x.length ? v + 1 : v));
      expect(logSumExp(raised).item()).toBeGreaterThanOrEqual(z - room);
      expectClose(logSoftmax(x), x.map((v) => Math.fround(v) - z), { atol: 2e-5 }); // 100 * 2^-24 for x - max, twice, and log Z
    }), seed);
  });

  it("temperature T is the same as scores divided by T: exactly, where T is a power of two", () => {
    fc.assert(fc.property(scores, fc.integer({ min: -3, max: 3 }), (x, power) => {
      const temperature = 2 ** power;
      const divided = Float32Array.from(x).map((v) => v / temperature);
      for (const operation of [softmax, logSoftmax]) expectExact(operation(x, { temperature }), operation(divided));
    }), seed);
  });
});

describe("special values", () => {
  const payloads = [0x7fc00000, 0x7fc00001, 0x7f800001, 0xffc12345, 0xff800001, 0x7fffffff];

  it("a NaN of any payload, at every place of 1 to 9 rows, makes its row NaN and no other", () => {
    for (const cols of [1, 2, 3, 4, 5, 7, 8, 15, 16, 17]) {
      for (let rows = 1; rows <= 9; rows++) {
        const x = normals(cols, rows, cols);
        for (const [name, operation, width] of operations) {
          const clean = operation(x).data;
          const per = width === "row" ? cols : 1;
          for (let at = 0; at < rows * cols; at++) spoil(`${name} [${rows}, ${cols}]`, x, at, payloads[at % payloads.length], operation, clean, per);
        }
      }
    }
  });

  it("the same around 48 columns, where the kernels change, and 1,024, where blocks do", () => {
    for (const cols of [47, 48, 49, 50, 1023, 1024, 1025]) {
      for (const rows of [1, 4, 5]) {
        const x = normals(cols, rows, cols);
        for (const [name, operation, width] of operations) {
          const clean = operation(x).data;
          for (let row = 0; row < rows; row++) {
            for (const column of [0, 1, 2, 3, 4, 15, 16, 31, 44, 511, 1008, 1015, 1016, 1019, 1020, 1021, cols - 2, cols - 1].filter((c) => c < cols)) {
              for (const payload of [0x7fc00001, 0x7f800001, 0xffc12345]) spoil(`${name} [${rows}, ${cols}]`, x, row * cols + column, payload, operation, clean, width === "row" ? cols : 1);
            }
          }
        }
      }
    }
  });

  function spoil(label: string, x: Tensor<"float32">, at: number, payload: number, operation: Operation, clean: Float32Array, per: number): void {
    const data = x.data.slice();
    new Uint32Array(data.buffer)[at] = payload;
    const got = operation({ data, shape: x.shape }).data;
    const spoiled = Math.floor(at / x.shape[1]);
    let wrong = -1;
    for (let i = 0; i < got.length; i++) if (Math.floor(i / per) === spoiled ? !Number.isNaN(got[i]) : !Object.is(got[i], clean[i])) wrong = i;
    if (wrong >= 0) expect.fail(`${label}: NaN 0x${payload.toString(16)} at ${at}: result ${wrong} is ${got[wrong]}, without the NaN ${clean[wrong]}`);
  }

  it("a NaN survives a temperature, another axis and rows wider than the narrow kernel", () => {
    for (const payload of payloads) {
      const data = new Float32Array(6000).fill(1);
      new Uint32Array(data.buffer)[4321] = payload;
      for (const [, operation] of operations) {
        expect(operation(data, { temperature: 2 }).data.every(Number.isNaN)).toBe(true);
        const columns = operation({ data, shape: [60, 100] }, { axis: 0 }).data;
        expect(columns.every((v, i) => Number.isNaN(v) === (i % 100 === 21))).toBe(true);
      }
    }
  });

  it("probabilities below 2^-126.5 of the row's largest are 0, and from 2^-126 on they are not", () => {
    for (const rows of [1, 4]) {
      for (const temperature of [1, 3]) {
        const row = [0, -126 * Math.LN2 * temperature, -126.51 * Math.LN2 * temperature, -88 * temperature, -200 * temperature, -INF];
        const { data } = softmax(Array.from({ length: rows }, () => row), { temperature });
        expectClose(data[1], 2 ** -126, { rtol: 87.4 * 3 * U });
        expectExact(data.slice(2, 6), [0, 0, 0, 0]);
      }
    }
  });

  it("the limits of the temperature make no NaN", () => {
    expectExact(softmax([1, 2, -INF], { temperature: 2 ** 126 }), [0.5, 0.5, 0]);
    expectExact(softmax([1, 2, 2, -INF], { temperature: 2 ** -126 }), [0, 0.5, 0.5, 0]);
    expectExact(softmax(new Float32Array(1500).fill(-2), { temperature: 2 ** -126 }), new Float32Array(1500).fill(1 / 1500));
  });
});

describe("fixtures", () => {
  it.each(softmaxFixture.cases.map((c, i) => [c.name, i]))("%s", (_, i) => {
    for (const [operation, { cases }, bound] of [
      [softmax, softmaxFixture, { rtol: 1e-5, atol: 2 ** -126 }], // scores up to 88 apart: 88 * 2^-24 of x - max, and the sum
      [logSoftmax, logSoftmaxFixture, { atol: 1e-5, rtol: 1e-6 }],
      [logSumExp, logSumExpFixture, { atol: 1e-6, rtol: 1e-6 }],
    ] as const) {
      const { x, shape, y } = cases[i as number] as unknown as { x: number[]; shape: number[]; y: number[] };
      const values = (list: readonly (number | string | null)[]): Float64Array => Float64Array.from(list, Number);
      expectClose(operation({ data: Float32Array.from(values(x)), shape }).data, values(y), bound);
    }
  });
});

describe("axis, out and memory", () => {
  const x = normals(3, 24, 5).data;
  const moved = (shape: readonly number[], axis: number): number[] => {
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const n = shape[axis];
    return Array.from({ length: 120 }, (_, i) => { // row-major position i of the array with `axis` moved to the end
      const at = i % n;
      const rest = Math.floor(i / n);
      return Math.floor(rest / inner) * n * inner + at * inner + (rest % inner);
    });
  };

  it("every axis is the last axis of the moved array", () => {
    const shape = [2, 3, 4, 5];
    for (let axis = 0; axis < 4; axis++) {
      const order = moved(shape, axis);
      const gathered = { data: Float32Array.from(order, (i) => x[i]), shape: [120 / shape[axis], shape[axis]] };
      for (const [, operation, width] of operations) {
        const got = operation({ data: x, shape }, { axis });
        const want = operation(gathered);
        expect(got.shape).toEqual(width === "row" ? shape : shape.filter((_, i) => i !== axis));
        expectExact(width === "row" ? order.map((i) => got.data[i]) : got.data, want.data);
        expectExact(operation({ data: x, shape }, { axis: axis - 4 }), got.shape.length ? { shape: got.shape, data: got.data.slice() } : got.data.slice());
      }
    }
  });

  it("a vector gives a vector, and a number of shape []", () => {
    expect(softmax([1, 2]).shape).toEqual([2]);
    expect(logSumExp([1, 2]).shape).toEqual([]);
    expect(softmax({ data: new Float32Array(0), shape: [0, 3] }).shape).toEqual([0, 3]);
    expect(logSumExp({ data: new Float32Array(0), shape: [0, 3] }).shape).toEqual([0]);
    expect(softmax({ data: new Float32Array(0), shape: [0, 3] }, { axis: 1 }).shape).toEqual([0, 3]);
    expect(softmax({ data: new Float32Array(0), shape: [3, 0] }, { axis: 0 }).shape).toEqual([3, 0]);
  });

  it("writes into `out`, ordinary or resident, from ordinary or resident scores, with the same bits", () => {
    for (const cols of [3, 16, 1024, 1500, 70000]) {
      for (const rows of [1, 4, 7]) {
        const scores = normals(cols + rows, rows, cols);
        const resident = core.alloc([rows, cols]);
        resident.data.set(scores.data);
        for (const [, operation, width] of operations) {
          const want = operation(scores);
          for (const input of [scores, resident]) {
            const shape = width === "row" ? [rows, cols] : [rows];
            for (const out of [new Tensor("float32", shape, new Float32Array(want.size).fill(NaN)), core.alloc(shape)]) {
              out.data.fill(NaN);
              expect(operation(input, { out })).toBe(out);
              expectExact(out.data.slice(), want.data);
              if (out instanceof ResidentTensor) out.dispose();
            }
            const plain = operation(input);
            expect(plain).not.toHaveProperty("pointer");
            expectExact(plain, { shape: want.shape, data: want.data.slice() });
          }
        }
        expectExact(resident.data.slice(), scores.data);
        resident.dispose();
      }
    }
  });

  it.each([[6, 9], [1, 100], [5, 50], [3, 1027], [9, 48]])("works in place, [%i, %i], at any temperature", (rows, cols) => {
    for (const [, operation, width] of operations) {
      if (width === "one") continue;
      for (const temperature of [1, 0.7, 3]) {
        const scores = normals(8, rows, cols);
        const want = operation(scores, { temperature });
        for (const holder of [core.alloc([rows, cols]), new Tensor("float32", [rows, cols], new Float32Array(rows * cols))]) {
          holder.data.set(scores.data);
          operation(holder, { out: holder, temperature });
          expectExact(holder.data.slice(), want.data);
        }
      }
    }
  });

  it("takes no scratch for the elements of resident tensors", () => {
    const x = core.alloc([2000, 1000]);
    const before = core.bytesInUse;
    softmax(x, { out: x });
    logSoftmax(x, { out: x });
    expect(core.bytesInUse).toBe(before);
    x.dispose();
  });

  it("names an `out` whose buffer is gone", () => {
    const stale = new Tensor("float32", [4, 4], new Float32Array(16));
    structuredClone(stale.data.buffer, { transfer: [stale.data.buffer as ArrayBuffer] });
    expect(() => softmax(new Tensor("float32", [4, 4], new Float32Array(16)), { out: stale })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`out\` with its elements, got a detached buffer. Pass a copy made before the transfer]`);
  });

  it("the kernel writes what its result covers, reads what its input covers and leaves the input alone", () => {
    const kernels = family<{ f32_softmax(x: number, y: number, rows: number, cols: number, scale: number, mode: number, lanes: number): void }>("softmax", binary)();
    const room = core.alloc([40000]);
    for (const mode of [0, 1, 2]) {
      for (const cols of [1, 2, 3, 4, 5, 7, 16, 17, 33, 1024, 1025]) {
        for (const rows of [1, 3, 4, 5, 9]) {
          const data = normals(cols, rows, cols).data;
          const lanes = room.pointer;
          const px = lanes + 16384 + 64; // the guard words in front of the input end the lanes too
          const py = px + 4 * data.length + 256;
          const input = guardedInput(core.memory, px, data, { label: `mode ${mode} [${rows}, ${cols}] input` });
          const output = guarded(core.memory, py, mode === 2 ? rows : data.length, { label: `mode ${mode} [${rows}, ${cols}] output` });
          kernels.f32_softmax(px, py, rows, cols, 1, mode, lanes);
          input.check();
          output.check();
          const got = new Float32Array(core.memory.buffer, py, mode === 2 ? rows : data.length);
          expect(got.every(Number.isFinite)).toBe(true); // a guard word read would have made it NaN
        }
      }
    }
    room.dispose();
  });

  it("takes every kind of tensor", () => {
    const want = softmax(Float32Array.of(1, 2, 3, 4)).data;
    for (const x2 of [[1, 2, 3, 4], Float64Array.of(1, 2, 3, 4), Int32Array.of(1, 2, 3, 4), { data: Float32Array.of(1, 2, 3, 4), dims: [4], type: "float32" }, tensor([1, 2, 3, 4]), asFloat32("t", "x", [1, 2, 3, 4])]) {
      expectExact(softmax(x2).data, want.slice());
    }
  });
});

describe("messages", () => {
  const fail = (run: () => unknown) => expect(run);
  it("name what is wrong and what is expected", () => {
    fail(() => softmax([1, 2], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`temperature\` in [2^-126, 2^126], got 0]`);
    fail(() => logSoftmax([1, 2], { temperature: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSoftmax: expected \`temperature\` in [2^-126, 2^126], got NaN]`);
    fail(() => logSumExp([1, 2], { temperature: Infinity })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExp: expected \`temperature\` in [2^-126, 2^126], got Infinity]`);
    fail(() => softmax([1, 2], { temperature: 1e-40 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`temperature\` in [2^-126, 2^126], got 1e-40]`);
    fail(() => softmax([1, 2], { temperature: 1e300 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`temperature\` in [2^-126, 2^126], got 1e+300]`);
    fail(() => softmax([[1, 2]], { axis: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`axis\` an integer in [-2, 2), got 2]`);
    fail(() => softmax([[1, 2]], { axis: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`axis\` an integer in [-2, 2), got 0.5]`);
    fail(() => softmax(tensor([3], []))).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`axis\` an integer in [-0, 0), got -1]`);
    fail(() => softmax([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`x\` with elements along the axis, got shape [0]]`);
    fail(() => logSumExp({ data: new Float32Array(0), shape: [0, 3] }, { axis: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExp: expected \`x\` with elements along the axis, got shape [0, 3]]`);
    fail(() => softmax([1, 2], { out: tensor([1, 2, 3]) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`out\` float32 of shape [2], got float32 of shape [3]]`);
    fail(() => logSumExp([[1, 2]], { out: tensor([1, 2]) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExp: expected \`out\` float32 of shape [1], got float32 of shape [2]]`);
    fail(() => softmax([1, 2], { out: tensor([1, 2], [2], "int32") as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`out\` float32 of shape [2], got int32 of shape [2]]`);
    fail(() => softmax("no" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: softmax: expected \`x\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
  });
});
