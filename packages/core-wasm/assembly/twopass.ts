import { loadTail, madd, storeTail } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// exp z = m 2^k, k = round(z / ln 2), m = P(z - k ln 2) in [0.7, 1.42], P minimax of degree 6. k is exact in float32 and its product with the upper part of
// ln 2 (9 bits) is exact for |k| < 2^15. Beyond LOW and HIGH scores are cut off; a row whose largest is not within +-LARGEST is refused.
const EXP: usize = memory.data<f32>([
  1.4426950408889634, // 1 / ln 2
  12582912, // 1.5 * 2^23: adding it rounds to an integer
  -0.693359375, 2.12194440054690583e-4, // -ln 2 in two parts
  0.0013814584, 0.008368724, 0.041668388, 0.1666652057, 0.49999993, // P from degree 6 down to 2
  1,
  -127, // 2^-127 is 0 here
  12583039, // 1.5 * 2^23 + 127: adding k leaves the exponent field of 2^k in the low bits
  -16600, 16400, // LOW, HIGH
  -24000, // below every k
  -Infinity,
]);
const LARGEST: f32 = 23638; // k of 16384

// k of a score.
// @ts-ignore: decorator
@inline
function exponent(z: v128, log2e: v128, magic: v128): v128 {
  return f32x4.sub(madd(z, log2e, magic), magic);
}

// m of a score.
// @ts-ignore: decorator
@inline
function mantissa(z: v128, k: v128, ln2hi: v128, ln2lo: v128, p6: v128, p5: v128, p4: v128, p3: v128, p2: v128, one: v128): v128 {
  const r = madd(k, ln2lo, madd(k, ln2hi, z));
  return madd(madd(madd(madd(madd(madd(p6, r, p5), r, p4), r, p3), r, p2), r, one), r, one);
}

// 2^d for d <= 0; 0 from -127 down.
// @ts-ignore: decorator
@inline
function power(d: v128, least: v128, field: v128): v128 {
  return i32x4.shl(f32x4.add(f32x4.pmax(d, least), field), 23);
}

// Scores within the cut; NaN stays.
// @ts-ignore: decorator
@inline
function cut(x: v128, by: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(f32x4.mul(x, by), low), high);
}

