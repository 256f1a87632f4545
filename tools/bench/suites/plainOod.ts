/** Detection in tight plain JavaScript, as a careful person writes it without a library: typed arrays, sums in float64 registers, no closures in hot loops. */

/** sum_n (x_n - mean of its class) (x_n - mean of its class)', lower triangle: two passes. */
export function scatter(x: Float32Array, labels: Int32Array, classes: number, width: number): Float64Array {
  const rows = labels.length, counts = new Float64Array(classes), means = new Float64Array(classes * width), out = new Float64Array(width * width), block = 256, centred = new Float64Array(block * width);
  for (let n = 0; n < rows; n++) {
    counts[labels[n]]++;
    for (let j = 0, to = labels[n] * width, at = n * width; j < width; j++) means[to + j] += x[at + j];
  }
  for (let c = 0; c < classes; c++) for (let j = 0; j < width; j++) means[c * width + j] /= counts[c];
  for (let first = 0; first < rows; first += block) {
    const some = Math.min(block, rows - first);
    // Columns next to each other, so that products run along memory; four rows of the result at a time.
    for (let n = 0; n < some; n++) for (let j = 0; j < width; j++) centred[j * block + n] = x[(first + n) * width + j] - means[labels[first + n] * width + j];
    for (let i = 0; i < width; i += 4) {
      const a = i * block, b = a + block, c = b + block, d = c + block;
      for (let j = 0; j < i + 4; j++) {
        let s = 0, t = 0, u = 0, v = 0;
        for (let n = 0, q = j * block; n < some; n++, q++) {
          const y = centred[q];
          s += centred[a + n] * y;
          t += centred[b + n] * y;
          u += centred[c + n] * y;
          v += centred[d + n] * y;
        }
        out[i * width + j] += s;
        out[(i + 1) * width + j] += t;
        out[(i + 2) * width + j] += u;
        out[(i + 3) * width + j] += v;
      }
    }
  }
  return out;
}

/** The k smallest squared distances of a query from the rows of a bank, ascending: four sums for each row, the worst of the best by insertion. */
export function nearest(query: Float32Array, bank: Float32Array, k: number): Float64Array {
  const width = query.length, best = new Float64Array(k).fill(Infinity), q = Float64Array.from(query);
  for (let at = 0; at < bank.length; at += width) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let j = 0; j < width; j += 4) {
      const r = q[j] - bank[at + j], s = q[j + 1] - bank[at + j + 1], t = q[j + 2] - bank[at + j + 2], u = q[j + 3] - bank[at + j + 3];
      a += r * r;
      b += s * s;
      c += t * t;
      d += u * u;
    }
    const distance = a + b + (c + d);
    if (!(distance < best[k - 1])) continue;
    let i = k - 1;
    for (; i > 0 && best[i - 1] > distance; i--) best[i] = best[i - 1];
    best[i] = distance;
  }
  return best;
}

/** For each row: largest probability, its rest, largest logit, energy, entropy, margin, index of the largest. */
export function logitScores(x: Float32Array, cols: number, out: Float64Array): Float64Array {
  for (let from = 0, to = 0; from < x.length; from += cols, to += 7) {
    let top = -Infinity, second = -Infinity, index = 0;
    for (let c = 0; c < cols; c++) {
      const value = x[from + c];
      if (value > top) {
        second = top;
        top = value;
        index = c;
      } else if (value > second) second = value;
    }
    let rest = 0, weighted = 0;
    for (let c = 0; c < cols; c++) {
      if (c === index) continue;
      const z = x[from + c] - top, w = Math.exp(z);
      rest += w;
      weighted += w * z;
    }
    const sum = 1 + rest, log = Math.log(sum);
    out[to] = 1 / sum;
    out[to + 1] = rest / sum;
    out[to + 2] = top;
    out[to + 3] = -top - log;
    out[to + 4] = log - weighted / sum;
    out[to + 5] = top - second;
    out[to + 6] = index;
  }
  return out;
}

/** min_c |W (f - m) - W (mean_c - m)|^2 for a lower triangle W and whitened means. */
export function mahalanobis(x: Float32Array, width: number, centre: Float64Array, lower: Float64Array, means: Float64Array): Float64Array {
  const rows = x.length / width, out = new Float64Array(rows), centred = new Float64Array(width), z = new Float64Array(width);
  for (let n = 0; n < rows; n++) {
    for (let j = 0; j < width; j++) centred[j] = x[n * width + j] - centre[j];
    for (let i = 0, p = 0; i < width; i++) {
      let sum = 0;
      for (let j = 0; j <= i; j++, p++) sum += lower[p] * centred[j];
      z[i] = sum;
    }
    let best = Infinity;
    for (let at = 0; at < means.length; at += width) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let j = 0; j < width; j += 4) {
        const r = z[j] - means[at + j], s = z[j + 1] - means[at + j + 1], t = z[j + 2] - means[at + j + 2], u = z[j + 3] - means[at + j + 3];
        a += r * r;
        b += s * s;
        c += t * t;
        d += u * u;
      }
      best = Math.min(best, a + b + (c + d));
    }
    out[n] = best;
  }
  return out;
}
