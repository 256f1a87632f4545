export { ABI_VERSION } from "./lib/abi";

// Up to this many are sorted by insertion; up to WIDE by narrow digits, whose tables are short.
const FEW: i32 = 24, WIDE: i32 = 192;
// What is sorted digit by digit stays in the cache of the first level: more is divided by its leading digit first.
const NEAR: i32 = 6144;
// Unsigned integers in the order of the floats; -0 becomes +0.
// @ts-ignore: decorator
@inline
function keyOf(v: f32): u32 {
  const bits = reinterpret<u32>(v + <f32>0);
  return bits ^ (<u32>(<i32>bits >> 31) | 0x80000000);
}

// @ts-ignore: decorator
@inline
function floatOf(key: u32): f32 {
  return reinterpret<f32>(key ^ (<u32>~(<i32>key >> 31) | 0x80000000));
}

// @ts-ignore: decorator
@inline
function count(table: usize, digit: u32): void {
  const p = table + (<usize>digit << 2);
  store<i32>(p, load<i32>(p) + 1);
}

// The next address of a digit.
// @ts-ignore: decorator
@inline
function place(table: usize, digit: u32): usize {
  const p = table + (<usize>digit << 2);
  const at = load<usize>(p);
  store<usize>(p, at + 4);
  return at;
}

// Counts become the address of each digit's first element.
function starts(table: usize, digits: i32, to: usize): void {
  for (const end = table + (<usize>digits << 2); table < end; table += 4) {
    const c = load<i32>(table);
    store<usize>(table, to);
    to += <usize>c << 2;
  }
}

// Sorts the n integers at a by all bits but the lowest; they end up at b where `move`, else at a. a and b: room for n each. tables: 1 KiB for each of three divisions (each takes 8 of at most 24 bits), then 4 KiB.
function sort(a: usize, b: usize, n: i32, move: bool, tables: usize): void {
  const end = a + (<usize>n << 2);
  if (n <= FEW) {
    for (let p = a + 4; p < end; p += 4) {
      const v = load<u32>(p);
      let q = p;
      for (; q > a; q -= 4) {
        const before = load<u32>(q - 4);
        if (before >> 1 <= v >> 1) break;
        store<u32>(q, before);
      }
      store<u32>(q, v);
    }
    if (move) memory.copy(b, a, end - a);
    return;
  }
  let low = load<u32>(a), high = low;
  for (let p = a; p < end; p += 4) {
    const v = load<u32>(p);
    low = min(low, v);
    high = max(high, v);
  }
  low >>= 1;
  const bits = 32 - clz((high >> 1) - low);
  if (n > NEAR && bits > 8) {
    const shift = bits - 8;
    memory.fill(tables, 0, 1024);
    for (let p = a; p < end; p += 4) count(tables, ((load<u32>(p) >> 1) - low) >> shift);
    starts(tables, 256, b);
    for (let p = a; p < end; p += 4) {
      const v = load<u32>(p);
      store<u32>(place(tables, ((v >> 1) - low) >> shift), v);
    }
    let from = b;
    for (let digit: usize = 0; digit < 1024; digit += 4) {
      const to = load<usize>(tables + digit);
      if (to > from) sort(from, a + (from - b), <i32>((to - from) >> 2), !move, tables + 1024);
      from = to;
    }
    return;
  }
  // All equal: nothing to do. Else digits of equal width, at most 8 bits (few values: 6).
  const most = n < WIDE ? 6 : 8, passes = (bits + most - 1) / most, width = <u32>(passes ? (bits + passes - 1) / passes : 0), digits = 1 << width, mask = <u32>digits - 1, bytes = <usize>digits << 2;
  memory.fill(tables, 0, bytes * <usize>passes);
  if (passes == 2) {
    for (let p = a; p < end; p += 4) {
      const v = (load<u32>(p) >> 1) - low;
      count(tables, v & mask);
      count(tables + bytes, v >> width);
    }
  } else if (passes == 3) {
    for (let p = a; p < end; p += 4) {
      const v = (load<u32>(p) >> 1) - low;
      count(tables, v & mask);
      count(tables + bytes, (v >> width) & mask);
      count(tables + bytes * 2, v >> (2 * width));
    }
  } else {
    for (let p = a; p < end; p += 4) {
      let v = (load<u32>(p) >> 1) - low;
      for (let pass = 0, t = tables; pass < passes; pass++, t += bytes, v >>= width) count(t, v & mask);
    }
  }
  let from = a, to = b;
  for (let pass = 0, shift: u32 = 1; pass < passes; pass++, shift += width, tables += bytes) {
    starts(tables, digits, to);
    for (let p = from, stop = from + (<usize>n << 2); p < stop; p += 4) {
      const v = load<u32>(p);
      store<u32>(place(tables, ((v - low - low) >> shift) & mask), v);
    }
    const done = from;
    from = to;
    to = done;
  }
  const wanted = move ? b : a;
  if (from != wanted) memory.copy(wanted, from, end - a);
}

