/** Cosine sums y_k = sum_j x_j cos(pi j k / M), j and k from 0 to M, M a power of two at least 2. */
export class CosineSums {
  /** M. */
  readonly size: number;
  /** cos(pi k / M) for k from 0 to M / 2. */
  readonly #quarter: Float64Array;
  /** cos(2 pi k / M) and -sin(2 pi k / M) for k below M / 2. */
  readonly #cosine: Float64Array;
  readonly #sine: Float64Array;
  readonly #real: Float64Array;
  readonly #imaginary: Float64Array;

  constructor(size: number) {
    this.size = size;
    const c = cosines(2 * size), half = size / 2;
    this.#quarter = c;
    this.#cosine = Float64Array.from({ length: half }, (_, k) => (2 * k <= half ? c[2 * k] : -c[size - 2 * k]));
    this.#sine = Float64Array.from({ length: half }, (_, k) => -c[Math.abs(half - 2 * k)]);
    this.#real = new Float64Array(size);
    this.#imaginary = new Float64Array(size);
  }

  /** The sums of x [M + 1]; in O(M log M). */
  of(x: Float64Array): Float64Array {
    // The even sequence e of period 2 M, e_j = x_j / 2 but for e_0 = x_0 and e_M = x_M, as M complex numbers e_2j + i e_2j+1.
    const m = this.size, re = this.#real, im = this.#imaginary, half = m / 2, c = this.#quarter, y = new Float64Array(m + 1);
    for (let j = 0; j < half; j++) {
      re[j] = x[2 * j] / 2;
      im[j] = im[m - 1 - j] = x[2 * j + 1] / 2;
      if (j > 0) re[m - j] = re[j];
    }
    re[0] = x[0];
    re[half] = x[m];
    transform(re, im, this.#cosine, this.#sine);
    for (let k = 0; k <= m; k++) {
      const a = k === m ? 0 : k, b = k === 0 ? 0 : m - k, cosine = k <= half ? c[k] : -c[m - k], sine = c[Math.abs(half - k)];
      y[k] = (re[a] + re[b] + cosine * (im[a] + im[b]) - sine * (re[a] - re[b])) / 2;
    }
    return y;
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

/** Radix-2 Fourier transform in place; cosine and -sine of half a circle. */
function transform(re: Float64Array, im: Float64Array, cosine: Float64Array, sine: Float64Array): void {
  const n = re.length;
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
  // Pairs: the factor is 1.
  for (let a = 0; a < n; a += 2) {
    const xr = re[a + 1], xi = im[a + 1];
    re[a + 1] = re[a] - xr;
    im[a + 1] = im[a] - xi;
    re[a] += xr;
    im[a] += xi;
  }
  for (let half = 2; half < n; half *= 2) {
    const stride = n / (2 * half);
    // Blocks outside: the part of an array that a block touches stays in the cache.
    for (let start = 0; start < n; start += 2 * half) {
      for (let a = start, angle = 0; a < start + half; a++, angle += stride) {
        const b = a + half, wr = cosine[angle], wi = sine[angle], xr = re[b] * wr - im[b] * wi, xi = re[b] * wi + im[b] * wr;
        re[b] = re[a] - xr;
        im[b] = im[a] - xi;
        re[a] += xr;
        im[a] += xi;
      }
    }
  }
}
