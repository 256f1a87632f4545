import { expect, it } from "vitest";
import { relaxed, simd } from "#wasm/temperature";
import { family } from "./family.ts";
import { floatView, scratch } from "./memory.ts";

const kernels = family<{ f32_half_exp(x: number, y: number, length: number): void }>("temperature", { simd, relaxed });

/** Bits of 0 and of 87.33654: between them lie all float32 x for which exp(-x) is at most 1 and at least 2^-126. */
const FIRST = 0;
const LAST = 0x42aeac4f;

// All 1.1 billion inputs when asked for, else each 1009th: prime, so that every mantissa pattern of the low bits occurs.
const STEP = process.env.LOGITS_SLOW ? 1 : 1009;

it("exp inside softmax is within 1.2 ULP of float64 wherever the result is a normal number, and 0 far below", { timeout: 600_000 }, () => {
  const block = 65536;
  const at = scratch(8 * block);
  const words = new Uint32Array(block);
  const inputs = new Float32Array(words.buffer);
  let worst = 0, worstAt = 0;
  for (let bits = FIRST; bits <= LAST; ) {
    let count = 0;
    for (; count < block && bits <= LAST; bits += STEP) words[count++] = bits;
    words.fill(FIRST, count);
    floatView().set(inputs, at >>> 2);
    kernels().f32_half_exp(at, at + 4 * block, block);
    const results = floatView().subarray((at >>> 2) + block, (at >>> 2) + 2 * block);
    for (let i = 0; i < count; i++) {
      const want = Math.exp(-inputs[i]) / 2;
      if (want < 2 ** -125) continue; // half of it would be subnormal
      const error = Math.abs(results[i] - want) / unit(want);
      if (!(error <= worst)) [worst, worstAt] = [error, inputs[i]];
    }
  }
  if (process.env.LOGITS_SLOW) console.log(`exp inside softmax: ${worst} ULP at ${-worstAt}`);
  expect(worst).toBeLessThan(1.2);
  expect(worst).toBeGreaterThan(0.5); // an error below half a unit would mean that nothing was compared

  inputs.set([88, 100, 1e30, Infinity]);
  floatView().set(inputs, at >>> 2);
  kernels().f32_half_exp(at, at + 4 * block, 4);
  expect(Array.from(floatView().subarray((at >>> 2) + block, (at >>> 2) + block + 4))).toEqual([0, 0, 0, 0]);
});

/** The unit in the last place of the float32 next to x > 0. */
function unit(x: number): number {
  return 2 ** (Math.floor(Math.log2(x)) - 23);
}
