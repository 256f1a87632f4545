export { ABI_VERSION } from "./lib/abi";

// Up to this many classes are ordered by insertion.
const FEW: i32 = 32;
// Buckets of one digit of 10 bits; a float32 in [0, 1] has three.
const BUCKETS: usize = 1024;

// For each set of lanes (bit i = lane i) the bytes that bring them to the front.
const FRONT: usize = memory.data<u8>([
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15,
  0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15,
  4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 12, 13, 14, 15,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
  0, 1, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7, 8, 9, 10, 11,
  4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2, 3, 8, 9, 10, 11,
  0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11,
  8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7,
  0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7,
  4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
]);
const ONE: usize = memory.data<f64>([1]);
const STEPS: usize = memory.data<i32>([0, 1, 2, 3, 4]);

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

// One row on its way down the ranks: threshold, u, penalty, free ranks, mass before, rank; then the mask of the row.
const U: usize = 8, PENALTY: usize = 16, FREE: usize = 24, BEFORE: usize = 32, RANK: usize = 40, MASK: usize = 48, LEAST: usize = 52;
const HEADER: usize = 64;
// Per level: sums f64[1024], counts i32[1024], edges.
const LEVEL: usize = BUCKETS * 12;

// mask[r, c] = 1 where score(c) <= thresholds[r], else 0; sizes[r] = how many. With classes ranked by (p descending, index ascending), rank from 1, q the grain of p:
//   score = float32(q > 0 ? mass before + (1 - u) q : mass before + 1) + penalty max(0, rank - free)), rounded once, which rises along the ranks
// p: f32[rows, cols] in [0, 1], rows that sum to 1 within 1e-7 cols; thresholds, uniforms: f64[rows], finite; penalty >= 0 (0: no price); mask: u8[rows, cols], sizes: i32[rows].
// work: 37,120 + 32 * (cols + 4) bytes.
//
// Only classes near the cut are ordered: those that are together too improbable to reach the threshold are passed over; digit by digit of the float, buckets that belong to the set
// as a whole are taken, and the bucket at the cut is looked into.
export function f32_mass_sets(p: usize, rows: i32, cols: i32, thresholds: usize, uniforms: usize, penalty: f64, free: f64, mask: usize, sizes: usize, work: usize): void {
  const list = work + HEADER + 3 * LEVEL, room = (<usize>cols + 4) << 2;
  store<f64>(work, penalty, PENALTY);
  store<f64>(work, free, FREE);
  memory.fill(mask, 0, <usize>rows * <usize>cols);
  const step = v128.load32_splat(STEPS, 16), first = v128.load(STEPS);
  for (; rows > 0; rows--, p += <usize>cols << 2, mask += cols, thresholds += 8, uniforms += 8, sizes += 4) {
    const threshold = load<f64>(thresholds);
    store<f64>(work, threshold);
    store<f64>(work, load<f64>(uniforms), U);
    store<f64>(work, 0, BEFORE);
    store<f64>(work, 0, RANK);
    store<usize>(work, mask, MASK);
    // What lies below `least` sums to less than what the threshold lacks to the whole row, so everything before it exceeds the threshold. Rounded down, it is safe.
    const least = <f32>((1 - 1e-6 * <f64>(cols + 1) - threshold) / <f64>cols) * <f32>0.9999999;
    const bound = f32x4.splat(max(0, least));
    store<f32>(work, max(0, least), LEAST);
    let values = list, indices = list + room, at = p;
    let index = first;
    for (const stop = p + ((<usize>cols & ~3) << 2); at < stop; at += 16) {
      const v = v128.load(at), lanes = i32x4.bitmask(f32x4.ge(v, bound)), front = v128.load(FRONT + (<usize>lanes << 4));
      v128.store(values, i8x16.swizzle(v, front));
      v128.store(indices, i8x16.swizzle(index, front));
      index = i32x4.add(index, step);
      const more = <usize>popcnt(lanes) << 2;
      values += more;
      indices += more;
    }
    for (const end = p + (<usize>cols << 2); at < end; at += 4) {
      const v = load<f32>(at);
      if (v < least) continue;
      store<f32>(values, v);
      store<i32>(indices, <i32>((at - p) >> 2));
      values += 4;
      indices += 4;
    }
    take(list, <i32>((values - list) >> 2), room, 20, work, work + HEADER);
    store<i32>(sizes, <i32>load<f64>(work, RANK));
  }
}

