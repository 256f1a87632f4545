import { describe, expect, it } from "vitest";
import { AssertionError, expectClose, expectExact, ulpDistance, type Closeness, type Comparable } from "./compare.ts";

const next = (x: number): number => {
  const word = new Float32Array([x]);
  new Int32Array(word.buffer)[0]++;
  return word[0];
};
const message = (run: () => void): string => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(AssertionError);
    return (error as Error).message;
  }
  return "did not fail";
};

const LOOSE: Closeness = { atol: 1e30, rtol: 1e6, ulp: 4e9 };

// The diseases of comparators in the field: NaN that passes, NaN near Infinity, lost signs, lengths that are not compared, coercion.
const mustFailHoweverLoose: [string, Comparable, Comparable][] = [
  ["NaN against a number", NaN, 1],
  ["a number against NaN", 1, NaN],
  ["NaN against 0", [0, NaN], [0, 0]],
  ["NaN in a typed array", new Float32Array([1, NaN]), new Float32Array([1, 2])],
  ["NaN in the last of many", new Float64Array(1000).fill(NaN, 999), new Float64Array(1000)],
  ["Infinity against -Infinity", Infinity, -Infinity],
  ["-Infinity against Infinity", -Infinity, Infinity],
  ["Infinity against NaN", Infinity, NaN],
  ["NaN against Infinity", NaN, Infinity],
  ["NaN against -Infinity", NaN, -Infinity],
  ["Infinity against a number", Infinity, 1e30],
  ["a number against Infinity", 3.4028234663852886e38, Infinity],
  ["-Infinity against a number", -Infinity, -1e5],
  ["a number against -Infinity", -1e30, -Infinity],
  ["empty against one element", [], [1]],
  ["one element against empty", [1], []],
  ["empty against a number", new Float32Array(0), 0],
  ["got shorter", [1, 2], [1, 2, 3]],
  ["got longer", [1, 2, 3], [1, 2]],
  ["one number against many", 1, [1, 1]],
  ["transposed shapes", { shape: [2, 3], data: new Float32Array(6) }, { shape: [3, 2], data: new Float32Array(6) }],
  ["another rank", { shape: [4], data: [1, 2, 3, 4] }, [[1, 2], [3, 4]]],
  ["shape without its elements", { shape: [2, 2], data: new Float32Array(3) }, { shape: [2, 2], data: new Float32Array(3) }],
  ["ragged nesting", [[1, 2], [3]], [[1, 2], [3, 4]]],
  ["rows that trade elements", [[1, 2, 3], [4]], [[1, 2], [3, 4]]],
  ["a row that is a number", [[1], 2], [[1], [2]]],
  ["a number that is a row", [1, [2]], [1, 2]],
  ["a hole", new Array(2) as number[], [0, 0]],
  ["undefined elements", [undefined], [undefined]],
  ["null elements", [null], [0]],
  ["strings that look like numbers", ["1"], [1]],
  ["booleans", [true], [1]],
  ["bigints", new BigInt64Array([1n]) as unknown as number[], [1]],
  ["undefined", undefined as unknown as number, undefined as unknown as number],
  ["null", null as unknown as number, null as unknown as number],
  ["an object without data", { shape: [] } as unknown as number[], 0],
  ["data without a shape", { data: [1] } as unknown as number[], { data: [1] } as unknown as number[]],
  ["data that is still a promise", { shape: [0], data: Promise.resolve([]) } as unknown as number[], []],
];

