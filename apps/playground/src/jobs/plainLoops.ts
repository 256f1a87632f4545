/** What a careful programmer writes without a library: loops over typed arrays. */

export function plainSoftmax(x: Float32Array, rows: number, width: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let n = 0, at = 0; n < rows; n++, at += width) {
    let top = -Infinity, sum = 0;
    for (let c = at; c < at + width; c++) if (x[c] > top) top = x[c];
    for (let c = at; c < at + width; c++) sum += out[c] = Math.exp(x[c] - top);
    const scale = 1 / sum;
    for (let c = at; c < at + width; c++) out[c] *= scale;
  }
  return out;
}

/** The k largest of each row, largest first, by insertion. */
export function plainTopK(x: Float32Array, rows: number, width: number, k: number): { readonly values: Float32Array; readonly indices: Int32Array } {
  const values = new Float32Array(rows * k).fill(-Infinity), indices = new Int32Array(rows * k);
  for (let n = 0; n < rows; n++) {
    const own = n * k, last = own + k - 1;
    for (let c = 0, at = n * width; c < width; c++, at++) {
      const value = x[at];
      if (value <= values[last]) continue;
      let i = last;
      for (; i > own && values[i - 1] < value; i--) {
        values[i] = values[i - 1];
        indices[i] = indices[i - 1];
      }
      values[i] = value;
      indices[i] = c;
    }
  }
  return { values, indices };
}

/** a [m, k] times b [k, n]: b is turned first, so that both are read along rows; two sums, so that additions overlap. k is even. */
export function plainMatmul(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Float32Array {
  const out = new Float32Array(m * n), turned = new Float32Array(k * n);
  for (let l = 0; l < k; l++) for (let j = 0; j < n; j++) turned[j * k + l] = b[l * n + j];
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let even = 0, odd = 0;
      for (let l = 0, p = i * k, q = j * k; l < k; l += 2, p += 2, q += 2) {
        even += a[p] * turned[q];
        odd += a[p + 1] * turned[q + 1];
      }
      out[i * n + j] = even + odd;
    }
  }
  return out;
}

/** T by Newton's method on 1 / T, as the library fits it. */
export function plainTemperature(x: Float32Array, labels: Int32Array, width: number): number {
  let beta = 1;
  for (let step = 0; step < 50; step++) {
    let gradient = 0, curvature = 0;
    for (let n = 0, at = 0; n < labels.length; n++, at += width) {
      let top = -Infinity, sum = 0, first = 0, second = 0;
      for (let c = at; c < at + width; c++) if (x[c] > top) top = x[c];
      for (let c = at; c < at + width; c++) {
        const z = x[c] - top, e = Math.exp(beta * z);
        sum += e;
        first += e * z;
        second += e * z * z;
      }
      const mean = first / sum;
      gradient += mean - (x[at + labels[n]] - top);
      curvature += second / sum - mean * mean;
    }
    const next = Math.max(beta / 4, beta - gradient / curvature);
    if (Math.abs(next - beta) <= 1e-8 * beta) return 1 / next;
    beta = next;
  }
  return 1 / beta;
}