// Takes the n classes of the list (values, and indices `room` behind them, by index) in order while their score is at most the threshold; returns how many.
function take(list: usize, n: i32, room: usize, shift: i32, work: usize, level: usize): i32 {
  if (n <= FEW || shift < 0) {
    if (shift >= 0) sort(list, n, room);
    return walk(list, n, room, work);
  }
  const end = list + (<usize>n << 2), counts = level + BUCKETS * 8, ones = <u32>BUCKETS - 1;
  const threshold = load<f64>(work), u = load<f64>(work, U), penalty = load<f64>(work, PENALTY), free = load<f64>(work, FREE);
  let largest: u32 = 0;
  // The first digit has few buckets in use: from that of the smallest that a list can hold up.
  const lowest = shift == 20 ? <usize>(load<u32>(work, LEAST) >> 20) : 0;
  memory.fill(level + (lowest << 3), 0, (BUCKETS - lowest) << 3);
  memory.fill(counts + (lowest << 2), 0, (BUCKETS - lowest) << 2);
  for (let at = list; at < end; at += 4) {
    const digit = (load<u32>(at) >> shift) & ones;
    const s = level + (<usize>digit << 3), c = counts + (<usize>digit << 2);
    store<f64>(s, load<f64>(s) + grain(load<f32>(at)));
    store<i32>(c, load<i32>(c) + 1);
    largest = max(largest, digit);
  }
  // Bits that all of the list have above this digit; the first digit has none.
  const above = shift == 20 ? 0 : load<u32>(list) >> (shift + 10) << (shift + 10);
  // Rounding of a bound can only send a bucket to the exact walk.
  const safe = threshold - 1e-12 * (1 + Math.abs(threshold));
  let left = n, digit = <i32>largest;
  for (; left > 0; digit--) {
    const here = load<i32>(counts + (<usize>digit << 2));
    if (here == 0) continue;
    const before = load<f64>(work, BEFORE), rank = load<f64>(work, RANK), sum = load<f64>(level + (<usize>digit << 3));
    const smallest = grain(reinterpret<f32>(above | (<u32>digit << shift)));
    const score = before + sum + (smallest > 0 ? -u * smallest : 1) + penalty * max(0, rank + <f64>here - free);
    if (score <= safe) {
      store<f64>(work, before + sum, BEFORE);
      store<f64>(work, rank + <f64>here, RANK);
    } else {
      // Its classes in the room behind this list, values and indices as here.
      const next = list + 2 * room;
      let to = next;
      for (let at = list; at < end; at += 4) {
        store<u32>(to, load<u32>(at));
        store<u32>(to + room, load<u32>(at + room));
        to += <usize>(((load<u32>(at) >> shift) & ones) == <u32>digit) << 2;
      }
      if (take(next, here, room, shift - 10, work, level + LEVEL) < here) break;
    }
    left -= here;
  }
  // What stands above the bucket at the cut belongs to the set; a bucket that was looked into has been marked.
  const mask = load<usize>(work, MASK);
  for (let at = list; at < end; at += 4) {
    const m = mask + load<u32>(at + room);
    store<u8>(m, <u8>(left == 0 || <i32>((load<u32>(at) >> shift) & ones) > digit) | load<u8>(m));
  }
  return n - left;
}

// Orders by value descending, equal ones by index, in which they come.
function sort(list: usize, n: i32, room: usize): void {
  for (let at = list + 4, end = list + (<usize>n << 2); at < end; at += 4) {
    const v = load<f32>(at), index = load<u32>(at + room);
    let q = at;
    for (; q > list; q -= 4) {
      const before = load<f32>(q - 4);
      if (before >= v) break;
      store<f32>(q, before);
      store<u32>(q + room, load<u32>(q - 4 + room));
    }
    store<f32>(q, v);
    store<u32>(q + room, index);
  }
}

function walk(list: usize, n: i32, room: usize, work: usize): i32 {
  const threshold = load<f64>(work), rest = 1 - load<f64>(work, U), penalty = load<f64>(work, PENALTY), free = load<f64>(work, FREE), mask = load<usize>(work, MASK);
  let before = load<f64>(work, BEFORE), rank = load<f64>(work, RANK), taken = 0;
  for (; taken < n; taken++, list += 4) {
    const q = grain(load<f32>(list));
    const mass = q > 0 ? before + rest * q : before + 1;
    // Without a price, the product is 0.
    if (!(<f64><f32>(mass + penalty * max(0, rank + 1 - free)) <= threshold)) break;
    store<u8>(mask + load<u32>(list + room), 1);
    before += q;
    rank += 1;
  }
  store<f64>(work, before, BEFORE);
  store<f64>(work, rank, RANK);
  return taken;
}
