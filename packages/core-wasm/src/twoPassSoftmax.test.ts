import { Tensor, tensor } from "@logits/tensor";
import { expectClose, expectExact, kernelChecks, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/softmax.json" with { type: "json" };
import { core, softmax, twoPassSoftmax } from "./index.ts";
import { softmaxRef } from "./softmax.ref.ts";

const INF = Infinity;
const U = 2 ** -24;
const even = (n: number, value: number): number[] => Array<number>(n).fill(value);

// Roundings of one result: of z = x / T where T is not 1 (two of |z|: 1 / T and the product), of the reduced argument (k times the lower part of ln 2, up to
// 5 for |z| = 16384) and of the polynomial, in the element and in the sum, the quotient and two products: 8 besides those that grow with |z|.
const bound = (temperature: number) => (row: Float64Array): { rtol: number; atol: number } => {
  const most = row.reduce((a, v) => (Number.isFinite(v) ? Math.max(a, Math.abs(v / temperature)) : a), 0);
  return { rtol: (8 + (temperature === 1 ? 0 : 4 * most) + most / 1000) * U, atol: 2 ** -124 };
};

for (const temperature of [1, 2.5, 0.3]) {
  describe(`twoPassSoftmax at temperature ${temperature}`, () => {
    const spec = {
      name: "twoPassSoftmax",
      run: (x: Parameters<typeof twoPassSoftmax>[0]) => twoPassSoftmax(x, { temperature }),
      reference: (row: Float64Array) => softmaxRef(row, temperature),
      bound: bound(temperature),
      columns: [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65, 100],
      special: [
        { name: "one element", row: [-300], want: [1], bound: { ulp: 2 } },
        { name: "equal", row: [7, 7, 7, 7], want: even(4, 0.25), bound: { ulp: 2 } },
        { name: "an impossible class", row: [-INF, 5, -INF, 5, -INF], want: [0, 0.5, 0, 0.5, 0], bound: { ulp: 2 } },
        { name: "one possible class", row: [-INF, -300, -INF], want: [0, 1, 0], bound: { ulp: 2 } },
        { name: "nothing possible", row: even(5, -INF), want: even(5, NaN) },
        { name: "one impossible element", row: [-INF], want: [NaN] },
        { name: "+Infinity", row: [0, INF, -INF, 1, 2], want: even(5, NaN) },
        { name: "+Infinity alone", row: [INF], want: [NaN] },
        { name: "far below", row: [0, -3e38, -1e6], want: [1, 0, 0], bound: { ulp: 2 } },
        { name: "NaN beside -Infinity", row: [-INF, NaN, -INF], want: even(3, NaN) },
        { name: "NaN beside +Infinity", row: [INF, NaN, 1], want: even(3, NaN) },
      ],
    };
    it.each(kernelChecks(spec))(`$name [paper:the-two-pass-softmax-algorithm]`, ({ run }) => run());
    // exp of these overflows and underflows float32 without a maximum.
    it.each(kernelChecks({ ...spec, special: [], generate: (random) => 1000 * temperature * (2 * random.uniform() - 1) }))(`$name, scores within +-1000 T [paper:the-two-pass-softmax-algorithm]`, ({ run }) => run());
  });
}

describe("twoPassSoftmax", () => {
  it(`agrees with the definition and with softmax on wide rows, ascending, descending and random [paper:the-two-pass-softmax-algorithm]`, () => {
    const random = testRandom(2);
    for (const cols of [1000, 4095, 4096, 4097, 4112, 40003]) {
      for (const spread of [3, 1000]) {
        const x = Float32Array.from({ length: cols }, () => spread * random.normal());
        const up = x.slice().sort();
        for (const row of [x, up, up.slice().reverse()]) {
          const y = twoPassSoftmax(row).data, want = softmaxRef(Float64Array.from(row));
          expectClose(y, want, { rtol: 1e-6, atol: 2 ** -124, label: `${cols} columns, spread ${spread}` }); // 16 U: as above, and the square root of 256 additions in a lane
          expectClose(y, softmax(row).data, { rtol: 4e-6, atol: 2 ** -124, label: `${cols} columns, spread ${spread}, against softmax` }); // and the bound of softmax
          expectClose(y.reduce((a, b) => a + b, 0), 1, { atol: 1e-6 });
        }
      }
    }
  });

  it(`takes its whole range and refuses what lies beyond [paper:the-two-pass-softmax-algorithm]`, () => {
    for (const top of [16384, -16384]) {
      const row = [top, top - 1, top - 20, top - 200].map(Math.fround);
      expectClose(twoPassSoftmax(row).data, softmaxRef(Float64Array.from(row)), { rtol: 24 * U, atol: 2 ** -124 }); // 16 roundings of the range's end, see above
    }
    for (const top of [16500, 3e38, -16500, -3e38]) expect(() => twoPassSoftmax([[1, 2], [top, -INF]])).toThrow("row 1 beyond it");
  });

  it(`ignores a shift and commutes with a permutation [paper:the-two-pass-softmax-algorithm]`, () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -40000, max: 40000 }), { minLength: 1, maxLength: 80 }), (list) => {
        const x = list.map((v) => v / 1024);
        const y = twoPassSoftmax(x).data;
        expectClose(twoPassSoftmax(x.map((v) => v + 512)).data, y, { rtol: 2e-6, atol: 2 ** -124 }); // twice the bound
        expectClose(twoPassSoftmax(x.toReversed()).data, y.slice().reverse(), { rtol: 2e-6, atol: 2 ** -124 });
      }),
      { seed: 20260101 },
    );
  });

  it(`agrees with an independent implementation [paper:the-two-pass-softmax-algorithm]`, () => {
    for (const { name, shape, x, y, temperature = 1 } of fixture.cases as { name: string; shape: number[]; x: (number | string)[]; y: (number | string)[]; temperature?: number }[]) {
      const data = Float32Array.from(x, Number);
      if (data.some((v) => Math.abs(v / temperature) > 16384 && Number.isFinite(v))) continue; // refused, see above
      expectClose(twoPassSoftmax(new Tensor("float32", shape, data), { temperature }).data, y.map(Number), { ...bound(temperature)(Float64Array.from(data)), label: name });
    }
  });

  it("works along any axis, into `out` and in WebAssembly memory", () => {
    const x = tensor([[1, 5, 2], [1.5, 4.75, 1]]);
    const columns = twoPassSoftmax(x, { axis: 0 });
    for (let c = 0; c < 3; c++) expectClose([columns.at(0, c), columns.at(1, c)], softmaxRef(Float64Array.of(x.at(0, c), x.at(1, c))), { rtol: 8 * U });
    const resident = core.alloc([2, 3]), out = core.alloc([2, 3]);
    resident.data.set(x.data);
    expect(twoPassSoftmax(resident, { out })).toBe(out);
    expectExact(out.data, twoPassSoftmax(x).data);
    expectExact(twoPassSoftmax(resident, { out: resident }).data, out.data);
    resident.dispose();
    out.dispose();
  });

  it("says what is wrong", () => {
    expect(() => twoPassSoftmax([20000, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: twoPassSoftmax: expected \`x\` with the largest x / temperature of a row within +-16384, got row 0 beyond it. Use softmax]`);
    expect(() => twoPassSoftmax([1, 2], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: twoPassSoftmax: expected \`temperature\` in [2^-126, 2^126], got 0]`);
    expect(() => twoPassSoftmax([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: twoPassSoftmax: expected \`x\` with elements along the axis, got shape [0]]`);
  });
});
