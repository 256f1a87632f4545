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
// Bytes between packed panels: without them the panels of a full block would compete for the same lines of the first-level cache.
const PAD: usize = 128;

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

// Four rows of four, transposed in registers.
// @ts-ignore: decorator
@inline
function low(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 0, 4, 1, 5);
}
// @ts-ignore: decorator
@inline
function high(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 2, 6, 3, 7);
}
// @ts-ignore: decorator
@inline
function lowPairs(a: v128, b: v128): v128 {
  return v128.shuffle<f64>(a, b, 0, 2);
}
// @ts-ignore: decorator
@inline
function highPairs(a: v128, b: v128): v128 {
  return v128.shuffle<f64>(a, b, 1, 3);
}

// B to panels of 8 columns, f32[depth, 8] each; columns beyond `cols` are 0.
function packColumns(b: usize, bRow: usize, bCol: usize, cols: i32, depth: i32, to: usize): void {
  const panel = (<usize>depth << 5) + PAD;
  const whole = cols & ~7;
  const rest = cols & 7;
  if (bCol == 4) {
    // Four rows at a time: they are read in order and fill whole cache lines of each panel.
    let p = 0, from = b, target = to;
    for (; p + 4 <= depth; p += 4) {
      let q = from, t = target;
      const r2 = bRow << 1, r3 = r2 + bRow;
      for (const stop = from + (<usize>whole << 2); q < stop; q += 32) {
        v128.store(t, v128.load(q));
        v128.store(t, v128.load(q, 16), 16);
        v128.store(t, v128.load(q + bRow), 32);
        v128.store(t, v128.load(q + bRow, 16), 48);
        v128.store(t, v128.load(q + r2), 64);
        v128.store(t, v128.load(q + r2, 16), 80);
        v128.store(t, v128.load(q + r3), 96);
        v128.store(t, v128.load(q + r3, 16), 112);
        t += panel;
      }
      from += bRow << 2;
      target += 128;
    }
    for (; p < depth; p++) {
      let q = from, t = target;
      for (const stop = from + (<usize>whole << 2); q < stop; q += 32) {
        v128.store(t, v128.load(q));
        v128.store(t, v128.load(q, 16), 16);
        t += panel;
      }
      from += bRow;
      target += 32;
    }
  } else {
    for (let j = 0; j < whole; j += 8) {
      transposeFour(b + <usize>j * bCol, bCol, depth, to + <usize>(j >> 3) * panel, 32);
      transposeFour(b + <usize>(j + 4) * bCol, bCol, depth, to + <usize>(j >> 3) * panel + 16, 32);
    }
  }
  if (rest) {
    let q = b + <usize>whole * bCol, t = to + <usize>(whole >> 3) * panel;
    const zero = f32x4.splat(0);
    for (const stop = t + (<usize>depth << 5); t < stop; t += 32) {
      v128.store(t, zero);
      v128.store(t, zero, 16);
      let s = q;
      for (let j: usize = 0; j < <usize>rest << 2; j += 4, s += bCol) store<f32>(t + j, load<f32>(s));
      q += bRow;
    }
  }
}

// Four runs of `depth` floats, `stride` bytes apart, to vectors of four, `step` bytes apart.
function transposeFour(x: usize, stride: usize, depth: i32, to: usize, step: usize): void {
  let x1 = x + stride, x2 = x1 + stride, x3 = x2 + stride;
  const s2 = step << 1, s3 = s2 + step;
  for (const stop = x + ((<usize>depth & ~3) << 2); x < stop; x += 16) {
    const a = v128.load(x), b = v128.load(x1), c = v128.load(x2), d = v128.load(x3);
    const ab = low(a, b), cd = low(c, d), AB = high(a, b), CD = high(c, d);
    v128.store(to, lowPairs(ab, cd));
    v128.store(to + step, highPairs(ab, cd));
    v128.store(to + s2, lowPairs(AB, CD));
    v128.store(to + s3, highPairs(AB, CD));
    to += step << 2;
    x1 += 16;
    x2 += 16;
    x3 += 16;
  }
  for (let p = depth & 3; p > 0; p--) {
    store<f32>(to, load<f32>(x));
    store<f32>(to, load<f32>(x1), 4);
    store<f32>(to, load<f32>(x2), 8);
    store<f32>(to, load<f32>(x3), 12);
    to += step;
    x += 4;
    x1 += 4;
    x2 += 4;
    x3 += 4;
  }
}

