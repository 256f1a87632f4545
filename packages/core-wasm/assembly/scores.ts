import { EXP, halfExp, halfExpBounded } from "./lib/exp";
import { log1p64, log64 } from "./lib/log";
import { anyNaN, loadTail, madd, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Rows of up to this many columns go four at a time, one per lane: a row has the same bits wherever it stands, also where fewer than four are left.
const NARROW: i32 = 256;

const LIMITS: usize = memory.data<f32>([-Infinity]);
// -log(1 - p) = 2 (s + s^3 Q(s^2)), s = p / (2 - p), p in [0, 1/2]: Q of degree 3, to 1.1e-8.
const LOG: usize = memory.data<f32>([0.13425749, 0.1411831, 0.2000378, 0.3333332]);
// For each set of lanes the shuffle that moves them to the front; the other lanes become 0.
const FRONT: usize = memory.data<u8>([
  255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  0, 1, 2, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  4, 5, 6, 7, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  0, 1, 2, 3, 4, 5, 6, 7, 255, 255, 255, 255, 255, 255, 255, 255,
  8, 9, 10, 11, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  0, 1, 2, 3, 8, 9, 10, 11, 255, 255, 255, 255, 255, 255, 255, 255,
  4, 5, 6, 7, 8, 9, 10, 11, 255, 255, 255, 255, 255, 255, 255, 255,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255, 255, 255, 255,
  12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  0, 1, 2, 3, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255,
  4, 5, 6, 7, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255,
  0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 255, 255, 255, 255,
  8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255,
  0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255,
  4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
]);

// Bits of `select` and places in y.
const MAX_PROBABILITY = 1, OTHER_PROBABILITY = 2, MAX_LOGIT = 4, ENERGY = 8, ENTROPY = 16, MARGIN = 32, ARGMAX = 64, CONCENTRATION = 128, UNIFORM_DISTANCE = 256, GENERALIZED = 512;
const NEEDS_WEIGHTS = MAX_PROBABILITY | OTHER_PROBABILITY | ENERGY | ENTROPY | CONCENTRATION | UNIFORM_DISTANCE | GENERALIZED;

// Statistics of the rows of x: y[bit, r], where the bit of `select` is set, else untouched; p = softmax(x[r] / T), beta = 1 / T.
//   0  max_c p_c            1  1 - max_c p_c, the sum of the others            2  max_c x_c            3  -T log sum_c exp(x_c / T)
//   4  -sum_c p_c log p_c   5  the largest minus the second largest x_c        6  int32, smallest c with x_c = max; -1 for a row with NaN
//   7  T log(cols max_c p_c)   8  sum_c |cols p_c - 1|                         9  sum of (p_c (1 - p_c))^gamma over the `count` largest p_c
// x: f32[rows, cols], y: f32[10, stride], stride >= rows. A row with NaN: NaN. Largest +-Infinity: 0, 1, 4, 7, 8 and 9 are NaN, 3 is minus the largest.
// lanes: scratch of 16 * cols bytes where cols <= 256, else not read; chosen: scratch of twice 4 * cols + 127 bytes where bit 8 or 9 is set, with the first guess of
// a bound in its first 4 bytes. Each row comes from memory once; what is read again is in the cache.
export function f32_logit_statistics(
  x: usize, y: usize, rows: i32, cols: i32, stride: i32, beta: f32, temperature: f64, select: i32, lanes: usize, gamma: f32, count: i32, chosen: usize,
): void {
  const rowBytes = <usize>cols << 2, step = <usize>stride << 2;
  if (cols <= NARROW) {
    for (; rows > 0; rows -= 4) {
      fourRows(x, y, min(rows, 4), cols, step, beta, temperature, select, lanes, gamma, count, chosen);
      x += rowBytes << 2;
      y += 16;
    }
  }
  for (; rows > 0; rows--) {
    oneRow(x, y, cols, step, beta, temperature, select, gamma, count, chosen);
    x += rowBytes;
    y += 4;
  }
}

// From the largest and second largest element, half the weight exp((x - top) / T) of the elements below the largest, half their weighted distance
// (top - x) / T, and how many equal the largest.
function finish(
  x: usize, y: usize, cols: i32, step: usize, beta: f32, temperature: f64, select: i32, top: f32, second: f32, half: f64, half1: f64, equal: f64, uniform: f64, gamma: f32, count: i32, chosen: usize,
): void {
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
  if (!(select & (CONCENTRATION | UNIFORM_DISTANCE | GENERALIZED))) return;
  const none = top - top == 0 ? 0 : NaN;
  if (select & CONCENTRATION) {
    // log(cols max p) = -log(1 - mean of 1 - exp(-d)): summed as such where the mean is small.
    let u = 1 - (1 + others) / <f64>cols;
    if (u < 0.125) u = complements(x, cols, beta, top) / <f64>cols;
    store<f32>(y + 7 * step, <f32>(none + temperature * log1p64(u / (1 - u))));
  }
  if (select & UNIFORM_DISTANCE) store<f32>(y + 8 * step, <f32>(none + uniform));
  if (select & GENERALIZED) store<f32>(y + 9 * step, <f32>(none + (none == 0 && others > 0 ? generalized(x, cols, beta, top, others, equal, gamma, count, chosen) : 0)));
}

// sum_c 1 - exp((x_c - top) / T), each to its own relative error.
function complements(x: usize, cols: i32, beta: f32, top: f32): f64 {
  const end = x + ((<usize>cols & ~3) << 2), rest = <usize>cols & 3;
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), highest = v128.load32_splat(EXP, 32), one = v128.load32_splat(EXP, 40);
  const by = f32x4.splat(beta), m = f32x4.splat(top), zero = f32x4.splat(0);
  let sum: f64 = 0;
  while (x < end) {
    let s = zero;
    for (const stop = min(x + 1024, end); x < stop; x += 16) {
      s = f32x4.add(s, complement(f32x4.mul(f32x4.sub(m, v128.load(x)), by), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest, one));
    }
    sum += sumLanes(s);
  }
  if (rest) {
    // The lanes that are not there are like the largest: 0.
    sum += sumLanes(complement(f32x4.mul(f32x4.sub(m, loadTail(end, rest, m)), by), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest, one));
  }
  return sum;
}

