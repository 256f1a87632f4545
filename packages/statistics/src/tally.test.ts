import { expectExact, testRandom } from "@logits/testkit";
import { tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withTally, type Tally } from "./index.ts";

const copy = ({ values, counts, ones }: Tally): number[][] => [values, counts, ones].map((list) => Array.from(list));

function want(x: number[], mask: number[]): number[][] {
  const values = [...new Set(x.map((value) => value + 0))].sort((a, b) => (a < b ? -1 : 1));
  const of = (value: number, all: boolean): number => x.reduce((sum, other, i) => sum + (other === value && (all || mask[i] === 1) ? 1 : 0), 0);
  return [values, values.map((value) => of(value, true)), values.map((value) => of(value, false))];
}

describe("withTally", () => {
  it("agrees with the definition for float32 and float64 alike", () => {
    const one = fc.tuple(fc.oneof(fc.double({ noNaN: true }), fc.float({ noNaN: true }), fc.integer({ min: -3, max: 3 })), fc.integer({ min: 0, max: 1 }));
    fc.assert(
      fc.property(fc.array(one, { maxLength: 120 }), (rows) => {
        const x = rows.map(([value]) => value), mask = rows.map(([, mark]) => mark), narrow = x.map(Math.fround);
        expectExact(withTally(Float64Array.from(x), Uint8Array.from(mask), copy).flat(), want(x, mask).flat());
        expectExact(withTally(x, mask, copy).flat(), want(x, mask).flat());
        expectExact(withTally(Float32Array.from(narrow), Uint8Array.from(mask), copy).flat(), want(narrow, mask).flat());
      }),
      { seed: 11, numRuns: 200 },
    );
  });

  it("gives the same for float32 values in float64, and says which it holds", () => {
    const random = testRandom(2), x = Float32Array.from({ length: 5000 }, () => random.normal()), mask = Uint8Array.from(x, () => random.integer(2));
    const narrow = withTally(tensor(x as unknown as number[]), mask, copy);
    expectExact(withTally(Float64Array.from(x), mask, copy).flat(), narrow.flat());
    expect(withTally(Float64Array.from(x), mask, ({ values }) => values.constructor.name)).toBe("Float32Array");
    expect(withTally([0.1, 0.5], [0, 0], ({ values }) => values.constructor.name)).toBe("Float64Array");
  });

  it("has exact special values: zeros of both signs, infinities, no rows", () => {
    expectExact(withTally([0, -0, Infinity, -Infinity, 0.1], [1, 1, 0, 1, 0], copy).flat(), [-Infinity, 0, 0.1, Infinity, 1, 2, 1, 1, 1, 2, 0, 0]);
    expectExact(withTally([], new Uint8Array(0), copy).flat(), []);
  });

  it("refuses NaN and a mask of another length", () => {
    expect(() => withTally([0.1, NaN], [0, 1], copy)).toThrowErrorMatchingInlineSnapshot(`[RangeError: withTally: expected \`x\` without NaN, got NaN at index 1]`);
    expect(() => withTally(Float32Array.of(0.1, NaN), [0, 1], copy)).toThrowErrorMatchingInlineSnapshot(`[RangeError: withTally: expected \`x\` without NaN, got NaN at index 1]`);
    expect(() => withTally([1], [0, 1], copy)).toThrowErrorMatchingInlineSnapshot(`[RangeError: withTally: expected \`mask\` of length 1, got 2]`);
  });
});