// Rows of A to one panel, f32[depth, 6] or [depth, 4]. Rows beyond `rows` hold the last one: their results are dropped.
function packRows(a: usize, aRow: usize, aCol: usize, rows: i32, depth: i32, to: usize, six: bool): void {
  const height = six ? 6 : 4;
  if (rows < height) {
    const step = <usize>height << 2;
    for (const stop = to + <usize>depth * step; to < stop; to += step) {
      for (let i = 0; i < height; i++) store<f32>(to + (<usize>i << 2), load<f32>(a + <usize>min(i, rows - 1) * aRow));
      a += aCol;
    }
  } else if (aCol == 4) {
    if (ASC_FEATURE_RELAXED_SIMD && six) {
      transposeFour(a, aRow, depth, to, 24);
      let x = a + (aRow << 2), y = x + aRow, t = to + 16;
      for (const stop = x + ((<usize>depth & ~3) << 2); x < stop; x += 16) {
        const p = v128.load(x), q = v128.load(y);
        const front = low(p, q), back = high(p, q);
        v128.store_lane<u64>(t, front, 0);
        v128.store_lane<u64>(t, front, 1, 24);
        v128.store_lane<u64>(t, back, 0, 48);
        v128.store_lane<u64>(t, back, 1, 72);
        t += 96;
        y += 16;
      }
      for (let p = depth & 3; p > 0; p--) {
        store<f32>(t, load<f32>(x));
        store<f32>(t, load<f32>(y), 4);
        t += 24;
        x += 4;
        y += 4;
      }
    } else {
      transposeFour(a, aRow, depth, to, 16);
    }
  } else if (ASC_FEATURE_RELAXED_SIMD && six) {
    for (const stop = to + 24 * <usize>depth; to < stop; to += 24) {
      v128.store(to, v128.load(a));
      store<u64>(to, load<u64>(a, 16), 16);
      a += aCol;
    }
  } else {
    for (const stop = to + 16 * <usize>depth; to < stop; to += 16) {
      v128.store(to, v128.load(a));
      a += aCol;
    }
  }
}

// @ts-ignore: decorator
@inline
function put(c: usize, v: v128, offset: usize, add: i32): void {
  v128.store(c + offset, add ? f32x4.add(v128.load(c + offset), v) : v);
}

// c[0..6, 0..8] (add: +)= panel of A, f32[k, 6], times panel of B, f32[k, 8]. Twelve sums, two columns and one splat fill the registers.
function tile6(a: usize, b: usize, k: i32, c: usize, cRow: usize, add: i32): void {
  let c00 = f32x4.splat(0), c10 = c00, c20 = c00, c30 = c00, c40 = c00, c50 = c00;
  let c01 = c00, c11 = c00, c21 = c00, c31 = c00, c41 = c00, c51 = c00;
  for (const end = b + (<usize>k << 5); b < end; b += 32) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = madd(a0, b0, c00);
    c01 = madd(a0, b1, c01);
    const a1 = v128.load32_splat(a, 4);
    c10 = madd(a1, b0, c10);
    c11 = madd(a1, b1, c11);
    const a2 = v128.load32_splat(a, 8);
    c20 = madd(a2, b0, c20);
    c21 = madd(a2, b1, c21);
    const a3 = v128.load32_splat(a, 12);
    c30 = madd(a3, b0, c30);
    c31 = madd(a3, b1, c31);
    const a4 = v128.load32_splat(a, 16);
    c40 = madd(a4, b0, c40);
    c41 = madd(a4, b1, c41);
    const a5 = v128.load32_splat(a, 20);
    c50 = madd(a5, b0, c50);
    c51 = madd(a5, b1, c51);
    a += 24;
  }
  put(c, c00, 0, add);
  put(c, c01, 16, add);
  c += cRow;
  put(c, c10, 0, add);
  put(c, c11, 16, add);
  c += cRow;
  put(c, c20, 0, add);
  put(c, c21, 16, add);
  c += cRow;
  put(c, c30, 0, add);
  put(c, c31, 16, add);
  c += cRow;
  put(c, c40, 0, add);
  put(c, c41, 16, add);
  c += cRow;
  put(c, c50, 0, add);
  put(c, c51, 16, add);
}

// The same with f32[k, 4] of A.
function tile4(a: usize, b: usize, k: i32, c: usize, cRow: usize, add: i32): void {
  let c00 = f32x4.splat(0), c10 = c00, c20 = c00, c30 = c00;
  let c01 = c00, c11 = c00, c21 = c00, c31 = c00;
  for (const end = b + (<usize>k << 5); b < end; b += 32) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = madd(a0, b0, c00);
    c01 = madd(a0, b1, c01);
    const a1 = v128.load32_splat(a, 4);
    c10 = madd(a1, b0, c10);
    c11 = madd(a1, b1, c11);
    const a2 = v128.load32_splat(a, 8);
    c20 = madd(a2, b0, c20);
    c21 = madd(a2, b1, c21);
    const a3 = v128.load32_splat(a, 12);
    c30 = madd(a3, b0, c30);
    c31 = madd(a3, b1, c31);
    a += 16;
  }
  put(c, c00, 0, add);
  put(c, c01, 16, add);
  c += cRow;
  put(c, c10, 0, add);
  put(c, c11, 16, add);
  c += cRow;
  put(c, c20, 0, add);
  put(c, c21, 16, add);
  c += cRow;
  put(c, c30, 0, add);
  put(c, c31, 16, add);
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
