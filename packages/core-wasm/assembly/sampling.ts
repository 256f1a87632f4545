import { FRONT } from "./lib/front";
import { log64 } from "./lib/log";
import { loadTail, maxLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// No fused multiply-add in this family, and every sum in one order: weights, sets and tokens are the same bits in both variants and every engine.
//
// A row of scores x is looked at through d = (top - x) * scale, the distance below its largest (scale = 1 / temperature), and the weights exp(-d) / 2 in float32. The candidates
// are a list of scores and tokens in the order of the tokens; rules shorten it in place. A list has room for 4 more entries than it holds.

// Bytes of the 64 scores that share one maximum and one sum.
const BLOCK: usize = 256;
// Buckets of one digit of a key; for a short list fewer, so that less is cleared.
const DIGIT: i32 = 11;
const SHORT_DIGIT: i32 = 7;
const SHORT: i32 = 512;

const LANES: usize = memory.data<i32>([0, 1, 2, 3]);
const IMPOSSIBLE: usize = memory.data<f32>([-Infinity]);
// 2^112, 2^16 and the exponent of Infinity, as bits.
const HALF: usize = memory.data<i32>([0x77800000, 0x47800000, 0x7f800000]);

// 2^-z = 2^k (1 - 2 f / (c + (f + W(f^2)))), k = round(-z), f = z + k, c = 2 / ln 2: the quotient of lib/exp.ts in powers of 2.
const EXP: usize = memory.data<f32>([
  12583039, // 1.5 * 2^23 + 127: adding it rounds to an integer; its low bits then hold k + 127, the exponent field of 2^k
  -0.0009211395269083391, 0.11552419276169634, // W(y) / y from degree 1 down
  2.8853900817779268, 0.5,
  127, // from here on the result is 0
]);
const LOG2E: f32 = 1.4426950408889634;
const LN2: f64 = 0.6931471805599453;

// 2^-z / 2 of z in [0, 127] or NaN, within 1.3 ULP. z is a distance in natural units times 1 / ln 2, rounded: a weight at distance d is within (1.3 + 1.5 d) 2^-23 of exp(-d) / 2, relative.
// @ts-ignore: decorator
@inline
function halfPower(z: v128, magic: v128, w2: v128, w1: v128, c: v128, half: v128): v128 {
  const t = f32x4.sub(magic, z);
  const f = f32x4.add(z, f32x4.sub(t, magic));
  const y = f32x4.mul(f, f);
  const u = f32x4.add(f32x4.mul(f32x4.add(f32x4.mul(w2, y), w1), y), f);
  return f32x4.mul(f32x4.sub(half, f32x4.div(f, f32x4.add(u, c))), i32x4.shl(t, 23));
}

// y = x, from half precision.      x: u16[n], y: f32[n]; must not overlap. Infinity and NaN stay what they are.
export function f16_widen(x: usize, y: usize, n: i32): void {
  const power = v128.load32_splat(HALF), special = v128.load32_splat(HALF, 4), exponent = v128.load32_splat(HALF, 8);
  for (const end = x + (<usize>(n & ~3) << 1); x < end; x += 8, y += 16) {
    const h = v128.load16x4_u(x), sign = i32x4.shl(i32x4.shr_u(h, 15), 31);
    // Exponent and mantissa in the float32's place are the value times 2^-112; an exponent of all ones was Infinity or NaN.
    const v = f32x4.mul(i32x4.shl(v128.andnot(h, i32x4.shl(i32x4.shr_u(h, 15), 15)), 13), power);
    v128.store(y, v128.or(sign, v128.or(v, v128.and(f32x4.ge(v, special), exponent))));
  }
  for (const end = x + (<usize>(n & 3) << 1); x < end; x += 2, y += 4) {
    const h = <u32>load<u16>(x), v = reinterpret<f32>((h & 0x7fff) << 13) * reinterpret<f32>(0x77800000);
    store<u32>(y, ((h >> 15) << 31) | reinterpret<u32>(v) | (v >= 65536 ? 0x7f800000 : 0));
  }
}

// maxima[b] = the largest of the scores 64 b to 64 b + 63, the last block may be shorter; returns the largest of all. NaN is passed over.      x: f32[n], n >= 1.
export function f32_block_maxima(x: usize, n: i32, maxima: usize): f32 {
  const impossible = v128.load32_splat(IMPOSSIBLE);
  const end = x + (<usize>n << 2), whole = x + (<usize>(n & ~63) << 2);
  let m = impossible;
  for (; x < whole; x += BLOCK, maxima += 4) {
    let a = impossible, b = impossible, c = impossible, d = impossible;
    for (let p = x; p < x + BLOCK; p += 64) {
      a = f32x4.pmax(a, v128.load(p));
      b = f32x4.pmax(b, v128.load(p, 16));
      c = f32x4.pmax(c, v128.load(p, 32));
      d = f32x4.pmax(d, v128.load(p, 48));
    }
    a = f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d));
    m = f32x4.pmax(m, a);
    store<f32>(maxima, maxLanes(a));
  }
  let top = maxLanes(m);
  if (x < end) {
    let last: f32 = -Infinity;
    for (; x < end; x += 4) {
      const v = load<f32>(x);
      last = v > last ? v : last;
    }
    store<f32>(maxima, last);
    top = last > top ? last : top;
  }
  return top;
}

