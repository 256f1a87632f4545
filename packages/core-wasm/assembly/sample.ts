import { finiteMax } from "./lib/finiteMax";
import { finiteMax } from "./lib/finiteMax";
import { loadTail, maxLanes, storeTail } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// No fused multiply-add in this family: noise and samples are the same bits in both variants and every engine.

// Philox-4x32-10, as in @logits/tensor: multipliers, then what the keys grow by in each round, then the four counters of one step.
const PHILOX: usize = memory.data<u32>([0xd2511f53, 0xcd9e8d57, 0x9e3779b9, 0xbb67ae85, 0, 1, 2, 3]);

// ln x: 1 / sqrt 2 as bits, then the polynomial of degree 8 of (ln(1 + f) - f + f^2 / 2) / f^3 and ln 2 in two parts. Source: Moshier, Cephes, logf.
const CUT: usize = memory.data<i32>([0x3f3504f3]);
const LOG: usize = memory.data<f32>([
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
  -2.1219444e-4, 0.693359375, 1, 0.5, 2.3283064365386963e-10, -Infinity,
]);

// exp(x) / 2 for x <= 0: 2^(k - 1) P(r), r = x - k ln 2 in two steps, P minimax of degree 6; 0 below 2^-125.5 (as in lib/exp.ts, but without fused operations).
const EXP: usize = memory.data<f32>([1.4426950408889634, 12583038, -0.693145751953125, -1.428606765330187e-6, 0.0013814584, 0.008368724, 0.041668388, 0.1666652057, 0.49999993, 1, -87.5]);

// 16 words of the stream: blocks 4 * step to 4 * step + 3. key and stream: low and high words.
function words(to: usize, key0: u32, key1: u32, step: u32, stream0: u32, stream1: u32): void {
  const m0 = v128.load32_splat(PHILOX), m1 = v128.load32_splat(PHILOX, 4), w0 = v128.load32_splat(PHILOX, 8), w1 = v128.load32_splat(PHILOX, 12);
  let c0 = i32x4.add(i32x4.splat(step << 2), v128.load(PHILOX, 16)), c1 = i32x4.splat(step >> 30), c2 = i32x4.splat(stream0), c3 = i32x4.splat(stream1);
  let k0 = i32x4.splat(key0), k1 = i32x4.splat(key1);
  for (let round = 0; round < 10; round++) {
    const a = i64x2.extmul_low_i32x4_u(c0, m0), b = i64x2.extmul_high_i32x4_u(c0, m0);
    const c = i64x2.extmul_low_i32x4_u(c2, m1), d = i64x2.extmul_high_i32x4_u(c2, m1);
    c0 = v128.xor(v128.xor(v128.shuffle<i32>(c, d, 1, 3, 5, 7), c1), k0);
    c1 = v128.shuffle<i32>(c, d, 0, 2, 4, 6);
    c2 = v128.xor(v128.xor(v128.shuffle<i32>(a, b, 1, 3, 5, 7), c3), k1);
    c3 = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
    k0 = i32x4.add(k0, w0);
    k1 = i32x4.add(k1, w1);
  }
  const ab = v128.shuffle<i32>(c0, c1, 0, 4, 1, 5), cd = v128.shuffle<i32>(c2, c3, 0, 4, 1, 5);
  const AB = v128.shuffle<i32>(c0, c1, 2, 6, 3, 7), CD = v128.shuffle<i32>(c2, c3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 16);
  v128.store(to, v128.shuffle<i64>(AB, CD, 0, 2), 32);
  v128.store(to, v128.shuffle<i64>(AB, CD, 1, 3), 48);
}

// ln x of four normal x > 0.
// @ts-ignore: decorator
@inline
function log4(x: v128): v128 {
  const cut = v128.load32_splat(CUT);
  const k = i32x4.shr_s(i32x4.sub(x, cut), 23);
  const e = f32x4.convert_i32x4_s(k);
  const f = f32x4.sub(i32x4.sub(x, i32x4.shl(k, 23)), v128.load32_splat(LOG, 44));
  const z = f32x4.mul(f, f);
  let p = v128.load32_splat(LOG);
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 4));
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 8));
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 12));
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 16));
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 20));
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 24));
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 28));
  p = f32x4.add(f32x4.mul(p, f), v128.load32_splat(LOG, 32));
  p = f32x4.add(f32x4.mul(f32x4.mul(p, f), z), f32x4.mul(e, v128.load32_splat(LOG, 36)));
  return f32x4.add(f32x4.add(f, f32x4.sub(p, f32x4.mul(z, v128.load32_splat(LOG, 48)))), f32x4.mul(e, v128.load32_splat(LOG, 40)));
}

