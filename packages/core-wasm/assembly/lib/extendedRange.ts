// Chains in extended range, for rows whose weights leave float32: a weight is mantissa * 2^exponent, both float64; 0 has mantissa 0. Mantissas of sums lie in [1, 2).
// An operator lists the arcs into each target: starts: i32[width + 1], sources: i32[arcs], mantissas and exponents: f64[arcs] (`stride` arcs from one step to the next).

// exp(s) of scores f32[count]. 2^f by the series of exp(f ln 2), |f| <= 1/2, of degree 12: to 2e-16.
export function f64_far_weights(s: usize, count: i32, mantissas: usize, exponents: usize): void {
  for (; count > 0; count--, s += 4, mantissas += 8, exponents += 8) {
    const v = <f64>load<f32>(s) * 1.4426950408889634;
    const k = v - v == 0 ? nearest(v) : 0;
    const r = (v - k) * 0.6931471805599453;
    let p: f64 = 1.0 / 479001600;
    for (let n: f64 = 12, c: f64 = 1.0 / 479001600; n > 0; n--) {
      c *= n;
      p = p * r + c;
    }
    store<f64>(mantissas, v == -Infinity ? 0 : v - v == 0 ? p : NaN);
    store<f64>(exponents, k);
  }
}

// 2^d for an integer d up to 1000; 0 below -1000.
// @ts-ignore: decorator
@inline
function power(d: f64): f64 {
  return d < -1000 ? 0 : reinterpret<f64>(<i64>(d + 1023) << 52);
}

// y = sum over arcs of a; arcs of weight 0 and sources of weight 0 count nothing.
function far(starts: usize, sources: usize, mantissas: usize, exponents: usize, width: i32, am: usize, ae: usize, ym: usize, ye: usize): void {
  let k = <usize>load<i32>(starts);
  for (let j: usize = 0; j < <usize>width; j++) {
    const from = k, to = <usize>load<i32>(starts + (j << 2), 4);
    let top: f64 = -Infinity;
    for (; k < to; k++) {
      const i = <usize>load<i32>(sources + (k << 2)) << 3;
      if (load<f64>(am + i) != 0 && load<f64>(mantissas + (k << 3)) != 0) top = max(top, load<f64>(ae + i) + load<f64>(exponents + (k << 3)));
    }
    let sum: f64 = 0;
    for (k = from; k < to; k++) {
      const i = <usize>load<i32>(sources + (k << 2)) << 3;
      const product = load<f64>(am + i) * load<f64>(mantissas + (k << 3));
      if (product != 0) sum += product * power(load<f64>(ae + i) + load<f64>(exponents + (k << 3)) - top);
    }
    put(ym + (j << 3), ye + (j << 3), sum, top);
  }
}

// Stores mantissa * 2^exponent with the mantissa in [1, 2), or 0.
function put(m: usize, e: usize, mantissa: f64, exponent: f64): void {
  if (mantissa > 0 && mantissa < Infinity) {
    const bits = reinterpret<i64>(mantissa);
    store<f64>(m, reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000));
    store<f64>(e, exponent + <f64>(<i32>(bits >> 52) - 1023));
  } else {
    store<f64>(m, mantissa);
    store<f64>(e, 0);
  }
}

// alpha of the rows, not scaled; alpha[-1], first and steps as in f32_chain_forward. am, ae: f64[rows, width]; xm, xe: the weights of the rows.
export function f64_far_forward(starts: usize, sources: usize, mantissas: usize, exponents: usize, stride: usize, width: i32, xm: usize, xe: usize, rows: i32, first: i32, am: usize, ae: usize): void {
  const bytes = <usize>width << 3, next = stride << 3;
  for (let t = 0; t < rows; t++, am += bytes, ae += bytes, xm += bytes, xe += bytes) {
    if (t < first) {
      memory.copy(am, am - bytes, bytes);
      memory.copy(ae, ae - bytes, bytes);
    } else {
      far(starts, sources, mantissas, exponents, width, am - bytes, ae - bytes, am, ae);
      mantissas += next;
      exponents += next;
    }
    for (let at: usize = 0; at < bytes; at += 8) put(am + at, ae + at, load<f64>(am + at) * load<f64>(xm + at), load<f64>(ae + at) + load<f64>(xe + at));
  }
}