// 1 - exp(-x) = 1 - 2^k + 2^k 2 r / (2 + u) of four lanes with x >= 0 (lib/exp.ts has the symbols).
// @ts-ignore: decorator
@inline
function complement(x: v128, log2e: v128, magic: v128, ln2hi: v128, ln2lo: v128, w2: v128, w1: v128, two: v128, highest: v128, one: v128): v128 {
  const z = f32x4.pmin(x, highest);
  const t = madd(z, log2e, magic);
  const k = f32x4.sub(t, magic);
  const r = madd(k, ln2lo, madd(k, ln2hi, z));
  const y = f32x4.mul(r, r);
  const u = madd(madd(w2, y, w1), y, r);
  const power = i32x4.shl(t, 23);
  return madd(f32x4.div(f32x4.add(r, r), f32x4.add(u, two)), power, f32x4.sub(one, power));
}

// sum_i |times x[i] - 1|
function fromOne(x: usize, length: i32, times: f32): f64 {
  const end = x + ((<usize>length & ~3) << 2), rest = length & 3, one = v128.load32_splat(EXP, 40), by = f32x4.splat(times), zero = f32x4.splat(0);
  let sum: f64 = 0;
  while (x < end) {
    let s = zero;
    for (const stop = min(x + 1024, end); x < stop; x += 16) s = f32x4.add(s, f32x4.abs(f32x4.sub(f32x4.mul(v128.load(x), by), one)));
    sum += sumLanes(s);
  }
  for (let i = 0; i < rest; i++, x += 4) sum += Math.abs(<f64>(load<f32>(x) * times - 1));
  return sum;
}

// Bytes in front of the weights: the first guess and the elements that are chosen.
// @ts-ignore: decorator
@inline
function rowEnd(cols: i32): usize {
  return ((<usize>cols << 2) + 127) & ~63;
}

