import { FRONT } from "./lib/front";
export { ABI_VERSION } from "./lib/abi";

// Up to this many classes are ordered by insertion.
const FEW: i32 = 32;
// Buckets of one digit of 10 bits; a float32 in [0, 1] has three.
const BUCKETS: usize = 1024;

const ONE: usize = memory.data<f64>([1]);
// 1 in every byte.
const MARKS: usize = memory.data<i32>([0x01010101]);

// p rounded to a multiple of 2^-52: sums of a row are then exact in float64, in any order.
// @ts-ignore: decorator
@inline
function grain(p: f32): f64 {
  return <f64>p + 1 - 1;
}

// What the score of the class labels[r] of row r is made of: how many classes stand before it (larger p, or equal p and a smaller index): before[r], the sum of their grains:
// mass[r], and the largest p: top[r].      p: f32[rows, cols] >= 0, labels: i32[rows] in [0, cols), mass: f64[rows], before: i32[rows], top: f32[rows].
export function f32_label_ranks(p: usize, labels: usize, rows: i32, cols: i32, mass: usize, before: usize, top: usize): void {
  const one = v128.load64_splat(ONE);
  for (; rows > 0; rows--, labels += 4, mass += 8, before += 4, top += 4) {
    const end = p + (<usize>cols << 2), label = p + (<usize>load<i32>(labels) << 2), own = load<f32>(label);
    const mine = f32x4.splat(own);
    let total: f64 = 0, largest: f32 = 0, count = 0;
    let s0 = f64x2.splat(0), s1 = s0, n = s0, m = s0;
    let at = p;
    // Up to the vector that holds the label: equal ones count; behind it: larger ones only; that vector alone.
    const whole = p + ((label - p) & ~15), last = p + ((<usize>cols << 2) & ~15);
    for (; at < whole; at += 16) {
      const v = v128.load(at), is = f32x4.ge(v, mine), w = v128.and(v, is);
      n = i32x4.sub(n, is);
      m = f32x4.pmax(m, v);
      s0 = f64x2.add(s0, f64x2.sub(f64x2.add(f64x2.promote_low_f32x4(w), one), one));
      s1 = f64x2.add(s1, f64x2.sub(f64x2.add(f64x2.promote_low_f32x4(v128.shuffle<f32>(w, w, 2, 3, 0, 1)), one), one));
    }
    for (const stop = min(at + 16, end); at < stop; at += 4) {
      const q = load<f32>(at);
      largest = max(largest, q);
      if (q > own || (q == own && at < label)) {
        total += grain(q);
        count++;
      }
    }
    for (; at < last; at += 16) {
      const v = v128.load(at), is = f32x4.gt(v, mine), w = v128.and(v, is);
      n = i32x4.sub(n, is);
      m = f32x4.pmax(m, v);
      s0 = f64x2.add(s0, f64x2.sub(f64x2.add(f64x2.promote_low_f32x4(w), one), one));
      s1 = f64x2.add(s1, f64x2.sub(f64x2.add(f64x2.promote_low_f32x4(v128.shuffle<f32>(w, w, 2, 3, 0, 1)), one), one));
    }
    for (; at < end; at += 4) {
      const q = load<f32>(at);
      largest = max(largest, q);
      if (q > own) {
        total += grain(q);
        count++;
      }
    }
    s0 = f64x2.add(s0, s1);
    store<f64>(mass, total + f64x2.extract_lane(s0, 0) + f64x2.extract_lane(s0, 1));
    store<i32>(before, count + i32x4.extract_lane(n, 0) + i32x4.extract_lane(n, 1) + i32x4.extract_lane(n, 2) + i32x4.extract_lane(n, 3));
    m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 2, 3, 0, 1));
    store<f32>(top, max(largest, max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1))));
    p = end;
  }
}

// One row on its way down the ranks: threshold, u, penalty, free ranks, mass before, rank; the smallest p that is taken, how many of those equal to it (-1: all), the least candidate.
const U: usize = 8, PENALTY: usize = 16, FREE: usize = 24, BEFORE: usize = 32, RANK: usize = 40, LIMIT: usize = 48, TIES: usize = 52, LEAST: usize = 56, BELOW: usize = 60;
const HEADER: usize = 64;
// Per level 32 bytes a bucket: two sums f64 and two counts i32, of every other value each: a sum that was just written is not waited for.
const LEVEL: usize = BUCKETS * 32;

