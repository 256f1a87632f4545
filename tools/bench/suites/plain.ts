/** Calibration and its metrics in tight plain JavaScript, as a careful person writes them without a library: typed arrays, native sorts of numbers, Math.exp, no closures in hot loops. */

/** Scores with their answer as the last bit of one float64 key, in order: a native sort without a comparator. */
function sortedKeys(scores: Float32Array, answers: Uint8Array): Float64Array {
  const n = scores.length, bits = new Uint32Array(scores.slice().buffer), keys = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const b = bits[i];
    keys[i] = (b >>> 31 ? ~b >>> 0 : (b ^ 0x80000000) >>> 0) * 2 + answers[i];
  }
  return keys.sort();
}

/** As `sortedKeys` for scores >= 0, whose bits leave room for the answer in 32: the fastest native sort. */
function sortedWords(scores: Float32Array, answers: Uint8Array): Uint32Array {
  const n = scores.length, bits = new Uint32Array(scores.buffer, scores.byteOffset, n), keys = new Uint32Array(n);
  for (let i = 0; i < n; i++) keys[i] = bits[i] * 2 + answers[i];
  return keys.sort();
}

/** Pool adjacent violators: the fitted values of the distinct scores in order. */
export function isotonic(scores: Float32Array, answers: Uint8Array): Float64Array {
  const keys = sortedKeys(scores, answers), n = keys.length;
  const sums = new Float64Array(n), weights = new Float64Array(n), points = new Int32Array(n);
  let blocks = 0, distinct = 0;
  for (let i = 0; i < n; ) {
    const score = Math.floor(keys[i] / 2);
    let sum = 0, weight = 0;
    for (; i < n && Math.floor(keys[i] / 2) === score; i++) {
      sum += keys[i] - 2 * score;
      weight++;
    }
    distinct++;
    let count = 1;
    while (blocks > 0 && sums[blocks - 1] * weight >= sum * weights[blocks - 1]) {
      blocks--;
      sum += sums[blocks];
      weight += weights[blocks];
      count += points[blocks];
    }
    sums[blocks] = sum;
    weights[blocks] = weight;
    points[blocks++] = count;
  }
  const out = new Float64Array(distinct);
  for (let b = 0, at = 0; b < blocks; b++) for (let end = at + points[b]; at < end; at++) out[at] = sums[b] / weights[b];
  return out;
}

const word = new Uint32Array(1), asFloat = new Float32Array(word.buffer);
const valueOf = (key: number): number => {
  word[0] = key >>> 1;
  return asFloat[0];
};

/** Expected calibration error with bins of equal mass, equal confidences together in the lower bin. */
export function massError(confidence: Float32Array, correct: Uint8Array, bins: number): number {
  const keys = sortedWords(confidence, correct), n = keys.length;
  let total = 0, bin = 0, sum = 0, end = Math.floor(n / bins) + (n % bins > 0 ? 1 : 0), last = -1;
  for (let i = 0; i < n; i++) {
    const key = keys[i];
    if (i >= end && key >>> 1 !== last) {
      total += Math.abs(sum);
      sum = 0;
      while (i >= end) {
        bin++;
        end = (bin + 1) * Math.floor(n / bins) + Math.min(bin + 1, n % bins);
      }
    }
    last = key >>> 1;
    sum += (key & 1) - valueOf(key);
  }
  return (total + Math.abs(sum)) / n;
}

/** Kolmogorov-Smirnov statistic of the cumulative differences, in standard deviations. */
export function cumulative(confidence: Float32Array, correct: Uint8Array): number {
  const keys = sortedWords(confidence, correct), n = keys.length;
  let sum = 0, most = 0, variance = 0;
  for (let i = 0; i < n; i++) {
    const key = keys[i], c = valueOf(key);
    sum += (key & 1) - c;
    variance += c * (1 - c);
    if ((i + 1 === n || keys[i + 1] >>> 1 !== key >>> 1) && Math.abs(sum) > most) most = Math.abs(sum);
  }
  return most / Math.sqrt(variance);
}

/** Area under the ROC curve by ranks, ties one half. */
export function areaUnderRoc(confidence: Float32Array, correct: Uint8Array): number {
  const keys = sortedWords(confidence, correct), n = keys.length;
  let pairs = 0, below = 0, above = 0;
  for (let i = 0; i < n; ) {
    const score = keys[i] >>> 1;
    let ones = 0, zeros = 0;
    for (; i < n && keys[i] >>> 1 === score; i++) {
      if (keys[i] & 1) ones++;
      else zeros++;
    }
    pairs += ones * (below + zeros / 2);
    below += zeros;
    above += ones;
  }
  return pairs / above / below;
}

