import { PAD, high, highPairs, low, lowPairs, packColumns, packRows, put, tile4, tile6, transposeFour } from "./lib/tile";
import { madd } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Products are summed in the order of k, in blocks of DEPTH: each block from zero, then the block sums in order. Every path below
// keeps this one order, so a result has the same bits whatever the sizes, strides and tiles around it.
const DEPTH: i32 = 256;
// Columns of B that are packed at a time: DEPTH x WIDTH floats stay in the second-level cache.
const WIDTH: i32 = 512;
// Columns summed at a time where A is one row: they stay in the first-level cache.
const SEGMENT: i32 = 1024;

// Bytes of `work`: one packed panel of A, one tile, packed B. The row path needs 4 * SEGMENT.
const PANEL: usize = 24 * <usize>DEPTH;
const TILE: usize = 192;

// c[i, j] (add: +)= sum_p a[i, p] b[p, j]      a: f32[m, k], b: f32[k, n], c: f32[m, n]; m, n, k >= 1.
// Row i is made for columns j < i + reach, and for some beyond: n for all of them, 1 for a lower triangle. What it leaves out is not written.
// Strides are in elements; of aRow and aCol one is 1, of bRow and bCol one is 1. c overlaps neither a nor b.
// work: 4 * (6 * 256 + 48) + (4 * min(k, 256) + 16) * (min(n, 512) rounded up to 8) bytes, at least 4096, on a 16-byte boundary.
// NaN and infinities go where IEEE sums take them. Reads what the shapes cover, and nothing else.
export function f32_gemm(a: usize, aRow: usize, aCol: usize, b: usize, bRow: usize, bCol: usize, c: usize, cRow: usize, m: i32, n: i32, k: i32, add: i32, reach: i32, work: usize): void {
  aRow <<= 2;
  aCol <<= 2;
  bRow <<= 2;
  bCol <<= 2;
  cRow <<= 2;
  if (m <= 2 && (aCol == 4 || k == 1) && (m == 1 || bCol == 4)) {
    for (; m > 0; m--, a += aRow, c += cRow) row(a, b, bRow, bCol, c, n, k, add, work);
    return;
  }
  if (n == 1 && (bRow == 4 || k == 1) && cRow == 4) return row(b, a, aCol, aRow, c, m, k, add, work);
  const tile = work + PANEL;
  const packed = tile + TILE;
  for (let left = n; left > 0; left -= WIDTH) {
    const cols = min(left, WIDTH);
    // Columns of this block that row 0 reaches.
    const first = reach - n + left;
    let pa = a, pb = b, more = add;
    for (let rest = k; rest > 0; rest -= DEPTH) {
      const depth = min(rest, DEPTH);
      packColumns(pb, bRow, bCol, cols, depth, packed);
      let from = pa, to = c;
      for (let rows = m; rows > 0; ) {
        // 6 rows at a time; 4 in the baseline build (6 spill there) and where that leaves less over.
        const six = ASC_FEATURE_RELAXED_SIMD && (rows > 8 || rows == 5 || rows == 6);
        const height = six ? 6 : 4;
        const full = rows >= height;
        const stop = max(0, cols - first - (m - rows) - height + 1);
        if (stop < cols) packRows(from, aRow, aCol, min(rows, height), depth, work, six);
        let panel = packed, at = to;
        for (let j = cols; j > stop; j -= 8) {
          const whole = full && j >= 8;
          const target = whole ? at : tile;
          const step: usize = whole ? cRow : 32;
          const plus = whole ? more : 0;
          if (ASC_FEATURE_RELAXED_SIMD && six) tile6(work, panel, depth, target, step, plus);
          else tile4(work, panel, depth, target, step, plus);
          if (!whole) edge(tile, at, cRow, min(rows, height), min(j, 8), more);
          panel += (<usize>depth << 5) + PAD;
          at += 32;
        }
        from += <usize>height * aRow;
        to += <usize>height * cRow;
        rows -= height;
      }
      pa += <usize>DEPTH * aCol;
      pb += <usize>DEPTH * bRow;
      more = 1;
    }
    b += <usize>WIDTH * bCol;
    c += <usize>WIDTH << 2;
  }
}