// The first score that equals `top`, the largest; second: f32, the largest of the others (-Infinity: there is none). NaN is passed over.
export function f32_first_and_second(x: usize, n: i32, maxima: usize, top: f32, second: usize): i32 {
  let best = -1, next: f32 = -Infinity;
  for (let from = 0; from < n; from += 64, maxima += 4) {
    const m = load<f32>(maxima);
    if (best >= 0 || m != top) {
      next = m > next ? m : next;
      continue;
    }
    for (let i = from, end = min(n, from + 64); i < end; i++) {
      const v = load<f32>(x + (<usize>i << 2));
      if (v == top && best < 0) best = i;
      else next = v > next ? v : next;
    }
  }
  store<f32>(second, next);
  return best;
}

// Weights of a row: blocks: f64, blocks[b] = their sum over block b, out: f64[2] = their sum, and the sum of weight times distance. NaN in the row: NaN.
// Four vectors are added as float32, pair by pair, before they go on as float64: the sums are within 1e-7 relative.
export function f32_row_sums(x: usize, n: i32, top: f32, scale: f32, blocks: usize, out: usize): void {
  const impossible = v128.load32_splat(IMPOSSIBLE), m = f32x4.splat(top), by = f32x4.splat(scale * LOG2E);
  const magic = v128.load32_splat(EXP), w2 = v128.load32_splat(EXP, 4), w1 = v128.load32_splat(EXP, 8), c = v128.load32_splat(EXP, 12), half = v128.load32_splat(EXP, 16), highest = v128.load32_splat(EXP, 20);
  const end = x + (<usize>n << 2), whole = x + (<usize>(n & ~3) << 2);
  let total: f64 = 0, moment: f64 = 0;
  while (x < end) {
    let s = f64x2.splat(0), t = s, f = f32x4.splat(0);
    const stop = min(x + BLOCK, end);
    for (; x + 64 <= stop; x += 64) {
      const z0 = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(x)), by), highest), z1 = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(x, 16)), by), highest);
      const e0 = halfPower(z0, magic, w2, w1, c, half), e1 = halfPower(z1, magic, w2, w1, c, half);
      const e = f32x4.add(e0, e1), g = f32x4.add(f32x4.mul(e0, z0), f32x4.mul(e1, z1));
      const z2 = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(x, 32)), by), highest), z3 = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(x, 48)), by), highest);
      const e2 = halfPower(z2, magic, w2, w1, c, half), e3 = halfPower(z3, magic, w2, w1, c, half);
      const four = f32x4.add(e, f32x4.add(e2, e3));
      f = f32x4.add(f, f32x4.add(g, f32x4.add(f32x4.mul(e2, z2), f32x4.mul(e3, z3))));
      s = f64x2.add(s, f64x2.promote_low_f32x4(four));
      t = f64x2.add(t, f64x2.promote_low_f32x4(v128.shuffle<f32>(four, four, 2, 3, 2, 3)));
    }
    for (; x < stop; x += 16) {
      const z = f32x4.pmin(f32x4.mul(f32x4.sub(m, x < whole ? v128.load(x) : loadTail(x, (stop - x) >> 2, impossible)), by), highest);
      const e = halfPower(z, magic, w2, w1, c, half);
      s = f64x2.add(s, f64x2.promote_low_f32x4(e));
      t = f64x2.add(t, f64x2.promote_low_f32x4(v128.shuffle<f32>(e, e, 2, 3, 2, 3)));
      f = f32x4.add(f, f32x4.mul(e, z));
    }
    s = f64x2.add(s, t);
    const sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
    total += sum;
    t = f64x2.add(f64x2.promote_low_f32x4(f), f64x2.promote_low_f32x4(v128.shuffle<f32>(f, f, 2, 3, 2, 3)));
    moment += f64x2.extract_lane(t, 0) + f64x2.extract_lane(t, 1);
    store<f64>(blocks, sum);
    blocks += 8;
  }
  store<f64>(out, total);
  store<f64>(out, moment * LN2, 8);
}

