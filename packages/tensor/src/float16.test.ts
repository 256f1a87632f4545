import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { asFloat16Bits, float16ToFloat32, float32ToFloat16 } from "./float16.ts";

const half = (bits: Uint16Array): Float32Array => Float32Array.from(new Float16Array(bits.buffer as ArrayBuffer));
const bitsOf = (values: Float32Array): Uint16Array => new Uint16Array(Float16Array.from(values).buffer);
const everyPattern = Uint16Array.from({ length: 65536 }, (_, i) => i);
const isNaN16 = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;

/** NaN has many patterns; the contract is that it stays NaN. */
const canonical = (bits: Uint16Array): Uint16Array => bits.map((b) => (isNaN16(b) ? 0x7e00 : b));

describe("float16ToFloat32", () => {
  it("agrees with Float16Array for all 65,536 patterns", () => {
    expectExact(float16ToFloat32(everyPattern), half(everyPattern));
  });

  it("has the known corners of the format", () => {
    const bits = Uint16Array.of(0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x7e00);
    expectExact(float16ToFloat32(bits), [0, -0, 2 ** -24, -(2 ** -24), 1023 * 2 ** -24, 2 ** -14, 1, 65504, Infinity, -Infinity, NaN]);
    expect(float16ToFloat32(new Uint16Array(0))).toHaveLength(0);
  });
});

describe("float32ToFloat16", () => {
  it("brings every pattern back", () => {
    expectExact(canonical(float32ToFloat16(float16ToFloat32(everyPattern))), canonical(everyPattern));
  });

  it("rounds as Float16Array does, for 200,000 random float32 patterns of either sign", () => {
    const random = testRandom(16);
    const anywhere = Float32Array.from({ length: 100000 }, () => {
      const word = Uint32Array.of(random.integer(4294967296));
      return new Float32Array(word.buffer)[0];
    });
    // Most float32 overflow or vanish in half precision; these do not.
    const inRange = Float32Array.from({ length: 100000 }, () => (random.uniform() < 0.5 ? -1 : 1) * 2 ** (42 * random.uniform() - 26));
    for (const values of [anywhere, inRange]) expectExact(canonical(float32ToFloat16(values)), canonical(bitsOf(values)));
  });

  it("breaks ties to even, and only ties, between all neighbours", () => {
    const finite = float16ToFloat32(everyPattern.filter((b) => (b & 0x7fff) < 0x7c00));
    const values: number[] = [];
    for (let i = 0; i < finite.length - 1; i++) {
      if (Object.is(finite[i], 65504) || Object.is(finite[i + 1], -0)) continue;
      const middle = (finite[i] + finite[i + 1]) / 2;
      const step = 2 ** -12 * Math.abs(finite[i + 1] - finite[i]);
      values.push(middle, middle - step, middle + step);
    }
    const ties = Float32Array.from(values);
    expectExact(ties, values);
    expectExact(canonical(float32ToFloat16(ties)), canonical(bitsOf(ties)));
  });

  it("overflows from 65,520 on and keeps signs", () => {
    const values = Float32Array.of(65504, 65519.996, 65520, 65535, 65536, 1e30, -65520, Infinity, -Infinity, NaN, 0, -0, 2 ** -25, 2 ** -25 * 1.0001, -(2 ** -26), 1e-45);
    expectExact(float32ToFloat16(values), [0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7c00, 0x7c00, 0xfc00, 0x7c00, 0xfc00, 0x7e00, 0, 0x8000, 0, 1, 0x8000, 0]);
  });

  it("reads a view into a larger buffer", () => {
    expectExact(float32ToFloat16(Float32Array.of(9, 1, 2, 9).subarray(1, 3)), [0x3c00, 0x4000]);
  });
});

describe("asFloat16Bits", () => {
  it("gives the bits of float16 in memory where they are, and undefined of anything else", () => {
    const data = Uint16Array.of(0x3c00, 0x4000, 0xfc00), dims = [3];
    for (const x of [{ data, dims, type: "float16" }, { data, shape: [1, 3], dtype: "float16" }, { data, dims, type: "float16", location: "cpu" }]) {
      const found = asFloat16Bits(x)!;
      expect([found.bits.buffer === data.buffer, found.bits.length]).toEqual([true, 3]);
    }
    expectExact(float16ToFloat32(asFloat16Bits({ data: new Float16Array([9, 1, -2]).subarray(1), dims: [2], type: "float16" })!.bits), [1, -2]);
    for (const x of [data, [1, 2], null, { data, dims }, { data, dims: [4], type: "float16" }, { data: new Float32Array(3), dims, type: "float16" }, { data, dims, type: "float16", location: "gpu-buffer" }, { data, type: "float16" }]) expect(asFloat16Bits(x as never)).toBeUndefined();
  });
});
