import { EXP, halfExp } from "./lib/exp";
import { log1p64, log64 } from "./lib/log";
import { halfExponentials, rowMax } from "./lib/rowExponentials";
import { loadTail, madd, storeTail } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Rows of scores with one label each: everything that a loss of log p[label] needs, and its gradient a (p - onehot) + b p, without a second exponential.

// Rows of up to this many columns go four at a time, one per lane.
const NARROW: i32 = 48;

// In place: z[r, c] becomes exp(z[r, c] - max) / 2, and 0 at the label. out[r] = (max, gap, others, own, log sum): gap = z[r, label] - max, others the sum over c != label of exp(z[r, c] - max),
// own = exp(gap), log sum = log(own + others), to 2e-10 relative where the label has the maximum.
// z: f32[rows, cols], labels: i32[rows] in [0, cols), out: f64[rows, 5]. NaN, +Infinity in a row or a row of -Infinity make its gap or its others NaN, and its log sum.
export function f32_label_sums(z: usize, labels: usize, out: usize, rows: i32, cols: i32): void {
  if (cols <= NARROW) {
    const groups = rows >> 2;
    narrowRows(z, labels, out, groups, cols);
    z += (<usize>groups * <usize>cols) << 4;
    labels += <usize>groups << 4;
    out += <usize>groups * 160;
    rows &= 3;
  }
  for (; rows > 0; rows--, labels += 4, out += 40, z += <usize>cols << 2) {
    const top = rowMax(z, cols), label = z + (<usize>load<i32>(labels) << 2), score = load<f32>(label), own = halfExponentials(label, label, 1, top);
    store<f32>(label, -Infinity);
    finish(out, top, score, 2 * halfExponentials(z, z, cols, top), 2 * own);
  }
}

// The five numbers of a row.
function finish(out: usize, top: f32, score: f32, others: f64, own: f64): void {
  const gap = <f64>score - <f64>top;
  store<f64>(out, <f64>top);
  store<f64>(out, gap, 8);
  store<f64>(out, others, 16);
  store<f64>(out, own, 24);
  store<f64>(out, gap == 0 ? log1p64(others) : log64(own + others), 32);
}