// The token at which the running sum of weights first exceeds `target`; else the last of positive weight. blocks: as f32_row_sums wrote them. scratch: 256 bytes.
export function f32_draw_row(x: usize, n: i32, top: f32, scale: f32, blocks: usize, target: f64, scratch: usize): i32 {
  let below: f64 = 0, drawn = -1;
  for (let from = 0; from < n; from += 64, blocks += 8) {
    const sum = load<f64>(blocks);
    if (sum == 0) continue;
    // Rounding of the sums may leave the target beyond the last block: the last one with weight is entered again then.
    if (below + sum <= target) {
      below += sum;
      drawn = from;
      continue;
    }
    return inBlock(x, from, min(64, n - from), top, scale, target - below, scratch);
  }
  return inBlock(x, drawn, min(64, n - drawn), top, scale, Infinity, scratch);
}

function inBlock(x: usize, from: i32, n: i32, top: f32, scale: f32, target: f64, scratch: usize): i32 {
  memory.copy(scratch, x + (<usize>from << 2), <usize>n << 2);
  weigh(scratch, n, top, scale, scratch);
  return from + f32_draw_list(scratch, n, target);
}

// weights[i] = exp(-d) / 2 of the scores xs; may be in place. Both have room for a multiple of 4.
function weigh(xs: usize, n: i32, top: f32, scale: f32, weights: usize): void {
  const m = f32x4.splat(top), by = f32x4.splat(scale * LOG2E);
  const magic = v128.load32_splat(EXP), w2 = v128.load32_splat(EXP, 4), w1 = v128.load32_splat(EXP, 8), c = v128.load32_splat(EXP, 12), half = v128.load32_splat(EXP, 16), highest = v128.load32_splat(EXP, 20);
  for (const end = xs + (<usize>n << 2); xs < end; xs += 16, weights += 16) {
    v128.store(weights, halfPower(f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(xs)), by), highest), magic, w2, w1, c, half));
  }
}

// The scores of at least `limit` (finite) and their tokens, in their order, from every `step`-th block; returns how many. Blocks whose maximum is below are passed over.
export function f32_gather(x: usize, n: i32, maxima: usize, limit: f32, step: i32, xs: usize, ids: usize): i32 {
  const start = xs, bound = f32x4.splat(limit), lanes = v128.load(LANES);
  for (let from = 0; from < n; from += step << 6, maxima += <usize>step << 2) {
    if (!(load<f32>(maxima) >= limit)) continue;
    const p = x + (<usize>from << 2), stop = min(64, n - from);
    let i = 0;
    for (const whole = stop & ~3; i < whole; i += 4) {
      const v = v128.load(p + (<usize>i << 2)), mask = i32x4.bitmask(f32x4.ge(v, bound));
      const order = v128.load(FRONT + (<usize>mask << 4));
      v128.store(xs, i8x16.swizzle(v, order));
      v128.store(ids, i8x16.swizzle(i32x4.add(i32x4.splat(from + i), lanes), order));
      const taken = <usize>popcnt(mask) << 2;
      xs += taken;
      ids += taken;
    }
    for (; i < stop; i++) {
      const v = load<f32>(p + (<usize>i << 2));
      store<f32>(xs, v);
      store<i32>(ids, from + i);
      const taken = <usize>(v >= limit) << 2;
      xs += taken;
      ids += taken;
    }
  }
  return <i32>((xs - start) >> 2);
}

