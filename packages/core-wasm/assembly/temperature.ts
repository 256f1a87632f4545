import { EXP, halfExp } from "./lib/exp";
import { log64 } from "./lib/log";
import { rowMax } from "./lib/rowExponentials";
import { loadTail, madd, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Rows of up to this many columns go four at a time, one per lane.
const NARROW: i32 = 512;

// What a fit of beta = 1 / T needs, in one pass over the rows; p = softmax(beta x[r]), y = labels[r]:
//   sums[0] += sum_r log sum_c exp(beta x[r, c]) - beta x[r, y]     the loss
//   sums[1] += sum_r sum_c p_c x[r, c] - x[r, y]                    its derivative by beta
//   sums[2] += sum_r sum_c p_c x[r, c]^2 - (sum_c p_c x[r, c])^2    its second derivative
//   each[r] = the loss of the row, unless each is 0
// x: f32[rows, cols], labels: i32[rows] in [0, cols), sums: f64[3], each: f32[rows]; beta > 0.
// Rows in float32 relative to their maximum (sums over blocks), across rows float64. lanes: scratch of 16 * min(cols, 512) bytes, used when rows >= 4.
// An element of -Infinity has p = 0 and counts nothing. x[r, y] = -Infinity: the loss is Infinity. NaN, +Infinity or no finite element in a row: NaN.
export function f32_temperature(x: usize, labels: usize, rows: i32, cols: i32, beta: f32, sums: usize, each: usize, lanes: usize): void {
  const rowBytes = <usize>cols << 2;
  if (cols <= NARROW) {
    for (; rows >= 4; rows -= 4) {
      fourRows(x, labels, cols, beta, sums, each, lanes);
      x += rowBytes << 2;
      labels += 16;
      if (each) each += 16;
    }
  }
  for (; rows > 0; rows--) {
    oneRow(x, labels, cols, beta, sums, each);
    x += rowBytes;
    labels += 4;
    if (each) each += 4;
  }
}

// Adds one row: half sums of e, e d and e d^2, with d = beta (top - x) and e = exp(-d).
function addRow(x: usize, labels: usize, beta: f32, top: f32, half: f64, half1: f64, half2: f64, sums: usize, each: usize): void {
  const b = <f64>beta;
  const gap = <f64>top - <f64>load<f32>(x + (<usize>load<i32>(labels) << 2));
  const loss = log64(2 * half) + b * gap;
  const mean = half1 / half;
  store<f64>(sums, load<f64>(sums) + loss);
  store<f64>(sums, load<f64>(sums, 8) + (gap - mean / b), 8);
  store<f64>(sums, load<f64>(sums, 16) + max(0, half2 / half - mean * mean) / (b * b), 16);
  if (each) store<f32>(each, <f32>loss);
}

function oneRow(x: usize, labels: usize, cols: i32, beta: f32, sums: usize, each: usize): void {
  const bytes = (<usize>cols & ~3) << 2;
  const rest = <usize>cols & 3;
  const end = x + bytes;
  const top = rowMax(x, cols), m = f32x4.splat(top);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const by = f32x4.splat(beta);

  // float32 lanes over at most 1024 bytes, blocks added in float64.
  let half: f64 = 0, half1: f64 = 0, half2: f64 = 0, p = x;
  while (p < end) {
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0);
    const stop = min(p + 1024, end);
    for (; p < stop; p += 16) {
      const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(p)), by), highest);
      const e = halfExp(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      const ed = f32x4.mul(e, d);
      s0 = f32x4.add(s0, e);
      s1 = f32x4.add(s1, ed);
      s2 = madd(ed, d, s2);
    }
    half += sumLanes(s0);
    half1 += sumLanes(s1);
    half2 += sumLanes(s2);
  }
  if (rest) {
    const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, loadTail(end, rest, v128.load32_splat(EXP, 36))), by), highest);
    const e = halfExp(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
    const ed = f32x4.mul(e, d);
    half += sumLanes(e);
    half1 += sumLanes(ed);
    half2 += sumLanes(f32x4.mul(ed, d));
  }
  addRow(x, labels, beta, top, half, half1, half2, sums, each);
}