// -ln(-ln u), u = (word + 1/2) / 2^32. The smaller of u and 1 - u is t, exact to 2^-25 relative: near u = 1, where the large values come from,
// ln u = ln(1 - t) = ln y + ((1 - y) - t) / y with y = 1 - t rounded.
// @ts-ignore: decorator
@inline
function gumbel(word: v128): v128 {
  const one = v128.load32_splat(LOG, 44);
  const upper = i32x4.shr_s(word, 31);
  const t = f32x4.mul(f32x4.add(f32x4.convert_i32x4_s(v128.xor(word, upper)), v128.load32_splat(LOG, 48)), v128.load32_splat(LOG, 52));
  const rest = f32x4.sub(one, t);
  const y = v128.bitselect(rest, t, upper);
  const lost = v128.and(upper, f32x4.div(f32x4.sub(f32x4.sub(one, rest), t), rest));
  return f32x4.neg(log4(f32x4.neg(f32x4.add(log4(y), lost))));
}

// y[r, c] = x[r, c] + g, g standard Gumbel noise from word c of stream `stream + r`; hard: the one-hot row of the largest instead (ties: the
// smaller column). x, y: f32[rows, cols]; y may be x. scratch: 64 bytes.
// hard: a row with NaN or +Infinity, or of -Infinity only: NaN.
export function f32_gumbel(x: usize, y: usize, rows: i32, cols: i32, key0: u32, key1: u32, stream0: u32, stream1: u32, hard: i32, scratch: usize): void {
  const rowBytes = <usize>cols << 2, bytes = rowBytes & ~15, rest = <usize>cols & 3;
  const impossible = v128.load32_splat(LOG, 56);
  for (; rows > 0; rows--, x += rowBytes, y += rowBytes) {
    let m = impossible, nan = i32x4.splat(0);
    for (let at: usize = 0; at < rowBytes; at += 16) {
      if ((at & 63) == 0) words(scratch, key0, key1, <u32>(at >> 6), stream0, stream1);
      const g = gumbel(v128.load(scratch + (at & 63)));
      if (at < bytes) {
        const v = f32x4.add(v128.load(x + at), g);
        v128.store(y + at, v);
        m = f32x4.pmax(m, v);
        nan = v128.or(nan, f32x4.ne(v, v));
      } else {
        const v = f32x4.add(loadTail(x + at, rest, impossible), g);
        storeTail(y + at, rest, v);
        m = f32x4.pmax(m, v);
        nan = v128.or(nan, f32x4.ne(v, v));
      }
    }
    if (hard) {
      const top = maxLanes(m);
      let left: f32 = 1, otherwise: f32 = 0;
      if (v128.any_true(nan) || top - top != 0) left = otherwise = NaN;
      for (let p = y, end = y + rowBytes; p < end; p += 4) {
        const first = load<f32>(p) == top;
        store<f32>(p, first ? left : otherwise);
        if (first) left = otherwise;
      }
    }
    if (++stream0 == 0) stream1++;
  }
}

// The vector-Jacobian product of y = softmax(x / T): g[r, c] = scale * y[r, c] * (u[r, c] - sum_j y[r, j] u[r, j]), scale = 1 / T.
// An exact zero takes no part: its upstream is not read. y, u, g: f32[rows, cols]; g may be y or u.
export function f32_soft_grad(y: usize, u: usize, g: usize, rows: i32, cols: i32, scale: f32): void {
  const rowBytes = <usize>cols << 2, bytes = rowBytes & ~15, rest = <usize>cols & 3;
  const zero = f32x4.splat(0), by = f32x4.splat(scale);
  for (; rows > 0; rows--, y += rowBytes, u += rowBytes, g += rowBytes) {
    let s = f64x2.splat(0);
    for (let p: usize = 0; p < rowBytes; p += 16) {
      const last = p >= bytes;
      const v = last ? loadTail(y + p, rest, zero) : v128.load(y + p);
      const w = v128.and(f32x4.ne(v, zero), last ? loadTail(u + p, rest, zero) : v128.load(u + p));
      const v1 = v128.shuffle<f32>(v, v, 2, 3, 2, 3), w1 = v128.shuffle<f32>(w, w, 2, 3, 2, 3);
      s = f64x2.add(s, f64x2.add(f64x2.mul(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(w)), f64x2.mul(f64x2.promote_low_f32x4(v1), f64x2.promote_low_f32x4(w1))));
    }
    const mean = f32x4.splat(<f32>(f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1)));
    for (let p: usize = 0; p < rowBytes; p += 16) {
      const last = p >= bytes;
      const v = last ? loadTail(y + p, rest, zero) : v128.load(y + p);
      const d = v128.and(f32x4.ne(v, zero), f32x4.mul(f32x4.mul(v, by), f32x4.sub(last ? loadTail(u + p, rest, zero) : v128.load(u + p), mean)));
      if (last) storeTail(g + p, rest, d);
      else v128.store(g + p, d);
    }
  }
}