// The order of floats as integers; -0 stands just below +0.
// @ts-ignore: decorator
@inline
function keyOf(value: f32): i32 {
  const bits = reinterpret<i32>(value);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

// @ts-ignore: decorator
@inline
function valueOf(key: i32): f32 {
  return reinterpret<f32>(key ^ ((key >> 31) & 0x7fffffff));
}

// Between two keys, whose difference may be more than an i32 holds.
// @ts-ignore: decorator
@inline
function middle(low: i32, high: i32): i32 {
  return low + <i32>(<u32>(high - low) >> 1);
}

// How many of the `length` elements at p are at least `bound`.
function countFrom(p: usize, length: i32, bound: f32): i32 {
  const b = f32x4.splat(bound);
  let n0 = i32x4.splat(0), n1 = n0;
  for (const stop = p + (<usize>(length & ~7) << 2); p < stop; p += 32) {
    n0 = i32x4.sub(n0, f32x4.ge(v128.load(p), b));
    n1 = i32x4.sub(n1, f32x4.ge(v128.load(p, 16), b));
  }
  n0 = i32x4.add(n0, n1);
  let n = i32x4.extract_lane(n0, 0) + i32x4.extract_lane(n0, 1) + i32x4.extract_lane(n0, 2) + i32x4.extract_lane(n0, 3);
  for (let rest = length & 7; rest > 0; rest--, p += 4) n += i32(load<f32>(p) >= bound);
  return n;
}

// Copies the elements that are at least `bound` to y in their order, 16 bytes at a time (y may be x); returns how many.
function keepFrom(x: usize, y: usize, length: i32, bound: f32): i32 {
  const b = f32x4.splat(bound), start = y;
  for (const stop = x + (<usize>(length & ~3) << 2); x < stop; x += 16) {
    const v = v128.load(x);
    const lanes = i32x4.bitmask(f32x4.ge(v, b));
    v128.store(y, swizzle(v, v128.load(FRONT + (<usize>lanes << 4))));
    y += <usize>popcnt(lanes) << 2;
  }
  for (let rest = length & 3; rest > 0; rest--, x += 4) {
    const v = load<f32>(x);
    if (v >= bound) {
      store<f32>(y, v);
      y += 4;
    }
  }
  return <i32>((y - start) >> 2);
}

// @ts-ignore: decorator
@inline
function swizzle(v: v128, places: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(v, places);
  return v128.swizzle(v, places);
}

// sum of (p_c (1 - p_c))^gamma over the `count` largest p_c; others: Z - 1 > 0, `equal` elements are the largest. chosen: the bound of the row before, then room for cols + 8 elements.
function generalized(x: usize, cols: i32, beta: f32, top: f32, others: f64, equal: f64, gamma: f32, count: i32, chosen: usize): f64 {
  let list = x, length = cols, least: f32 = -Infinity, missing = 0;
  if (count < cols) {
    // A bound that at least `count` elements reach, and not many more: from that of the row before, in doubling steps, then halves.
    const bottom = keyOf(-Infinity), last = keyOf(top) + 1;
    let key = keyOf(load<f32>(chosen)), low = bottom, high = last, step = 1 << 17, found = cols, known = false;
    if (key >= last) key = last - 1;
    list = chosen + 16;
    for (let first = true; ; first = false) {
      // Mostly the first bound serves: what reaches it is kept at once.
      found = first ? keepFrom(x, list, cols, valueOf(key)) : countFrom(x, cols, valueOf(key));
      if (found >= count) {
        low = key;
        known = true;
        if (found - count <= count + 16 || <u32>(high - low) <= 1) {
          length = first ? found : keepFrom(x, list, cols, valueOf(low));
          break;
        }
        key = high == last && <u32>step < <u32>(high - low) ? low + step : middle(low, high);
      } else {
        high = key;
        if (<u32>(high - low) <= 1) {
          length = keepFrom(x, list, cols, valueOf(low));
          break;
        }
        key = !known && <u32>step < <u32>(high - low) ? high - step : middle(low, high);
      }
      step = step < (1 << 29) ? step << 1 : step;
    }
    // The next row starts where half as many again would be found.
    store<f32>(chosen, valueOf(found > count + (count >> 1) ? low + (1 << 16) : found < count + (count >> 2) && low > bottom + (1 << 16) ? low - (1 << 16) : low));
    // NaN reaches no bound: they are counted in whole pairs of vectors.
    const behind = list + (<usize>length << 2), nan = f32x4.splat(NaN), whole = (length + 7) & ~7;
    v128.store(behind, nan);
    v128.store(behind, nan, 16);
    // The count-th largest of them: the largest key that `count` reach, unless exactly `count` reach a smaller one. The share of those that are too many tells where to look; every other time the middle.
    let reach = length, beyond = 0, turn = 0;
    while (reach != count && <u32>(high - low) > 1) {
      const width = <u32>(high - low);
      const between = turn++ & 1 ? low + <i32>(width >> 1) : low + <i32>max<u32>(1, min<u32>(width - 1, <u32>(<f32>width * (<f32>(reach - count) + 0.5) / (<f32>(reach - beyond) + 1))));
      const n = countFrom(list, whole, valueOf(between));
      if (n >= count) {
        low = between;
        reach = n;
      } else {
        high = between;
        beyond = n;
      }
    }
    least = valueOf(low);
    // More than `count` reach the bound: those equal to it are alike, and some of them are left out.
    missing = reach - count;
    length = keepFrom(list, list, length, least);
  }

  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32), impossible = v128.load32_splat(LIMITS);
  const q3 = v128.load32_splat(LOG), q2 = v128.load32_splat(LOG, 4), q1 = v128.load32_splat(LOG, 8), q0 = v128.load32_splat(LOG, 12);
  const by = f32x4.splat(beta), m = f32x4.splat(top), zero = f32x4.splat(0), g = f32x4.splat(gamma);
  const share = 1 / (1 + others), twice = f32x4.splat(<f32>(2 * share)), logZ = f32x4.splat(<f32>log1p64(others));
  const rest = <usize>length & 3, end = list + ((<usize>length & ~3) << 2);
  let sum: f64 = 0;
  for (let p = list; p < end; ) {
    let s = zero;
    for (const stop = min(p + 1024, end); p < stop; p += 16) {
      const d = f32x4.mul(f32x4.sub(m, v128.load(p)), by);
      const e = power(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest, q3, q2, q1, q0, twice, logZ, g);
      s = f32x4.add(s, v128.andnot(e, f32x4.eq(d, zero)));
    }
    sum += sumLanes(s);
  }
  if (rest) {
    const d = f32x4.mul(f32x4.sub(m, loadTail(end, rest, impossible)), by);
    const e = power(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest, q3, q2, q1, q0, twice, logZ, g);
    sum += sumLanes(v128.andnot(e, f32x4.eq(d, zero)));
  }
  sum *= 2;
  const d = (top - least) * beta;
  if (missing > 0 && d != 0) {
    sum -= 2 * <f64>missing * <f64>f32x4.extract_lane(power(f32x4.splat(d), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest, q3, q2, q1, q0, twice, logZ, g), 0);
  }
  // The largest: its 1 - p is the sum of the others.
  const w = -<f64>gamma * (log64(share) + log64(others * share));
  return sum + 2 * min(equal, <f64>count) * <f64>f32x4.extract_lane(halfExp(f32x4.splat(<f32>w), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest), 0);
}