describe("expectClose", () => {
  it.each(mustFailHoweverLoose)("fails, however loose, on %s", (_, got, want) => {
    expect(() => expectClose(got, want, LOOSE)).toThrow(AssertionError);
  });

  it.each<[string, number, number, Closeness]>([
    ["atol", 1.25, 1, { atol: 0.2499999 }],
    ["atol from below", 0.75, 1, { atol: 0.2499999 }],
    ["rtol", 2.5, 2, { rtol: 0.2499999 }],
    ["rtol of a negative number", -2.5, -2, { rtol: 0.2499999 }],
    ["rtol at zero, which allows nothing", 1e-300, 0, { rtol: 1 }],
    ["rtol is relative to want, not to got", 2, 1, { rtol: 0.75 }],
    ["the sum of both", 2.75, 2, { atol: 0.25, rtol: 0.2499999 }],
    ["ulp", next(next(1)), 1, { ulp: 1 }],
    ["ulp across zero", 1.401298464324817e-45, -1.401298464324817e-45, { ulp: 1 }],
    ["the sign of a large number", -1, 1, { ulp: 1000 }],
    ["atol 0 that is written", 1e-300, 0, { atol: 0 }],
  ])("fails just beyond the bound: %s", (_, got, want, bound) => {
    expect(() => expectClose(got, want, bound)).toThrow(AssertionError);
    expect(() => expectClose([0, got], [0, want], bound)).toThrow(AssertionError);
    expect(() => expectClose(new Float64Array([got, 0]), new Float64Array([want, 0]), bound)).toThrow(AssertionError);
  });

  it.each<[string, Comparable, Comparable, Closeness]>([
    ["atol", 1.25, 1, { atol: 0.25 }],
    ["rtol", 2.5, 2, { rtol: 0.25 }],
    ["the sum of both", 2.75, 2, { atol: 0.25, rtol: 0.25 }],
    ["ulp", next(1), 1, { ulp: 1 }],
    ["ulp where the difference fails", next(1e30), 1e30, { atol: 1e-6, ulp: 1 }],
    ["the difference where ulp fails", 1e-20, 0, { atol: 1e-6, ulp: 1 }],
    ["ulp across zero", 1.401298464324817e-45, -1.401298464324817e-45, { ulp: 2 }],
    ["equal values with a bound of 0", [1, 2], [1, 2], { atol: 0 }],
    ["NaN in the same place", [1, NaN], new Float32Array([1, NaN]), { atol: 0 }],
    ["the same infinities", [Infinity, -Infinity], [Infinity, -Infinity], { rtol: 0 }],
    ["0 and -0", 0, -0, { ulp: 0 }],
    ["two empty arrays", [], new Float32Array(0), { atol: 0 }],
    ["a tensor and a flat array", { shape: [2, 2], data: new Float32Array([1, 2, 3, 4]) }, [1, 2, 3, 4], { atol: 0 }],
    ["a tensor and nested arrays", { shape: [2, 2], data: new Float32Array([1, 2, 3, 4]) }, [[1, 2], [3, 4]], { atol: 0 }],
    ["a scalar tensor and a number", { shape: [], data: new Float32Array([1]) }, 1, { atol: 0 }],
  ])("passes at the bound: %s", (_, got, want, bound) => {
    expectClose(got, want, bound);
  });

  it("refuses a call that could not fail", () => {
    const x = new Float32Array([1, 2]);
    expect(message(() => expectClose(1, 1, {}))).toMatchInlineSnapshot(`"expectClose: no bound was given; write atol, rtol or ulp (or use expectExact)"`);
    expect(message(() => expectClose(1, 1, undefined as unknown as Closeness))).toMatchInlineSnapshot(`"expectClose: no bound was given; write atol, rtol or ulp (or use expectExact)"`);
    expect(message(() => expectClose(1, 1, { atol: NaN }))).toMatchInlineSnapshot(`"expectClose: expected a finite \`atol\` >= 0, got NaN"`);
    expect(message(() => expectClose(1, 2, { rtol: Infinity }))).toMatchInlineSnapshot(`"expectClose: expected a finite \`rtol\` >= 0, got Infinity"`);
    expect(message(() => expectClose(1, 1, { ulp: -1 }))).toMatchInlineSnapshot(`"expectClose: expected a finite \`ulp\` >= 0, got -1"`);
    expect(message(() => expectClose(x, x, { atol: 1 }))).toMatchInlineSnapshot(`"expectClose: got and want are the same array, so this comparison cannot fail; compare with a copy"`);
    expect(message(() => expectClose({ shape: [2], data: x }, x.subarray(0), { atol: 1 }))).toMatchInlineSnapshot(
      `"expectClose: got and want are the same array, so this comparison cannot fail; compare with a copy"`,
    );
  });

  it("says where, what, how far and how many", () => {
    const tensor = { shape: [2, 3], data: new Float32Array([0, 1, 2, 3, 4.5, 6]) };
    expect(message(() => expectClose(tensor, [0, 1, 2, 3, 4, 5], { atol: 0.25, rtol: 0.0625, label: "softmax" }))).toMatchInlineSnapshot(
      
    `"softmax: at index 5 (row 1, column 2): got 6, want 5, error 1 > bound 0.5625 (1 of 6 elements fail)"`);
    expect(message(() => expectClose([1, NaN], [1, 2], { atol: 1 }))).toMatchInlineSnapshot(`"expectClose: at index 1: got NaN, want 2, NaN matches only NaN (1 of 2 elements fail)"`);
    expect(message(() => expectClose([Infinity], [-Infinity], { atol: 1 }))).toMatchInlineSnapshot(`"expectClose: at index 0: got Infinity, want -Infinity, an infinity matches only itself (1 of 1 elements fail)"`);
    expect(message(() => expectClose(1.5, 1, { ulp: 4 }))).toMatchInlineSnapshot(`"expectClose: at index 0: got 1.5, want 1, error 0.5, 4194304 ulp > bound 4 ulp (1 of 1 elements fail)"`);
    expect(message(() => expectClose(1.5, 1, { ulp: 4, rtol: 0.25 }))).toMatchInlineSnapshot(`"expectClose: at index 0: got 1.5, want 1, error 0.5 > bound 0.25, 4194304 ulp > bound 4 ulp (1 of 1 elements fail)"`);
    expect(message(() => expectClose([[[1, 2]], [[3, 4]]], [[[1, 2]], [[3, 5]]], { atol: 0.5 }))).toMatchInlineSnapshot(`"expectClose: at index 3 [1, 0, 1]: got 4, want 5, error 1 > bound 0.5 (1 of 4 elements fail)"`);
    expect(message(() => expectClose([1], [[1], [2]], { atol: 1 }))).toMatchInlineSnapshot(`"expectClose: got 1 elements, want shape [2, 1], 2 elements"`);
    expect(message(() => expectClose([[1, 2], [3]], [1, 2, 3], { atol: 1 }))).toMatchInlineSnapshot(`"expectClose: got is ragged, its first rows have shape [2, 2]"`);
    expect(message(() => expectClose(["1"], [1], { atol: 1 }))).toMatchInlineSnapshot(`"expectClose: got is no number at index 0, but string"`);
  });
});