// The part of a tile (8 columns wide) that lies inside c.
function edge(tile: usize, c: usize, cRow: usize, rows: i32, cols: i32, add: i32): void {
  for (; rows > 0; rows--) {
    for (let j: usize = 0; j < <usize>cols << 2; j += 4) {
      const v = load<f32>(tile + j);
      store<f32>(c + j, add ? load<f32>(c + j) + v : v);
    }
    tile += 32;
    c += cRow;
  }
}

// y[j] (add: +)= sum_p x[p] b[p, j]: nothing is packed, b is read once.
function row(x: usize, b: usize, bRow: usize, bCol: usize, y: usize, n: i32, k: i32, add: i32, work: usize): void {
  for (; k > 0; k -= DEPTH) {
    const depth = min(k, DEPTH);
    if (bCol == 4) rowAlong(x, b, bRow, y, n, depth, add, work);
    else rowAcross(x, b, bCol, y, n, depth, add);
    x += <usize>DEPTH << 2;
    b += <usize>DEPTH * bRow;
    add = 1;
  }
}

// b's rows are contiguous: four of them at a time go into sums that stay in the cache.
function rowAlong(x: usize, b: usize, bRow: usize, y: usize, n: i32, depth: i32, add: i32, sums: usize): void {
  const zero = f32x4.splat(0);
  for (; n > 0; n -= SEGMENT) {
    const bytes = <usize>min(n, SEGMENT) << 2;
    const whole = bytes & ~15;
    for (let j: usize = 0; j < bytes; j += 16) v128.store(sums + j, zero);
    let px = x, p = b, rest = depth;
    const r2 = bRow << 1, r3 = r2 + bRow;
    for (; rest >= 4; rest -= 4) {
      const x0 = v128.load32_splat(px), x1 = v128.load32_splat(px, 4), x2 = v128.load32_splat(px, 8), x3 = v128.load32_splat(px, 12);
      let s = sums, q = p;
      for (const stop = sums + whole; s < stop; s += 16, q += 16) {
        v128.store(s, madd(x3, v128.load(q + r3), madd(x2, v128.load(q + r2), madd(x1, v128.load(q + bRow), madd(x0, v128.load(q), v128.load(s))))));
      }
      for (const stop = sums + bytes; s < stop; s += 4, q += 4) {
        const v = madd(x1, v128.load32_zero(q + bRow), madd(x0, v128.load32_zero(q), v128.load32_zero(s)));
        v128.store_lane<f32>(s, madd(x3, v128.load32_zero(q + r3), madd(x2, v128.load32_zero(q + r2), v)), 0);
      }
      px += 16;
      p += bRow << 2;
    }
    for (; rest > 0; rest--) {
      const x0 = v128.load32_splat(px);
      let s = sums, q = p;
      for (const stop = sums + whole; s < stop; s += 16, q += 16) v128.store(s, madd(x0, v128.load(q), v128.load(s)));
      for (const stop = sums + bytes; s < stop; s += 4, q += 4) v128.store_lane<f32>(s, madd(x0, v128.load32_zero(q), v128.load32_zero(s)), 0);
      px += 4;
      p += bRow;
    }
    let j: usize = 0;
    for (; j < whole; j += 16) put(y, v128.load(sums + j), j, add);
    for (; j < bytes; j += 4) store<f32>(y + j, add ? load<f32>(y + j) + load<f32>(sums + j) : load<f32>(sums + j));
    y += bytes;
    b += bytes;
  }
}

