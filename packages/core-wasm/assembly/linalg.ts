export { ABI_VERSION } from "./lib/abi";

// Products are summed in blocks of DEPTH, each block from zero: even and odd k apart, then the last odd one. Seven rows of a block stay in the first-level cache.
const DEPTH: i32 = 256;

// @ts-ignore: decorator
@inline
function madd2(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f64x2.relaxed_madd(a, b, c);
  return f64x2.add(f64x2.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
function lanes(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

// @ts-ignore: decorator
@inline
function put(c: usize, j: i32, n: i32, sum: f64, scale: f64): void {
  if (j < n) store<f64>(c + (<usize>j << 3), load<f64>(c + (<usize>j << 3)) + scale * sum);
}

// c[i, j] += scale * sum_k a[i, k] b[j, k]      a: f64[m, k], b: f64[n, k], c: f64[m, n]; scale 1 or -1; `lower`: only j <= i.
// Strides are in elements. c shares no element with a and b. Rows of a tile beyond the last repeat it and are dropped.
export function f64_dots(a: usize, aRow: usize, b: usize, bRow: usize, c: usize, cRow: usize, m: i32, n: i32, k: i32, scale: f64, lower: i32): void {
  aRow <<= 3;
  bRow <<= 3;
  cRow <<= 3;
  for (; k > 0; k -= DEPTH) {
    const depth = min(k, DEPTH);
    const pairs = <usize>(depth & ~1) << 3;
    const odd = depth & 1;
    for (let i = 0; i < m; i += 3) {
      const a0 = a + <usize>i * aRow;
      const a1 = i + 1 < m ? a0 + aRow : a0;
      const a2 = i + 2 < m ? a1 + aRow : a1;
      const to = c + <usize>i * cRow;
      const n0 = lower ? min(n, i + 1) : n, n1 = lower ? min(n, i + 2) : n, n2 = lower ? min(n, i + 3) : n;
      for (let j = 0; j < n2; j += 4) {
        let b0 = b + <usize>j * bRow;
        const b1 = j + 1 < n ? bRow : 0;
        const b2 = j + 2 < n ? b1 + bRow : b1;
        const b3 = j + 3 < n ? b2 + bRow : b2;
        const zero = f64x2.splat(0);
        let s00 = zero, s01 = zero, s02 = zero, s03 = zero, s10 = zero, s11 = zero, s12 = zero, s13 = zero, s20 = zero, s21 = zero, s22 = zero, s23 = zero;
        let p: usize = 0;
        for (; p < pairs; p += 16) {
          const x0 = v128.load(a0 + p), x1 = v128.load(a1 + p), x2 = v128.load(a2 + p);
          let y = v128.load(b0);
          s00 = madd2(x0, y, s00);
          s10 = madd2(x1, y, s10);
          s20 = madd2(x2, y, s20);
          y = v128.load(b0 + b1);
          s01 = madd2(x0, y, s01);
          s11 = madd2(x1, y, s11);
          s21 = madd2(x2, y, s21);
          y = v128.load(b0 + b2);
          s02 = madd2(x0, y, s02);
          s12 = madd2(x1, y, s12);
          s22 = madd2(x2, y, s22);
          y = v128.load(b0 + b3);
          s03 = madd2(x0, y, s03);
          s13 = madd2(x1, y, s13);
          s23 = madd2(x2, y, s23);
          b0 += 16;
        }
        let t00 = lanes(s00), t01 = lanes(s01), t02 = lanes(s02), t03 = lanes(s03);
        let t10 = lanes(s10), t11 = lanes(s11), t12 = lanes(s12), t13 = lanes(s13);
        let t20 = lanes(s20), t21 = lanes(s21), t22 = lanes(s22), t23 = lanes(s23);
        if (odd) {
          const x0 = load<f64>(a0 + p), x1 = load<f64>(a1 + p), x2 = load<f64>(a2 + p);
          const y0 = load<f64>(b0), y1 = load<f64>(b0 + b1), y2 = load<f64>(b0 + b2), y3 = load<f64>(b0 + b3);
          t00 += x0 * y0;
          t01 += x0 * y1;
          t02 += x0 * y2;
          t03 += x0 * y3;
          t10 += x1 * y0;
          t11 += x1 * y1;
          t12 += x1 * y2;
          t13 += x1 * y3;
          t20 += x2 * y0;
          t21 += x2 * y1;
          t22 += x2 * y2;
          t23 += x2 * y3;
        }
        put(to, j, n0, t00, scale);
        put(to, j + 1, n0, t01, scale);
        put(to, j + 2, n0, t02, scale);
        put(to, j + 3, n0, t03, scale);
        if (i + 1 < m) {
          put(to + cRow, j, n1, t10, scale);
          put(to + cRow, j + 1, n1, t11, scale);
          put(to + cRow, j + 2, n1, t12, scale);
          put(to + cRow, j + 3, n1, t13, scale);
        }
        if (i + 2 < m) {
          put(to + cRow + cRow, j, n2, t20, scale);
          put(to + cRow + cRow, j + 1, n2, t21, scale);
          put(to + cRow + cRow, j + 2, n2, t22, scale);
          put(to + cRow + cRow, j + 3, n2, t23, scale);
        }
      }
    }
    a += <usize>DEPTH << 3;
    b += <usize>DEPTH << 3;
  }
}

// sums[i] += x[i]      x: f32[count], sums: f64[count].
export function f64_add_floats(sums: usize, x: usize, count: i32): void {
  const end = sums + (<usize>count << 3);
  for (const whole = sums + (<usize>(count & ~3) << 3); sums < whole; sums += 32, x += 16) {
    v128.store(sums, f64x2.add(v128.load(sums), f64x2.promote_low_f32x4(v128.load64_zero(x))));
    v128.store(sums, f64x2.add(v128.load(sums, 16), f64x2.promote_low_f32x4(v128.load64_zero(x, 8))), 16);
  }
  for (; sums < end; sums += 8, x += 4) store<f64>(sums, load<f64>(sums) + <f64>load<f32>(x));
}

// x L' = b in place, row by row: x: f64[m, w], l: f64[w, w], lower triangle. Four rows side by side hide the latency of their sums.
function solveRows(x: usize, xRow: usize, l: usize, lRow: usize, m: i32, w: i32): void {
  for (; m > 0; m -= 4) {
    const x1 = m > 1 ? xRow : 0;
    const x2 = m > 2 ? x1 + xRow : x1;
    const x3 = m > 3 ? x2 + xRow : x2;
    let at = l;
    for (let c = 0; c < w; c++) {
      const end = x + (<usize>c << 3);
      let s0 = load<f64>(end), s1 = load<f64>(end + x1), s2 = load<f64>(end + x2), s3 = load<f64>(end + x3);
      let q = at;
      for (let p = x; p < end; p += 8, q += 8) {
        const f = load<f64>(q);
        s0 -= load<f64>(p) * f;
        s1 -= load<f64>(p + x1) * f;
        s2 -= load<f64>(p + x2) * f;
        s3 -= load<f64>(p + x3) * f;
      }
      const pivot = load<f64>(q);
      // The last row first: where rows are missing the addresses are equal, and row 0 is always there.
      store<f64>(end + x3, s3 / pivot);
      store<f64>(end + x2, s2 / pivot);
      store<f64>(end + x1, s1 / pivot);
      store<f64>(end, s0 / pivot);
      at += lRow;
    }
    x += xRow << 2;
  }
}

// Columns [from, from + w) of the Cholesky factor, in place.      a: f64[m, from + w], rows `from` and on of the matrix; its columns before `from` are factored.
// Returns the first pivot of the panel that is not above `least` (0 to w - 1; the rest is unfinished), else -1. Writes above the diagonal of the first w rows too.
export function f64_cholesky_panel(a: usize, aRow: usize, m: i32, from: i32, w: i32, least: f64): i32 {
  const c = a + (<usize>from << 3);
  f64_dots(a, aRow, a, aRow, c, aRow, m, w, from, -1, 0);
  const step = aRow << 3;
  let row = c;
  for (let i = 0; i < w; i++) {
    // Row i against the rows above it, then its own pivot.
    let up = c;
    for (let j = 0; j <= i; j++) {
      let sum = load<f64>(row + (<usize>j << 3));
      for (let p: usize = 0; p < <usize>j << 3; p += 8) sum -= load<f64>(row + p) * load<f64>(up + p);
      if (j < i) {
        store<f64>(row + (<usize>j << 3), sum / load<f64>(up + (<usize>j << 3)));
      } else {
        if (!(sum > least)) return i;
        store<f64>(row + (<usize>j << 3), Math.sqrt(sum));
      }
      up += step;
    }
    row += step;
  }
  solveRows(row, step, c, step, m - w, w);
  return -1;
}

// Columns [from, from + w) of x L' = b in place.      b: f64[m, from + w] with columns before `from` solved, l: f64[w, from + w], rows [from, from + w) of L.
export function f64_solve_panel(b: usize, bRow: usize, l: usize, lRow: usize, m: i32, from: i32, w: i32): void {
  f64_dots(b, bRow, l, lRow, b + (<usize>from << 3), bRow, m, w, from, -1, 0);
  solveRows(b + (<usize>from << 3), bRow << 3, l + (<usize>from << 3), lRow << 3, m, w);
}
