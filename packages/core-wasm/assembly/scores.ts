import { EXP, halfExp } from "./lib/exp";
import { log1p64 } from "./lib/log";
import { loadTail, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Rows of up to this many columns go four at a time, one per lane: a row has the same bits wherever it stands, also where fewer than four are left.
const NARROW: i32 = 256;

const LIMITS: usize = memory.data<f32>([-Infinity]);

// Bits of `select` and places in y.
const MAX_PROBABILITY = 1, OTHER_PROBABILITY = 2, MAX_LOGIT = 4, ENERGY = 8, ENTROPY = 16, MARGIN = 32, ARGMAX = 64;
const NEEDS_WEIGHTS = MAX_PROBABILITY | OTHER_PROBABILITY | ENERGY | ENTROPY;

// Statistics of the rows of x: y[bit, r], where the bit of `select` is set, else untouched; p = softmax(x[r] / T), beta = 1 / T.
//   0  max_c p_c            1  1 - max_c p_c, the sum of the others            2  max_c x_c            3  -T log sum_c exp(x_c / T)
//   4  -sum_c p_c log p_c   5  the largest minus the second largest x_c        6  int32, smallest c with x_c = max; -1 for a row with NaN
// x: f32[rows, cols], y: f32[7, stride], stride >= rows. A row with NaN: NaN. Largest +-Infinity: 0, 1 and 4 are NaN, 3 is minus the largest.
// lanes: scratch of 16 * cols bytes where cols <= 256, else not read. Each row comes from memory once; what is read again is in the cache.
export function f32_logit_statistics(x: usize, y: usize, rows: i32, cols: i32, stride: i32, beta: f32, temperature: f64, select: i32, lanes: usize): void {
  const rowBytes = <usize>cols << 2, step = <usize>stride << 2;
  if (cols <= NARROW) {
    for (; rows > 0; rows -= 4) {
      fourRows(x, y, min(rows, 4), cols, step, beta, temperature, select, lanes);
      x += rowBytes << 2;
      y += 16;
    }
  }
  for (; rows > 0; rows--) {
    oneRow(x, y, cols, step, beta, temperature, select);
    x += rowBytes;
    y += 4;
  }
}

// From the largest and second largest element, half the weight exp((x - top) / T) of the elements below the largest, half their weighted distance
// (top - x) / T, and how many equal the largest.
function finish(x: usize, y: usize, cols: i32, step: usize, temperature: f64, select: i32, top: f32, second: f32, half: f64, half1: f64, equal: f64): void {
  // Z = 1 + others, the 1 being the largest element: nothing is lost where it dominates.
  const others = 2 * half + (equal - 1), share = 1 / (1 + others);
  if (select & MAX_PROBABILITY) store<f32>(y, <f32>share);
  if (select & OTHER_PROBABILITY) store<f32>(y + step, <f32>(others * share));
  if (select & MAX_LOGIT) store<f32>(y + 2 * step, top + 0);
  if (select & (ENERGY | ENTROPY)) {
    const log = log1p64(others);
    if (select & ENERGY) store<f32>(y + 3 * step, <f32>(0 - (top - top == 0 ? <f64>top + temperature * log : <f64>top)));
    if (select & ENTROPY) store<f32>(y + 4 * step, <f32>(log + 2 * half1 * share));
  }
  if (select & MARGIN) store<f32>(y + 5 * step, top - second);
  if (select & ARGMAX) store<i32>(y + 6 * step, top == top ? indexOf(x, cols, top) : -1);
}

// The first of the `cols` elements at x that equals `value`, which is there.
function indexOf(x: usize, cols: i32, value: f32): i32 {
  const wanted = f32x4.splat(value), whole = cols & ~3;
  let at = 0;
  for (; at < whole; at += 4) {
    const found = i32x4.bitmask(f32x4.eq(v128.load(x + (<usize>at << 2)), wanted));
    if (found) return at + ctz(found);
  }
  while (load<f32>(x + (<usize>at << 2)) != value) at++;
  return at;
}

function oneRow(x: usize, y: usize, cols: i32, step: usize, beta: f32, temperature: f64, select: i32): void {
  const bytes = (<usize>cols & ~3) << 2, rest = <usize>cols & 3;
  const end = x + bytes;
  const impossible = v128.load32_splat(LIMITS);

  // a: largest, b: second largest. pmin and pmax lose NaN, which `nan` keeps.
  let a = impossible, b = a, a1 = a, b1 = a, nan = i32x4.splat(0), p = x;
  for (const stop = x + (bytes & ~31); p < stop; p += 32) {
    const v = v128.load(p), w = v128.load(p, 16);
    b = f32x4.pmax(b, f32x4.pmin(a, v));
    b1 = f32x4.pmax(b1, f32x4.pmin(a1, w));
    a = f32x4.pmax(a, v);
    a1 = f32x4.pmax(a1, w);
    nan = v128.or(nan, v128.or(f32x4.ne(v, v), f32x4.ne(w, w)));
  }
  if (p < end) {
    const v = v128.load(p);
    b = f32x4.pmax(b, f32x4.pmin(a, v));
    a = f32x4.pmax(a, v);
    nan = v128.or(nan, f32x4.ne(v, v));
  }
  if (rest) {
    const v = loadTail(end, rest, impossible);
    b1 = f32x4.pmax(b1, f32x4.pmin(a1, v));
    a1 = f32x4.pmax(a1, v);
    nan = v128.or(nan, f32x4.ne(v, v));
  }
  b = f32x4.pmax(f32x4.pmax(b, b1), f32x4.pmin(a, a1));
  a = f32x4.pmax(a, a1);
  a1 = v128.shuffle<f32>(a, a, 2, 3, 0, 1);
  b = f32x4.pmax(f32x4.pmax(b, v128.shuffle<f32>(b, b, 2, 3, 0, 1)), f32x4.pmin(a, a1));
  a = f32x4.pmax(a, a1);
  a1 = v128.shuffle<f32>(a, a, 1, 0, 3, 2);
  b = f32x4.pmax(f32x4.pmax(b, v128.shuffle<f32>(b, b, 1, 0, 3, 2)), f32x4.pmin(a, a1));
  const top: f32 = v128.any_true(nan) ? NaN : f32x4.extract_lane(f32x4.pmax(a, a1), 0);
  const second = f32x4.extract_lane(b, 0);

  let half: f64 = 0, half1: f64 = 0, equal: f64 = 0;
  if (select & NEEDS_WEIGHTS) {
    const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
    const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
    const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
    const by = f32x4.splat(beta), m = f32x4.splat(top), zero = f32x4.splat(0);
    // float32 lanes over at most 1024 bytes, blocks added in float64.
    p = x;
    while (p < end) {
      let s0 = zero, s1 = zero, ties = zero;
      for (const stop = min(p + 1024, end); p < stop; p += 16) {
        const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(p)), by), highest);
        const e = halfExp(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
        const tie = f32x4.eq(d, zero);
        ties = i32x4.sub(ties, tie);
        s0 = f32x4.add(s0, v128.andnot(e, tie));
        s1 = f32x4.add(s1, f32x4.mul(e, d));
      }
      half += sumLanes(s0);
      half1 += sumLanes(s1);
      equal += sumLanes(f32x4.convert_i32x4_s(ties));
    }
    if (rest) {
      const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, loadTail(end, rest, impossible)), by), highest);
      const e = halfExp(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      const tie = f32x4.eq(d, zero);
      half += sumLanes(v128.andnot(e, tie));
      half1 += sumLanes(f32x4.mul(e, d));
      equal -= sumLanes(f32x4.convert_i32x4_s(tie));
    }
  }
  finish(x, y, cols, step, temperature, select, top, second, half, half1, equal);
}