// y[r, c] = exp(z[r, c]) / sum_j exp(z[r, j]), z = scale * x, in two passes and without the maximum: sums are pairs (m, k) of value m 2^k.
// x, y: f32[rows, cols]; y may be x. A row with NaN or +Infinity, or of -Infinity only: NaN.
// The first row whose largest z is finite, but not within +-16384, else -1. Source: Dukhan and Ablavatski 2020, algorithm 3.
export function f32_two_pass(x: usize, y: usize, rows: i32, cols: i32, scale: f32): i32 {
  const rowBytes = <usize>cols << 2, bytes = rowBytes & ~15, rest = <usize>cols & 3;
  const by = f32x4.splat(scale), none = v128.load32_splat(EXP, 56), impossible = v128.load32_splat(EXP, 60);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const p6 = v128.load32_splat(EXP, 16), p5 = v128.load32_splat(EXP, 20), p4 = v128.load32_splat(EXP, 24), p3 = v128.load32_splat(EXP, 28), p2 = v128.load32_splat(EXP, 32);
  const one = v128.load32_splat(EXP, 36), least = v128.load32_splat(EXP, 40), field = v128.load32_splat(EXP, 44), low = v128.load32_splat(EXP, 48), high = v128.load32_splat(EXP, 52);
  for (let row = 0; row < rows; row++, x += rowBytes, y += rowBytes) {
    // The sum of the row in float64: total 2^order. Lanes of float32 add at most 256 numbers each.
    let total: f64 = 0, order: f32 = -24000;
    const end = x + bytes;
    let p = x, k = none;
    do {
      // Four accumulators of mantissas share the exponent k of their lane, the largest so far: it seldom changes.
      let m0 = f32x4.splat(0), m1 = m0, m2 = m0, m3 = m0;
      const stop = min(p + 16384, end);
      for (; p + 48 < stop; p += 64) {
        const z0 = cut(v128.load(p), by, low, high), z1 = cut(v128.load(p, 16), by, low, high);
        const z2 = cut(v128.load(p, 32), by, low, high), z3 = cut(v128.load(p, 48), by, low, high);
        const e0 = exponent(z0, log2e, magic), e1 = exponent(z1, log2e, magic), e2 = exponent(z2, log2e, magic), e3 = exponent(z3, log2e, magic);
        const n = f32x4.pmax(k, f32x4.pmax(f32x4.pmax(e0, e1), f32x4.pmax(e2, e3)));
        if (v128.any_true(f32x4.ne(n, k))) {
          const fall = power(f32x4.sub(k, n), least, field);
          m0 = f32x4.mul(m0, fall);
          m1 = f32x4.mul(m1, fall);
          m2 = f32x4.mul(m2, fall);
          m3 = f32x4.mul(m3, fall);
          k = n;
        }
        m0 = madd(mantissa(z0, e0, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), power(f32x4.sub(e0, k), least, field), m0);
        m1 = madd(mantissa(z1, e1, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), power(f32x4.sub(e1, k), least, field), m1);
        m2 = madd(mantissa(z2, e2, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), power(f32x4.sub(e2, k), least, field), m2);
        m3 = madd(mantissa(z3, e3, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), power(f32x4.sub(e3, k), least, field), m3);
      }
      let m = f32x4.add(f32x4.add(m0, m1), f32x4.add(m2, m3));
      for (; p < stop; p += 16) {
        const z = cut(v128.load(p), by, low, high), e = exponent(z, log2e, magic), n = f32x4.pmax(k, e);
        m = madd(m, power(f32x4.sub(k, n), least, field), f32x4.mul(mantissa(z, e, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), power(f32x4.sub(e, n), least, field)));
        k = n;
      }
      if (p == end && rest) {
        const z = cut(loadTail(end, rest, impossible), by, low, high), e = exponent(z, log2e, magic), n = f32x4.pmax(k, e);
        m = madd(m, power(f32x4.sub(k, n), least, field), f32x4.mul(mantissa(z, e, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), power(f32x4.sub(e, n), least, field)));
        k = n;
      }
      // Four pairs into one.
      let top = f32x4.pmax(k, v128.shuffle<f32>(k, k, 2, 3, 0, 1));
      top = f32x4.pmax(top, v128.shuffle<f32>(top, top, 1, 0, 3, 2));
      m = f32x4.mul(m, power(f32x4.sub(k, top), least, field));
      const reached = f32x4.extract_lane(top, 0);
      const sum = <f64>f32x4.extract_lane(m, 0) + <f64>f32x4.extract_lane(m, 1) + (<f64>f32x4.extract_lane(m, 2) + <f64>f32x4.extract_lane(m, 3));
      // k is kept, so that `reached` never falls.
      total = total * power64(order - reached) + sum;
      order = reached;
    } while (p < end);

    if (total == total && abs(order) > LARGEST) {
      // Infinities, or beyond the range.
      if (!undefinedRow(x, cols)) return row;
      total = NaN;
    }
    const inverse = f32x4.splat(<f32>(1 / total)), highest = f32x4.splat(order);
    for (p = 0; p < bytes; p += 16) {
      const z = cut(v128.load(x + p), by, low, high), e = exponent(z, log2e, magic);
      v128.store(y + p, f32x4.mul(f32x4.mul(mantissa(z, e, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), inverse), power(f32x4.sub(e, highest), least, field)));
    }
    if (rest) {
      const z = cut(loadTail(end, rest, impossible), by, low, high), e = exponent(z, log2e, magic);
      storeTail(y + bytes, rest, f32x4.mul(f32x4.mul(mantissa(z, e, ln2hi, ln2lo, p6, p5, p4, p3, p2, one), inverse), power(f32x4.sub(e, highest), least, field)));
    }
  }
  return -1;
}

// 2^d for d <= 0; 0 from -1023 down.
function power64(d: f32): f64 {
  return reinterpret<f64>(<i64>(max(<i32>d, -1023) + 1023) << 52);
}

// Whether a row has +Infinity, or -Infinity only: no distribution exists. It has no NaN.
function undefinedRow(x: usize, cols: i32): bool {
  let top: f32 = -Infinity;
  for (const end = x + (<usize>cols << 2); x < end; x += 4) top = max(top, load<f32>(x));
  return top - top != 0;
}
