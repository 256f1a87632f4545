import { anyNaN, maxLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// At most this many keys are sorted by counting, for each key, the keys before it: no branch, four keys at a time.
const FEW: i32 = 64;
// Four digits of 8 bits; three of 11 are slower, also at a million keys.
const HISTOGRAMS: usize = 4 * 256 * 4;
// Lanes after lane 0, 1, 2, 3.
const AFTER: usize = memory.data<i32>([0, -1, -1, -1, 0, 0, -1, -1, 0, 0, 0, -1, 0, 0, 0, 0]);

// y[r] = the order of row r: y[r, j] is the column of its j-th smallest (descending: largest) value, equal values by column; -0 = +0.
// x: f32[rows, cols], y: i32[rows, cols]; y may be x. The first row with a NaN, else -1 (y is then unspecified).
// scratch: 4096 + 16 * cols bytes.
export function f32_argsort(x: usize, y: usize, rows: i32, cols: i32, descending: i32, scratch: usize): i32 {
  const rowBytes = <usize>cols << 2;
  const flip: u32 = descending ? 0xffffffff : 0;
  for (let r = 0; r < rows; r++, x += rowBytes, y += rowBytes) {
    if (anyNaN(x, cols)) return r;
    order(x, cols, flip, y, scratch, scratch + HISTOGRAMS, scratch + HISTOGRAMS + (rowBytes << 1));
  }
  return -1;
}

// The bytes of scratch that f32_top_k needs.
export function f32_top_k_scratch(cols: i32, k: i32): usize {
  const block = blockLength(cols, k);
  return HISTOGRAMS + (<usize>k << 2) + (<usize>(cols / max(block, 16) + 1) << 2) + 64 + <usize>capacity(cols, k, block) * 28;
}

// values[r], indices[r]: the k largest of row r, largest first, equal values by column (byIndex: the same set, in the order of the columns).
// x: f32[rows, cols], values: f32[rows, k], indices: i32[rows, k], 1 <= k <= cols. The first row with a NaN, else -1.
//
// The k-th largest of the maxima of disjoint blocks bounds the k-th largest element from below, and elements above it can only lie in k - 1
// blocks: one pass of maxima, one look into those blocks, and never more than (k - 1) * block + k candidates to sort, whatever the input.
export function f32_top_k(x: usize, rows: i32, cols: i32, k: i32, values: usize, indices: usize, byIndex: i32, scratch: usize): i32 {
  const block = blockLength(cols, k);
  const room = <usize>capacity(cols, k, block);
  const heap = scratch + HISTOGRAMS;
  const maxima = (heap + (<usize>k << 2) + 15) & ~15;
  const first = (maxima + (<usize>(cols / max(block, 16) + 1) << 2) + 15) & ~15;
  const held = first + (room << 4), columns = held + (room << 2), ranks = columns + (room << 2);
  for (let r = 0; r < rows; r++, x += <usize>cols << 2, values += <usize>k << 2, indices += <usize>k << 2) {
    let from = x, count = cols;
    if (block > 1) {
      if (blockMaxima(x, cols, block, maxima)) return r;
      const bound = kthLargest(maxima, (cols + block - 1) / block, k, heap);
      count = gather(x, cols, block, maxima, bound, k, held, columns);
      from = held;
    } else {
      if (anyNaN(x, cols)) return r;
      if (block == 1) {
        store<f32>(maxima, Infinity);
        count = gather(x, cols, cols, maxima, kthLargest(x, cols, k, heap), k, held, columns);
        from = held;
      }
    }
    order(from, count, 0xffffffff, ranks, scratch, first, first + (room << 3));
    if (byIndex) byColumn(from, count, k, ranks);
    for (let j: usize = 0; j < <usize>k << 2; j += 4) {
      const at = <usize>load<i32>(ranks + j) << 2;
      store<f32>(values + j, load<f32>(from + at));
      store<i32>(indices + j, from == held ? load<i32>(columns + at) : <i32>(at >> 2));
    }
  }
  return -1;
}

// Elements per block; 1: every element is a block; 0: k is so large that the row is sorted.
function blockLength(cols: i32, k: i32): i32 {
  if (cols <= FEW) return 0;
  if (k <= cols >> 8) return 64;
  if (k <= cols >> 6) return 16;
  return k <= 128 && (k << 1) <= cols ? 1 : 0;
}

function capacity(cols: i32, k: i32, block: i32): i32 {
  return block ? (k - 1) * block + k : cols;
}

// maxima[b] = the largest of block b, a multiple of 16 elements (the last may be shorter); true if there is a NaN.
function blockMaxima(x: usize, cols: i32, block: i32, maxima: usize): bool {
  const end = x + (<usize>cols << 2), whole = x + ((<usize>cols & ~15) << 2);
  let nan = i32x4.splat(0);
  while (x < whole) {
    const stop = min(x + (<usize>block << 2), whole);
    let a = v128.load(x), b = a;
    for (; x < stop; x += 64) {
      const v0 = v128.load(x), v1 = v128.load(x, 16), v2 = v128.load(x, 32), v3 = v128.load(x, 48);
      nan = v128.or(nan, v128.or(v128.or(f32x4.ne(v0, v0), f32x4.ne(v1, v1)), v128.or(f32x4.ne(v2, v2), f32x4.ne(v3, v3))));
      a = f32x4.pmax(a, f32x4.pmax(v0, v1));
      b = f32x4.pmax(b, f32x4.pmax(v2, v3));
    }
    store<f32>(maxima, maxLanes(f32x4.pmax(a, b)));
    maxima += 4;
  }
  let found = v128.any_true(nan);
  if (x < end) {
    // The remainder joins the last block if that one is short, else it is a block of its own.
    let top: f32 = -Infinity;
    if ((cols & ~15) % block) {
      maxima -= 4;
      top = load<f32>(maxima);
    }
    for (; x < end; x += 4) {
      const v = load<f32>(x);
      if (v != v) found = true;
      top = v > top ? v : top;
    }
    store<f32>(maxima, top);
  }
  return found;
}

// The k-th largest of n values without NaN, in a heap of k floats with the smallest on top.
function kthLargest(x: usize, n: i32, k: i32, heap: usize): f32 {
  memory.copy(heap, x, <usize>k << 2);
  for (let i = (k >> 1) - 1; i >= 0; i--) siftDown(heap, k, i, load<f32>(heap + (<usize>i << 2)));
  const end = x + (<usize>n << 2);
  let p = x + (<usize>k << 2), bound = load<f32>(heap);
  for (const stop = end - 12; p < stop; p += 16) {
    let above = i32x4.bitmask(f32x4.gt(v128.load(p), f32x4.splat(bound)));
    for (; above; above &= above - 1) {
      const v = load<f32>(p + (<usize>ctz(above) << 2));
      if (v > bound) {
        siftDown(heap, k, 0, v);
        bound = load<f32>(heap);
      }
    }
  }
  for (; p < end; p += 4) {
    const v = load<f32>(p);
    if (v > bound) {
      siftDown(heap, k, 0, v);
      bound = load<f32>(heap);
    }
  }
  return bound;
}

function siftDown(heap: usize, k: i32, at: i32, v: f32): void {
  for (;;) {
    let child = (at << 1) + 1;
    if (child >= k) break;
    let least = load<f32>(heap + (<usize>child << 2));
    if (child + 1 < k) {
      const right = load<f32>(heap + (<usize>child << 2), 4);
      if (right < least) {
        least = right;
        child++;
      }
    }
    if (!(least < v)) break;
    store<f32>(heap + (<usize>at << 2), least);
    at = child;
  }
  store<f32>(heap + (<usize>at << 2), v);
}

// Candidates in the order of the columns: all elements above `bound`, and the first k that equal it. Their number.
function gather(x: usize, cols: i32, block: i32, maxima: usize, bound: f32, k: i32, held: usize, columns: usize): i32 {
  const start = held;
  const bounds = f32x4.splat(bound);
  for (let from = 0; from < cols; from += block, maxima += 4) {
    const top = load<f32>(maxima);
    if (top < bound || (top == bound && k == 0)) continue;
    const to = min(cols, from + block);
    let i = from;
    for (const stop = to - 3; i < stop; i += 4) {
      let mask = i32x4.bitmask(f32x4.ge(v128.load(x + (<usize>i << 2)), bounds));
      for (; mask; mask &= mask - 1) {
        const c = i + ctz(mask);
        const v = load<f32>(x + (<usize>c << 2));
        if (v == bound && --k < 0) {
          k = 0;
          continue;
        }
        store<f32>(held, v);
        store<i32>(columns, c);
        held += 4;
        columns += 4;
      }
    }
    for (; i < to; i++) {
      const v = load<f32>(x + (<usize>i << 2));
      if (v < bound) continue;
      if (v == bound && --k < 0) {
        k = 0;
        continue;
      }
      store<f32>(held, v);
      store<i32>(columns, i);
      held += 4;
      columns += 4;
    }
  }
  return <i32>((held - start) >> 2);
}

// ranks: the order of n candidates, of which the first k are wanted. Puts those into the order of the candidates.
function byColumn(held: usize, n: i32, k: i32, ranks: usize): void {
  const last = load<f32>(held + (<usize>load<i32>(ranks + (<usize>(k - 1) << 2)) << 2));
  let ties = 0;
  for (let j = k - 1; j >= 0 && load<f32>(held + (<usize>load<i32>(ranks + (<usize>j << 2)) << 2)) == last; j--) ties++;
  for (let i = 0; i < n; i++) {
    const v = load<f32>(held + (<usize>i << 2));
    if (v < last || (v == last && --ties < 0)) continue;
    store<i32>(ranks, i);
    ranks += 4;
  }
}

// Bits whose order as unsigned integers is that of the floats; -0 becomes +0. flip: 0 ascending, all ones descending.
// @ts-ignore: decorator
@inline
function keyOf(p: usize, flip: u32): u32 {
  const bits = reinterpret<u32>(load<f32>(p) + <f32>0);
  return bits ^ (<u32>(<i32>bits >> 31) | 0x80000000) ^ flip;
}

// y: the stable order of the n keys of x. a, b: room for n pairs (key above, index below) each. y may be x.
function order(x: usize, n: i32, flip: u32, y: usize, histogram: usize, a: usize, b: usize): void {
  if (n <= FEW) {
    countBefore(x, n, flip, y, a);
    return;
  }
  memory.fill(histogram, 0, HISTOGRAMS);
  for (let p = x, end = x + (<usize>n << 2); p < end; p += 4) {
    const key = keyOf(p, flip);
    count(histogram, key & 255);
    count(histogram + 1024, (key >> 8) & 255);
    count(histogram + 2048, (key >> 16) & 255);
    count(histogram + 3072, key >> 24);
  }
  for (let digit: usize = 0; digit < 4; digit++) starts(histogram + (digit << 10));
  keysToPairs(x, n, flip, a, histogram);
  pairsToPairs(a, n, b, histogram + 1024, 40);
  pairsToPairs(b, n, a, histogram + 2048, 48);
  pairsToIndices(a, n, y, histogram + 3072);
}

// The same for few keys: y[number of keys before key i] = i.
function countBefore(x: usize, n: i32, flip: u32, y: usize, keys: usize): void {
  const end = keys + (<usize>n << 2);
  for (let p = keys; p < end; p += 4, x += 4) store<u32>(p, keyOf(x, flip));
  for (let own = keys, i = 0; own < end; own += 16) {
    const k = v128.load(own);
    let before = i32x4.splat(0), p = keys;
    for (; p < own; p += 4) before = i32x4.sub(before, i32x4.le_u(v128.load32_splat(p), k));
    const stop = min(own + 16, end);
    for (let after = AFTER; p < stop; p += 4, after += 16) {
      const other = v128.load32_splat(p);
      before = i32x4.sub(before, v128.or(i32x4.lt_u(other, k), v128.and(i32x4.eq(other, k), v128.load(after))));
    }
    for (; p < end; p += 4) before = i32x4.sub(before, i32x4.lt_u(v128.load32_splat(p), k));
    store<i32>(y + (<usize>i32x4.extract_lane(before, 0) << 2), i++);
    if (i < n) store<i32>(y + (<usize>i32x4.extract_lane(before, 1) << 2), i++);
    if (i < n) store<i32>(y + (<usize>i32x4.extract_lane(before, 2) << 2), i++);
    if (i < n) store<i32>(y + (<usize>i32x4.extract_lane(before, 3) << 2), i++);
  }
}

// @ts-ignore: decorator
@inline
function count(histogram: usize, digit: u32): void {
  const p = histogram + (<usize>digit << 2);
  store<i32>(p, load<i32>(p) + 1);
}

// Counts become the place of each digit's first key.
function starts(histogram: usize): void {
  let next = 0;
  for (const end = histogram + 1024; histogram < end; histogram += 4) {
    const n = load<i32>(histogram);
    store<i32>(histogram, next);
    next += n;
  }
}

// The next place of a digit.
// @ts-ignore: decorator
@inline
function place(histogram: usize, digit: u32): usize {
  const p = histogram + (<usize>digit << 2);
  const at = load<i32>(p);
  store<i32>(p, at + 1);
  return <usize>at;
}

function keysToPairs(x: usize, n: i32, flip: u32, to: usize, histogram: usize): void {
  for (let i = 0; i < n; i++, x += 4) {
    const key = keyOf(x, flip);
    store<u64>(to + (place(histogram, key & 255) << 3), (<u64>key << 32) | <u64>i);
  }
}

function pairsToPairs(from: usize, n: i32, to: usize, histogram: usize, shift: u64): void {
  for (const end = from + (<usize>n << 3); from < end; from += 8) {
    const pair = load<u64>(from);
    store<u64>(to + (place(histogram, <u32>(pair >> shift) & 255) << 3), pair);
  }
}

function pairsToIndices(from: usize, n: i32, to: usize, histogram: usize): void {
  for (const end = from + (<usize>n << 3); from < end; from += 8) {
    const pair = load<u64>(from);
    store<i32>(to + (place(histogram, <u32>(pair >> 56)) << 2), <i32>pair);
  }
}
