import { madd, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// sum_i (a[i] - b[i])^2      a, b: f32[cols]. Sixteen partial sums in the order of i, added in float64; every distance of this file is this one, to the bit.
// Relative error at most (cols / 16 + 6) 2^-24: differences are rounded, nothing cancels after that.
function distance(a: usize, b: usize, cols: i32): f32 {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (const stop = a + (<usize>(cols & ~15) << 2); a < stop; a += 64, b += 64) {
    const d0 = f32x4.sub(v128.load(a), v128.load(b));
    const d1 = f32x4.sub(v128.load(a, 16), v128.load(b, 16));
    const d2 = f32x4.sub(v128.load(a, 32), v128.load(b, 32));
    const d3 = f32x4.sub(v128.load(a, 48), v128.load(b, 48));
    s0 = madd(d0, d0, s0);
    s1 = madd(d1, d1, s1);
    s2 = madd(d2, d2, s2);
    s3 = madd(d3, d3, s3);
  }
  let rest = cols & 15;
  for (; rest >= 4; rest -= 4, a += 16, b += 16) {
    const d0 = f32x4.sub(v128.load(a), v128.load(b));
    s0 = madd(d0, d0, s0);
  }
  for (; rest > 0; rest--, a += 4, b += 4) {
    const d0 = f32x4.sub(v128.load32_zero(a), v128.load32_zero(b));
    s0 = madd(d0, d0, s0);
  }
  return <f32>(sumLanes(s0) + sumLanes(s1) + (sumLanes(s2) + sumLanes(s3)));
}

// Whether (d, i) stands below (e, j): nearer, or as near with the smaller index.
// @ts-ignore: decorator
@inline
function before(d: f32, i: i32, e: f32, j: i32): bool {
  return d < e || (d == e && i < j);
}

// Puts (d, i) in the place of the root of a heap whose root is its largest.      distances: f32[k], indices: i32[k]
function sift(distances: usize, indices: usize, k: i32, d: f32, i: i32): void {
  let at = 0;
  for (;;) {
    let child = (at << 1) + 1;
    if (child >= k) break;
    let e = load<f32>(distances + (<usize>child << 2)), j = load<i32>(indices + (<usize>child << 2));
    if (child + 1 < k) {
      const f = load<f32>(distances + (<usize>child << 2), 4), l = load<i32>(indices + (<usize>child << 2), 4);
      if (before(e, j, f, l)) {
        child++;
        e = f;
        j = l;
      }
    }
    if (!before(d, i, e, j)) break;
    store<f32>(distances + (<usize>at << 2), e);
    store<i32>(indices + (<usize>at << 2), j);
    at = child;
  }
  store<f32>(distances + (<usize>at << 2), d);
  store<i32>(indices + (<usize>at << 2), i);
}

// Nobody yet: distances Infinity, indices -1.
export function f32_neighbors_start(distances: usize, indices: usize, count: i32): void {
  for (const stop = distances + (<usize>count << 2); distances < stop; distances += 4, indices += 4) {
    store<f32>(distances, Infinity);
    store<i32>(indices, -1);
  }
}

// Takes rows of the bank into the heaps of the k nearest, by their distances to each query.
// queries: f32[count, cols], bank: f32[rows, cols], whose first row has the index `first`, above all earlier ones; distances: f32[count, k], indices: i32[count, k].
// A distance that is NaN or Infinity is nobody's neighbour.
export function f32_neighbors_direct(queries: usize, count: i32, bank: usize, rows: i32, cols: i32, first: i32, k: i32, distances: usize, indices: usize): void {
  const step = <usize>cols << 2;
  for (; count > 0; count--) {
    let worst = load<f32>(distances);
    let row = bank;
    for (let r = 0; r < rows; r++, row += step) {
      const d = distance(queries, row, cols);
      if (d < worst) {
        sift(distances, indices, k, d, first + r);
        worst = load<f32>(distances);
      }
    }
    queries += step;
    distances += <usize>k << 2;
    indices += <usize>k << 2;
  }
}

// y[r] = scale * sum_c x[r, c]^2; returns how many are not finite.      x: f32[rows, cols]
export function f32_scaled_squares(x: usize, rows: i32, cols: i32, scale: f32, y: usize): i32 {
  let odd = 0;
  for (; rows > 0; rows--, y += 4) {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (const stop = x + (<usize>(cols & ~15) << 2); x < stop; x += 64) {
      const v0 = v128.load(x), v1 = v128.load(x, 16), v2 = v128.load(x, 32), v3 = v128.load(x, 48);
      s0 = madd(v0, v0, s0);
      s1 = madd(v1, v1, s1);
      s2 = madd(v2, v2, s2);
      s3 = madd(v3, v3, s3);
    }
    for (const stop = x + (<usize>(cols & 15) << 2); x < stop; x += 4) {
      const v = v128.load32_zero(x);
      s0 = madd(v, v, s0);
    }
    const sum = scale * <f32>(sumLanes(s0) + sumLanes(s1) + (sumLanes(s2) + sumLanes(s3)));
    if (sum - sum != 0) odd++;
    store<f32>(y, sum);
  }
  return odd;
}

// As f32_neighbors_direct, with dots: f32[count, dotsRow] = queries . bank, and squares of both scaled by 1 - c, where c (|q|^2 + |b|^2) bounds the error of
// |q|^2 + |b|^2 - 2 q . b and of `distance` together: a row is left out only if it is certainly not among the k nearest; the others are measured.
// Where products underflow each one errs by up to 2^-150, five of them for each column and a few more: 3 cols + 16 times 2^-149, the float of that integer's bits.
export function f32_neighbors_scan(
  dots: usize, dotsRow: usize, querySquares: usize, bankSquares: usize,
  queries: usize, count: i32, bank: usize, rows: i32, cols: i32, first: i32, k: i32, distances: usize, indices: usize,
): void {
  const step = <usize>cols << 2;
  const underflow = reinterpret<f32>(3 * cols + 16);
  for (; count > 0; count--) {
    const own = load<f32>(querySquares) - underflow;
    let bound = load<f32>(distances) - own;
    let limit = f32x4.splat(bound);
    let r = 0;
    for (; r + 4 <= rows; r += 4) {
      const at = <usize>r << 2;
      const product = v128.load(dots + at);
      const near = f32x4.sub(v128.load(bankSquares + at), f32x4.add(product, product));
      // Not "at most": a NaN is measured too.
      if (i32x4.all_true(f32x4.gt(near, limit))) continue;
      for (let i = r; i < r + 4; i++) {
        if (load<f32>(bankSquares + (<usize>i << 2)) - 2 * load<f32>(dots + (<usize>i << 2)) > bound) continue;
        const d = distance(queries, bank + <usize>i * step, cols);
        if (d < load<f32>(distances)) {
          sift(distances, indices, k, d, first + i);
          bound = load<f32>(distances) - own;
        }
      }
      limit = f32x4.splat(bound);
    }
    for (; r < rows; r++) {
      if (load<f32>(bankSquares + (<usize>r << 2)) - 2 * load<f32>(dots + (<usize>r << 2)) > bound) continue;
      const d = distance(queries, bank + <usize>r * step, cols);
      if (d < load<f32>(distances)) {
        sift(distances, indices, k, d, first + r);
        bound = load<f32>(distances) - own;
      }
    }
    querySquares += 4;
    dots += dotsRow << 2;
    queries += step;
    distances += <usize>k << 2;
    indices += <usize>k << 2;
  }
}

// Heaps to rows that ascend by (distance, index).
export function f32_neighbors_sort(distances: usize, indices: usize, count: i32, k: i32): void {
  for (; count > 0; count--) {
    for (let left = k - 1; left > 0; left--) {
      const d = load<f32>(distances + (<usize>left << 2)), i = load<i32>(indices + (<usize>left << 2));
      store<f32>(distances + (<usize>left << 2), load<f32>(distances));
      store<i32>(indices + (<usize>left << 2), load<i32>(indices));
      sift(distances, indices, left, d, i);
    }
    distances += <usize>k << 2;
    indices += <usize>k << 2;
  }
}