// Four columns' products with x[p..p+4], in the order of p.
// @ts-ignore: decorator
@inline
function four(sum: v128, p: usize, s: usize, s2: usize, s3: usize, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  const a = v128.load(p), b = v128.load(p + s), c = v128.load(p + s2), d = v128.load(p + s3);
  const ab = low(a, b), cd = low(c, d), AB = high(a, b), CD = high(c, d);
  return madd(x3, highPairs(AB, CD), madd(x2, lowPairs(AB, CD), madd(x1, highPairs(ab, cd), madd(x0, lowPairs(ab, cd), sum))));
}
// @ts-ignore: decorator
@inline
function one(sum: v128, p: usize, s: usize, s2: usize, s3: usize, x: v128): v128 {
  return madd(x, v128.load_lane<f32>(p + s3, v128.load_lane<f32>(p + s2, v128.load_lane<f32>(p + s, v128.load32_zero(p), 1), 2), 3), sum);
}

// b's columns are contiguous: sixteen dot products side by side, then four, then the rest.
function rowAcross(x: usize, b: usize, stride: usize, y: usize, n: i32, depth: i32, add: i32): void {
  const zero = f32x4.splat(0);
  const bytes = (<usize>depth & ~3) << 2;
  let s2 = stride << 1, s3 = s2 + stride;
  for (; n >= 16; n -= 16) {
    let p0 = b, p1 = p0 + (stride << 2), p2 = p1 + (stride << 2), p3 = p2 + (stride << 2);
    let v0 = zero, v1 = zero, v2 = zero, v3 = zero, px = x;
    for (const stop = x + bytes; px < stop; px += 16) {
      const x0 = v128.load32_splat(px), x1 = v128.load32_splat(px, 4), x2 = v128.load32_splat(px, 8), x3 = v128.load32_splat(px, 12);
      v0 = four(v0, p0, stride, s2, s3, x0, x1, x2, x3);
      v1 = four(v1, p1, stride, s2, s3, x0, x1, x2, x3);
      v2 = four(v2, p2, stride, s2, s3, x0, x1, x2, x3);
      v3 = four(v3, p3, stride, s2, s3, x0, x1, x2, x3);
      p0 += 16;
      p1 += 16;
      p2 += 16;
      p3 += 16;
    }
    for (const stop = x + (<usize>depth << 2); px < stop; px += 4) {
      const x0 = v128.load32_splat(px);
      v0 = one(v0, p0, stride, s2, s3, x0);
      v1 = one(v1, p1, stride, s2, s3, x0);
      v2 = one(v2, p2, stride, s2, s3, x0);
      v3 = one(v3, p3, stride, s2, s3, x0);
      p0 += 4;
      p1 += 4;
      p2 += 4;
      p3 += 4;
    }
    put(y, v0, 0, add);
    put(y, v1, 16, add);
    put(y, v2, 32, add);
    put(y, v3, 48, add);
    y += 64;
    b += stride << 4;
  }
  for (; n > 0; n -= 4) {
    // Columns beyond the last repeat it; their results are dropped.
    const t = n > 1 ? stride : 0, t2 = n > 2 ? s2 : t, t3 = n > 3 ? s3 : t2;
    let p = b, px = x, v = zero;
    for (const stop = x + bytes; px < stop; px += 16, p += 16) {
      v = four(v, p, t, t2, t3, v128.load32_splat(px), v128.load32_splat(px, 4), v128.load32_splat(px, 8), v128.load32_splat(px, 12));
    }
    for (const stop = x + (<usize>depth << 2); px < stop; px += 4, p += 4) v = one(v, p, t, t2, t3, v128.load32_splat(px));
    if (n >= 4) {
      put(y, v, 0, add);
    } else {
      for (let j = 0; j < n; j++) {
        const sum = f32x4.extract_lane(v, 0);
        store<f32>(y + (<usize>j << 2), add ? load<f32>(y + (<usize>j << 2)) + sum : sum);
        v = v128.shuffle<f32>(v, v, 1, 2, 3, 0);
      }
    }
    y += 16;
    b += stride << 2;
  }
}