// Groups of four rows, transposed in registers: no remainder and no horizontal step is left.
function narrowRows(z: usize, labels: usize, out: usize, groups: i32, cols: i32): void {
  const rowBytes = <usize>cols << 2, whole = (<usize>cols & ~3) << 2;
  const impossible = v128.load32_splat(EXP, 36);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  for (; groups > 0; groups--, labels += 16, out += 160, z += rowBytes << 2) {
    const z1 = z + rowBytes, z2 = z1 + rowBytes, z3 = z2 + rowBytes;
    const l0 = z + (<usize>load<i32>(labels) << 2), l1 = z1 + (<usize>load<i32>(labels, 4) << 2), l2 = z2 + (<usize>load<i32>(labels, 8) << 2), l3 = z3 + (<usize>load<i32>(labels, 12) << 2);
    const score = v128.load_lane<f32>(l3, v128.load_lane<f32>(l2, v128.load_lane<f32>(l1, v128.load32_zero(l0), 1), 2), 3);
    let m = impossible, at: usize = 0;
    for (; at < whole; at += 16) {
      const a = v128.load(z + at), b = v128.load(z1 + at), c = v128.load(z2 + at), d = v128.load(z3 + at);
      const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5), AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
      m = f32x4.pmax(f32x4.pmax(f32x4.pmax(m, v128.shuffle<f64>(ab, cd, 0, 2)), v128.shuffle<f64>(ab, cd, 1, 3)), f32x4.pmax(f32x4.pmax(impossible, v128.shuffle<f64>(AB, CD, 0, 2)), v128.shuffle<f64>(AB, CD, 1, 3)));
    }
    for (; at < rowBytes; at += 4) m = f32x4.pmax(m, v128.load_lane<f32>(z3 + at, v128.load_lane<f32>(z2 + at, v128.load_lane<f32>(z1 + at, v128.load32_zero(z + at), 1), 2), 3));
    store<f32>(l0, -Infinity);
    store<f32>(l1, -Infinity);
    store<f32>(l2, -Infinity);
    store<f32>(l3, -Infinity);
    let s = f32x4.splat(0);
    for (at = 0; at < whole; at += 16) {
      const a = v128.load(z + at), b = v128.load(z1 + at), c = v128.load(z2 + at), d = v128.load(z3 + at);
      const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5), AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
      const e0 = halfExp(f32x4.sub(m, v128.shuffle<f64>(ab, cd, 0, 2)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      const e1 = halfExp(f32x4.sub(m, v128.shuffle<f64>(ab, cd, 1, 3)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      const e2 = halfExp(f32x4.sub(m, v128.shuffle<f64>(AB, CD, 0, 2)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      const e3 = halfExp(f32x4.sub(m, v128.shuffle<f64>(AB, CD, 1, 3)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      s = f32x4.add(s, f32x4.add(f32x4.add(e0, e1), f32x4.add(e2, e3)));
      const ef = v128.shuffle<f32>(e0, e1, 0, 4, 1, 5), gh = v128.shuffle<f32>(e2, e3, 0, 4, 1, 5), EF = v128.shuffle<f32>(e0, e1, 2, 6, 3, 7), GH = v128.shuffle<f32>(e2, e3, 2, 6, 3, 7);
      v128.store(z + at, v128.shuffle<f64>(ef, gh, 0, 2));
      v128.store(z1 + at, v128.shuffle<f64>(ef, gh, 1, 3));
      v128.store(z2 + at, v128.shuffle<f64>(EF, GH, 0, 2));
      v128.store(z3 + at, v128.shuffle<f64>(EF, GH, 1, 3));
    }
    for (; at < rowBytes; at += 4) {
      const v = v128.load_lane<f32>(z3 + at, v128.load_lane<f32>(z2 + at, v128.load_lane<f32>(z1 + at, v128.load32_zero(z + at), 1), 2), 3);
      const e = halfExp(f32x4.sub(m, v), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      s = f32x4.add(s, e);
      v128.store_lane<f32>(z + at, e, 0);
      v128.store_lane<f32>(z1 + at, e, 1);
      v128.store_lane<f32>(z2 + at, e, 2);
      v128.store_lane<f32>(z3 + at, e, 3);
    }
    const own = halfExp(f32x4.sub(m, score), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
    finish(out, f32x4.extract_lane(m, 0), f32x4.extract_lane(score, 0), 2 * <f64>f32x4.extract_lane(s, 0), 2 * <f64>f32x4.extract_lane(own, 0));
    finish(out + 40, f32x4.extract_lane(m, 1), f32x4.extract_lane(score, 1), 2 * <f64>f32x4.extract_lane(s, 1), 2 * <f64>f32x4.extract_lane(own, 1));
    finish(out + 80, f32x4.extract_lane(m, 2), f32x4.extract_lane(score, 2), 2 * <f64>f32x4.extract_lane(s, 2), 2 * <f64>f32x4.extract_lane(own, 2));
    finish(out + 120, f32x4.extract_lane(m, 3), f32x4.extract_lane(score, 3), 2 * <f64>f32x4.extract_lane(s, 3), 2 * <f64>f32x4.extract_lane(own, 3));
  }
}

// In place: z[r, c] *= scales[r, 0], and z[r, labels[r]] = scales[r, 1]. z as f32_label_sums leaves it; scales: f32[rows, 2].
export function f32_label_gradient(z: usize, labels: usize, scales: usize, rows: i32, cols: i32): void {
  const bytes = (<usize>cols & ~3) << 2, rest = <usize>cols & 3, stride = <usize>cols << 2;
  const zero = f32x4.splat(0);
  for (; rows > 0; rows--, labels += 4, scales += 8, z += stride) {
    const scale = v128.load32_splat(scales);
    let p = z;
    for (const end = z + bytes; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), scale));
    if (rest) storeTail(p, rest, f32x4.mul(loadTail(p, rest, zero), scale));
    store<f32>(z + (<usize>load<i32>(labels) << 2), load<f32>(scales, 4));
  }
}

// In place: x becomes cap tanh(x / cap), and -Infinity stays. x: f32[n], n a multiple of 4; cap > 0. Error at most 5 ULP (softCapped.test.ts); NaN stays NaN, +Infinity becomes cap.
export function f32_soft_cap(x: usize, n: i32, cap: f32): void {
  const impossible = v128.load32_splat(EXP, 36), one = v128.load32_splat(EXP, 40), sign = v128.xor(f32x4.neg(one), one), zero = f32x4.splat(0);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const most = f32x4.splat(cap);
  for (const end = x + (<usize>n << 2); x < end; x += 16) {
    const v = v128.load(x), a = f32x4.div(v128.andnot(v, sign), most), z = f32x4.pmin(f32x4.add(a, a), highest);
    // exp(-z) / 2 as in halfExp, with (1 - exp(-z)) / 2 beside it, which keeps its digits where z is small: there k is 0, and it is the quotient itself.
    const t = madd(z, log2e, magic), k = f32x4.sub(t, magic), r = madd(k, ln2lo, madd(k, ln2hi, z)), y = f32x4.mul(r, r), d = f32x4.div(r, f32x4.add(madd(madd(w2, y, w1), y, r), two));
    const e = f32x4.mul(f32x4.sub(oneHalf, d), i32x4.shl(t, 23)), rest = v128.bitselect(d, f32x4.sub(oneHalf, e), f32x4.eq(k, zero));
    const result = v128.or(f32x4.mul(most, f32x4.div(rest, f32x4.add(oneHalf, e))), v128.and(v, sign));
    v128.store(x, v128.bitselect(v, result, f32x4.eq(v, impossible)));
  }
}