// The distinct values of x in increasing order: values[k], how often each is there: counts[k], and how often with mask 1: ones[k].
//
// x: f32[n], mask: u8[n] of 0 and 1, n >= 1; values: f32[n], counts and ones: i32[n]; -0 = +0. x is overwritten. Nothing overlaps. work: 32 KiB.
// The leading digit divides the values into buckets; what is left of a value, with its mask as the lowest bit, is sorted there. In pieces, so that a caller can pause:
//   f32_tally_start, f32_tally_scan over all of x, f32_tally_plan, f32_tally_count over all of x, f32_tally_places, f32_tally_divide over all of x and mask, f32_tally_groups until it is done.

// work: least key, largest key, shift, buckets, next bucket, its address, last group's offset; then the buckets' ends.
const HIGH: usize = 4, SHIFT: usize = 8, BUCKETS: usize = 12, NEXT: usize = 16, FROM: usize = 20, GROUP: usize = 24, ENDS: usize = 64;
const TABLES: usize = ENDS + 2048 * 4;

export function f32_tally_start(work: usize): void {
  store<u32>(work, 0xffffffff);
  store<u32>(work, 0, HIGH);
}

// 1 where there is a NaN.
export function f32_tally_scan(x: usize, n: i32, work: usize): i32 {
  let low = load<u32>(work), high = load<u32>(work, HIGH), nan = 0;
  for (const end = x + (<usize>n << 2); x < end; x += 4) {
    const v = load<f32>(x), key = keyOf(v);
    nan |= <i32>(v != v);
    low = min(low, key);
    high = max(high, key);
  }
  store<u32>(work, low);
  store<u32>(work, high, HIGH);
  return nan;
}

// 1 where a byte of the mask is neither 0 nor 1.
export function u8_no_mask(mask: usize, n: i32): i32 {
  let bits: u8 = 0, all = i64x2.splat(0);
  const end = mask + n, whole = mask + (n & ~15);
  for (; mask < whole; mask += 16) all = v128.or(all, v128.load(mask));
  for (; mask < end; mask++) bits |= load<u8>(mask);
  const words = (i64x2.extract_lane(all, 0) | i64x2.extract_lane(all, 1)) & <i64>0xfefefefefefefefe;
  return <i32>(words != 0 || bits > 1);
}

// How many bytes of a mask of 0 and 1 are 1.
export function u8_ones(mask: usize, n: i32): i32 {
  let sum = i32x4.splat(0), rest = 0;
  const end = mask + n, whole = mask + (n & ~15);
  for (; mask < whole; mask += 16) sum = i32x4.add(sum, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(v128.load(mask))));
  for (; mask < end; mask++) rest += load<u8>(mask);
  return rest + i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
}

// 1 where an element is not in [low, high]; NaN is in none.
export function f32_outside(x: usize, n: i32, low: f32, high: f32): i32 {
  const least = f32x4.splat(low), most = f32x4.splat(high), end = x + (<usize>n << 2), whole = x + ((<usize>n & ~3) << 2);
  let all = i32x4.splat(-1), good: bool = true;
  for (; x < whole; x += 16) {
    const v = v128.load(x);
    all = v128.and(all, v128.and(f32x4.ge(v, least), f32x4.le(v, most)));
  }
  for (; x < end; x += 4) {
    const v = load<f32>(x);
    good = good && v >= low && v <= high;
  }
  return <i32>!(good && i32x4.all_true(all));
}

