import { expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { philox, randomSource } from "./random.ts";

const block = (key: readonly [number, number], counter: readonly [number, number, number, number]): Uint32Array => {
  const out = new Uint32Array(4);
  philox(out, ...key, ...counter);
  return out;
};

/** Philox in 64-bit integers, as the paper writes it. */
function philoxRef(key: readonly number[], counter: readonly number[]): number[] {
  let [k0, k1] = key.map(BigInt);
  let [c0, c1, c2, c3] = counter.map(BigInt);
  const low = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0, p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & low, (p0 >> 32n) ^ c3 ^ k1, p0 & low];
    k0 = (k0 + 0x9e3779b9n) & low;
    k1 = (k1 + 0xbb67ae85n) & low;
  }
  return [c0, c1, c2, c3].map(Number);
}

function chiSquare(counts: ArrayLike<number>): number {
  const total = Array.from(counts).reduce((a, b) => a + b, 0);
  const want = total / counts.length;
  return Array.from(counts).reduce((sum, count) => sum + (count - want) ** 2 / want, 0);
}

/** Upper 0.9999 bound of chi-square by Wilson and Hilferty; 3.719 is the normal quantile. */
const chiSquareBound = (degrees: number): number => degrees * (1 - 2 / (9 * degrees) + 3.719 * Math.sqrt(2 / (9 * degrees))) ** 3;

