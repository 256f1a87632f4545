import { madd } from "./vector";

// Elementary functions of four lanes. The ULP bounds are those of packages/core-wasm/accuracy.json: measured in both variants over all 2^32 inputs
// by accuracy.ts. NaN stays NaN, whatever its payload: pmin(x, c) and pmax(x, c) keep an x that is NaN, a comparison with NaN is false.
// The polynomials are minimax fits of tools/minimax.ts. Constants stay in memory; a load from a constant address costs one operation.
const C: usize = memory.data<f32>([
  // exp: at 0
  1.4426950408889634, // 1 / ln 2
  12582912, // 1.5 * 2^23: adding it rounds to an integer, which its low bits then hold
  -0.693145751953125, // -(ln 2, upper part: k times it is exact for |k| < 2^9)
  -1.428606765330187e-6, // -(ln 2 - upper part)
  0.002765956101939082, -0.166666179895401, 2, // -Q from degree 1 down, y <= (ln 2 / 2)^2; sqrt(y) coth(sqrt(y) / 2) = 2 + y Q(y)
  -87.33654022216797, 89, // the smallest x with exp(x) >= 2^-126, which gives 0 below; and where exp(x) is Infinity
  1.1754943508222875e-38, // 2^-126
  1,
  // expm1: at 44
  -0.0000646078769932501, 0.002777345944195986, -0.16666662693023682, // -Q from degree 2 down, y <= (ln 2)^2
  -88, 2.9802322387695312e-8, // 2^-25: below it expm1(x) and log1p(x) are x
  // log: at 64
  8388608, 0.7071067690849304, 0.5, -Infinity, Infinity,
  0.23582765460014343, 0.285372793674469, 0.4000033438205719, 0.6666666269302368,
  // tanh: at 100
  -0.005714781582355499, 0.02064865455031395, -0.05374293774366379, 0.133314847946167, -0.3333328366279602, 0.625,
  // erf: at 124
  -0.0006021565059199929, 0.0049995556473731995, -0.02677125297486782, 0.11281954497098923, -0.3761250674724579, 0.12837915122509003, 0.92, 4,
  // -log(erfc(t)) / t: at 156
  0.000011522254681040067, -0.00032565236324444413, 0.0036537626292556524, -0.023785343393683434, 0.10626314580440521, 0.6351358890533447, 1.1286522150039673,
  23,
]);

// @ts-ignore: decorator
@inline
function c(offset: usize): v128 {
  return v128.load32_splat(C + offset);
}

// @ts-ignore: decorator
@inline
function signed(magnitude: v128, x: v128): v128 {
  return v128.or(magnitude, v128.xor(x, f32x4.abs(x)));
}

// exp(r) - 1 of r = high + low, from d = r - r^2 Q(r^2): 2 r / (2 - d) = r + r d / (2 - d), so that the large part, high, is rounded once.
// @ts-ignore: decorator
@inline
function expm1Reduced(r: v128, high: v128, low: v128, d: v128): v128 {
  return f32x4.add(high, f32x4.add(low, f32x4.div(f32x4.mul(r, d), f32x4.sub(c(24), d))));
}

// exp(x), at most 0.92 ULP. x = k ln 2 + r, |r| <= ln 2 / 2.
// 2^k in two factors reaches both ends of the exponents; results below 2^-126 become 0.
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const z = f32x4.pmin(f32x4.pmax(x, c(28)), c(32));
  const t = madd(z, c(0), c(4));
  const k = f32x4.sub(t, c(4));
  const top = madd(k, c(8), z);
  const low = f32x4.mul(k, c(12));
  const r = f32x4.add(top, low);
  const y = f32x4.mul(r, r);
  const p = f32x4.add(expm1Reduced(r, top, low, madd(madd(c(16), y, c(20)), y, r)), c(40));
  const n = i32x4.sub(t, c(4));
  const half = i32x4.shr_s(n, 1);
  const power = i32x4.add(i32x4.shl(half, 23), c(40));
  const other = i32x4.add(i32x4.shl(i32x4.sub(n, half), 23), c(40));
  return v128.andnot(f32x4.mul(f32x4.mul(p, power), other), f32x4.lt(x, c(28)));
}

// exp(x) - 1, at most 1.57 ULP. x = k ln 2 + r with k rounded towards 0, so that 2^k expm1(r) and 2^k - 1 have one sign and nothing cancels.
// @ts-ignore: decorator
@inline
export function expm1(x: v128): v128 {
  const z = f32x4.pmin(f32x4.pmax(x, c(56)), c(32));
  const k = f32x4.trunc(f32x4.mul(z, c(0)));
  const top = madd(k, c(8), z);
  const low = f32x4.mul(k, c(12));
  const r = f32x4.add(top, low);
  const y = f32x4.mul(r, r);
  const e = expm1Reduced(r, top, low, madd(madd(madd(c(44), y, c(48)), y, c(52)), y, r));
  const power = i32x4.add(i32x4.shl(f32x4.add(k, c(4)), 23), c(40));
  return v128.bitselect(x, madd(power, e, f32x4.sub(power, c(40))), f32x4.lt(f32x4.abs(x), c(60)));
}

