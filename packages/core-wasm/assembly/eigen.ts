export { ABI_VERSION } from "./lib/abi";

// @ts-ignore: decorator
@inline
function madd2(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f64x2.relaxed_madd(a, b, c);
  return f64x2.add(f64x2.mul(a, b), c);
}

// c - a b
// @ts-ignore: decorator
@inline
function less2(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f64x2.relaxed_nmadd(a, b, c);
  return f64x2.sub(c, f64x2.mul(a, b));
}

// @ts-ignore: decorator
@inline
function lanes(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

// Bytes of one strip's row of rotated columns.
const STRIP: usize = 128;

// Steps from, from - 1, ..., to of the reduction of a symmetric matrix to tridiagonal form; from = n - 1 begins, to = 1 ends it.
// a: f64[n, n], lower triangle; step i leaves its reflector v_i in a[i, 0..i). d: f64[n] diagonal, e: f64[n], e[i] couples i - 1 and i; tau: f64[n]. work: f64[2 n], kept between calls.
//   H_i = I - tau_i v_i v_i',   H_1 ... H_{n-1} A H_{n-1} ... H_1 = T
// The rank-two update of step i + 1 is made in the same pass over the rows as the product with v_i. Elements above 1e150 or all below 1e-150 need scaling first.
export function f64_tridiagonal(a: usize, n: i32, d: usize, e: usize, tau: usize, work: usize, from: i32, to: i32): void {
  const row = <usize>n << 3;
  for (let i = from; i >= to; i--) {
    const bytes = <usize>i << 3;
    const v = a + <usize>i * row;
    const p = work + (i & 1 ? row : 0);
    const w = work + (i & 1 ? 0 : row);
    const old = v + row;
    const pending = i + 1 < n;
    if (pending) {
      const x = load<f64>(old + bytes), y = load<f64>(w + bytes);
      for (let j: usize = 0; j <= bytes; j += 8) store<f64>(v + j, load<f64>(v + j) - (x * load<f64>(w + j) + y * load<f64>(old + j)));
    }
    store<f64>(d + bytes, load<f64>(v + bytes));
    // The reflector: all but the last of the row's elements left of the diagonal become 0.
    const last = bytes - 8;
    let s0 = f64x2.splat(0), s1 = s0;
    let j: usize = 0;
    for (; j + 32 <= last; j += 32) {
      const x = v128.load(v + j), y = v128.load(v + j, 16);
      s0 = madd2(x, x, s0);
      s1 = madd2(y, y, s1);
    }
    let sigma = lanes(f64x2.add(s0, s1));
    for (; j < last; j += 8) sigma += load<f64>(v + j) * load<f64>(v + j);
    const alpha = load<f64>(v + last);
    let t: f64 = 0;
    if (sigma == 0) {
      store<f64>(e + bytes, alpha);
      memory.fill(v, 0, bytes);
    } else {
      const norm = Math.sqrt(alpha * alpha + sigma);
      const beta = alpha > 0 ? -norm : norm;
      store<f64>(e + bytes, beta);
      store<f64>(v + last, alpha - beta);
      // v'v = 2 beta (beta - alpha)
      t = 1 / (beta * (beta - alpha));
    }
    store<f64>(tau + bytes, t);
    memory.fill(p, 0, bytes);
    let r = 0;
    for (; r + 2 <= i; r += 2) pair(a, row, r, v, p, old, w, pending);
    for (; r < i; r++) single(a, row, r, 0, v, p, old, w, pending);
    // w = tau (p - (tau / 2) (p'v) v)
    let sum: f64 = 0;
    for (j = 0; j < bytes; j += 8) sum += load<f64>(p + j) * load<f64>(v + j);
    const k = 0.5 * t * sum;
    for (j = 0; j < bytes; j += 8) store<f64>(p + j, t * (load<f64>(p + j) - k * load<f64>(v + j)));
  }
  if (to == 1) {
    // Step 1 has nothing to make 0, so row 0 is up to date.
    store<f64>(d, load<f64>(a));
    store<f64>(e, 0);
    store<f64>(tau, 0);
  }
}

// Rows r and r + 1 (r even), columns up to the diagonal: the update by old and w, then p += both halves of A v.
// @ts-ignore: decorator
@inline
function pair(a: usize, row: usize, r: i32, v: usize, p: usize, old: usize, w: usize, pending: bool): void {
  const at = <usize>r << 3;
  const a0 = a + <usize>r * row, a1 = a0 + row;
  const v0 = v128.load64_splat(v + at), v1 = v128.load64_splat(v + at, 8);
  let s0 = f64x2.splat(0), s1 = s0;
  if (pending) {
    const x0 = f64x2.neg(v128.load64_splat(old + at)), x1 = f64x2.neg(v128.load64_splat(old + at, 8));
    const y0 = f64x2.neg(v128.load64_splat(w + at)), y1 = f64x2.neg(v128.load64_splat(w + at, 8));
    for (let j: usize = 0; j < at; j += 16) {
      const wj = v128.load(w + j), oj = v128.load(old + j), vj = v128.load(v + j);
      const b0 = madd2(y0, oj, madd2(x0, wj, v128.load(a0 + j)));
      const b1 = madd2(y1, oj, madd2(x1, wj, v128.load(a1 + j)));
      v128.store(a0 + j, b0);
      v128.store(a1 + j, b1);
      s0 = madd2(b0, vj, s0);
      s1 = madd2(b1, vj, s1);
      v128.store(p + j, madd2(b1, v1, madd2(b0, v0, v128.load(p + j))));
    }
  } else {
    for (let j: usize = 0; j < at; j += 16) {
      const vj = v128.load(v + j), b0 = v128.load(a0 + j), b1 = v128.load(a1 + j);
      s0 = madd2(b0, vj, s0);
      s1 = madd2(b1, vj, s1);
      v128.store(p + j, madd2(b1, v1, madd2(b0, v0, v128.load(p + j))));
    }
  }
  store<f64>(p + at, load<f64>(p + at) + lanes(s0));
  store<f64>(p + at, load<f64>(p + at, 8) + lanes(s1), 8);
  single(a, row, r, at, v, p, old, w, pending);
  single(a, row, r + 1, at, v, p, old, w, pending);
}

// The same for row r, from byte `first` of it on.
function single(a: usize, row: usize, r: i32, first: usize, v: usize, p: usize, old: usize, w: usize, pending: bool): void {
  const at = <usize>r << 3;
  const line = a + <usize>r * row;
  const x = pending ? load<f64>(old + at) : 0, y = pending ? load<f64>(w + at) : 0, vr = load<f64>(v + at);
  let sum: f64 = 0;
  for (let j = first; j <= at; j += 8) {
    let b = load<f64>(line + j);
    if (pending) {
      b -= x * load<f64>(w + j) + y * load<f64>(old + j);
      store<f64>(line + j, b);
    }
    sum += b * load<f64>(v + j);
    if (j < at) store<f64>(p + j, load<f64>(p + j) + b * vr);
  }
  store<f64>(p + at, load<f64>(p + at) + sum);
}

// Rows first, ..., first + 3 of Q' = H_1 ... H_{n-1} to strips of 16 columns.      a, tau: of f64_tridiagonal; z: f64[strips, n, 16]; work: f64[4, n rounded up to 16].
export function f64_reflect(a: usize, n: i32, tau: usize, first: i32, z: usize, work: usize): void {
  const row = <usize>n << 3;
  const width = <usize>((n + 15) & ~15) << 3;
  const count = min(n - first, 4);
  const r0 = work, r1 = r0 + width, r2 = r1 + width, r3 = r2 + width;
  memory.fill(work, 0, 4 * width);
  for (let i = 0; i < count; i++) store<f64>(work + <usize>i * width + (<usize>(first + i) << 3), 1);
  for (let i = first + 1; i < n; i++) {
    const t = load<f64>(tau + (<usize>i << 3));
    if (t == 0) continue;
    const v = a + <usize>i * row;
    const end = <usize>i << 3;
    const pairs = end & ~15;
    let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
    let j: usize = 0;
    for (; j < pairs; j += 16) {
      const x = v128.load(v + j);
      s0 = madd2(x, v128.load(r0 + j), s0);
      s1 = madd2(x, v128.load(r1 + j), s1);
      s2 = madd2(x, v128.load(r2 + j), s2);
      s3 = madd2(x, v128.load(r3 + j), s3);
    }
    let t0 = lanes(s0), t1 = lanes(s1), t2 = lanes(s2), t3 = lanes(s3);
    if (j < end) {
      const x = load<f64>(v + j);
      t0 += x * load<f64>(r0 + j);
      t1 += x * load<f64>(r1 + j);
      t2 += x * load<f64>(r2 + j);
      t3 += x * load<f64>(r3 + j);
    }
    t0 *= -t;
    t1 *= -t;
    t2 *= -t;
    t3 *= -t;
    s0 = f64x2.splat(t0);
    s1 = f64x2.splat(t1);
    s2 = f64x2.splat(t2);
    s3 = f64x2.splat(t3);
    for (j = 0; j < pairs; j += 16) {
      const x = v128.load(v + j);
      v128.store(r0 + j, madd2(x, s0, v128.load(r0 + j)));
      v128.store(r1 + j, madd2(x, s1, v128.load(r1 + j)));
      v128.store(r2 + j, madd2(x, s2, v128.load(r2 + j)));
      v128.store(r3 + j, madd2(x, s3, v128.load(r3 + j)));
    }
    if (j < end) {
      const x = load<f64>(v + j);
      store<f64>(r0 + j, load<f64>(r0 + j) + x * t0);
      store<f64>(r1 + j, load<f64>(r1 + j) + x * t1);
      store<f64>(r2 + j, load<f64>(r2 + j) + x * t2);
      store<f64>(r3 + j, load<f64>(r3 + j) + x * t3);
    }
  }
  for (let i = 0; i < count; i++) {
    let from = work + <usize>i * width, target = z + <usize>(first + i) * STRIP;
    for (const stop = from + width; from < stop; from += STRIP, target += <usize>n * STRIP) memory.copy(target, from, STRIP);
  }
}

// Rotations of neighbouring rows of each strip.      z: f64[strips, n, 16]
// Sweep q turns rows (start - 1, start), (start - 2, start - 1), ..., length of them: sweeps: i32[count, 2] of start and length, turns: f64[.., 2] of cosine and sine, in their order.
//   z[i + 1] = s z[i] + c z[i + 1],   z[i] = c z[i] - s z[i + 1]
export function f64_rotate(z: usize, n: i32, strips: i32, sweeps: usize, count: i32, turns: usize): void {
  for (; strips > 0; strips--, z += <usize>n * STRIP) {
    let t = turns;
    for (let q = 0; q < count; q++) {
      let at = z + <usize>load<i32>(sweeps + (<usize>q << 3)) * STRIP;
      const stop = at - <usize>load<i32>(sweeps + (<usize>q << 3), 4) * STRIP;
      let f0 = v128.load(at), f1 = v128.load(at, 16), f2 = v128.load(at, 32), f3 = v128.load(at, 48);
      let f4 = v128.load(at, 64), f5 = v128.load(at, 80), f6 = v128.load(at, 96), f7 = v128.load(at, 112);
      for (; at > stop; at -= STRIP, t += 16) {
        const c = v128.load64_splat(t), s = v128.load64_splat(t, 8);
        const lower = at - STRIP;
        let g = v128.load(lower);
        v128.store(at, madd2(s, g, f64x2.mul(c, f0)));
        f0 = less2(s, f0, f64x2.mul(c, g));
        g = v128.load(lower, 16);
        v128.store(at, madd2(s, g, f64x2.mul(c, f1)), 16);
        f1 = less2(s, f1, f64x2.mul(c, g));
        g = v128.load(lower, 32);
        v128.store(at, madd2(s, g, f64x2.mul(c, f2)), 32);
        f2 = less2(s, f2, f64x2.mul(c, g));
        g = v128.load(lower, 48);
        v128.store(at, madd2(s, g, f64x2.mul(c, f3)), 48);
        f3 = less2(s, f3, f64x2.mul(c, g));
        g = v128.load(lower, 64);
        v128.store(at, madd2(s, g, f64x2.mul(c, f4)), 64);
        f4 = less2(s, f4, f64x2.mul(c, g));
        g = v128.load(lower, 80);
        v128.store(at, madd2(s, g, f64x2.mul(c, f5)), 80);
        f5 = less2(s, f5, f64x2.mul(c, g));
        g = v128.load(lower, 96);
        v128.store(at, madd2(s, g, f64x2.mul(c, f6)), 96);
        f6 = less2(s, f6, f64x2.mul(c, g));
        g = v128.load(lower, 112);
        v128.store(at, madd2(s, g, f64x2.mul(c, f7)), 112);
        f7 = less2(s, f7, f64x2.mul(c, g));
      }
      v128.store(at, f0);
      v128.store(at, f1, 16);
      v128.store(at, f2, 32);
      v128.store(at, f3, 48);
      v128.store(at, f4, 64);
      v128.store(at, f5, 80);
      v128.store(at, f6, 96);
      v128.store(at, f7, 112);
    }
  }
}