// n: of all of x.
export function f32_tally_plan(n: i32, work: usize): void {
  const bits = <i32>(32 - clz(load<u32>(work, HIGH) - load<u32>(work)));
  // At least 256 values to a bucket on average, at most 24 bits left.
  const leading = max(bits - 24, min(11, max(1, 23 - clz(n))));
  store<i32>(work, max(0, bits - leading), SHIFT);
  store<i32>(work, 1 << leading, BUCKETS);
  memory.fill(work + ENDS, 0, <usize>4 << leading);
}

export function f32_tally_count(x: usize, n: i32, work: usize): void {
  const low = load<u32>(work), shift = load<u32>(work, SHIFT), ends = work + ENDS;
  for (const end = x + (<usize>n << 2); x < end; x += 4) count(ends, (keyOf(load<f32>(x)) - low) >> shift);
}

export function f32_tally_places(values: usize, work: usize): void {
  starts(work + ENDS, load<i32>(work, BUCKETS), values);
  store<i32>(work, 0, NEXT);
  store<usize>(work, values, FROM);
  store<usize>(work, <usize>-4, GROUP);
}

export function f32_tally_divide(x: usize, mask: usize, n: i32, work: usize): void {
  const low = load<u32>(work), shift = load<u32>(work, SHIFT), rest = (<u32>1 << shift) - 1, ends = work + ENDS;
  for (const end = x + (<usize>n << 2); x < end; x += 4, mask++) {
    const key = keyOf(load<f32>(x)) - low;
    store<u32>(place(ends, key >> shift), ((key & rest) << 1) | <u32>load<u8>(mask));
  }
}

// Sorts and groups buckets until `most` values are done or all are; the number of groups so far, negative (-1 - it) when all are done.
export function f32_tally_groups(x: usize, values: usize, counts: usize, ones: usize, most: i32, work: usize): i32 {
  const shift = load<u32>(work, SHIFT), buckets = load<i32>(work, BUCKETS);
  let bucket = load<i32>(work, NEXT), from = load<usize>(work, FROM), group = load<usize>(work, GROUP);
  const stop = from + (<usize>most << 2);
  for (; bucket < buckets && from < stop; bucket++) {
    const to = load<usize>(work + ENDS + (<usize>bucket << 2));
    if (to == from) continue;
    let at = x + (from - values);
    sort(from, at, <i32>((to - from) >> 2), true, work + TABLES);
    from = to;
    const base = load<u32>(work) + (<u32>bucket << shift);
    let last: u32 = 0xffffffff;
    // Groups take the place of what is sorted: never more of them than values before.
    for (const end = x + (to - values); at < end; at += 4) {
      const v = load<u32>(at), key = v >> 1, next = <u32>(key != last);
      last = key;
      group += <usize>next << 2;
      store<f32>(values + group, floatOf(base + key));
      store<i32>(counts + group, (next ? 0 : load<i32>(counts + group)) + 1);
      store<i32>(ones + group, (next ? 0 : load<i32>(ones + group)) + (v & 1));
    }
  }
  store<i32>(work, bucket, NEXT);
  store<usize>(work, from, FROM);
  store<usize>(work, group, GROUP);
  const groups = <i32>(group >> 2) + 1;
  return bucket < buckets ? groups : -1 - groups;
}

// What follows reads the groups of a tally in their order: values f32, counts and ones i32, as many as `groups`. Sums in float64.

// Twice the number of pairs of a 1 and a 0 with the 1 at the larger value, equal values counting one.
export function f32_tally_pairs(counts: usize, ones: usize, groups: i32): f64 {
  let total: f64 = 0, below: f64 = 0;
  for (const end = counts + (<usize>groups << 2); counts < end; counts += 4, ones += 4) {
    const one = load<i32>(ones), low = <f64>(load<i32>(counts) - one);
    total += <f64>one * (2 * below + low);
    below += low;
  }
  return total;
}

