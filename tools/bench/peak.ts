import type { Contender, Variant } from "./types.ts";

/**
 * The core's 128-bit multiply-add rate: twelve independent chains in registers, no memory. x <- x * a + b, fused (relaxed) or as two instructions (baseline);
 * twelve chains cover the latency of both on cores with two vector units.
 */

const CHAINS = 12;
/** Iterations per run: about 0.6 ms. */
const ITERATIONS = 50_000;
/** Multiply and add, four lanes. */
const FLOPS = 2 * 4 * CHAINS * ITERATIONS;

function leb(value: number): number[] {
  const out: number[] = [];
  for (; value > 127; value >>>= 7) out.push((value & 127) | 128);
  return [...out, value];
}

const section = (id: number, body: number[]): number[] => [id, ...leb(body.length), ...body];

/** One function `(param i32 f32 f32) (result f32)`: iterations, factor, summand; the result keeps the chains alive. */
export function peakModule(variant: Variant): Uint8Array<ArrayBuffer> {
  // Locals: 0 iterations, 1 factor, 2 summand, 3 a, 4 b, 5.. chains.
  const get = (i: number): number[] => [0x20, i], set = (i: number): number[] => [0x21, i];
  const splat = [0xfd, 0x13], add = [0xfd, 0xe4, 0x01], mul = [0xfd, 0xe6, 0x01], madd = [0xfd, 0x85, 0x02];
  const chains = Array.from({ length: CHAINS }, (_, i) => 5 + i);
  const step = (c: number): number[] =>
    variant === "relaxed-simd" ? [...get(c), ...get(3), ...get(4), ...madd, ...set(c)] : [...get(c), ...get(3), ...mul, ...get(4), ...add, ...set(c)];
  const code = [
    1, CHAINS + 2, 0x7b,
    ...get(1), ...splat, ...set(3), ...get(2), ...splat, ...set(4),
    // Different starting values: equal chains would be merged into one.
    ...chains.flatMap((c) => [0x43, 0, 0, c, 0x3f, ...splat, ...set(c)]),
    0x03, 0x40, ...chains.flatMap(step), ...get(0), 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b,
    ...get(chains[0]), ...chains.slice(1).flatMap((c) => [...get(c), ...add]), 0xfd, 0x1f, 0, 0x0b,
  ];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 3, 0x7f, 0x7d, 0x7d, 1, 0x7d]),
    ...section(3, [1, 0]),
    ...section(7, [1, 4, ...new TextEncoder().encode("peak"), 0, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
}

/** GFLOP/s of one run of `peak`. */
export function peakGflops(ms: number): number {
  return FLOPS / ms / 1e6;
}

/** Runs beside the kernels in the same rounds, since the clock of a core moves with load and heat. */
export function peak(variant: Variant): Contender {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(peakModule(variant)));
  const run = exports.peak as (iterations: number, factor: number, summand: number) => number;
  let sink = 0;
  return {
    run: () => { sink = run(ITERATIONS, 0.75, 0.125); },
    read: () => ({ values: [sink] }),
    dispose: () => {},
  };
}