// mask[r, c] = 1 where score(c) <= thresholds[r], else 0; sizes[r] = how many. With classes ranked by (p descending, index ascending), rank from 1, q the grain of p:
//   score = float32((q > 0 ? mass before + (1 - u) q : mass before + 1) + penalty max(0, rank - free)), rounded once, which rises along the ranks
// p: f32[rows, cols] in [0, 1], rows that sum to 1 within 1e-7 cols; thresholds, uniforms: f64[rows], finite; penalty >= 0 (0: no price); mask: u8[rows, cols], sizes: i32[rows].
// work: 98,368 + 16 * (cols + 4) bytes.
//
// The set is { c : p_c >= limit } but for ties at the limit. Only probabilities near it are ordered: those that are together too small to reach the threshold are passed over; digit
// by digit of the float, buckets that belong to the set as a whole are taken, and the bucket at the cut is looked into.
export function f32_mass_sets(p: usize, rows: i32, cols: i32, thresholds: usize, uniforms: usize, penalty: f64, free: f64, mask: usize, sizes: usize, work: usize): void {
  const list = work + HEADER + 3 * LEVEL, room = (<usize>cols + 4) << 2;
  store<f64>(work, penalty, PENALTY);
  store<f64>(work, free, FREE);
  let guess: f32 = 0;
  for (; rows > 0; rows--, p += <usize>cols << 2, mask += cols, thresholds += 8, uniforms += 8, sizes += 4) {
    const threshold = load<f64>(thresholds);
    store<f64>(work, threshold);
    store<f64>(work, load<f64>(uniforms), U);
    store<f64>(work, 0, BEFORE);
    store<f64>(work, 0, RANK);
    store<f32>(work, Infinity, LIMIT);
    store<i32>(work, -1, TIES);
    // What lies below `least` sums to less than what the threshold lacks to the whole row, so everything before it exceeds the threshold. Rounded down, it is safe.
    const least = max<f32>(0, <f32>((1 - 1e-6 * <f64>(cols + 1) - threshold) / <f64>cols) * <f32>0.9999999);
    // Half the limit of the row before leaves far fewer; what it passes over is added up, and must not reach what the threshold lacks either. A float32 sum is within 1e-3.
    let candidates = -1;
    if (guess > least && cols <= 8192) {
      candidates = between(p, cols, guess, Infinity, list, work + BELOW);
      if (<f64>load<f32>(work, BELOW) * 1.001 < 1 - 1e-6 * <f64>(cols + 1) - threshold) store<f32>(work, guess, LEAST);
      else candidates = -1;
    }
    if (candidates < 0) {
      store<f32>(work, least, LEAST);
      candidates = between(p, cols, least, Infinity, list, work + BELOW);
    }
    take(list, candidates, room, 20, work, work + HEADER);
    store<i32>(sizes, <i32>load<f64>(work, RANK));
    const limit = load<f32>(work, LIMIT);
    write(p, cols, limit, load<i32>(work, TIES), mask);
    guess = limit < Infinity ? limit * <f32>0.5 : 0;
  }
}

// The values v of the list with low <= v < high, in their order, to `to`, which has room for 4 more; returns how many. below: f32, the sum of those below.
function between(list: usize, n: i32, low: f32, high: f32, to: usize, below: usize): i32 {
  const start = to, end = list + (<usize>n << 2), whole = list + ((<usize>n & ~3) << 2), bottom = f32x4.splat(low), top = f32x4.splat(high);
  let sum = f32x4.splat(0), rest: f32 = 0;
  for (; list < whole; list += 16) {
    const v = v128.load(list), over = f32x4.ge(v, bottom), lanes = i32x4.bitmask(v128.and(over, f32x4.lt(v, top)));
    sum = f32x4.add(sum, v128.andnot(v, over));
    v128.store(to, i8x16.swizzle(v, v128.load(FRONT + (<usize>lanes << 4))));
    to += <usize>popcnt(lanes) << 2;
  }
  for (; list < end; list += 4) {
    const v = load<f32>(list);
    store<f32>(to, v);
    to += <usize>(v >= low && v < high) << 2;
    if (v < low) rest += v;
  }
  store<f32>(below, rest + f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3));
  return <i32>((to - start) >> 2);
}