// Four rows at once: transposed into `lanes` (one vector per column), so that no remainder and no horizontal step is left.
function fourRows(x: usize, labels: usize, cols: i32, beta: f32, sums: usize, each: usize, lanes: usize): void {
  const rowBytes = <usize>cols << 2;
  const whole = (<usize>cols & ~3) << 2;
  const stop = lanes + (<usize>cols << 4);
  const x1 = x + rowBytes, x2 = x1 + rowBytes, x3 = x2 + rowBytes;

  let m = f32x4.splat(-Infinity), p = lanes, at: usize = 0;
  for (; at < whole; at += 16, p += 64) {
    const a = v128.load(x + at), b = v128.load(x1 + at), c = v128.load(x2 + at), d = v128.load(x3 + at);
    const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    const c0 = v128.shuffle<f64>(ab, cd, 0, 2), c1 = v128.shuffle<f64>(ab, cd, 1, 3);
    const c2 = v128.shuffle<f64>(AB, CD, 0, 2), c3 = v128.shuffle<f64>(AB, CD, 1, 3);
    m = f32x4.pmax(m, f32x4.pmax(f32x4.pmax(c0, c1), f32x4.pmax(c2, c3)));
    v128.store(p, c0);
    v128.store(p, c1, 16);
    v128.store(p, c2, 32);
    v128.store(p, c3, 48);
  }
  for (; at < rowBytes; at += 4, p += 16) {
    const v = v128.load_lane<f32>(x3 + at, v128.load_lane<f32>(x2 + at, v128.load_lane<f32>(x1 + at, v128.load32_zero(x + at), 1), 2), 3);
    m = f32x4.pmax(m, v);
    v128.store(p, v);
  }

  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const by = f32x4.splat(beta);
  // Blocks of 64 columns, so that float32 sums stay short.
  let t0 = f32x4.splat(0), t1 = f32x4.splat(0), t2 = f32x4.splat(0);
  p = lanes;
  while (p < stop) {
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0);
    for (const block = min(p + 1024, stop); p < block; p += 16) {
      const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(p)), by), highest);
      const e = halfExp(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      const ed = f32x4.mul(e, d);
      s0 = f32x4.add(s0, e);
      s1 = f32x4.add(s1, ed);
      s2 = madd(ed, d, s2);
    }
    t0 = f32x4.add(t0, s0);
    t1 = f32x4.add(t1, s1);
    t2 = f32x4.add(t2, s2);
  }
  addRow(x, labels, beta, f32x4.extract_lane(m, 0), f32x4.extract_lane(t0, 0), f32x4.extract_lane(t1, 0), f32x4.extract_lane(t2, 0), sums, each);
  addRow(x1, labels + 4, beta, f32x4.extract_lane(m, 1), f32x4.extract_lane(t0, 1), f32x4.extract_lane(t1, 1), f32x4.extract_lane(t2, 1), sums, each ? each + 4 : 0);
  addRow(x2, labels + 8, beta, f32x4.extract_lane(m, 2), f32x4.extract_lane(t0, 2), f32x4.extract_lane(t1, 2), f32x4.extract_lane(t2, 2), sums, each ? each + 8 : 0);
  addRow(x3, labels + 12, beta, f32x4.extract_lane(m, 3), f32x4.extract_lane(t0, 3), f32x4.extract_lane(t1, 3), f32x4.extract_lane(t2, 3), sums, each ? each + 12 : 0);
}

// y[i] = exp(-x[i]) / 2 for x >= 0, as the softmax and temperature kernels compute it: for the sweep that states its accuracy. A multiple of 4 elements.
export function f32_half_exp(x: usize, y: usize, length: i32): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  for (const end = x + (<usize>length << 2); x < end; x += 16, y += 16) {
    v128.store(y, halfExp(v128.load(x), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest));
  }
}