// From the largest value down, ones spread evenly over equal values: sums[0] = sum_i share of ones among the first i rows, sums[1] = sum_i i times that share.
// marks[i - 1]: 2 where a value begins, and 1 for as many of its rows as it has ones.      marks: u8[rows], sums: f64[2].
export function f32_tally_risk(counts: usize, ones: usize, groups: i32, marks: usize, sums: usize): void {
  let sum: f64 = 0, weighted: f64 = 0, total: f64 = 0, rows: f64 = 0;
  for (let k = <usize>groups << 2; k > 0; k -= 4) {
    const count = load<i32>(counts + k - 4), yes = load<i32>(ones + k - 4), wrong = <f64>yes;
    // One row is the common case, and spares a division.
    if (count == 1) {
      rows += 1;
      const share = (total + wrong) / rows;
      sum += share;
      weighted += rows * share;
      store<u8>(marks++, <u8>(yes | 2));
    } else {
      for (let j = 1; j <= count; j++) {
        rows += 1;
        const share = (total + (wrong * <f64>j) / <f64>count) / rows;
        sum += share;
        weighted += rows * share;
        store<u8>(marks++, <u8>(<i32>(j <= yes) | (<i32>(j == 1) << 1)));
      }
    }
    total += wrong;
  }
  store<f64>(sums, sum);
  store<f64>(sums, weighted, 8);
}

// sum_{i = 1..n} i / (more + i).
export function f64_rise(more: f64, n: i32): f64 {
  let sum: f64 = 0;
  for (let i = 1; i <= n; i++) sum += <f64>i / (more + <f64>i);
  return sum;
}

// Cumulative sums of mask - c at the ends of values, a c above 1 as 1: sums = (largest, smallest, both at least or at most 0; sum c (1 - c), sum (mask - c)^2, sum mask).
export function f32_tally_differences(values: usize, counts: usize, ones: usize, groups: i32, sums: usize): void {
  let sum: f64 = 0, high: f64 = 0, low: f64 = 0, variance: f64 = 0, squares: f64 = 0, right: f64 = 0;
  for (const end = values + (<usize>groups << 2); values < end; values += 4, counts += 4, ones += 4) {
    const c = min<f64>(1, <f64>load<f32>(values)), count = <f64>load<i32>(counts), yes = <f64>load<i32>(ones), rest = 1 - c;
    sum += yes - count * c;
    squares += yes * rest * rest + (count - yes) * c * c;
    variance += count * c * rest;
    right += yes;
    high = max(high, sum);
    low = min(low, sum);
  }
  store<f64>(sums, high);
  store<f64>(sums, low, 8);
  store<f64>(sums, variance, 16);
  store<f64>(sums, squares, 24);
  store<f64>(sums, right, 32);
}

// Bins of equal count of n rows, the first n mod bins with one row more, equal values in the lower one: table[b] = (sum c, sum (mask - c)^2, rows, ones) as f64, f64, i32, i32.
export function f32_tally_bins(values: usize, counts: usize, ones: usize, groups: i32, n: i32, bins: i32, table: usize): void {
  const whole = n / bins, rest = n % bins;
  memory.fill(table, 0, <usize>bins * 24);
  let next = whole + <i32>(rest > 0), b = 0, rows = 0, first = 0, right = 0, sum: f64 = 0, squares: f64 = 0;
  for (const end = values + (<usize>groups << 2); values < end; values += 4, counts += 4, ones += 4) {
    if (next <= rows && b + 1 < bins) {
      store<f64>(table, sum);
      store<f64>(table, squares, 8);
      store<i32>(table, rows - first, 16);
      store<i32>(table, right, 20);
      sum = 0;
      squares = 0;
      right = 0;
      first = rows;
      while (b + 1 < bins && next <= rows) {
        b++;
        table += 24;
        next = (b + 1) * whole + min(b + 1, rest);
      }
    }
    const c = <f64>load<f32>(values), count = load<i32>(counts), yes = load<i32>(ones), off = 1 - c;
    sum += <f64>count * c;
    squares += <f64>yes * off * off + <f64>(count - yes) * c * c;
    right += yes;
    rows += count;
  }
  store<f64>(table, sum);
  store<f64>(table, squares, 8);
  store<i32>(table, rows - first, 16);
  store<i32>(table, right, 20);
}

// Pools adjacent violators: takes the groups [from, end) into the stack of blocks (index of the first group, rows, ones) so that ones / rows rises strictly; returns its height.
export function i32_pool(counts: usize, ones: usize, from: i32, end: i32, first: usize, rows: usize, sums: usize, blocks: i32): i32 {
  // Offsets of the next block.
  let top = <usize>blocks << 2;
  for (let i = from; i < end; i++) {
    let count = load<i32>(counts + (<usize>i << 2)), sum = load<i32>(ones + (<usize>i << 2)), at = i;
    while (top > 0 && <i64>load<i32>(sums + top - 4) * <i64>count >= <i64>sum * <i64>load<i32>(rows + top - 4)) {
      top -= 4;
      at = load<i32>(first + top);
      count += load<i32>(rows + top);
      sum += load<i32>(sums + top);
    }
    store<i32>(first + top, at);
    store<i32>(rows + top, count);
    store<i32>(sums + top, sum);
    top += 4;
  }
  return <i32>(top >> 2);
}