describe("expectExact", () => {
  it.each(mustFailHoweverLoose)("fails on %s", (_, got, want) => {
    expect(() => expectExact(got, want)).toThrow(AssertionError);
  });

  it.each<[string, Comparable, Comparable]>([
    ["0 against -0", 0, -0],
    ["-0 against 0 in a typed array", new Float32Array([-0]), new Float32Array([0])],
    ["one unit in the last place", next(1), 1],
    ["a float64 that is not a float32", new Float32Array([0.1]), [0.1]],
  ])("fails on %s", (_, got, want) => {
    expect(() => expectExact(got, want)).toThrow(AssertionError);
  });

  it("passes on the same values", () => {
    expectExact([NaN, -0, 0, Infinity, -Infinity, 5e-324], [NaN, -0, 0, Infinity, -Infinity, 5e-324]);
    expectExact({ shape: [2, 1], data: new Int32Array([1, 2]) }, [[1], [2]]);
    expectExact([], []);
  });

  it("refuses to compare an array with itself, and tells -0 in its message", () => {
    const x = [1];
    expect(message(() => expectExact(x, x, "softmax"))).toMatchInlineSnapshot(`"softmax: got and want are the same array, so this comparison cannot fail; compare with a copy"`);
    expect(message(() => expectExact([[1, 0]], [[1, -0]]))).toMatchInlineSnapshot(`"expectExact: at index 1 (row 0, column 1): got 0, want -0, error 0, expected the same value (1 of 2 elements fail)"`);
  });
});

describe("ulpDistance", () => {
  it("counts float32 values, across zero and up to Infinity", () => {
    const smallest = 1.401298464324817e-45;
    expect(ulpDistance(1, next(1))).toBe(1);
    expect(ulpDistance(next(1), 1)).toBe(1);
    expect(ulpDistance(-1, -next(1))).toBe(1);
    expect(ulpDistance(1, 2)).toBe(2 ** 23);
    expect(ulpDistance(0, -0)).toBe(0);
    expect(ulpDistance(smallest, -smallest)).toBe(2);
    expect(ulpDistance(3.4028234663852886e38, Infinity)).toBe(1);
    expect(ulpDistance(Infinity, -Infinity)).toBe(2 * 0x7f800000);
    expect(ulpDistance(NaN, NaN)).toBe(0);
    expect(ulpDistance(NaN, 0)).toBe(Infinity);
    expect(ulpDistance(-Infinity, NaN)).toBe(Infinity);
  });
});
