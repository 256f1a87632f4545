import { exp } from "./lib/elementary";
import { log1p64 } from "./lib/log";
import { loadTail, maxLanes, storeTail, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

const LIMITS: usize = memory.data<f32>([-Infinity, -150]);

// Float32 lanes are added to float64 after this many bytes of a row: 256 elements, 64 additions in a lane.
const BLOCK: usize = 1024;

// y[r] = sum_c x[r, c]      x: f32[rows, cols], y: f32[rows]. |error| <= 70 * 2^-24 sum_c |x[r, c]|. NaN, or infinities of both signs -> NaN.
export function f32_sum(x: usize, y: usize, rows: i32, cols: i32): void {
  const whole = (<usize>cols & ~3) << 2, rest = <usize>cols & 3;
  for (; rows > 0; rows--, y += 4) {
    let total: f64 = 0;
    const end = x + whole;
    while (x < end) {
      // Four lanes of 64 additions each: 1,024 elements.
      const block = min(x + (BLOCK << 2), end);
      let a = f32x4.splat(0), b = a, c = a, d = a;
      for (const stop = x + ((block - x) & ~63); x < stop; x += 64) {
        a = f32x4.add(a, v128.load(x));
        b = f32x4.add(b, v128.load(x, 16));
        c = f32x4.add(c, v128.load(x, 32));
        d = f32x4.add(d, v128.load(x, 48));
      }
      for (; x < block; x += 16) a = f32x4.add(a, v128.load(x));
      total += <f64>sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
    }
    if (rest) {
      total += <f64>sumLanes(loadTail(x, rest, f32x4.splat(0)));
      x += rest << 2;
    }
    store<f32>(y, <f32>total);
  }
}

// Largest of `cols` >= 1 elements at x; NaN if one is NaN; 0 counts above -0.
function largest(x: usize, cols: i32): f32 {
  const end = x + ((<usize>cols & ~3) << 2), rest = <usize>cols & 3;
  const nothing = v128.load32_splat(LIMITS);
  let a = nothing, b = a, c = a, d = a;
  for (const stop = x + ((end - x) & ~63); x < stop; x += 64) {
    a = f32x4.max(a, v128.load(x));
    b = f32x4.max(b, v128.load(x, 16));
    c = f32x4.max(c, v128.load(x, 32));
    d = f32x4.max(d, v128.load(x, 48));
  }
  for (; x < end; x += 16) a = f32x4.max(a, v128.load(x));
  if (rest) b = f32x4.max(b, loadTail(x, rest, nothing));
  a = f32x4.max(f32x4.max(a, b), f32x4.max(c, d));
  a = f32x4.max(a, v128.shuffle<f32>(a, a, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.max(a, v128.shuffle<f32>(a, a, 1, 0, 3, 2)), 0);
}

// y[r] = max_c x[r, c]      x: f32[rows, cols], y: f32[rows]. NaN -> NaN. 0 counts above -0.
export function f32_max(x: usize, y: usize, rows: i32, cols: i32): void {
  for (; rows > 0; rows--, x += <usize>cols << 2, y += 4) store<f32>(y, largest(x, cols));
}

// y[r] = smallest c with x[r, c] = max x[r]      x: f32[rows, cols], y: i32[rows]. A row with NaN: -1.
export function f32_argmax(x: usize, y: usize, rows: i32, cols: i32): void {
  const whole = <usize>cols & ~3;
  for (; rows > 0; rows--, x += <usize>cols << 2, y += 4) {
    const top = largest(x, cols);
    if (top != top) {
      store<i32>(y, -1);
      continue;
    }
    const wanted = f32x4.splat(top);
    let at: usize = 0, found = 0;
    for (; at < whole; at += 4) {
      found = i32x4.bitmask(f32x4.eq(v128.load(x + (at << 2)), wanted));
      if (found) break;
    }
    if (found) at += <usize>ctz(found);
    else while (load<f32>(x + (at << 2)) != top) at++;
    store<i32>(y, <i32>at);
  }
}

// (x - top) * scale, but at least -150: -Infinity times its exponential 0 would be NaN.
// @ts-ignore: decorator
@inline
function scaled(x: v128, top: v128, scale: v128): v128 {
  return f32x4.pmax(f32x4.mul(f32x4.sub(x, top), scale), v128.load32_splat(LIMITS, 4));
}

const ENTROPY = 0; // y[r] = H(p[r])                                                                y: f32[rows]
const ENTROPY_GRAD = 1; // y[r, c] = -upstream[r] scale p[r, c] (z[r, c] - E z[r])                   y: f32[rows, cols]
// otherwise the gradient of logSumExp: y[r, c] = upstream[r] scale p[r, c]                         y: f32[rows, cols]

// p = softmax(z), z = scale x, scale = 1 / temperature      x: f32[rows, cols], upstream: f32[rows] (not read for ENTROPY). y may be x itself.
// A row with NaN or +Infinity, or of -Infinity only: NaN.
export function f32_entropy(x: usize, y: usize, upstream: usize, rows: i32, cols: i32, scale: f32, mode: i32): void {
  const whole = (<usize>cols & ~3) << 2, rest = <usize>cols & 3;
  const by = f32x4.splat(scale), impossible = v128.load32_splat(LIMITS);
  for (; rows > 0; rows--, x += <usize>cols << 2) {
    const top = f32x4.splat(largest(x, cols));
    // sum exp(z) = 1 + others, where the 1 is the largest element: nothing is lost where it dominates. moment = sum z exp(z) <= 0.
    let others: f64 = 0, equal: f64 = -1, moment: f64 = 0;
    let p = x;
    const end = x + whole;
    while (p < end) {
      const block = min(p + BLOCK, end);
      let sum = f32x4.splat(0), weighted = sum, ties = sum;
      for (; p < block; p += 16) {
        const z = scaled(v128.load(p), top, by), e = exp(z), tie = f32x4.eq(z, f32x4.splat(0));
        ties = i32x4.sub(ties, tie);
        sum = f32x4.add(sum, v128.andnot(e, tie));
        weighted = f32x4.add(weighted, f32x4.mul(z, e));
      }
      others += <f64>sumLanes(sum);
      equal += <f64>sumLanes(f32x4.convert_i32x4_s(ties));
      moment += <f64>sumLanes(weighted);
    }
    if (rest) {
      const z = scaled(loadTail(p, rest, impossible), top, by), e = exp(z), tie = f32x4.eq(z, f32x4.splat(0));
      others += <f64>sumLanes(v128.andnot(e, tie));
      equal -= <f64>sumLanes(f32x4.convert_i32x4_s(tie));
      moment += <f64>sumLanes(f32x4.mul(z, e));
    }
    others += equal;
    if (mode == ENTROPY) {
      store<f32>(y, <f32>(log1p64(others) - moment / (1 + others)));
      y += 4;
      continue;
    }
    const factor = <f64>load<f32>(upstream) * <f64>scale / (1 + others);
    const times = f32x4.splat(<f32>(mode == ENTROPY_GRAD ? -factor : factor));
    const center = f32x4.splat(<f32>(moment / (1 + others)));
    for (p = x; p < end; p += 16, y += 16) v128.store(y, gradient(scaled(v128.load(p), top, by), center, times, mode));
    if (rest) {
      storeTail(y, rest, gradient(scaled(loadTail(p, rest, impossible), top, by), center, times, mode));
      y += rest << 2;
    }
    upstream += 4;
  }
}

// @ts-ignore: decorator
@inline
function gradient(z: v128, center: v128, times: v128, mode: i32): v128 {
  const p = f32x4.mul(exp(z), times);
  return mode == ENTROPY_GRAD ? f32x4.add(f32x4.mul(p, f32x4.sub(z, center)), f32x4.splat(0)) : p;
}

// Vector-Jacobian product of softmax or log-softmax   p (softmax) or its logarithm, upstream, y: f32[rows, cols]. y may be upstream itself.
// softmax: y = scale p (upstream - sum_c upstream p); log-softmax: y = scale (upstream - p sum_c upstream).
export function f32_softmax_grad(p: usize, upstream: usize, y: usize, rows: i32, cols: i32, scale: f32, logarithm: i32): void {
  const whole = (<usize>cols & ~3) << 2, rest = <usize>cols & 3;
  const by = f32x4.splat(scale), nothing = f32x4.splat(0);
  for (; rows > 0; rows--) {
    let total: f64 = 0;
    let at: usize = 0;
    while (at < whole) {
      const block = min(at + BLOCK, whole);
      let sum = f32x4.splat(0);
      if (logarithm) for (; at < block; at += 16) sum = f32x4.add(sum, v128.load(upstream + at));
      else for (; at < block; at += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(upstream + at), v128.load(p + at)));
      total += <f64>sumLanes(sum);
    }
    if (rest) {
      const u = loadTail(upstream + whole, rest, nothing);
      total += <f64>sumLanes(logarithm ? u : f32x4.mul(u, loadTail(p + whole, rest, nothing)));
    }
    const sum = f32x4.splat(<f32>total);
    for (at = 0; at < whole; at += 16) v128.store(y + at, product(v128.load(p + at), v128.load(upstream + at), sum, by, logarithm));
    if (rest) storeTail(y + whole, rest, product(loadTail(p + whole, rest, nothing), loadTail(upstream + whole, rest, nothing), sum, by, logarithm));
    p += <usize>cols << 2;
    upstream += <usize>cols << 2;
    y += <usize>cols << 2;
  }
}

// @ts-ignore: decorator
@inline
function product(p: v128, u: v128, sum: v128, by: v128, logarithm: i32): v128 {
  return f32x4.mul(by, logarithm ? f32x4.sub(u, f32x4.mul(exp(p), sum)) : f32x4.mul(p, f32x4.sub(u, sum)));
}