// sum_j a[j] b[j], to out: mantissa, exponent.
export function f64_far_dot(am: usize, ae: usize, bm: usize, be: usize, width: i32, out: usize): void {
  let top: f64 = -Infinity, sum: f64 = 0;
  const bytes = <usize>width << 3;
  for (let at: usize = 0; at < bytes; at += 8) if (load<f64>(am + at) * load<f64>(bm + at) != 0) top = max(top, load<f64>(ae + at) + load<f64>(be + at));
  for (let at: usize = 0; at < bytes; at += 8) {
    const product = load<f64>(am + at) * load<f64>(bm + at);
    if (product != 0) sum += product * power(load<f64>(ae + at) + load<f64>(be + at) - top);
  }
  put(out, out + 8, sum, top);
}

// a[j] b[j] / z, where that is at most about 1.
// @ts-ignore: decorator
@inline
function share(am: f64, ae: f64, bm: f64, be: f64, zm: f64, ze: f64): f64 {
  const product = am * bm;
  return product == 0 ? 0 : product / zm * power(ae + be - ze);
}

// Backward over a block, last row first: mu f32[rows, width]; x becomes x * beta; beta in and out as in f32_chain_backward. back: the arcs the other way round.
// z: mantissa and exponent of the partition sum.
export function f64_far_backward(starts: usize, sources: usize, mantissas: usize, exponents: usize, stride: usize, width: i32, xm: usize, xe: usize, rows: i32, first: i32, am: usize, ae: usize, bm: usize, be: usize, z: usize, mu: usize): void {
  const bytes = <usize>width << 3, zm = load<f64>(z), ze = load<f64>(z, 8);
  const skip = <usize>(rows - 1) * bytes;
  xm += skip;
  xe += skip;
  am += skip;
  ae += skip;
  mu += skip >> 1;
  mantissas += <usize>(rows - 1 - first) * (stride << 3);
  exponents += <usize>(rows - 1 - first) * (stride << 3);
  for (let t = rows - 1; t >= 0; t--, xm -= bytes, xe -= bytes, am -= bytes, ae -= bytes, mu -= bytes >> 1) {
    for (let at: usize = 0; at < bytes; at += 8) {
      const m = load<f64>(bm + at), e = load<f64>(be + at);
      store<f32>(mu + (at >> 1), <f32>share(load<f64>(am + at), load<f64>(ae + at), m, e, zm, ze));
      put(xm + at, xe + at, load<f64>(xm + at) * m, load<f64>(xe + at) + e);
    }
    if (t >= first) {
      far(starts, sources, mantissas, exponents, width, xm, xe, bm, be);
      mantissas -= stride << 3;
      exponents -= stride << 3;
    }
  }
}

// counts[k] += sum_t the share of arc k in row t; arcs as in f64_far_forward, x as f64_far_backward left it. A stride of counts of 0 sums over the rows.
export function f64_far_arcs(starts: usize, sources: usize, mantissas: usize, exponents: usize, stride: usize, width: i32, xm: usize, xe: usize, rows: i32, am: usize, ae: usize, z: usize, counts: usize, countStride: usize): void {
  const bytes = <usize>width << 3, zm = load<f64>(z), ze = load<f64>(z, 8);
  for (; rows > 0; rows--, am += bytes, ae += bytes, xm += bytes, xe += bytes, mantissas += stride << 3, exponents += stride << 3, counts += countStride << 3) {
    let k = <usize>load<i32>(starts);
    for (let j: usize = 0; j < <usize>width; j++) {
      const m = load<f64>(xm + (j << 3)), e = load<f64>(xe + (j << 3));
      for (const end = <usize>load<i32>(starts + (j << 2), 4); k < end; k++) {
        const i = <usize>load<i32>(sources + (k << 2)) << 3;
        const at = counts + (k << 3);
        store<f64>(at, load<f64>(at) + share(load<f64>(am - bytes + i) * load<f64>(mantissas + (k << 3)), load<f64>(ae - bytes + i) + load<f64>(exponents + (k << 3)), m, e, zm, ze));
      }
    }
  }
}