// The scores of given tokens, those of -Infinity left out; returns how many. ids: i32[n], in [0, length of x); shortened in place.
export function f32_pick(x: usize, ids: usize, n: i32, xs: usize): i32 {
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const id = load<i32>(ids + (<usize>i << 2)), v = load<f32>(x + (<usize>id << 2));
    if (v == -Infinity) continue;
    store<f32>(xs + (<usize>kept << 2), v);
    store<i32>(ids + (<usize>kept << 2), id);
    kept++;
  }
  return kept;
}

// weights of a list.
export function f32_list_weights(xs: usize, n: i32, top: f32, scale: f32, weights: usize): void {
  v128.store(xs + (<usize>n << 2), v128.load32_splat(IMPOSSIBLE));
  weigh(xs, n, top, scale, weights);
}

// out: f64[2] as f32_row_sums has it, of a list with its weights, of which 4 behind its end are 0.
export function f32_list_sums(xs: usize, n: i32, top: f32, scale: f32, weights: usize, out: usize): void {
  const m = f32x4.splat(top), by = f32x4.splat(scale * LOG2E), highest = v128.load32_splat(EXP, 20);
  v128.store(xs + (<usize>n << 2), m);
  v128.store(weights + (<usize>n << 2), f64x2.splat(0));
  let s = f64x2.splat(0), t = s, f = s, g = s;
  for (const end = xs + (<usize>n << 2); xs < end; xs += 16, weights += 16) {
    const e = v128.load(weights), z = f32x4.mul(e, f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(xs)), by), highest));
    s = f64x2.add(s, f64x2.promote_low_f32x4(e));
    t = f64x2.add(t, f64x2.promote_low_f32x4(v128.shuffle<f32>(e, e, 2, 3, 2, 3)));
    f = f64x2.add(f, f64x2.promote_low_f32x4(z));
    g = f64x2.add(g, f64x2.promote_low_f32x4(v128.shuffle<f32>(z, z, 2, 3, 2, 3)));
  }
  s = f64x2.add(s, t);
  f = f64x2.add(f, g);
  store<f64>(out, f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1));
  store<f64>(out, (f64x2.extract_lane(f, 0) + f64x2.extract_lane(f, 1)) * LN2, 8);
}

// Keys whose order as unsigned integers is the order in which a rule takes candidates. centre < 0: the largest score first; else the smallest |d - centre| first. -0 is +0.
export function f32_keys(xs: usize, n: i32, top: f32, scale: f32, centre: f32, keys: usize): void {
  const zero = f32x4.splat(0), m = f32x4.splat(top), by = f32x4.splat(scale), c = f32x4.splat(centre), end = xs + (<usize>n << 2);
  if (centre < 0) {
    for (; xs < end; xs += 16, keys += 16) {
      const v = f32x4.add(v128.load(xs), zero);
      v128.store(keys, v128.xor(v, i32x4.shr_u(v128.not(i32x4.shr_s(v, 31)), 1)));
    }
  } else {
    for (; xs < end; xs += 16, keys += 16) v128.store(keys, f32x4.abs(f32x4.sub(f32x4.mul(f32x4.sub(m, v128.load(xs)), by), c)));
  }
}

