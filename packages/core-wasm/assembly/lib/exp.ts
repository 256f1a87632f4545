import { madd } from "./vector";

// Constants live in memory and are loaded before a loop: V8 makes a v128 constant anew at every use (three instructions each).
// exp(x) = 2^k P(r), k = round(x / ln 2), r = x - k ln 2 in two steps, |r| <= ln 2 / 2, P minimax of degree 6.
export const EXP: usize = memory.data<f32>([
  1.4426950408889634, // 1 / ln 2
  12583038, // 1.5 * 2^23 + 126: adding it rounds to an integer; its low bits then hold k + 126, the exponent of 2^(k - 1)
  -0.693145751953125, // -(ln 2, upper part: k times it is exact for |k| < 2^9)
  -1.428606765330187e-6, // -(ln 2 - upper part)
  0.0013814584, 0.008368724, 0.041668388, 0.1666652057, 0.49999993, // P from degree 6 down to 2
  1,
  -87.5, // below this (and a little above) k is -126 and the result 0
]);

// exp(x) / 2 of four lanes with x <= 0 or NaN. Results of which exp(x) < 2^-125.5 are 0; NaN stays NaN, whatever its payload.
// The half costs nothing: it lets a clamp at -87.5 end in the exponent field 0, which is the float 0.
// @ts-ignore: decorator
@inline
export function halfExp(
  x: v128, log2e: v128, magic: v128, ln2hi: v128, ln2lo: v128,
  p6: v128, p5: v128, p4: v128, p3: v128, p2: v128, one: v128, lowest: v128,
): v128 {
  const z = f32x4.pmax(x, lowest);
  const t = madd(z, log2e, magic);
  const k = f32x4.sub(t, magic);
  const r = madd(k, ln2lo, madd(k, ln2hi, z));
  const p = madd(madd(madd(madd(madd(madd(p6, r, p5), r, p4), r, p3), r, p2), r, one), r, one);
  return f32x4.mul(p, i32x4.shl(t, 23));
}
