/** A seeded stream of 32-bit words: fast enough for 50 million logits. Source: Chris Doty-Humphrey, "sfc32" of PractRand. */
function words(seed: number): () => number {
  let a = 0x9e3779b9, b = seed | 0, c = 0x243f6a88, counter = 1;
  const next = (): number => {
    const t = (a + b + counter++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t | 0;
    return t;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** Nearly normal values of mean 0 and standard deviation `scale`: sums of four uniforms of 16 bits. Values are all but never tied. */
export function logits(count: number, seed: number, scale = 3): Float32Array {
  const next = words(seed), out = new Float32Array(count), unit = (scale * Math.sqrt(3)) / 65536;
  for (let i = 0; i < count; i++) {
    const u = next(), v = next();
    out[i] = ((u & 0xffff) + (u >>> 16) + (v & 0xffff) + (v >>> 16) - 131070) * unit + (next() >>> 0) * 2 ** -48;
  }
  return out;
}

/** Labels drawn from softmax(row / temperature), so that a fit has this temperature to find. */
export function labelsFor(x: Float32Array, cols: number, temperature: number, seed: number): Int32Array {
  const next = words(seed), rows = x.length / cols, out = new Int32Array(rows);
  const weights = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    for (let c = 0; c < cols; c++) sum += weights[c] = Math.exp(x[r * cols + c] / temperature);
    let left = ((next() >>> 0) + 0.5) * 2 ** -32 * sum, c = 0;
    while (c < cols - 1 && (left -= weights[c]) > 0) c++;
    out[r] = c;
  }
  return out;
}
