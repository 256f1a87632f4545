import { finiteMax } from "./lib/finiteMax";
import { FRONT } from "./lib/front";
import { loadTail, storeTail } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// What a call computes.
const SPARSEMAX = 0; // y = max(z - tau, 0)         z = scale * (x - max x)
// otherwise entmax15: y = max(z - tau, 0)^2

// -Infinity and -1: constants of a loop live in memory.
const BELOW: usize = memory.data<f32>([-Infinity, -1]);
// Candidates that fit into the scratch of 16 KiB.
const ROOM: usize = 16384 - 16;

// x, y: f32[rows, cols]; y may be x. y[r] is the point of the simplex at which sum_c y = 1; scratch: 16 KiB.
// A row with NaN or +Infinity, or of -Infinity only: NaN. Zeros are +0.
//
// tau solves f(tau) = 1 with f(tau) = sum max(z - tau, 0) (entmax15: the Euclidean norm of max(z - tau, 0)), convex and decreasing, so Newton's
// steps from tau = -1 rise to the solution and never pass it; z <= -1 takes no part. With f - 1 and the slope falling by factors a and b, a + b <= 1
// in each step of sparsemax: (f - 1) * slope falls by 4 at least, which bounds the steps. They end when the set {z > tau} stays; tau is then exact.
export function f32_sparse(x: usize, y: usize, rows: i32, cols: i32, scale: f32, mode: i32, scratch: usize): void {
  const rowBytes = <usize>cols << 2, bytes = rowBytes & ~15, rest = <usize>cols & 3;
  const impossible = v128.load32_splat(BELOW), least = v128.load32_splat(BELOW, 4), zero = f32x4.splat(0);
  for (; rows > 0; rows--, x += rowBytes, y += rowBytes) {
    const end = x + bytes;
    const top = finiteMax(x, cols);
    let p = x;
    if (top != top) {
      for (p = y; p < y + rowBytes; p += 4) store<f32>(p, NaN);
      continue;
    }
    const m = f32x4.splat(top);

    const by = f32x4.splat(scale);
    let to = scratch;
    for (p = x; p < end && to <= scratch + ROOM; p += 16) {
      const v = v128.load(p);
      const mask = i32x4.bitmask(f32x4.gt(f32x4.mul(f32x4.sub(v, m), by), least));
      if (mask) {
        v128.store(to, i8x16.swizzle(v, v128.load(FRONT + (<usize>mask << 4))));
        to += <usize>popcnt(mask) << 2;
      }
    }
    let tau: f64;
    if (p < end || to > scratch + ROOM - 16) {
      // Too many: every step reads the row.
      tau = threshold(x, end, rest, m, by, mode);
    } else {
      if (rest) {
        storeTail(to, rest, loadTail(end, rest, impossible));
        to += rest << 2;
      }
      const held = scratch + ((to - scratch) & ~15);
      tau = threshold(scratch, held, ((to - scratch) & 15) >> 2, m, by, mode);
    }

    // (z - upper) - lower: one rounding relative to the result, so that the sum stays 1.
    const upper = <f32>tau;
    const high = f32x4.splat(upper), low = f32x4.splat(<f32>(tau - <f64>upper));
    to = y;
    if (mode == SPARSEMAX) {
      for (p = x; p < end; p += 16, to += 16) v128.store(to, f32x4.pmax(zero, f32x4.sub(f32x4.sub(f32x4.mul(f32x4.sub(v128.load(p), m), by), high), low)));
      if (rest) storeTail(to, rest, f32x4.pmax(zero, f32x4.sub(f32x4.sub(f32x4.mul(f32x4.sub(loadTail(p, rest, impossible), m), by), high), low)));
    } else {
      for (p = x; p < end; p += 16, to += 16) {
        const d = f32x4.pmax(zero, f32x4.sub(f32x4.sub(f32x4.mul(f32x4.sub(v128.load(p), m), by), high), low));
        v128.store(to, f32x4.mul(d, d));
      }
      if (rest) {
        const d = f32x4.pmax(zero, f32x4.sub(f32x4.sub(f32x4.mul(f32x4.sub(loadTail(p, rest, impossible), m), by), high), low));
        storeTail(to, rest, f32x4.mul(d, d));
      }
    }
  }
}