/** Area under the risk-coverage curve, errors of tied rows spread evenly. */
export function areaUnderRisk(confidence: Float32Array, correct: Uint8Array): number {
  const keys = sortedWords(confidence, correct), n = keys.length;
  let total = 0, area = 0;
  for (let i = n - 1; i >= 0; ) {
    const score = keys[i] >>> 1, start = i;
    let wrong = 0;
    for (; i >= 0 && keys[i] >>> 1 === score; i--) wrong += 1 - (keys[i] & 1);
    const count = start - i, done = n - 1 - start;
    for (let j = 1; j <= count; j++) area += (total + (wrong * j) / count) / (done + j);
    total += wrong;
  }
  return area / n;
}

/** Smooth calibration error: residuals spread linearly over 8,193 nodes, the reflected Gaussian as a factor of their cosine sums, the fixed point by regula falsi. */
export function smoothError(confidence: Float32Array, correct: Uint8Array): number {
  const m = 8192, n = confidence.length, nodes = new Float64Array(m + 1);
  for (let i = 0; i < n; i++) {
    const at = confidence[i] * m, j = Math.min(m - 1, Math.floor(at)), x = at - j, r = (correct[i] - confidence[i]) / n;
    nodes[j] += r * (1 - x);
    nodes[j + 1] += r * x;
  }
  const size = 2 * m, cosine = Float64Array.from({ length: m }, (_, k) => Math.cos((Math.PI * k) / m)), sine = Float64Array.from({ length: m }, (_, k) => -Math.sin((Math.PI * k) / m));
  const re = new Float64Array(size), im = new Float64Array(size);
  const reversed = new Uint32Array(size);
  for (let i = 1; i < size; i++) reversed[i] = (reversed[i >> 1] >> 1) | (i & 1 ? m : 0);
  const sums = (x: Float64Array): Float64Array => {
    for (let i = 0; i < size; i++) {
      const j = reversed[i];
      re[i] = j === 0 || j === m ? x[j] : (j < m ? x[j] : x[size - j]) / 2;
    }
    im.fill(0);
    for (let half = 1; half < size; half *= 2) {
      const stride = m / half;
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = start + k, b = a + half, wr = cosine[k * stride], wi = sine[k * stride];
          const xr = re[b] * wr - im[b] * wi, xi = re[b] * wi + im[b] * wr;
          re[b] = re[a] - xr;
          im[b] = im[a] - xi;
          re[a] += xr;
          im[a] += xi;
        }
      }
    }
    return re.slice(0, m + 1);
  };
  const coefficients = sums(nodes), smooth = new Float64Array(m + 1);
  const error = (bandwidth: number): number => {
    smooth.fill(0);
    smooth[0] = coefficients[0];
    for (let k = 1; k <= m; k++) {
      const exponent = (Math.PI * k * bandwidth) ** 2 / 2;
      if (exponent > 40) break;
      smooth[k] = 2 * coefficients[k] * Math.exp(-exponent);
    }
    const f = sums(smooth);
    let total = 0;
    for (let j = 0; j < m; j++) {
      const both = Math.abs(f[j]) + Math.abs(f[j + 1]);
      total += f[j] * f[j + 1] >= 0 ? both / 2 : (f[j] ** 2 + f[j + 1] ** 2) / (2 * both);
    }
    return total / m;
  };
  let low = 1, high = 1, excess = error(1) - 1, lack = excess;
  while (excess < 0 && low > 1e-4) {
    high = low;
    lack = excess;
    low /= 2;
    excess = error(low) - low;
  }
  for (let i = 0, side = 0; i < 60 && high - low > 1e-9 * high; i++) {
    const middle = (low * lack - high * excess) / (lack - excess), at = error(middle) - middle;
    if (at > 0) {
      low = middle;
      excess = at;
      if (side > 0) lack /= 2;
      side = 1;
    } else {
      high = middle;
      lack = at;
      if (side < 0) excess /= 2;
      side = -1;
    }
    if (Math.abs(at) < 1e-12) return middle;
  }
  return (low + high) / 2;
}

