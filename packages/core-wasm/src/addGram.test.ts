import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { addGramRef } from "./addGram.ref.ts";
import { addGram, addGramSteps, addOuterProducts, core } from "./index.ts";

function normal(count: number, stream: number): Float32Array {
  const random = testRandom(stream);
  return Float32Array.from({ length: count }, () => random.normal());
}

const lowerOf = (f: number, use: (at: number, i: number, j: number) => void): void => {
  for (let i = 0; i < f; i++) for (let j = 0; j < f; j++) use(i * f + j, i, j);
};

describe("addGram", () => {
  // Around the tiles of the product, blocks of 256 rows and strips of 96 features.
  it.each([[1, 1], [3, 2], [7, 5], [255, 9], [256, 8], [257, 17], [600, 33], [5, 95], [4, 97], [300, 200]])("agrees with the definition for N = %i, F = %i", (n, f) => {
    const x = normal(n * f, n + f);
    const gram = new Float64Array(f * f).fill(0.5);
    addGram(gram, new Tensor("float32", [n, f], x));
    const { y, size } = addGramRef(x, n, f);
    lowerOf(f, (at, i, j) => {
      // 256 roundings of 2^-24 on the way of each product inside a block, and one more for their squares and the float64 sums.
      if (j <= i) expect(Math.abs(gram[at] - 0.5 - y[at])).toBeLessThanOrEqual(257 * 2 ** -24 * size[at]);
      else expect(gram[at]).toBe(0.5);
    });
  });

  it("keeps the digits of many rows: a million ones", () => {
    const gram = new Float64Array(1);
    addGram(gram, new Tensor("float32", [1000000, 1], new Float32Array(1000000).fill(1)));
    expect(gram[0]).toBe(1000000);
    for (let i = 0; i < 20; i++) addGram(gram, new Tensor("float32", [1000000, 1], new Float32Array(1000000).fill(1)));
    expect(gram[0]).toBe(21000000);
  });

  it("is the same to the bit in batches of whole blocks, and for a resident tensor", () => {
    const x = normal(1024 * 40, 3), once = new Float64Array(1600), twice = new Float64Array(1600), resident = new Float64Array(1600);
    addGram(once, new Tensor("float32", [1024, 40], x));
    addGram(twice, new Tensor("float32", [512, 40], x.subarray(0, 512 * 40)));
    addGram(twice, new Tensor("float32", [512, 40], x.subarray(512 * 40)));
    expectExact(twice, once);
    const held = core.alloc([1024, 40]);
    held.data.set(x);
    addGram(resident, held);
    expectExact(resident, once);
    expectExact(held.data, x);
    held.dispose();
  });

  it("in pieces gives the same bits, with other calls between them", () => {
    const x = new Tensor("float32", [300, 1200], normal(300 * 1200, 4)), once = new Float64Array(1440000), pieces = new Float64Array(1440000);
    addGram(once, x);
    const shares: number[] = [];
    for (const share of addGramSteps(pieces, x)) {
      shares.push(share);
      addGram(new Float64Array(1600), new Tensor("float32", [300, 40], x.data.subarray(0, 12000)));
    }
    expectExact(pieces, once);
    // 300 rows are two blocks; 256 x 1200 x 1200 / 2 products are more than one piece.
    expect(shares.length).toBe(3);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares.at(-1)).toBe(1);
  });

  it("nothing to add adds nothing, and NaN and infinities go where sums take them", () => {
    const gram = new Float64Array(4);
    addGram(gram, new Tensor("float32", [0, 2], new Float32Array(0)));
    expectExact(gram, new Float64Array(4));
    addGram(new Float64Array(0), new Tensor("float32", [3, 0], new Float32Array(0)));
    addGram(gram, [[NaN, 1], [1, 1]]);
    expectExact(gram, Float64Array.of(NaN, 0, NaN, 2));
    const infinite = new Float64Array(4);
    addGram(infinite, [[Infinity, 1]]);
    expectExact(infinite, Float64Array.of(Infinity, 0, Infinity, 1));
  });

  it("says what is wrong", () => {
    expect(() => addGram(new Float64Array(3), [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: addGram: expected \`gram\` of 2 * 2 numbers, got 3]`);
    expect(() => addGram(new Float32Array(4) as never, [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[TypeError: addGram: expected \`gram\` a Float64Array, got Float32Array]`);
    expect(() => addGram(new Float64Array(4), [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: addGram: expected \`x\` of shape [N, F], got [2]]`);
  });
});

describe("addOuterProducts", () => {
  it.each([[1, 1], [2, 3], [3, 4], [5, 7], [1, 95], [7, 97], [300, 40], [257, 100]])("agrees with the definition for K = %i, F = %i", (k, f) => {
    const random = testRandom(k + f);
    const v = Float64Array.from({ length: k * f }, () => random.normal()), w = Float64Array.from({ length: k }, () => random.normal());
    const matrix = new Float64Array(f * f).fill(0.5);
    addOuterProducts(matrix, v, w);
    const { y, size } = addGramRef(v, k, f, w);
    lowerOf(f, (at, i, j) => {
      // Two roundings of each product, at most k of sums, one of the addition to what was there; the reference rounds as often.
      if (j <= i) expect(Math.abs(matrix[at] - (0.5 + y[at]))).toBeLessThanOrEqual((2 * k + 6) * 2 ** -53 * (size[at] + 0.5));
      else expect(matrix[at]).toBe(0.5);
    });
  });

  it("undoes itself with the opposite weight, and takes nothing", () => {
    const v = Float64Array.from(normal(60, 1)), matrix = new Float64Array(400);
    addOuterProducts(matrix, v, Float64Array.of(1, -2, 3));
    addOuterProducts(matrix, v, Float64Array.of(-1, 2, -3));
    expectClose(matrix, new Float64Array(400), { atol: 0 });
    addOuterProducts(matrix, new Float64Array(0), new Float64Array(0));
    addOuterProducts(new Float64Array(0), new Float64Array(0), new Float64Array(5));
    expectClose(matrix, new Float64Array(400), { atol: 0 });
  });

  it("says what is wrong", () => {
    expect(() => addOuterProducts(new Float64Array(4), new Float64Array(3), new Float64Array(2))).toThrowErrorMatchingInlineSnapshot(`[RangeError: addOuterProducts: expected \`vectors\` of 2 * 2 numbers, got 3]`);
    expect(() => addOuterProducts(new Float64Array(4), [1, 2] as never, new Float64Array(1))).toThrowErrorMatchingInlineSnapshot(`[TypeError: addOuterProducts: expected \`vectors\` a Float64Array, got Array]`);
    expect(() => addOuterProducts(new Float64Array(5), new Float64Array(2), new Float64Array(1))).toThrowErrorMatchingInlineSnapshot(`[RangeError: addOuterProducts: expected \`matrix\` of F * F numbers, got 5]`);
  });
});
