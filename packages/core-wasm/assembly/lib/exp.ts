import { madd } from "./vector";

// Constants live in memory and are loaded before a loop: V8 makes a v128 constant anew at every use (three instructions each).
// exp(-x) = 2^k exp(-r), k = round(-x / ln 2), r = x + k ln 2 in two steps, |r| <= ln 2 / 2.
// exp(-r) = 1 - 2 r / (2 + (r + W(r^2))) with W(y) = sqrt(y) coth(sqrt(y) / 2) - 2 = y/6 - y^2/360 + ..., minimax of degree 2: to 6e-10. One division takes
// the place of six operations of a polynomial of degree 6, and keeps as little rounding: W is small, so that only 2 + u is rounded coarsely.
export const EXP: usize = memory.data<f32>([
  -1.4426950408889634, // -1 / ln 2
  12583039, // 1.5 * 2^23 + 127: adding it rounds to an integer; its low bits then hold k + 127, the exponent field of 2^k
  0.693145751953125, // ln 2, upper part: k times it is exact for |k| < 2^9
  1.428606765330187e-6, // ln 2 - upper part
  -0.00276598, 0.16666618, // W(y) / y from degree 1 down
  2, 0.5,
  88, // above this (and a little below) k is -127 and the result 0
  -Infinity, 1,
]);

// exp(-x) / 2 of four lanes with x >= 0 or NaN: x is how far a score lies below the largest. Max error 1.2 ULP (halfExp.test.ts, every float32). Where exp(-x) < 2^-126.5 it is 0; NaN stays NaN, whatever its
// payload. The half costs nothing, it saves a multiplication.
// @ts-ignore: decorator
@inline
export function halfExp(x: v128, log2e: v128, magic: v128, ln2hi: v128, ln2lo: v128, w2: v128, w1: v128, two: v128, half: v128, highest: v128): v128 {
  return halfExpBounded(f32x4.pmin(x, highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, half);
}

// The same for x <= highest.
// @ts-ignore: decorator
@inline
export function halfExpBounded(z: v128, log2e: v128, magic: v128, ln2hi: v128, ln2lo: v128, w2: v128, w1: v128, two: v128, half: v128): v128 {
  const t = madd(z, log2e, magic);
  const k = f32x4.sub(t, magic);
  const r = madd(k, ln2lo, madd(k, ln2hi, z));
  const y = f32x4.mul(r, r);
  const u = madd(madd(w2, y, w1), y, r);
  return f32x4.mul(f32x4.sub(half, f32x4.div(r, f32x4.add(u, two))), i32x4.shl(t, 23));
}