// tau for the values in [from, end) and the `rest` after them.
function threshold(from: usize, end: usize, rest: usize, m: v128, by: v128, mode: i32): f64 {
  const impossible = v128.load32_splat(BELOW);
  let tau: f64 = -1, before = -1, solved = false;
  for (let step = 0; step < 128; step++) {
    const bound = f32x4.splat(<f32>tau);
    let s = f64x2.splat(0), s2 = f64x2.splat(0), n = i32x4.splat(0);
    for (let p = from; p < end; p += 16) {
      const z = f32x4.mul(f32x4.sub(v128.load(p), m), by);
      const inside = f32x4.gt(z, bound);
      const v = v128.and(z, inside);
      const a = f64x2.promote_low_f32x4(v), b = f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 2, 3));
      s = f64x2.add(s, f64x2.add(a, b));
      s2 = f64x2.add(s2, f64x2.add(f64x2.mul(a, a), f64x2.mul(b, b)));
      n = i32x4.sub(n, inside);
    }
    if (rest) {
      const z = f32x4.mul(f32x4.sub(loadTail(end, rest, impossible), m), by);
      const inside = f32x4.gt(z, bound);
      const v = v128.and(z, inside);
      const a = f64x2.promote_low_f32x4(v), b = f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 2, 3));
      s = f64x2.add(s, f64x2.add(a, b));
      s2 = f64x2.add(s2, f64x2.add(f64x2.mul(a, a), f64x2.mul(b, b)));
      n = i32x4.sub(n, inside);
    }
    const count = i32x4.extract_lane(n, 0) + i32x4.extract_lane(n, 1) + i32x4.extract_lane(n, 2) + i32x4.extract_lane(n, 3);
    const sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
    const squares = f64x2.extract_lane(s2, 0) + f64x2.extract_lane(s2, 1);
    const same = count == before;
    if (same && solved) break;
    before = count;
    if (mode == SPARSEMAX) {
      tau = (sum - 1) / <f64>count;
      solved = true;
    } else if (same) {
      // The set stands: the root of its quadratic. A last look checks that the set is still the same there.
      const mean = sum / <f64>count;
      tau = mean - Math.sqrt(max(0, 1 - (squares - sum * mean)) / <f64>count);
      solved = true;
    } else {
      const norm = Math.sqrt(squares - 2 * tau * sum + <f64>count * tau * tau);
      tau += ((norm - 1) * norm) / (sum - <f64>count * tau);
      solved = false;
    }
  }
  return tau;
}

// The vector-Jacobian product. y: result of f32_sparse, u: upstream, g: result, all f32[rows, cols]; g may be y or u.
//   w = 1 where y > 0, else 0 (SPARSEMAX); w = sqrt(y) (otherwise)        g = scale * w * (u - (sum w u) / (sum w))
// An exact zero takes no part: its upstream, whatever it is, is not read. A NaN in y makes its row NaN (exact zeros stay 0).
export function f32_sparse_grad(y: usize, u: usize, g: usize, rows: i32, cols: i32, scale: f32, mode: i32): void {
  const rowBytes = <usize>cols << 2, bytes = rowBytes & ~15, rest = <usize>cols & 3;
  const zero = f32x4.splat(0), by = f32x4.splat(scale);
  for (; rows > 0; rows--, y += rowBytes, u += rowBytes, g += rowBytes) {
    let total = f64x2.splat(0), weights = f64x2.splat(0);
    for (let p: usize = 0; p < rowBytes; p += 16) {
      const last = p >= bytes;
      const v = last ? loadTail(y + p, rest, zero) : v128.load(y + p);
      const w = weight(v, mode);
      // Where w is 0 the upstream is left out, be it infinite or NaN.
      const wu = v128.and(f32x4.ne(w, zero), f32x4.mul(w, last ? loadTail(u + p, rest, zero) : v128.load(u + p)));
      weights = f64x2.add(weights, f64x2.add(f64x2.promote_low_f32x4(w), f64x2.promote_low_f32x4(v128.shuffle<f32>(w, w, 2, 3, 2, 3))));
      total = f64x2.add(total, f64x2.add(f64x2.promote_low_f32x4(wu), f64x2.promote_low_f32x4(v128.shuffle<f32>(wu, wu, 2, 3, 2, 3))));
    }
    const mean = f32x4.splat(<f32>((f64x2.extract_lane(total, 0) + f64x2.extract_lane(total, 1)) / (f64x2.extract_lane(weights, 0) + f64x2.extract_lane(weights, 1))));
    for (let p: usize = 0; p < rowBytes; p += 16) {
      const last = p >= bytes;
      const w = weight(last ? loadTail(y + p, rest, zero) : v128.load(y + p), mode);
      const d = f32x4.mul(f32x4.mul(w, by), f32x4.sub(last ? loadTail(u + p, rest, zero) : v128.load(u + p), mean));
      const r = v128.and(f32x4.ne(w, zero), d);
      if (last) storeTail(g + p, rest, r);
      else v128.store(g + p, r);
    }
  }
}

// NaN stays NaN in both: sqrt(y), and y / y for 1 where y > 0.
// @ts-ignore: decorator
@inline
function weight(y: v128, mode: i32): v128 {
  if (mode == SPARSEMAX) return v128.and(f32x4.ne(y, f32x4.splat(0)), f32x4.div(y, y));
  return f32x4.sqrt(y);
}
