import { EXP, halfExp } from "./lib/exp";
import { log64 } from "./lib/log";
import { rowMax } from "./lib/rowExponentials";
import { loadTail, madd, maxLanes, storeTail, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// What a call computes; x: f32[rows, cols].
const SOFTMAX = 0; // y[r, c] = exp(s[r, c] - logSumExp(s[r]))     y: f32[rows, cols]
const LOG_SOFTMAX = 1; // y[r, c] = s[r, c] - logSumExp(s[r])      y: f32[rows, cols]
// otherwise: y[r] = logSumExp(s[r])                               y: f32[rows]

// Rows of up to this many columns go four at a time, one per lane.
const NARROW: i32 = 48;

// s = scale * x, with scale = 1 / temperature. y may be x itself (SOFTMAX, LOG_SOFTMAX). Sizes are in elements.
// lanes: 16 KiB of scratch, used for narrow rows.
// A NaN makes its row NaN. +Infinity in a row: NaN (logSumExp: +Infinity). A row of -Infinity: NaN (logSumExp: -Infinity).
export function f32_softmax(x: usize, y: usize, rows: i32, cols: i32, scale: f32, mode: i32, lanes: usize): void {
  const rowBytes = <usize>cols << 2;
  const outBytes: usize = mode > LOG_SOFTMAX ? 4 : rowBytes;
  if (cols <= NARROW) {
    const most = 1024 / (cols + 2);
    while (rows >= 4) {
      const groups = min(rows >> 2, most);
      narrowRows(x, y, groups, cols, scale, mode, lanes);
      x += rowBytes * <usize>(groups << 2);
      y += outBytes * <usize>(groups << 2);
      rows -= groups << 2;
    }
  }
  if (rows > 0) wideRows(x, y, rows, cols, scale, mode);
}

// One row after the other.
function wideRows(x: usize, y: usize, rows: i32, cols: i32, scale: f32, mode: i32): void {
  const bytes = (<usize>cols & ~3) << 2;
  const rest = cols & 3;
  const impossible = v128.load32_splat(EXP, 36);
  const keep = mode == SOFTMAX;
  const by = f32x4.splat(scale);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const minus = f32x4.neg(v128.load32_splat(EXP, 40));
  const stride = <usize>cols << 2;

  let top = rowMax(x, cols);
  for (; rows > 0; rows--) {
    const next: usize = rows > 1 ? x + stride : 0;
    let m = f32x4.splat(top), nextTop = impossible, from = x, p: usize = 0;
    if (keep && scale != 1) {
      // Scores divided by the temperature go to y; their maximum is 0.
      for (; p < bytes; p += 16) v128.store(y + p, f32x4.mul(f32x4.sub(v128.load(x + p), m), by));
      if (rest) storeTail(y + bytes, rest, f32x4.mul(f32x4.sub(loadTail(x + bytes, rest, impossible), m), by));
      from = y;
      m = f32x4.splat(0);
    }

    // Half the sum: float32 lanes over at most 4096 bytes, blocks added in float64. y gets e, or z = (m - x) / T where the logarithm of the sum is wanted; then the lanes
    // begin at 1/2, which no e exceeds, so that what an addition loses is known exactly and is added up as well.
    let half: f64 = 0, lost = f32x4.splat(0), to = y, ahead = next;
    p = from;
    const end = from + bytes;
    while (p < end) {
      let s = keep ? lost : oneHalf;
      const stop = min(p + 4096, end);
      if (keep && next) {
        // The maximum of the next row is found on the way: memory answers while exponentials are computed.
        for (; p < stop; p += 16, to += 16, ahead += 16) {
          const e = halfExp(f32x4.sub(m, v128.load(p)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
          nextTop = f32x4.pmax(nextTop, v128.load(ahead));
          v128.store(to, e);
          s = f32x4.add(s, e);
        }
      } else if (keep) {
        for (; p < stop; p += 16, to += 16) {
          const e = halfExp(f32x4.sub(m, v128.load(p)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
          v128.store(to, e);
          s = f32x4.add(s, e);
        }
      } else {
        for (; p < stop; p += 16, to += 16) {
          const z = f32x4.mul(f32x4.sub(m, v128.load(p)), by);
          if (mode == LOG_SOFTMAX) v128.store(to, z);
          const e = halfExp(z, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
          const sum = f32x4.add(s, e);
          lost = f32x4.add(lost, f32x4.sub(e, f32x4.sub(sum, s)));
          s = sum;
        }
      }
      half += keep ? sumLanes(s) : sumLanes(s) - 2;
    }
    if (!keep) half += sumLanes(lost);
    if (rest) {
      let z = f32x4.sub(m, loadTail(end, rest, impossible));
      if (!keep) z = f32x4.mul(z, by);
      const e = halfExp(z, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      if (mode <= LOG_SOFTMAX) storeTail(to, rest, keep ? e : z);
      half += sumLanes(e);
      if (next) nextTop = f32x4.pmax(nextTop, loadTail(next + bytes, rest, impossible));
    }

    if (mode > LOG_SOFTMAX) {
      store<f32>(y, logPartition(x, cols, 4, top, scale, half));
      y += 4;
    } else {
      // softmax: e * (1 / half) + 0; log-softmax: -z - log Z.
      let times = minus, plus = f32x4.splat(0);
      if (keep) times = f32x4.splat(<f32>(1 / half));
      else plus = f32x4.splat(<f32>(0 - log64(2 * half)));
      for (p = y; p < to; p += 16) v128.store(p, madd(v128.load(p), times, plus));
      if (rest) storeTail(to, rest, madd(loadTail(to, rest, impossible), times, plus));
      y += stride;
    }
    if (next) top = keep ? maxLanes(nextTop) : rowMax(next, cols);
    x = next;
  }
}

// log Z of one row from its maximum and half its sum of exponentials; where the maximum is infinite it is the answer, unless the row has a NaN.
// The row's elements stand `step` bytes apart.
function logPartition(x: usize, cols: i32, step: usize, top: f32, scale: f32, half: f64): f32 {
  if (top - top == 0) return <f32>(<f64>top * <f64>scale + log64(2 * half));
  for (; cols > 0; cols--, x += step) {
    const v = load<f32>(x);
    if (v != v) return v;
  }
  return top;
}

// Groups of four rows: transposed into `lanes` (one vector per column), so that no remainder and no horizontal step is left.
// Each phase runs over as many groups as fit into 16 KiB, so that the long chains of one group overlap with the next one's.
function narrowRows(x: usize, y: usize, groups: i32, cols: i32, scale: f32, mode: i32, lanes: usize): void {
  const rowBytes = <usize>cols << 2;
  const whole = (<usize>cols & ~3) << 2;
  const stride = (<usize>cols + 2) << 4; // the columns, then maximum and sum (or its inverse, or its logarithm) of the four rows
  const end = lanes + <usize>groups * stride;

  const impossible = v128.load32_splat(EXP, 36), one = v128.load32_splat(EXP, 40);

  let p = lanes;
  while (p < end) {
    let m = impossible, at: usize = 0;
    const x1 = x + rowBytes, x2 = x1 + rowBytes, x3 = x2 + rowBytes;
    for (; at < whole; at += 16, p += 64) {
      const a = v128.load(x + at), b = v128.load(x1 + at), c = v128.load(x2 + at), d = v128.load(x3 + at);
      const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
      const AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
      const k0 = v128.shuffle<f64>(ab, cd, 0, 2), k1 = v128.shuffle<f64>(ab, cd, 1, 3);
      const k2 = v128.shuffle<f64>(AB, CD, 0, 2), k3 = v128.shuffle<f64>(AB, CD, 1, 3);
      m = f32x4.pmax(m, f32x4.pmax(f32x4.pmax(k0, k1), f32x4.pmax(k2, k3)));
      v128.store(p, k0);
      v128.store(p, k1, 16);
      v128.store(p, k2, 32);
      v128.store(p, k3, 48);
    }
    for (; at < rowBytes; at += 4, p += 16) {
      const v = v128.load_lane<f32>(x3 + at, v128.load_lane<f32>(x2 + at, v128.load_lane<f32>(x1 + at, v128.load32_zero(x + at), 1), 2), 3);
      m = f32x4.pmax(m, v);
      v128.store(p, v);
    }
    v128.store(p, m);
    p += 32;
    x = x3 + rowBytes;
  }

  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const by = f32x4.splat(scale);
  p = lanes;
  while (p < end) {
    const stop = p + (<usize>cols << 4), first = p;
    const m = v128.load(stop);
    let s = f32x4.splat(0);
    if (mode == SOFTMAX) {
      for (; p < stop; p += 16) {
        const e = halfExp(f32x4.mul(f32x4.sub(m, v128.load(p)), by), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
        v128.store(p, e);
        s = f32x4.add(s, e);
      }
      v128.store(p, f32x4.div(one, s), 16);
    } else {
      for (; p < stop; p += 16) {
        const z = f32x4.mul(f32x4.sub(m, v128.load(p)), by);
        if (mode == LOG_SOFTMAX) v128.store(p, z);
        s = f32x4.add(s, halfExp(z, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest));
      }
      v128.store(p, s, 16);
      for (let row: usize = 0; row < 16; row += 4) {
        const half = <f64>load<f32>(p + row, 16);
        if (mode == LOG_SOFTMAX) store<f32>(p + row, <f32>(0 - log64(2 * half)), 16);
        else store<f32>(y + row, logPartition(first + row, cols, 16, load<f32>(p + row), scale, half));
      }
      y += mode == LOG_SOFTMAX ? 0 : 16;
    }
    p += 32;
  }
  if (mode > LOG_SOFTMAX) return;

  // softmax: e * (1 / s) + 0; log-softmax: -z - log 2 s.
  const minus = f32x4.neg(one);
  p = lanes;
  while (p < end) {
    const value = v128.load(p + (<usize>cols << 4), 16);
    let times = minus, plus = f32x4.splat(0), at: usize = 0;
    if (mode == SOFTMAX) times = value;
    else plus = value;
    const y1 = y + rowBytes, y2 = y1 + rowBytes, y3 = y2 + rowBytes;
    for (; at < whole; at += 16, p += 64) {
      const a = madd(v128.load(p), times, plus), b = madd(v128.load(p, 16), times, plus);
      const c = madd(v128.load(p, 32), times, plus), d = madd(v128.load(p, 48), times, plus);
      const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
      const AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
      v128.store(y + at, v128.shuffle<f64>(ab, cd, 0, 2));
      v128.store(y1 + at, v128.shuffle<f64>(ab, cd, 1, 3));
      v128.store(y2 + at, v128.shuffle<f64>(AB, CD, 0, 2));
      v128.store(y3 + at, v128.shuffle<f64>(AB, CD, 1, 3));
    }
    for (; at < rowBytes; at += 4, p += 16) {
      const v = madd(v128.load(p), times, plus);
      v128.store_lane<f32>(y + at, v, 0);
      v128.store_lane<f32>(y1 + at, v, 1);
      v128.store_lane<f32>(y2 + at, v, 2);
      v128.store_lane<f32>(y3 + at, v, 3);
    }
    p += 32;
    y = y3 + rowBytes;
  }
}
