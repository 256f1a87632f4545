/** Cosine sums y_k = sum_j x_j cos(pi j k / M), j and k from 0 to M, M a power of two at least 2. */
export class CosineSums {
  /** M. */
  readonly size: number;
  readonly #cosine: Float64Array;
  readonly #real: Float64Array;
  readonly #imaginary: Float64Array;

  constructor(size: number) {
    this.size = size;
    this.#cosine = cosines(2 * size);
    this.#real = new Float64Array(2 * size);
    this.#imaginary = new Float64Array(2 * size);
  }

  /** The sums of x [M + 1]; in O(M log M). */
  of(x: Float64Array): Float64Array {
    const m = this.size, re = this.#real, im = this.#imaginary;
    im.fill(0);
    re[0] = x[0];
    re[m] = x[m];
    for (let j = 1; j < m; j++) re[j] = re[2 * m - j] = x[j] / 2;
    transform(re, im, this.#cosine);
    return re.slice(0, m + 1);
  }
}

/**
 * cos(2 pi k / n) for k from 0 to n / 4 by halving angles: only square roots and quotients, so the same bits in every engine.
 * Source: Buneman, "Stable on-line creation of sines or cosines of successive angles", Proceedings of the IEEE 75 (1987).
 */
function cosines(n: number): Float64Array {
  const quarter = n / 4, c = new Float64Array(quarter + 1);
  c[0] = 1;
  for (let step = quarter, cosine = 0; step > 1; step /= 2) {
    // cosine belongs to the angle of a step; that of half a step is divided by.
    cosine = Math.sqrt((1 + cosine) / 2);
    for (let a = 0; a < quarter; a += step) c[a + step / 2] = (c[a] + c[a + step]) / (2 * cosine);
  }
  return c;
}

/** Radix-2 Fourier transform in place. */
function transform(re: Float64Array, im: Float64Array, cosine: Float64Array): void {
  const n = re.length, quarter = n / 4;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      const kept = re[i];
      re[i] = re[j];
      re[j] = kept;
      const other = im[i];
      im[i] = im[j];
      im[j] = other;
    }
  }
  for (let half = 1; half < n; half *= 2) {
    const stride = n / (2 * half);
    // Blocks outside: the part of an array that a block touches stays in the cache.
    for (let start = 0; start < n; start += 2 * half) {
      for (let k = 0, angle = 0; k < half; k++, angle += stride) {
        const wr = angle <= quarter ? cosine[angle] : -cosine[2 * quarter - angle];
        const wi = -(angle <= quarter ? cosine[quarter - angle] : cosine[angle - quarter]);
        const a = start + k, b = a + half, xr = re[b] * wr - im[b] * wi, xi = re[b] * wi + im[b] * wr;
        re[b] = re[a] - xr;
        im[b] = im[a] - xi;
        re[a] += xr;
        im[a] += xi;
      }
    }
  }
}
