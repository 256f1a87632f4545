import { tanh } from "./lib/elementary";
import { EXP, halfExpBounded } from "./lib/exp";
import { log64 } from "./lib/log";
import { madd, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Cross-entropy over a large vocabulary, one tile of it at a time. A tile z is stored with the vocabulary along the rows: z: f32[count, stride] holds the logit of word v for row r of the
// batch at [v, r], so that four rows of the batch share a vector and nothing is summed across lanes. `rows` is rounded up to a multiple of 4; what stands in the columns behind is 0 or finite.
// All state of a row is relative to the largest logit so far, `max` (the lowest finite float32 before the first).

// Words whose exponentials are summed in float32 before the sum goes to float64.
const BLOCK: i32 = 64;

// In place: z[v, r] = cap tanh((z[v, r] + bias[v]) / cap), where -Infinity stays.      bias: f32[count] or 0 (none); cap 0: none.
export function f32_vocabulary_logits(z: usize, stride: i32, rows: i32, count: i32, bias: usize, cap: f32): void {
  const c = f32x4.splat(cap), by = f32x4.splat(1 / cap), impossible = v128.load32_splat(EXP, 36);
  const step = <usize>stride << 2, width = <usize>rows << 2;
  for (; count > 0; count--, z += step) {
    let b = f32x4.splat(0);
    if (bias) {
      b = v128.load32_splat(bias);
      bias += 4;
    }
    if (cap > 0) {
      for (let p = z, end = z + width; p < end; p += 16) {
        const v = f32x4.add(v128.load(p), b);
        v128.store(p, v128.bitselect(v, f32x4.mul(c, tanh(f32x4.mul(v, by))), f32x4.eq(v, impossible)));
      }
    } else for (let p = z, end = z + width; p < end; p += 16) v128.store(p, f32x4.add(v128.load(p), b));
  }
}

// Takes a tile into the state of each row: max: f32[rows], argmax: i32[rows] (the smallest index where equal), half: f64[rows], the sum of exp(z - max) / 2, and
// tilt: f64[rows], the sum of (max - z) exp(z - max) / 2. Word v of the tile has the index first + v, above all earlier ones.
// -Infinity adds nothing; NaN and +Infinity make half NaN.
export function f32_vocabulary_statistics(z: usize, stride: i32, rows: i32, count: i32, first: i32, max: usize, argmax: usize, half: usize, tilt: usize): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const step = <usize>stride << 2;
  for (; count > 0; count -= BLOCK, first += BLOCK, z += step << 6) {
    const n = min(count, BLOCK), bytes = <usize>n * step;
    for (let r: usize = 0; r < <usize>rows; r += 4) {
      const column = z + (r << 2), end = column + bytes;
      const old = v128.load(max + (r << 2));
      // pmax(m, v) keeps m where v is NaN: NaN comes back through the sum.
      let m = old, m1 = old, p = column;
      if (n & 1) {
        m = f32x4.pmax(m, v128.load(p));
        p += step;
      }
      for (; p < end; p += step << 1) {
        m = f32x4.pmax(m, v128.load(p));
        m1 = f32x4.pmax(m1, v128.load(p + step));
      }
      m = f32x4.pmax(m, m1);
      const rose = i32x4.bitmask(f32x4.gt(m, old));
      if (rose) {
        v128.store(max + (r << 2), m);
        // Where a row only meets its maximum again, the earlier place stands.
        for (let lane: usize = 0; lane < 4; lane++) if ((rose >> <i32>lane) & 1) find(column + (lane << 2), step, n, first, load<f32>(max + ((r + lane) << 2)), argmax + ((r + lane) << 2));
      }
      let s = f32x4.splat(0), t = s;
      for (p = column; p < end; p += step) {
        const x = f32x4.pmin(f32x4.sub(m, v128.load(p)), highest);
        const e = halfExpBounded(x, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
        s = f32x4.add(s, e);
        t = madd(x, e, t);
      }
      const d = f32x4.pmin(f32x4.sub(m, old), highest);
      const f = halfExpBounded(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
      fold(half + (r << 3), tilt + (r << 3), s, t, d, f32x4.add(f, f));
      fold(half + (r << 3) + 16, tilt + (r << 3) + 16, upper(s), upper(t), upper(d), upper(f32x4.add(f, f)));
    }
  }
}

// @ts-ignore: decorator
@inline
function upper(v: v128): v128 {
  return v128.shuffle<f32>(v, v, 2, 3, 0, 1);
}

// The old sums relative to a maximum that is d higher, factor = exp(-d), and the new ones.
// @ts-ignore: decorator
@inline
function fold(half: usize, tilt: usize, s: v128, t: v128, d: v128, factor: v128): void {
  const before = v128.load(half), f = f64x2.promote_low_f32x4(factor);
  v128.store(tilt, f64x2.add(f64x2.mul(f, f64x2.add(v128.load(tilt), f64x2.mul(f64x2.promote_low_f32x4(d), before))), f64x2.promote_low_f32x4(t)));
  v128.store(half, f64x2.add(f64x2.mul(f, before), f64x2.promote_low_f32x4(s)));
}

// Where this block brought a row a new maximum, its place.
function find(column: usize, step: usize, n: i32, first: i32, top: f32, argmax: usize): void {
  for (let v = 0; v < n; v++, column += step) {
    if (load<f32>(column) == top) {
      store<i32>(argmax, first + v);
      return;
    }
  }
}

// log sum exp and entropy of each row, in float64, from its state; a row of -Infinity only: -Infinity and NaN.      out: f64[2, rows]
export function f64_vocabulary_finish(max: usize, half: usize, tilt: usize, rows: i32, out: usize): void {
  for (let r: usize = 0; r < <usize>rows; r++) {
    const sum = load<f64>(half + (r << 3));
    const log = sum == 0 ? -Infinity : log64(2 * sum);
    store<f64>(out + (r << 3), log + load<f32>(max + (r << 2)));
    store<f64>(out + ((r + rows) << 3), log + load<f64>(tilt + (r << 3)) / sum);
  }
}

// limits[r] = log(ratio[r] sum of exp(z)): a logit below it belongs to a word whose probability so far is below ratio[r]. ratio: f64[rows], normal or Infinity; limits: f32[rows].
export function f64_vocabulary_limits(max: usize, half: usize, ratio: usize, rows: i32, limits: usize): void {
  for (let r: usize = 0; r < <usize>rows; r++) {
    const by = load<f64>(ratio + (r << 3)), sum = load<f64>(half + (r << 3));
    store<f32>(limits + (r << 2), by == Infinity ? <f32>Infinity : sum == 0 ? <f32>-Infinity : <f32>(load<f32>(max + (r << 2)) + log64(2 * sum) + log64(by)));
  }
}

// marks[v] = 1 where a row's logit of word v is not below its limit, else 0.      marks: u8[count]
export function f32_vocabulary_marks(z: usize, stride: i32, rows: i32, count: i32, limits: usize, marks: usize): void {
  const width = <usize>rows << 2;
  for (const end = marks + count; marks < end; marks++, z += <usize>stride << 2) {
    let below = f32x4.lt(v128.load(z), v128.load(limits));
    for (let p = z + 16, q = limits + 16, stop = z + width; p < stop; p += 16, q += 16) below = v128.and(below, f32x4.lt(v128.load(p), v128.load(q)));
    store<u8>(marks, i32x4.all_true(below) ? 0 : 1);
  }
}

// totals[r] += sum_v weights[v] z[v, r]; words of weight 0 are not read.      weights: f32[count], totals: f64[rows]
export function f32_vocabulary_totals(z: usize, stride: i32, rows: i32, count: i32, weights: usize, totals: usize): void {
  const step = <usize>stride << 2;
  for (; count > 0; count -= BLOCK, z += step << 6, weights += <usize>BLOCK << 2) {
    const n = min(count, BLOCK);
    for (let r: usize = 0; r < <usize>rows; r += 4) {
      let sum = f32x4.splat(0), p = z + (r << 2);
      for (let w = weights, end = weights + (<usize>n << 2); w < end; w += 4, p += step) if (load<f32>(w) != 0) sum = madd(v128.load32_splat(w), v128.load(p), sum);
      const to = totals + (r << 3);
      v128.store(to, f64x2.add(v128.load(to), f64x2.promote_low_f32x4(sum)));
      v128.store(to, f64x2.add(v128.load(to, 16), f64x2.promote_low_f32x4(upper(sum))), 16);
    }
  }
}

// g[v, r] = (scale[r] exp(z[v, r] - max[r]) / 2 - uniform[v] coefficients[r]) (1 - (z[v, r] / cap)^2), without the last factor for cap 0; sums[v] = sum_r g[v, r], for r < rows.
// scale, coefficients: f32[rows], 0 for a row that takes no part; uniform: f32[count] or 0 (none); g: f32[count, stride], not z; sums: f32[count].
export function f32_vocabulary_gradient(z: usize, g: usize, stride: i32, rows: i32, count: i32, uniform: usize, cap: f32, max: usize, scale: usize, coefficients: usize, sums: usize): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32), one = v128.load32_splat(EXP, 40), least = f32x4.neg(one);
  const by = f32x4.splat(1 / cap);
  const step = <usize>stride << 2, width = <usize>rows << 2;
  for (; count > 0; count--, z += step, g += step, sums += 4) {
    let u = f32x4.splat(0), sum = u;
    if (uniform) {
      u = v128.load32_splat(uniform);
      uniform += 4;
    }
    for (let r: usize = 0; r < width; r += 16) {
      const v = v128.load(z + r);
      const e = halfExpBounded(f32x4.pmin(f32x4.sub(v128.load(max + r), v), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
      const slope = f32x4.sub(f32x4.mul(e, v128.load(scale + r)), f32x4.mul(u, v128.load(coefficients + r)));
      let d = slope;
      if (cap > 0) {
        const share = f32x4.pmax(f32x4.mul(v, by), least);
        d = f32x4.mul(slope, f32x4.sub(one, f32x4.mul(share, share)));
      }
      v128.store(g + r, d);
      sum = f32x4.add(sum, d);
    }
    store<f32>(sums, <f32>sumLanes(sum));
  }
}

// Whether (value, index) stands below (other, at): smaller, or as large with the larger index.
// @ts-ignore: decorator
@inline
function worse(value: f32, index: i32, other: f32, at: i32): bool {
  return value < other || (value == other && index > at);
}

// Keeps the k largest logits of each row: heaps whose root is the worst.      values: f32[rows, k], from -Infinity; indices: i32[rows, k], from -1; roots: f32[rows], from -Infinity.
// A logit of -Infinity or NaN is never kept.
export function f32_vocabulary_top(z: usize, stride: i32, rows: i32, count: i32, first: i32, k: i32, values: usize, indices: usize, roots: usize): void {
  const step = <usize>stride << 2;
  for (let r: usize = 0; r < <usize>rows; r += 4) {
    let root = v128.load(roots + (r << 2)), p = z + (r << 2);
    for (let v = 0; v < count; v++, p += step) {
      if (!v128.any_true(f32x4.gt(v128.load(p), root))) continue;
      for (let lane: usize = 0; lane < 4; lane++) {
        const value = load<f32>(p + (lane << 2)), at = roots + ((r + lane) << 2);
        if (!(value > load<f32>(at))) continue;
        const heap = ((r + lane) * <usize>k) << 2;
        sift(values + heap, indices + heap, k, value, first + v);
        store<f32>(at, load<f32>(values + heap));
      }
      root = v128.load(roots + (r << 2));
    }
  }
}

function sift(values: usize, indices: usize, k: i32, value: f32, index: i32): void {
  let at = 0;
  for (;;) {
    let child = (at << 1) + 1;
    if (child >= k) break;
    let w = load<f32>(values + (<usize>child << 2)), j = load<i32>(indices + (<usize>child << 2));
    if (child + 1 < k) {
      const x = load<f32>(values + (<usize>child << 2), 4), l = load<i32>(indices + (<usize>child << 2), 4);
      if (worse(x, l, w, j)) {
        child++;
        w = x;
        j = l;
      }
    }
    if (!worse(w, j, value, index)) break;
    store<f32>(values + (<usize>at << 2), w);
    store<i32>(indices + (<usize>at << 2), j);
    at = child;
  }
  store<f32>(values + (<usize>at << 2), value);
  store<i32>(indices + (<usize>at << 2), index);
}