// (p (1 - p))^gamma / 2 where -log p = d + log Z and p <= 1/2.
// @ts-ignore: decorator
@inline
function power(
  d: v128, log2e: v128, magic: v128, ln2hi: v128, ln2lo: v128, w2: v128, w1: v128, two: v128, oneHalf: v128, highest: v128,
  q3: v128, q2: v128, q1: v128, q0: v128, twice: v128, logZ: v128, gamma: v128,
): v128 {
  const p = f32x4.mul(halfExp(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest), twice);
  const s = f32x4.div(p, f32x4.sub(two, p)), z = f32x4.mul(s, s);
  const q = f32x4.mul(madd(madd(madd(q3, z, q2), z, q1), z, q0), z);
  const log = madd(q, s, s);
  const w = f32x4.mul(gamma, f32x4.add(f32x4.add(d, logZ), f32x4.add(log, log)));
  return halfExp(w, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
}

// The first of the `cols` elements at x that equals `value`, which is there.
function indexOf(x: usize, cols: i32, value: f32): i32 {
  const wanted = f32x4.splat(value), whole = cols & ~3;
  let at = 0;
  // Sixteen at a time, then those four that hold it.
  for (const far = cols & ~15; at < far; at += 16) {
    const p = x + (<usize>at << 2);
    const first = v128.or(f32x4.eq(v128.load(p), wanted), f32x4.eq(v128.load(p, 16), wanted)), second = v128.or(f32x4.eq(v128.load(p, 32), wanted), f32x4.eq(v128.load(p, 48), wanted));
    if (v128.any_true(v128.or(first, second))) break;
  }
  for (; at < whole; at += 4) {
    const found = i32x4.bitmask(f32x4.eq(v128.load(x + (<usize>at << 2)), wanted));
    if (found) return at + ctz(found);
  }
  while (load<f32>(x + (<usize>at << 2)) != value) at++;
  return at;
}

function oneRow(x: usize, y: usize, cols: i32, step: usize, beta: f32, temperature: f64, select: i32, gamma: f32, count: i32, chosen: usize): void {
  const bytes = (<usize>cols & ~3) << 2, rest = <usize>cols & 3;
  const end = x + bytes;
  const impossible = v128.load32_splat(LIMITS);

  // a: largest, b: second largest, of four vectors in turn: one waits for itself every 16 elements only. NaN is passed over.
  let a = impossible, b = a, a1 = a, b1 = a, a2 = a, b2 = a, a3 = a, b3 = a, p = x;
  for (const stop = x + (bytes & ~63); p < stop; p += 64) {
    const v = v128.load(p), w = v128.load(p, 16), v2 = v128.load(p, 32), v3 = v128.load(p, 48);
    b = f32x4.pmax(b, f32x4.pmin(a, v));
    b1 = f32x4.pmax(b1, f32x4.pmin(a1, w));
    b2 = f32x4.pmax(b2, f32x4.pmin(a2, v2));
    b3 = f32x4.pmax(b3, f32x4.pmin(a3, v3));
    a = f32x4.pmax(a, v);
    a1 = f32x4.pmax(a1, w);
    a2 = f32x4.pmax(a2, v2);
    a3 = f32x4.pmax(a3, v3);
  }
  for (; p < end; p += 16) {
    const v = v128.load(p);
    b = f32x4.pmax(b, f32x4.pmin(a, v));
    a = f32x4.pmax(a, v);
  }
  if (rest) {
    const v = loadTail(end, rest, impossible);
    b1 = f32x4.pmax(b1, f32x4.pmin(a1, v));
    a1 = f32x4.pmax(a1, v);
  }
  b = f32x4.pmax(f32x4.pmax(b, b1), f32x4.pmin(a, a1));
  a = f32x4.pmax(a, a1);
  b2 = f32x4.pmax(f32x4.pmax(b2, b3), f32x4.pmin(a2, a3));
  a2 = f32x4.pmax(a2, a3);
  b = f32x4.pmax(f32x4.pmax(b, b2), f32x4.pmin(a, a2));
  a = f32x4.pmax(a, a2);
  a1 = v128.shuffle<f32>(a, a, 2, 3, 0, 1);
  b = f32x4.pmax(f32x4.pmax(b, v128.shuffle<f32>(b, b, 2, 3, 0, 1)), f32x4.pmin(a, a1));
  a = f32x4.pmax(a, a1);
  a1 = v128.shuffle<f32>(a, a, 1, 0, 3, 2);
  b = f32x4.pmax(f32x4.pmax(b, v128.shuffle<f32>(b, b, 1, 0, 3, 2)), f32x4.pmin(a, a1));
  let top: f32 = f32x4.extract_lane(f32x4.pmax(a, a1), 0);
  const second = f32x4.extract_lane(b, 0);

  let half: f64 = 0, half1: f64 = 0, equal: f64 = 0, uniform: f64 = 0;
  const keep = select & UNIFORM_DISTANCE, weights = chosen + rowEnd(cols);
  if (select & NEEDS_WEIGHTS) {
    const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
    const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
    const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
    const by = f32x4.splat(beta), m = f32x4.splat(top), zero = f32x4.splat(0);
    // The second largest is the nearest to the largest: where it is below, there is one that is largest.
    const several = !((top - second) * beta != 0);
    // float32 lanes over at most 1024 bytes, blocks added in float64.
    p = x;
    let kept = weights;
    equal = 1;
    while (p < end) {
      let s0 = zero, s1 = zero;
      const stop = min(p + 1024, end);
      for (const pairs = p + ((stop - p) & ~31); p < pairs; p += 32) {
        const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(p)), by), highest), f = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(p, 16)), by), highest);
        const e = halfExpBounded(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
        s0 = f32x4.add(s0, v128.andnot(e, f32x4.eq(d, zero)));
        s1 = f32x4.add(s1, f32x4.mul(e, d));
        const g = halfExpBounded(f, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
        s0 = f32x4.add(s0, v128.andnot(g, f32x4.eq(f, zero)));
        s1 = f32x4.add(s1, f32x4.mul(g, f));
        if (keep) {
          v128.store(kept, e);
          v128.store(kept, g, 16);
          kept += 32;
        }
      }
      if (p < stop) {
        const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, v128.load(p)), by), highest);
        const e = halfExpBounded(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
        s0 = f32x4.add(s0, v128.andnot(e, f32x4.eq(d, zero)));
        s1 = f32x4.add(s1, f32x4.mul(e, d));
        if (keep) {
          v128.store(kept, e);
          kept += 16;
        }
        p += 16;
      }
      half += sumLanes(s0);
      half1 += sumLanes(s1);
    }
    if (rest) {
      const d = f32x4.pmin(f32x4.mul(f32x4.sub(m, loadTail(end, rest, impossible)), by), highest);
      const e = halfExpBounded(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
      half += sumLanes(v128.andnot(e, f32x4.eq(d, zero)));
      half1 += sumLanes(f32x4.mul(e, d));
      if (keep) v128.store(kept, e);
    }
    if (several) {
      equal = 0;
      for (p = x; p < end + (rest << 2); p += 4) if ((top - load<f32>(p)) * beta == 0) equal += 1;
    }
    if (keep) uniform = fromOne(weights, cols, <f32>(2 * <f64>cols / (2 * half + equal)));
  }
  // The weight of NaN is NaN; so are all of them beside an infinite largest.
  if ((!(select & NEEDS_WEIGHTS) || half != half) && anyNaN(x, cols)) top = NaN;
  finish(x, y, cols, step, beta, temperature, select, top, second, half, half1, equal, uniform, gamma, count, chosen);
}