// Which keys come first until their weights reach `target`: those below `limit`, and the first `ties` that equal it. weights: f32[n], 0: each weighs 1.
// work: 24,576 + 8 n + 128 bytes. Returns the limit; ties: i32.
//
// A histogram over one digit of the keys, from the smallest key up, finds the bucket in which the target is reached; its keys alone are looked into further. Nothing is sorted.
function cut(keys: usize, weights: usize, n: i32, target: f64, ties: usize, work: usize): u32 {
  const masses = work, counts = work + (1 << (DIGIT + 3)), held = counts + (1 << (DIGIT + 2)), heldWeights = (held + (<usize>n << 2) + 31) & ~15;
  const unit = weights == 0;
  let before: f64 = 0, low: u32 = 0;
  while (true) {
    let high: u32 = 0;
    const end = keys + (<usize>n << 2);
    let p = keys, least = v128.load32_splat(keys), most = least;
    for (const stop = end - 12; p < stop; p += 16) {
      const k = v128.load(p);
      least = i32x4.min_u(least, k);
      most = i32x4.max_u(most, k);
    }
    for (; p < end; p += 4) {
      const k = v128.load32_splat(p);
      least = i32x4.min_u(least, k);
      most = i32x4.max_u(most, k);
    }
    least = i32x4.min_u(least, v128.shuffle<i32>(least, least, 2, 3, 0, 1));
    most = i32x4.max_u(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1));
    low = min(<u32>i32x4.extract_lane(least, 0), <u32>i32x4.extract_lane(least, 1));
    high = max(<u32>i32x4.extract_lane(most, 0), <u32>i32x4.extract_lane(most, 1));
    if (low == high) break;
    const shift = <u32>max(0, 32 - <i32>clz(high - low) - (n > SHORT ? DIGIT : SHORT_DIGIT)), last = (high - low) >> shift;
    memory.fill(unit ? counts : masses, 0, <usize>(last + 1) << (unit ? 2 : 3));
    if (unit) {
      for (p = keys; p < end; p += 4) {
        const q = counts + (<usize>((load<u32>(p) - low) >> shift) << 2);
        store<i32>(q, load<i32>(q) + 1);
      }
    } else {
      let w = weights;
      for (p = keys; p < end; p += 4, w += 4) {
        const s = masses + (<usize>((load<u32>(p) - low) >> shift) << 3);
        store<f64>(s, load<f64>(s) + <f64>load<f32>(w));
      }
    }
    let b: u32 = 0;
    for (; b < last; b++) {
      const mass = unit ? <f64>load<i32>(counts + (<usize>b << 2)) : load<f64>(masses + (<usize>b << 3));
      if (before + mass >= target) break;
      before += mass;
    }
    // The bucket's keys and weights, in their order; reading is never behind writing.
    const from = i32x4.splat(low + (b << shift)), width = i32x4.splat((1 << shift) - 1);
    let to: usize = 0, w = weights;
    for (p = keys; p + 16 <= end; p += 16, w += 16) {
      const k = v128.load(p), mask = i32x4.bitmask(i32x4.le_u(i32x4.sub(k, from), width)), order = v128.load(FRONT + (<usize>mask << 4));
      v128.store(held + to, i8x16.swizzle(k, order));
      if (!unit) v128.store(heldWeights + to, i8x16.swizzle(v128.load(w), order));
      to += <usize>popcnt(mask) << 2;
    }
    for (; p < end; p += 4, w += 4) {
      const k = load<u32>(p);
      store<u32>(held + to, k);
      if (!unit) store<f32>(heldWeights + to, load<f32>(w));
      to += <usize>((k - low) >> shift == b) << 2;
    }
    n = <i32>(to >> 2);
    keys = held;
    if (!unit) weights = heldWeights;
  }
  let taken = 0;
  while (taken < n) {
    before += unit ? 1 : <f64>load<f32>(weights + (<usize>taken << 2));
    taken++;
    if (before >= target) break;
  }
  store<i32>(ties, taken);
  return low;
}