// Elements whose probabilities share one entry of the table of sums.
const BLOCK: i32 = 32;

// y[r, j]: a column drawn with probability exp(scale * x[r, c]) / Z, by the inverse of the distribution function at uniform number j (of 52 bits)
// of stream `stream + r`. x: f32[rows, cols], y: i32[rows, count]; must not overlap. Columns of probability 0 are never drawn.
// The first row without a distribution (NaN, +Infinity, or only -Infinity), else -1. scratch: 128 + 4 * (cols + 4) + 8 * (cols / 32 + 3) bytes.
export function f32_sample_categorical(x: usize, y: usize, rows: i32, cols: i32, count: i32, scale: f32, key0: u32, key1: u32, stream0: u32, stream1: u32, scratch: usize): i32 {
  const rowBytes = <usize>cols << 2, bytes = rowBytes & ~15, rest = <usize>cols & 3;
  const weights = scratch + 64;
  const sums = (weights + rowBytes + 31) & ~15;
  const blocks = (cols + BLOCK - 1) / BLOCK;
  const impossible = v128.load32_splat(LOG, 56);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const p6 = v128.load32_splat(EXP, 16), p5 = v128.load32_splat(EXP, 20), p4 = v128.load32_splat(EXP, 24), p3 = v128.load32_splat(EXP, 28), p2 = v128.load32_splat(EXP, 32);
  const one = v128.load32_splat(EXP, 36), lowest = v128.load32_splat(EXP, 40), by = f32x4.splat(scale);
  for (let row = 0; row < rows; row++, x += rowBytes) {
    const end = x + bytes;
    const top = finiteMax(x, cols);
    let p = x;
    if (top != top) return row;
    const m = f32x4.splat(top);

    let sum: f64 = 0, to = weights, table = sums;
    store<f64>(table, 0);
    for (p = x; p < x + rowBytes; ) {
      const stop = min(p + (BLOCK << 2), x + rowBytes);
      let s = f64x2.splat(0);
      for (; p < stop; p += 16, to += 16) {
        const v = p < end ? v128.load(p) : loadTail(p, rest, impossible);
        const z = f32x4.pmax(f32x4.mul(f32x4.sub(v, m), by), lowest);
        const t = f32x4.add(f32x4.mul(z, log2e), magic);
        const k = f32x4.sub(t, magic);
        const q = f32x4.add(f32x4.add(z, f32x4.mul(k, ln2hi)), f32x4.mul(k, ln2lo));
        let e = f32x4.add(f32x4.mul(p6, q), p5);
        e = f32x4.add(f32x4.mul(e, q), p4);
        e = f32x4.add(f32x4.mul(e, q), p3);
        e = f32x4.add(f32x4.mul(e, q), p2);
        e = f32x4.add(f32x4.mul(e, q), one);
        e = f32x4.mul(f32x4.add(f32x4.mul(e, q), one), i32x4.shl(t, 23));
        v128.store(to, e);
        s = f64x2.add(s, f64x2.add(f64x2.promote_low_f32x4(e), f64x2.promote_low_f32x4(v128.shuffle<f32>(e, e, 2, 3, 2, 3))));
      }
      sum += f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
      table += 8;
      store<f64>(table, sum);
    }

    for (let j = 0; j < count; j++, y += 4) {
      if ((j & 7) == 0) words(scratch, key0, key1, <u32>(j >> 3), stream0, stream1);
      const w = scratch + (<usize>(j & 7) << 3);
      const u = (<f64>(load<u32>(w) >> 6) * 67108864 + <f64>(load<u32>(w, 4) >> 6) + 0.5) / 4503599627370496 * sum;
      // The first block whose sum exceeds u, then the first element.
      let low = 0, high = blocks - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (load<f64>(sums + (<usize>middle << 3), 8) > u) high = middle;
        else low = middle + 1;
      }
      let below = load<f64>(sums + (<usize>low << 3));
      let c = low * BLOCK, drawn = c;
      for (const stop = min(c + BLOCK, cols); c < stop; c++) {
        const e = <f64>load<f32>(weights + (<usize>c << 2));
        if (e == 0) continue;
        drawn = c; // the last possible one, where rounding leaves u at the end
        below += e;
        if (below > u) break;
      }
      store<i32>(y, drawn);
    }
    if (++stream0 == 0) stream1++;
  }
  return -1;
}