// `count` rows, 1 to 4, transposed into `lanes` (one vector per column), so that no remainder and no horizontal step is left. Missing rows repeat the first.
function fourRows(
  x: usize, y: usize, count: i32, cols: i32, step: usize, beta: f32, temperature: f64, select: i32, lanes: usize, gamma: f32, largest: i32, chosen: usize,
): void {
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

  let t0 = zero, t1 = zero, ties = zero, uniform = zero;
  const keep = select & UNIFORM_DISTANCE;
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
        const e = halfExpBounded(d, log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
        const tie = f32x4.eq(d, zero);
        ties = i32x4.sub(ties, tie);
        s0 = f32x4.add(s0, v128.andnot(e, tie));
        s1 = f32x4.add(s1, f32x4.mul(e, d));
        if (keep) v128.store(p, e);
      }
      t0 = f32x4.add(t0, s0);
      t1 = f32x4.add(t1, s1);
    }
    ties = f32x4.convert_i32x4_s(ties);
    if (keep) {
      const one = v128.load32_splat(EXP, 40);
      const times = f32x4.div(f32x4.splat(2 * <f32>cols), f32x4.add(f32x4.add(t0, t0), ties));
      for (p = lanes; p < stop; p += 16) uniform = f32x4.add(uniform, f32x4.abs(f32x4.sub(f32x4.mul(v128.load(p), times), one)));
    }
  }
  finish(x, y, cols, step, beta, temperature, select, f32x4.extract_lane(m, 0), f32x4.extract_lane(second, 0), f32x4.extract_lane(t0, 0), f32x4.extract_lane(t1, 0), f32x4.extract_lane(ties, 0), f32x4.extract_lane(uniform, 0), gamma, largest, chosen);
  if (count > 1) finish(x1, y + 4, cols, step, beta, temperature, select, f32x4.extract_lane(m, 1), f32x4.extract_lane(second, 1), f32x4.extract_lane(t0, 1), f32x4.extract_lane(t1, 1), f32x4.extract_lane(ties, 1), f32x4.extract_lane(uniform, 1), gamma, largest, chosen);
  if (count > 2) finish(x2, y + 8, cols, step, beta, temperature, select, f32x4.extract_lane(m, 2), f32x4.extract_lane(second, 2), f32x4.extract_lane(t0, 2), f32x4.extract_lane(t1, 2), f32x4.extract_lane(ties, 2), f32x4.extract_lane(uniform, 2), gamma, largest, chosen);
  if (count > 3) finish(x3, y + 12, cols, step, beta, temperature, select, f32x4.extract_lane(m, 3), f32x4.extract_lane(second, 3), f32x4.extract_lane(t0, 3), f32x4.extract_lane(t1, 3), f32x4.extract_lane(ties, 3), f32x4.extract_lane(uniform, 3), gamma, largest, chosen);
}
