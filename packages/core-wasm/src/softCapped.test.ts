import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { softCapped } from "./labelSums.ts";

const random = testRandom(9), capped = (x: Float32Array, cap: number): Float32Array => softCapped("test", new Tensor("float32", [x.length], x), cap).data;

describe("softCapped", () => {
  it.each([0.5, 1, 30, 50])("agrees with the definition, cap %f", (cap) => {
    for (const scale of [1e-20, 1e-3, 0.3, 1, 10, 1000]) {
      const x = Float32Array.from({ length: 4001 }, () => scale * random.normal()), before = x.slice();
      expectClose(capped(x, cap), Float64Array.from(x, (v) => cap * Math.tanh(v / cap)), { ulp: 5 }); // seven roundings of half a ULP, which another binade can double; 4 found
      expectExact(x, before);
    }
  });

  it.each([0, 1, 3, 4, 5, 65_537])("takes %i numbers", (size) => {
    const x = Float32Array.from({ length: size }, (_, i) => i % 7);
    expectClose(capped(x, 3), Float64Array.from(x, (v) => 3 * Math.tanh(v / 3)), { ulp: 5 });
  });

  it("answers special values", () => {
    expectExact(capped(Float32Array.of(-Infinity, Infinity, NaN, 0, -0, 3e38, -3e38), 30), [-Infinity, 30, NaN, 0, -0, 30, -30]);
  });

  it("has the shape of its argument", () => expect(softCapped("test", new Tensor("float32", [2, 3], new Float32Array(6)), 1).shape).toEqual([2, 3]));
});