// 1 as f32, bytes of a cell.
const MOMENTS: usize = memory.data<i32>([0x3f800000, 48]);

// Residuals r = mask - c in `size` cells of [0, 1], x = where in its cell (0 to 1) a row stands: cells[j] += (r, r x, r x^2, r x^3, r^2, mask). A c above 1 counts as 1, which is in
// the last cell. c: f32[n] >= 0, mask: u8[n], size: a power of two, so that c size and x are exact in float32; cells: f64[size, 6].
export function f32_residual_moments(c: usize, mask: usize, n: i32, size: i32, cells: usize): void {
  const one = v128.load32_splat(MOMENTS), scale = f32x4.splat(<f32>size), last = i32x4.splat(size - 1), bytes = v128.load32_splat(MOMENTS, 4);
  for (const whole = c + ((<usize>n & ~3) << 2); c < whole; c += 16, mask += 4) {
    const v = f32x4.pmin(v128.load(c), one), at = f32x4.mul(v, scale), j = i32x4.min_s(i32x4.trunc_sat_f32x4_s(at), last), x = f32x4.sub(at, f32x4.convert_i32x4_s(j));
    const m = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(mask))), offset = i32x4.mul(j, bytes);
    addTwo(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(x), f64x2.convert_low_i32x4_s(m), cells + <usize>i32x4.extract_lane(offset, 0), cells + <usize>i32x4.extract_lane(offset, 1));
    addTwo(
      f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 0, 1)), f64x2.promote_low_f32x4(v128.shuffle<f32>(x, x, 2, 3, 0, 1)), f64x2.convert_low_i32x4_s(v128.shuffle<f32>(m, m, 2, 3, 0, 1)),
      cells + <usize>i32x4.extract_lane(offset, 2), cells + <usize>i32x4.extract_lane(offset, 3),
    );
  }
  for (const end = c + ((<usize>n & 3) << 2); c < end; c += 4, mask++) {
    const v = min<f64>(1, <f64>load<f32>(c)), at = v * <f64>size, j = min<i32>(<i32>at, size - 1), m = f64x2.splat(<f64>load<u8>(mask)), cell = cells + <usize>j * 48;
    addOne(f64x2.sub(m, f64x2.splat(v)), f64x2.splat(at - <f64>j), m, cell);
  }
}

// Both lanes of r, x and m are those of one row.
// @ts-ignore: decorator
@inline
function addOne(r: v128, x: v128, m: v128, cell: usize): void {
  const q = f64x2.mul(x, x), even = v128.shuffle<f64>(r, f64x2.mul(r, x), 0, 2);
  addMoments(even, f64x2.mul(even, q), v128.shuffle<f64>(f64x2.mul(r, r), m, 0, 2), cell);
}

// @ts-ignore: decorator
@inline
function addTwo(v: v128, x: v128, m: v128, first: usize, second: usize): void {
  const r = f64x2.sub(m, v), q = f64x2.mul(x, x), r1 = f64x2.mul(r, x), r2 = f64x2.mul(r, q), r3 = f64x2.mul(r1, q), square = f64x2.mul(r, r);
  addMoments(v128.shuffle<f64>(r, r1, 0, 2), v128.shuffle<f64>(r2, r3, 0, 2), v128.shuffle<f64>(square, m, 0, 2), first);
  addMoments(v128.shuffle<f64>(r, r1, 1, 3), v128.shuffle<f64>(r2, r3, 1, 3), v128.shuffle<f64>(square, m, 1, 3), second);
}

// @ts-ignore: decorator
@inline
function addMoments(a: v128, b: v128, c: v128, cell: usize): void {
  v128.store(cell, f64x2.add(v128.load(cell), a));
  v128.store(cell, f64x2.add(v128.load(cell, 16), b), 16);
  v128.store(cell, f64x2.add(v128.load(cell, 32), c), 32);
}