// Shortens a list to the candidates whose keys come first until their weights (0: 1 each) reach `target`; equal keys: the smaller token. Weights are shortened with it. Returns how many. work: as for `cut`.
export function f32_keep_first(xs: usize, ids: usize, n: i32, keys: usize, weights: usize, target: f64, work: usize): i32 {
  const limit = cut(keys, weights, n, target, work, work + 16), bound = i32x4.splat(limit);
  const ties = load<i32>(work), whole = <usize>(n & ~3) << 2, end = <usize>n << 2;
  let kept: usize = 0, at: usize = 0, same = i32x4.splat(0);
  for (; at < whole; at += 16) {
    const k = v128.load(keys + at), mask = i32x4.bitmask(i32x4.le_u(k, bound)), order = v128.load(FRONT + (<usize>mask << 4));
    same = i32x4.sub(same, i32x4.eq(k, bound));
    v128.store(xs + kept, i8x16.swizzle(v128.load(xs + at), order));
    v128.store(ids + kept, i8x16.swizzle(v128.load(ids + at), order));
    v128.store(keys + kept, i8x16.swizzle(k, order));
    if (weights) v128.store(weights + kept, i8x16.swizzle(v128.load(weights + at), order));
    kept += <usize>popcnt(mask) << 2;
  }
  let equal = i32x4.extract_lane(same, 0) + i32x4.extract_lane(same, 1) + i32x4.extract_lane(same, 2) + i32x4.extract_lane(same, 3);
  for (; at < end; at += 4) {
    const k = load<u32>(keys + at);
    store<f32>(xs + kept, load<f32>(xs + at));
    store<i32>(ids + kept, load<i32>(ids + at));
    store<u32>(keys + kept, k);
    if (weights) store<f32>(weights + kept, load<f32>(weights + at));
    equal += <i32>(k == limit);
    kept += <usize>(k <= limit) << 2;
  }
  if (equal > ties) return firstTies(xs, ids, keys, weights, kept, limit, ties);
  return <i32>(kept >> 2);
}

// Drops all but the first `ties` candidates whose key is `limit`.
function firstTies(xs: usize, ids: usize, keys: usize, weights: usize, end: usize, limit: u32, ties: i32): i32 {
  let kept: usize = 0;
  for (let at: usize = 0; at < end; at += 4) {
    store<f32>(xs + kept, load<f32>(xs + at));
    store<i32>(ids + kept, load<i32>(ids + at));
    if (weights) store<f32>(weights + kept, load<f32>(weights + at));
    if (load<u32>(keys + at) == limit && --ties < 0) continue;
    kept += 4;
  }
  return <i32>(kept >> 2);
}

// A bound that the k-th largest score does not lie below, from the maxima of more than k blocks. keys, work: as for f32_keep_first.
export function f32_lower_bound(maxima: usize, blocks: i32, k: i32, keys: usize, work: usize): f32 {
  return f32_mass_limit(maxima, blocks, keys, 0, k, work);
}

// The score of the last candidate that a list needs from the largest down until its weights reach `target`. keys, work: as for f32_keep_first.
export function f32_mass_limit(xs: usize, n: i32, keys: usize, weights: usize, target: f64, work: usize): f32 {
  f32_keys(xs, n, 0, 0, -1, keys);
  const key = cut(keys, weights, n, target, work, work + 16);
  return reinterpret<f32>(<i32>key < 0 ? key : key ^ 0x7fffffff);
}

// Shortens a list to the candidates with d <= bound; returns how many.
export function f32_keep_near(xs: usize, ids: usize, n: i32, top: f32, scale: f32, bound: f32): i32 {
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const at = <usize>i << 2, v = load<f32>(xs + at), to = <usize>kept << 2;
    store<f32>(xs + to, v);
    store<i32>(ids + to, load<i32>(ids + at));
    kept += <i32>((top - v) * scale <= bound);
  }
  return kept;
}

// The place at which the running sum of weights, block by block, first exceeds `target`; else the last of positive weight.
export function f32_draw_list(weights: usize, n: i32, target: f64): i32 {
  let below: f64 = 0, i = 0;
  while (i < n) {
    if (n - i >= 64) {
      let s = f64x2.splat(0), t = s, p = weights + (<usize>i << 2);
      for (const end = p + BLOCK; p < end; p += 16) {
        const e = v128.load(p);
        s = f64x2.add(s, f64x2.promote_low_f32x4(e));
        t = f64x2.add(t, f64x2.promote_low_f32x4(v128.shuffle<f32>(e, e, 2, 3, 2, 3)));
      }
      s = f64x2.add(s, t);
      const sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
      if (below + sum <= target) {
        below += sum;
        i += 64;
        continue;
      }
    }
    for (const stop = min(n, i + 64); i < stop; i++) {
      const w = <f64>load<f32>(weights + (<usize>i << 2));
      below += w;
      if (w > 0 && below > target) return i;
    }
  }
  while (--i > 0) if (load<f32>(weights + (<usize>i << 2)) > 0) break;
  return i;
}

// ln x of a normal x > 0, to 2e-10.
export function f64_log(x: f64): f64 {
  return log64(x);
}