describe("philox", () => {
  it("gives the known answers of the Random123 distribution", () => {
    expectExact(block([0, 0], [0, 0, 0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    expectExact(block([0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    expectExact(block([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  });

  it("agrees with 64-bit integers for 2,000 keys and counters", () => {
    const random = randomSource(123, 456);
    for (let i = 0; i < 2000; i++) {
      const [k0, k1, c0, c1, c2, c3] = Array.from({ length: 6 }, () => random.uint32());
      expectExact(block([k0, k1], [c0, c1, c2, c3]), philoxRef([k0, k1], [c0, c1, c2, c3]), `key ${k0} ${k1}`);
    }
  });
});

describe("randomSource", () => {
  it("is philox over block and stream, keyed by the seed, low words first", () => {
    const random = randomSource(3 * 2 ** 32 + 7, 5 * 2 ** 32 + 11);
    const words = Array.from({ length: 12 }, () => random.uint32());
    expectExact(words, [0, 1, 2].flatMap((i) => [...block([7, 3], [i, 0, 11, 5])]));
  });

  it("gives the same numbers again and other numbers for every other seed or stream", () => {
    const take = (seed: number, stream?: number): string => {
      const random = randomSource(seed, stream);
      return Array.from({ length: 8 }, () => random.uint32()).join();
    };
    expect(take(1, 2)).toBe(take(1, 2));
    expect(take(1)).toBe(take(1, 0));
    const pairs = [[0, 0], [1, 0], [0, 1], [1, 1], [2 ** 32, 0], [0, 2 ** 32], [2 ** 53 - 1, 0], [0, 2 ** 53 - 1]];
    expect(new Set(pairs.map(([seed, stream]) => take(seed, stream))).size).toBe(pairs.length);
  });

  it("has streams that are independent: pairs of neighbours fill a 16 by 16 table evenly", () => {
    for (const [a, b] of [[randomSource(9, 0), randomSource(9, 1)], [randomSource(9, 0), randomSource(10, 0)]]) {
      const counts = new Float64Array(256);
      for (let i = 0; i < 51200; i++) counts[16 * (a.uint32() >>> 28) + (b.uint32() >>> 28)]++;
      expect(chiSquare(counts)).toBeLessThan(chiSquareBound(255));
      // The other side: a table that is too even is no randomness either. 0.0001 quantile by the same formula.
      expect(chiSquare(counts)).toBeGreaterThan(255 * (1 - 2 / (9 * 255) - 3.719 * Math.sqrt(2 / (9 * 255))) ** 3);
    }
  });

  it.each([2, 3, 6, 7, 10, 100, 1000])("draws integers below %i evenly", (n) => {
    const random = randomSource(4, n);
    const counts = new Float64Array(n);
    for (let i = 0; i < 100 * n; i++) counts[random.integer(n)]++;
    expect(chiSquare(counts)).toBeLessThan(chiSquareBound(n - 1));
  });

  it("has no bias where n does not divide 2^32", () => {
    // 3 * 2^30: without rejection the lowest third would come twice as often.
    const random = randomSource(5);
    const counts = new Float64Array(3);
    for (let i = 0; i < 30000; i++) counts[Math.floor(random.integer(3 * 2 ** 30) / 2 ** 30)]++;
    expect(chiSquare(counts)).toBeLessThan(chiSquareBound(2));
  });

  it("draws 0 below 1, and all of 32 bits below 2^32", () => {
    const random = randomSource(6);
    expect(random.integer(1)).toBe(0);
    const [a, b] = [randomSource(6, 1), randomSource(6, 1)];
    for (let i = 0; i < 20; i++) expect(a.integer(2 ** 32)).toBe(b.uint32());
  });

  it("is uniform on the open interval (0, 1)", () => {
    const random = randomSource(8);
    const counts = new Float64Array(100);
    for (let i = 0; i < 20000; i++) counts[Math.floor(100 * random.uniform())]++;
    expect(chiSquare(counts)).toBeLessThan(chiSquareBound(99));
    // The formula at its ends: the smallest and the largest 52 bits.
    expect((0 + 0.5) / 2 ** 52).toBeGreaterThan(0);
    expect((2 ** 52 - 1 + 0.5) / 2 ** 52).toBeLessThan(1);
  });

  it("takes 52 bits from two words", () => {
    const [random, words] = [randomSource(8, 3), randomSource(8, 3)];
    for (let i = 0; i < 100; i++) expect(random.uniform()).toBe(((words.uint32() >>> 6) * 2 ** 26 + (words.uint32() >>> 6) + 0.5) / 2 ** 52);
  });

  it("draws every order of four equally often", () => {
    const random = randomSource(10);
    const counts = new Map<string, number>();
    for (let i = 0; i < 4800; i++) {
      const order = random.permutation(4).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(chiSquare([...counts.values()])).toBeLessThan(chiSquareBound(23));
  });

  it("permutes no and one element, and keeps each of many", () => {
    expectExact(randomSource(1).permutation(0), []);
    expectExact(randomSource(1).permutation(1), [0]);
    expectExact(randomSource(1).permutation(1000).sort(), Array.from({ length: 1000 }, (_, i) => i));
  });

  it("says what it refuses", () => {
    expect(() => randomSource(-1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: randomSource: expected \`seed\` an integer in [0, 2^53), got -1]`);
    expect(() => randomSource(0.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: randomSource: expected \`seed\` an integer in [0, 2^53), got 0.5]`);
    expect(() => randomSource(2 ** 53)).toThrowErrorMatchingInlineSnapshot(`[RangeError: randomSource: expected \`seed\` an integer in [0, 2^53), got 9007199254740992]`);
    expect(() => randomSource(0, NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: randomSource: expected \`stream\` an integer in [0, 2^53), got NaN]`);
    expect(() => randomSource(0).integer(0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: RandomSource.integer: expected \`n\` an integer in [1, 2^32], got 0]`);
    expect(() => randomSource(0).integer(2 ** 32 + 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: RandomSource.integer: expected \`n\` an integer in [1, 2^32], got 4294967297]`);
    expect(() => randomSource(0).integer(2.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: RandomSource.integer: expected \`n\` an integer in [1, 2^32], got 2.5]`);
    expect(() => randomSource(0).permutation(-1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: RandomSource.permutation: expected \`n\` an integer in [0, 2^31), got -1]`);
  });
});