// log(u) + correction for normal u > 0. u = 2^k m, m in [sqrt(1/2), sqrt(2)); f = m - 1, s = f / (2 + f), log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)).
// @ts-ignore: decorator
@inline
function logNormal(u: v128, shift: v128, correction: v128): v128 {
  const bits = i32x4.sub(u, c(68));
  const k = f32x4.add(f32x4.convert_i32x4_s(i32x4.shr_s(bits, 23)), shift);
  const f = f32x4.sub(i32x4.add(i32x4.shr_u(i32x4.shl(bits, 9), 9), c(68)), c(40));
  const s = f32x4.div(f, f32x4.add(f, c(24)));
  const z = f32x4.mul(s, s);
  const R = f32x4.mul(z, madd(madd(madd(c(84), z, c(88)), z, c(92)), z, c(96)));
  const square = f32x4.mul(f32x4.mul(f, f), c(72));
  const rest = f32x4.add(f32x4.mul(s, f32x4.add(square, R)), f32x4.sub(correction, f32x4.mul(k, c(12))));
  return f32x4.sub(f32x4.mul(k, f32x4.neg(c(8))), f32x4.sub(f32x4.sub(square, rest), f));
}

// log at its edges: u < 0 -> NaN, u = 0 -> -Infinity, Infinity and NaN stay.
// @ts-ignore: decorator
@inline
function logEdges(u: v128, log: v128): v128 {
  const regular = v128.or(v128.bitselect(c(76), log, f32x4.eq(u, f32x4.splat(0))), f32x4.lt(u, f32x4.splat(0)));
  return v128.bitselect(regular, u, f32x4.lt(u, c(80)));
}

// log(x), at most 0.84 ULP; subnormal x is scaled by 2^23.
// @ts-ignore: decorator
@inline
export function log(x: v128): v128 {
  const tiny = f32x4.lt(x, c(36));
  const u = v128.bitselect(f32x4.mul(x, c(64)), x, tiny);
  return logEdges(x, logNormal(u, f32x4.mul(f32x4.convert_i32x4_s(tiny), c(184)), f32x4.splat(0)));
}

// log(1 + x), at most 0.87 ULP: log of the rounded sum u, plus what the rounding lost over u.
// @ts-ignore: decorator
@inline
export function log1p(x: v128): v128 {
  const u = f32x4.add(x, c(40));
  const back = f32x4.sub(u, c(40));
  const lost = f32x4.add(f32x4.sub(c(40), f32x4.sub(u, back)), f32x4.sub(x, back));
  const y = logEdges(u, logNormal(u, f32x4.splat(0), f32x4.div(lost, u)));
  return v128.bitselect(x, y, f32x4.lt(f32x4.abs(x), c(60)));
}

// tanh(x), at most 1.31 ULP: x + x^3 P(x^2) for |x| < 0.625, beyond it 1 - 2 / (exp(2 |x|) + 1).
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const a = f32x4.abs(x);
  const z = f32x4.mul(a, a);
  const p = madd(madd(madd(madd(c(100), z, c(104)), z, c(108)), z, c(112)), z, c(116));
  const near = madd(f32x4.mul(p, z), a, a);
  const far = f32x4.sub(c(40), f32x4.div(c(24), f32x4.add(exp(f32x4.add(a, a)), c(40))));
  return signed(v128.bitselect(near, far, f32x4.lt(a, c(120))), x);
}

// erf(x), at most 1.37 ULP: x + x P(x^2) for |x| < 0.92, beyond it 1 - exp(-t Q(t)), t = min(|x|, 4).
// @ts-ignore: decorator
@inline
export function erf(x: v128): v128 {
  const a = f32x4.abs(x);
  const z = f32x4.mul(a, a);
  const p = madd(madd(madd(madd(madd(c(124), z, c(128)), z, c(132)), z, c(136)), z, c(140)), z, c(144));
  const near = madd(p, a, a);
  const t = f32x4.pmin(a, c(152));
  const q = madd(madd(madd(madd(madd(madd(c(156), t, c(160)), t, c(164)), t, c(168)), t, c(172)), t, c(176)), t, c(180));
  const far = f32x4.sub(c(40), exp(f32x4.neg(f32x4.mul(q, t))));
  return signed(v128.bitselect(near, far, f32x4.lt(a, c(148))), x);
}

// 1 / (1 + exp(-x)), at most 2.41 ULP, from e = exp(-|x|): no digit is lost on either side.
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  const e = exp(f32x4.neg(f32x4.abs(x)));
  return f32x4.div(v128.bitselect(e, c(40), f32x4.lt(x, f32x4.splat(0))), f32x4.add(e, c(40)));
}

// log(1 + exp(x)), at most 1.58 ULP: max(x, 0) + log1p(exp(-|x|)).
// @ts-ignore: decorator
@inline
export function softplus(x: v128): v128 {
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), log1p(exp(f32x4.neg(f32x4.abs(x)))));
}
