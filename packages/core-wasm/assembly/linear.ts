import { EXP, halfExp } from "./lib/exp";
import { log64 } from "./lib/log";
import { madd, maxLanes, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Softmax regression on sparse rows, and the vector arithmetic of its optimiser. `stride` is the number of classes rounded up to a multiple of 4:
// matrices have that many columns, so that no loop has a remainder. Nothing overlaps unless it says `in place`.

// z[r] = bias + sum_j data[j] w[indices[j]] over the elements j of row r      indptr: i32[rows + 1], w: f32[features, stride], bias: f32[stride], z: f32[rows, stride].
// indices and data begin with the first row's elements: element j of the matrix stands at j - indptr[0].
export function f32_csr_logits(indptr: usize, indices: usize, data: usize, w: usize, bias: usize, z: usize, rows: i32, stride: i32): void {
  const bytes = <usize>stride << 2;
  for (const last = indptr + (<usize>rows << 2); indptr < last; indptr += 4, z += bytes) {
    for (let c: usize = 0; c < bytes; c += 16) v128.store(z + c, v128.load(bias + c));
    const stop = indices + (<usize>(load<i32>(indptr, 4) - load<i32>(indptr)) << 2);
    // Four rows of w at a time: z is loaded and stored once for them.
    for (; indices + 16 <= stop; indices += 16, data += 16) {
      const x0 = v128.load32_splat(data), x1 = v128.load32_splat(data, 4), x2 = v128.load32_splat(data, 8), x3 = v128.load32_splat(data, 12);
      let w0 = w + <usize>load<u32>(indices) * bytes, w1 = w + <usize>load<u32>(indices, 4) * bytes;
      let w2 = w + <usize>load<u32>(indices, 8) * bytes, w3 = w + <usize>load<u32>(indices, 12) * bytes;
      for (let p = z, end = z + bytes; p < end; p += 16, w0 += 16, w1 += 16, w2 += 16, w3 += 16) {
        v128.store(p, madd(x3, v128.load(w3), madd(x2, v128.load(w2), madd(x1, v128.load(w1), madd(x0, v128.load(w0), v128.load(p))))));
      }
    }
    for (; indices < stop; indices += 4, data += 4) {
      const x0 = v128.load32_splat(data);
      let w0 = w + <usize>load<u32>(indices) * bytes;
      for (let p = z, end = z + bytes; p < end; p += 16, w0 += 16) v128.store(p, madd(x0, v128.load(w0), v128.load(p)));
    }
  }
}

// g[indices[j]] += data[j] d[r] over the elements j of each row r      g: f32[features, stride], d: f32[rows, stride].
export function f32_csr_gradient(indptr: usize, indices: usize, data: usize, d: usize, g: usize, rows: i32, stride: i32): void {
  const bytes = <usize>stride << 2;
  for (const last = indptr + (<usize>rows << 2); indptr < last; indptr += 4, d += bytes) {
    const stop = indices + (<usize>(load<i32>(indptr, 4) - load<i32>(indptr)) << 2);
    const end = d + bytes;
    // Two at a time; the same column twice is right as well, the second is loaded after the first is stored.
    for (; indices + 8 <= stop; indices += 8, data += 8) {
      const x0 = v128.load32_splat(data), x1 = v128.load32_splat(data, 4);
      let g0 = g + <usize>load<u32>(indices) * bytes, g1 = g + <usize>load<u32>(indices, 4) * bytes;
      for (let p = d; p < end; p += 16, g0 += 16, g1 += 16) {
        const v = v128.load(p);
        v128.store(g0, madd(x0, v, v128.load(g0)));
        v128.store(g1, madd(x1, v, v128.load(g1)));
      }
    }
    for (; indices < stop; indices += 4, data += 4) {
      const x0 = v128.load32_splat(data);
      let g0 = g + <usize>load<u32>(indices) * bytes;
      for (let p = d; p < end; p += 16, g0 += 16) v128.store(g0, madd(x0, v128.load(p), v128.load(g0)));
    }
  }
}

// Returns sum_r weights[r] (log sum_c exp(z[r, c]) - z[r, labels[r]]), c < cols. In place: z[r, c] becomes weights[r] (softmax(z[r])_c - [c = labels[r]]), and 0
// for cols <= c < stride; column[c] += sum_r of it. z: f32[rows, stride], labels: i32[rows] in [0, cols), weights: f32[rows], column: f32[stride].
// A row in float32 relative to its maximum, its sum and the rows' sum in float64. NaN or +Infinity in a row makes the result NaN.
export function f32_cross_entropy(z: usize, labels: usize, weights: usize, column: usize, rows: i32, cols: i32, stride: i32): f64 {
  const bytes = <usize>stride << 2;
  const impossible = v128.load32_splat(EXP, 36);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  let loss: f64 = 0;
  for (; rows > 0; rows--, labels += 4, weights += 4) {
    const end = z + bytes;
    for (let c = cols; c < stride; c++) store<f32>(z + (<usize>c << 2), -Infinity);
    const label = z + (<usize>load<i32>(labels) << 2);
    const weight = load<f32>(weights);
    const score = load<f32>(label);
    // pmax(m, v) keeps m where v is NaN: NaN comes back through the sum.
    let m = impossible, p = z;
    for (; p < end; p += 16) m = f32x4.pmax(m, v128.load(p));
    const top = maxLanes(m);
    m = f32x4.splat(top);
    // float32 lanes over at most 1024 bytes, blocks added in float64.
    let half: f64 = 0;
    p = z;
    while (p < end) {
      let s = f32x4.splat(0);
      for (const stop = min(p + 1024, end); p < stop; p += 16) {
        const e = halfExp(f32x4.sub(m, v128.load(p)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
        v128.store(p, e);
        s = f32x4.add(s, e);
      }
      half += sumLanes(s);
    }
    loss += <f64>weight * (log64(2 * half) + (<f64>top - <f64>score));
    const scale = f32x4.splat(<f32>(<f64>weight / half));
    for (p = z; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), scale));
    store<f32>(label, load<f32>(label) - weight);
    let q = column;
    for (p = z; p < end; p += 16, q += 16) v128.store(q, f32x4.add(v128.load(q), v128.load(p)));
    z = end;
  }
  return loss;
}

// out[2 k] += v_k . a, out[2 k + 1] += v_k . b      vectors: usize[count], the addresses of v_k: f32[n]; a, b: f32[n]; out: f64[2 count]; n a multiple of 4.
// Products are summed in float32 lanes over 1024 elements, these sums in float64. Each v_k is read once.
export function f32_dots(vectors: usize, count: i32, a: usize, b: usize, n: i32, out: usize): void {
  for (let left = n; left > 0; left -= 1024) {
    const bytes = <usize>min(left, 1024) << 2;
    for (let k: usize = 0; k < <usize>count; k++) {
      let s0 = f32x4.splat(0), s1 = s0, t0 = s0, t1 = s0;
      let p = a, q = b, at = <usize>load<u32>(vectors + (k << 2)) + (<usize>(n - left) << 2);
      for (const stop = a + (bytes & ~31); p < stop; p += 32, q += 32, at += 32) {
        const x = v128.load(at), y = v128.load(at, 16);
        s0 = madd(x, v128.load(p), s0);
        t0 = madd(x, v128.load(q), t0);
        s1 = madd(y, v128.load(p, 16), s1);
        t1 = madd(y, v128.load(q, 16), t1);
      }
      if (bytes & 16) {
        const x = v128.load(at);
        s0 = madd(x, v128.load(p), s0);
        t0 = madd(x, v128.load(q), t0);
      }
      const to = out + (k << 4);
      store<f64>(to, load<f64>(to) + (sumLanes(s0) + sumLanes(s1)));
      store<f64>(to, load<f64>(to, 8) + (sumLanes(t0) + sumLanes(t1)), 8);
    }
    a += bytes;
    b += bytes;
  }
}

// y[i] = sum_k coefficients[k] v_k[i], summed in the order of k      y: f32[n], coefficients: f32[count], count >= 1; y may be v_0 (in place). n a multiple of 4.
export function f32_combine(vectors: usize, coefficients: usize, count: i32, y: usize, n: i32): void {
  for (let left = n; left > 0; left -= 1024) {
    const end = y + (<usize>min(left, 1024) << 2);
    const offset = <usize>(n - left) << 2;
    for (let k: usize = 0; k < <usize>count; k++) {
      let at = <usize>load<u32>(vectors + (k << 2)) + offset;
      const by = v128.load32_splat(coefficients + (k << 2));
      if (k) for (let p = y; p < end; p += 16, at += 16) v128.store(p, madd(by, v128.load(at), v128.load(p)));
      else for (let p = y; p < end; p += 16, at += 16) v128.store(p, f32x4.mul(by, v128.load(at)));
    }
    y = end;
  }
}

// Change of variables: rows of u weigh centred and scaled features. w[f] = scale[f] u[f]; shift[c] += sum_f mean[f] w[f, c].
// u, w: f32[rows, stride], scale, mean: f32[rows], shift: f32[stride]. The sum is float32: callers add up a few hundred rows at a time.
export function f32_weights(u: usize, scale: usize, mean: usize, w: usize, shift: usize, rows: i32, stride: i32): void {
  const bytes = <usize>stride << 2;
  for (; rows > 0; rows--, scale += 4, mean += 4) {
    const by = v128.load32_splat(scale), m = v128.load32_splat(mean);
    let s = shift;
    for (const end = w + bytes; w < end; w += 16, u += 16, s += 16) {
      const v = f32x4.mul(by, v128.load(u));
      v128.store(w, v);
      v128.store(s, madd(m, v, v128.load(s)));
    }
  }
}

// The gradient by u from the gradient by w, in place: g[f] = scale[f] (g[f] - mean[f] bias + l2 w[f]).
// g, w: f32[rows, stride], scale, mean: f32[rows]; bias: f32[stride], the gradient by the bias.
export function f32_weights_gradient(g: usize, w: usize, scale: usize, mean: usize, bias: usize, l2: f32, rows: i32, stride: i32): void {
  const bytes = <usize>stride << 2;
  const penalty = f32x4.splat(l2);
  for (; rows > 0; rows--, scale += 4, mean += 4) {
    const by = v128.load32_splat(scale), m = f32x4.neg(v128.load32_splat(mean));
    let b = bias;
    for (const end = g + bytes; g < end; g += 16, w += 16, b += 16) {
      v128.store(g, f32x4.mul(by, madd(m, v128.load(b), madd(penalty, v128.load(w), v128.load(g)))));
    }
  }
}
