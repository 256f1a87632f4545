/** Rows divided by their lengths; a row of zeros stays, one with NaN or an infinity becomes NaN. */
export function unitRows(x: Float32Array, width: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let from = 0; from < x.length; from += width) {
    let sum = 0;
    for (let i = from; i < from + width; i++) sum += x[i] * x[i];
    const scale = sum === 0 ? 0 : 1 / Math.sqrt(sum);
    for (let i = from; i < from + width; i++) out[i] = x[i] * scale;
  }
  return out;
}
