import { describe, expect, it } from "vitest";
import { peak, peakModule } from "./peak.ts";

describe("the multiply-add rate", () => {
  it.each(["simd", "relaxed-simd"] as const)("is measured by a valid module that keeps its chains finite and apart (%s)", (variant) => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(peakModule(variant)));
    const run = exports.peak as (iterations: number, factor: number, summand: number) => number;
    expect(run(1, 0, 2)).toBe(24);
    // The chains start at 0.5 + c / 256 for c = 5..16.
    expect(run(1, 1, 1)).toBe(12 * 1.5 + 126 / 256);
    expect(run(2, 1, 1)).toBe(12 * 2.5 + 126 / 256);
    const contender = peak(variant);
    contender.run();
    // The fixed point of x <- 0.75 x + 0.125 is 0.5.
    expect((contender.read() as { values: number[] }).values[0]).toBeCloseTo(6, 5);
  });
});