// `count` rows, 1 to 4, transposed into `lanes` (one vector per column), so that no remainder and no horizontal step is left. Missing rows repeat the first.
function fourRows(x: usize, y: usize, count: i32, cols: i32, step: usize, beta: f32, temperature: f64, select: i32, lanes: usize): void {
  const rowBytes = <usize>cols << 2;
  const whole = (<usize>cols & ~3) << 2;
  const stop = lanes + (<usize>cols << 4);
  const x1 = count > 1 ? x + rowBytes : x, x2 = count > 2 ? x + 2 * rowBytes : x, x3 = count > 3 ? x + 3 * rowBytes : x;

  const impossible = v128.load32_splat(LIMITS), zero = f32x4.splat(0);
  let m = impossible, second = impossible, nan = zero, p = lanes, at: usize = 0;
  for (; at < whole; at += 16, p += 64) {
    const a = v128.load(x + at), b = v128.load(x1 + at), c = v128.load(x2 + at), d = v128.load(x3 + at);
    const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    const c0 = v128.shuffle<f64>(ab, cd, 0, 2), c1 = v128.shuffle<f64>(ab, cd, 1, 3);
    const c2 = v128.shuffle<f64>(AB, CD, 0, 2), c3 = v128.shuffle<f64>(AB, CD, 1, 3);
    v128.store(p, c0);
    v128.store(p, c1, 16);
    v128.store(p, c2, 32);
    v128.store(p, c3, 48);
    // The two largest of four, then of those and the two so far.
    const h0 = f32x4.pmax(c0, c1), l0 = f32x4.pmin(c0, c1), h1 = f32x4.pmax(c2, c3), l1 = f32x4.pmin(c2, c3);
    const h = f32x4.pmax(h0, h1);
    const l = f32x4.pmax(f32x4.pmin(h0, h1), f32x4.pmax(l0, l1));
    second = f32x4.pmax(f32x4.pmax(second, l), f32x4.pmin(m, h));
    m = f32x4.pmax(m, h);
    nan = v128.or(nan, v128.or(v128.or(f32x4.ne(c0, c0), f32x4.ne(c1, c1)), v128.or(f32x4.ne(c2, c2), f32x4.ne(c3, c3))));
  }
  for (; at < rowBytes; at += 4, p += 16) {
    const v = v128.load_lane<f32>(x3 + at, v128.load_lane<f32>(x2 + at, v128.load_lane<f32>(x1 + at, v128.load32_zero(x + at), 1), 2), 3);
    second = f32x4.pmax(second, f32x4.pmin(m, v));
    m = f32x4.pmax(m, v);
    nan = v128.or(nan, f32x4.ne(v, v));
    v128.store(p, v);
  }
  m = v128.or(m, nan);

  let t0 = zero, t1 = zero, ties = zero;
  if (select & NEEDS_WEIGHTS) {
    const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
    const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
    const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
    const by = f32x4.splat(beta);
    // Blocks of 64 columns, so that float32 sums stay short.
    p = lanes;
    while (p < stop) {
      let s0 = zero, s1 = zero;
      for (const block = min(p + 1024, stop); p < block; p += 16) {
        const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(p)), by), highest);
        const e = halfExp(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
        const tie = f32x4.eq(d, zero);
        ties = i32x4.sub(ties, tie);
        s0 = f32x4.add(s0, v128.andnot(e, tie));
        s1 = f32x4.add(s1, f32x4.mul(e, d));
      }
      t0 = f32x4.add(t0, s0);
      t1 = f32x4.add(t1, s1);
    }
    ties = f32x4.convert_i32x4_s(ties);
  }
  finish(x, y, cols, step, temperature, select, f32x4.extract_lane(m, 0), f32x4.extract_lane(second, 0), f32x4.extract_lane(t0, 0), f32x4.extract_lane(t1, 0), f32x4.extract_lane(ties, 0));
  if (count > 1) finish(x1, y + 4, cols, step, temperature, select, f32x4.extract_lane(m, 1), f32x4.extract_lane(second, 1), f32x4.extract_lane(t0, 1), f32x4.extract_lane(t1, 1), f32x4.extract_lane(ties, 1));
  if (count > 2) finish(x2, y + 8, cols, step, temperature, select, f32x4.extract_lane(m, 2), f32x4.extract_lane(second, 2), f32x4.extract_lane(t0, 2), f32x4.extract_lane(t1, 2), f32x4.extract_lane(ties, 2));
  if (count > 3) finish(x3, y + 12, cols, step, temperature, select, f32x4.extract_lane(m, 3), f32x4.extract_lane(second, 3), f32x4.extract_lane(t0, 3), f32x4.extract_lane(t1, 3), f32x4.extract_lane(ties, 3));
}
