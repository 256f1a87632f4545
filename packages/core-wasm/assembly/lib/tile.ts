import { madd } from "./vector";

// Panels and tiles of a matrix product: rows of A in panels of 6 or 4, columns of B in panels of 8, and their product in registers.

// Bytes between packed panels: without them the panels of a full block would compete for the same lines of the first-level cache.
export const PAD: usize = 128;

// Four rows of four, transposed in registers.
// @ts-ignore: decorator
@inline
export function low(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 0, 4, 1, 5);
}
// @ts-ignore: decorator
@inline
export function high(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 2, 6, 3, 7);
}
// @ts-ignore: decorator
@inline
export function lowPairs(a: v128, b: v128): v128 {
  return v128.shuffle<f64>(a, b, 0, 2);
}
// @ts-ignore: decorator
@inline
export function highPairs(a: v128, b: v128): v128 {
  return v128.shuffle<f64>(a, b, 1, 3);
}

// B to panels of 8 columns, f32[depth, 8] each; columns beyond `cols` are 0.
export function packColumns(b: usize, bRow: usize, bCol: usize, cols: i32, depth: i32, to: usize): void {
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
export function transposeFour(x: usize, stride: usize, depth: i32, to: usize, step: usize): void {
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
export function packRows(a: usize, aRow: usize, aCol: usize, rows: i32, depth: i32, to: usize, six: bool): void {
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
export function put(c: usize, v: v128, offset: usize, add: i32): void {
  v128.store(c + offset, add ? f32x4.add(v128.load(c + offset), v) : v);
}

// c[0..6, 0..8] (add: +)= panel of A, f32[k, 6], times panel of B, f32[k, 8]. Twelve sums, two columns and one splat fill the registers.
export function tile6(a: usize, b: usize, k: i32, c: usize, cRow: usize, add: i32): void {
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

// The same with f32[k, 4] of A. `halves`, known when it is compiled: B is f16[k, 8], whose bits, shifted to their places in float32 and masked by `bits`, are the elements times 2^-112, none of them denormal.
// @ts-ignore: decorator
@inline
export function rows4(a: usize, b: usize, k: i32, c: usize, cRow: usize, add: i32, halves: bool, bits: v128): void {
  const step: usize = halves ? 16 : 32;
  let c00 = f32x4.splat(0), c10 = c00, c20 = c00, c30 = c00;
  let c01 = c00, c11 = c00, c21 = c00, c31 = c00;
  for (const end = b + <usize>k * step; b < end; b += step) {
    let b0 = v128.load(b), b1 = b0;
    if (halves) {
      b1 = v128.and(i32x4.shr_s(b0, 3), bits);
      b0 = v128.and(i32x4.shr_s(i32x4.shl(b0, 16), 3), bits);
    } else b1 = v128.load(b, 16);
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

export function tile4(a: usize, b: usize, k: i32, c: usize, cRow: usize, add: i32): void {
  rows4(a, b, k, c, cRow, add, false, f32x4.splat(0));
}