/** Platt scaling by Newton's method: slope and intercept. */
export function platt(scores: Float32Array, answers: Uint8Array): [number, number] {
  const n = scores.length;
  let positives = 0;
  for (let i = 0; i < n; i++) positives += answers[i];
  const high = (positives + 1) / (positives + 2), low = 1 / (n - positives + 2);
  let a = 0, b = Math.log((positives + 1) / (n - positives + 1));
  for (let iteration = 0; iteration < 50; iteration++) {
    let ga = 0, gb = 0, aa = 0, ab = 0, bb = 0;
    for (let i = 0; i < n; i++) {
      const s = scores[i], p = 1 / (1 + Math.exp(-(a * s + b))), r = p - (answers[i] ? high : low), w = p * (1 - p);
      ga += r * s;
      gb += r;
      aa += w * s * s;
      ab += w * s;
      bb += w;
    }
    const det = aa * bb - ab * ab, da = (ga * bb - gb * ab) / det, db = (gb * aa - ga * ab) / det;
    a -= da;
    b -= db;
    if (Math.abs(da) + Math.abs(db) < 1e-9) break;
  }
  return [a, b];
}

/** Mean loss of softmax(w x + b) and its gradient by w and b: [1 + 2 C]. */
export function vectorGradient(x: Float32Array, labels: Int32Array, weights: Float32Array, bias: Float32Array): Float64Array {
  const classes = weights.length, rows = labels.length, out = new Float64Array(1 + 2 * classes), z = new Float64Array(classes);
  for (let r = 0, at = 0; r < rows; r++, at += classes) {
    let top = -Infinity, sum = 0;
    for (let c = 0; c < classes; c++) {
      const v = weights[c] * x[at + c] + bias[c];
      z[c] = v;
      if (v > top) top = v;
    }
    const own = z[labels[r]];
    for (let c = 0; c < classes; c++) sum += z[c] = Math.exp(z[c] - top);
    out[0] += (top - own + Math.log(sum)) / rows;
    const scale = 1 / sum / rows;
    for (let c = 0; c < classes; c++) {
      const p = z[c] * scale;
      out[1 + c] += p * x[at + c];
      out[1 + classes + c] += p;
    }
    out[1 + labels[r]] -= x[at + labels[r]] / rows;
    out[1 + classes + labels[r]] -= 1 / rows;
  }
  return out;
}

/** Unbiased squared kernel calibration error with a Laplace kernel of the bandwidth: sorted, the sum over pairs by one recursion. */
export function kernelError(confidence: Float32Array, correct: Uint8Array, bandwidth: number): number {
  const keys = sortedWords(confidence, correct), n = keys.length;
  let total = 0, carried = 0, last = 0, before = 0;
  for (let i = 0; i < n; i++) {
    const c = valueOf(keys[i]), r = (keys[i] & 1) - c;
    carried = Math.exp((last - c) / bandwidth) * (carried + before);
    total += r * carried;
    before = r;
    last = c;
  }
  return (2 * total) / n / (n - 1);
}

/** Sets of APS at a threshold: softmax in float64, one native sort of packed keys a row, cumulated. The sizes of the sets. */
export function adaptiveSets(x: Float32Array, classes: number, threshold: number, uniform: (row: number) => number, mask: Uint8Array): Int32Array {
  const rows = x.length / classes, sizes = new Int32Array(rows), p = new Float32Array(classes), bits = new Uint32Array(p.buffer), keys = new Float64Array(classes);
  mask.fill(0);
  for (let r = 0, at = 0; r < rows; r++, at += classes) {
    let top = -Infinity, sum = 0;
    for (let c = 0; c < classes; c++) if (x[at + c] > top) top = x[at + c];
    for (let c = 0; c < classes; c++) sum += p[c] = Math.exp(x[at + c] - top);
    for (let c = 0; c < classes; c++) p[c] /= sum;
    for (let c = 0; c < classes; c++) keys[c] = bits[c] * 4096 + (4095 - c);
    keys.sort();
    const u = uniform(r);
    let before = 0, size = 0;
    for (let k = classes - 1; k >= 0; k--) {
      const c = 4095 - (keys[k] % 4096);
      if (before + (1 - u) * p[c] > threshold) break;
      mask[at + c] = 1;
      before += p[c];
      size++;
    }
    sizes[r] = size;
  }
  return sizes;
}