// Takes the n values of the list in order while their score is at most the threshold; returns how many. shift: the digit in which they differ, negative: they are equal.
function take(list: usize, n: i32, room: usize, shift: i32, work: usize, level: usize): i32 {
  if (n <= FEW || shift < 0) {
    if (shift >= 0) sort(list, n);
    return walk(list, n, work);
  }
  const end = list + (<usize>n << 2), ones = <u32>BUCKETS - 1;
  const threshold = load<f64>(work), u = load<f64>(work, U), penalty = load<f64>(work, PENALTY), free = load<f64>(work, FREE);
  // The first digit has few buckets in use: from that of the smallest that a list can hold up.
  const lowest = shift == 20 ? <usize>(load<u32>(work, LEAST) >> 20) : 0, zero = i64x2.splat(0);
  for (let to = level + (lowest << 5); to < level + LEVEL; to += 32) {
    v128.store(to, zero);
    v128.store(to, zero, 16);
  }
  let largest: u32 = 0, at = list;
  for (const stop = end - 4; at < stop; at += 8) {
    const a = (load<u32>(at) >> shift) & ones, b = (load<u32>(at, 4) >> shift) & ones, s = level + (<usize>a << 5), t = level + (<usize>b << 5);
    store<f64>(s, load<f64>(s) + grain(load<f32>(at)));
    store<i32>(s, load<i32>(s, 16) + 1, 16);
    store<f64>(t, load<f64>(t, 8) + grain(load<f32>(at, 4)), 8);
    store<i32>(t, load<i32>(t, 20) + 1, 20);
    largest = max(largest, max(a, b));
  }
  if (at < end) {
    const a = (load<u32>(at) >> shift) & ones, s = level + (<usize>a << 5);
    store<f64>(s, load<f64>(s) + grain(load<f32>(at)));
    store<i32>(s, load<i32>(s, 16) + 1, 16);
    largest = max(largest, a);
  }
  // Bits that all of the list have above this digit; the first digit has none.
  const above = shift == 20 ? 0 : load<u32>(list) >> (shift + 10) << (shift + 10);
  // Rounding of a bound can only send a bucket to the exact walk.
  const safe = threshold - 1e-12 * (1 + Math.abs(threshold));
  let left = n, before = load<f64>(work, BEFORE), rank = load<f64>(work, RANK), limit = load<f32>(work, LIMIT);
  for (let digit = largest; left > 0; digit--) {
    const s = level + (<usize>digit << 5), here = load<i32>(s, 16) + load<i32>(s, 20);
    if (here == 0) continue;
    const sum = load<f64>(s) + load<f64>(s, 8);
    const low = reinterpret<f32>(above | (digit << shift)), smallest = grain(low);
    const score = before + sum + (smallest > 0 ? -u * smallest : 1) + penalty * max(0, rank + <f64>here - free);
    if (score <= safe) {
      before += sum;
      rank += <f64>here;
      limit = max(low, load<f32>(work, LEAST));
    } else {
      store<f64>(work, before, BEFORE);
      store<f64>(work, rank, RANK);
      store<f32>(work, limit, LIMIT);
      // Its values behind this list.
      const next = list + room;
      between(list, n, low, reinterpret<f32>(above + ((digit + 1) << shift)), next, work + BELOW);
      if (take(next, here, room, shift - 10, work, level + LEVEL) < here) return n - left;
      before = load<f64>(work, BEFORE);
      rank = load<f64>(work, RANK);
      limit = load<f32>(work, LIMIT);
    }
    left -= here;
  }
  store<f64>(work, before, BEFORE);
  store<f64>(work, rank, RANK);
  store<f32>(work, limit, LIMIT);
  return n;
}

// Largest first.
function sort(list: usize, n: i32): void {
  for (let at = list + 4, end = list + (<usize>n << 2); at < end; at += 4) {
    const v = load<f32>(at);
    let q = at;
    for (; q > list; q -= 4) {
      const before = load<f32>(q - 4);
      if (before >= v) break;
      store<f32>(q, before);
    }
    store<f32>(q, v);
  }
}

function walk(list: usize, n: i32, work: usize): i32 {
  const threshold = load<f64>(work), rest = 1 - load<f64>(work, U), penalty = load<f64>(work, PENALTY), free = load<f64>(work, FREE);
  let before = load<f64>(work, BEFORE), rank = load<f64>(work, RANK), limit = load<f32>(work, LIMIT), taken = 0, equal = 0;
  for (; taken < n; taken++, list += 4) {
    const v = load<f32>(list), q = grain(v);
    const mass = q > 0 ? before + rest * q : before + 1;
    // Without a price, the product is 0.
    if (!(<f64><f32>(mass + penalty * max(0, rank + 1 - free)) <= threshold)) {
      // Equal ones are in one list: those taken come first by index.
      if (v == limit && equal > 0) store<i32>(work, equal, TIES);
      break;
    }
    equal = v == limit ? equal + 1 : 1;
    limit = v;
    before += q;
    rank += 1;
  }
  store<f64>(work, before, BEFORE);
  store<f64>(work, rank, RANK);
  store<f32>(work, limit, LIMIT);
  return taken;
}

// mask[c] = 1 where p[c] >= limit; ties >= 0: where p[c] > limit, and for the first `ties` equal to it.
function write(p: usize, cols: i32, limit: f32, ties: i32, mask: usize): void {
  const bound = f32x4.splat(limit), one = v128.load32_splat(MARKS), end = p + (<usize>cols << 2), whole = p + ((<usize>cols & ~15) << 2);
  for (let at = p, to = mask; at < whole; at += 64, to += 16) {
    const a = i16x8.narrow_i32x4_s(f32x4.ge(v128.load(at), bound), f32x4.ge(v128.load(at, 16), bound));
    const b = i16x8.narrow_i32x4_s(f32x4.ge(v128.load(at, 32), bound), f32x4.ge(v128.load(at, 48), bound));
    v128.store(to, v128.and(i8x16.narrow_i16x8_s(a, b), one));
  }
  for (let at = whole, to = mask + (<usize>cols & ~15); at < end; at += 4, to++) store<u8>(to, <u8>(load<f32>(at) >= limit));
  if (ties < 0) return;
  for (let at = p, to = mask; at < end; at += 4, to++) {
    if (load<f32>(at) == limit && --ties < 0) store<u8>(to, 0);
  }
}
