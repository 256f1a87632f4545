/** The recursions of segments and alignments in plain JavaScript: float64, scaled linear space, and textbook log space. */

/** -log p and its gradient, by scaled sums: alpha of every frame is divided by its sum. */
export function scaledCtc(scores: Float32Array, frames: number, classes: number, labels: Int32Array, blank: number): { loss: number; grad: Float64Array } {
  const S = labels.length, states = 2 * S + 1, p = new Float64Array(frames * classes), alpha = new Float64Array(frames * states), grad = new Float64Array(frames * classes);
  const extended = Int32Array.from({ length: states }, (_, s) => (s % 2 === 0 ? blank : labels[s >> 1])), skip = Uint8Array.from(extended, (k, s) => Number(s > 1 && k !== blank && k !== extended[s - 2]));
  let loss = 0;
  for (let t = 0; t < frames; t++) {
    const row = t * classes;
    let max = -Infinity, sum = 0;
    for (let c = 0; c < classes; c++) max = Math.max(max, scores[row + c]);
    for (let c = 0; c < classes; c++) sum += p[row + c] = Math.exp(scores[row + c] - max);
    for (let c = 0; c < classes; c++) p[row + c] /= sum;
    const at = t * states, before = at - states;
    let total = 0;
    for (let s = 0; s < states; s++) {
      let value = t === 0 ? (s < 2 ? 1 : 0) : alpha[before + s];
      if (t > 0) {
        if (s > 0) value += alpha[before + s - 1];
        if (skip[s]) value += alpha[before + s - 2];
      }
      total += alpha[at + s] = value * p[row + extended[s]];
    }
    for (let s = 0; s < states; s++) alpha[at + s] /= total;
    loss -= Math.log(total);
  }
  const end = (frames - 1) * states, last = alpha[end + states - 1] + alpha[end + states - 2];
  loss -= Math.log(last);
  let beta = new Float64Array(states + 2), next = new Float64Array(states + 2);
  beta[states - 1] = beta[states - 2] = 1;
  for (let t = frames - 1; t >= 0; t--) {
    const row = t * classes, at = t * states;
    let z = 0;
    for (let s = 0; s < states; s++) z += alpha[at + s] * beta[s];
    for (let c = 0; c < classes; c++) grad[row + c] = p[row + c];
    for (let s = 0; s < states; s++) grad[row + extended[s]] -= (alpha[at + s] * beta[s]) / z;
    let total = 0;
    for (let s = 0; s < states; s++) total += beta[s] *= p[row + extended[s]];
    for (let s = 0; s < states; s++) next[s] = (beta[s] + beta[s + 1] + (s + 2 < states && skip[s + 2] ? beta[s + 2] : 0)) / total;
    [beta, next] = [next, beta];
    beta[states] = beta[states + 1] = 0;
  }
  return { loss, grad };
}

const add = (a: number, b: number): number => (a === -Infinity ? b : b === -Infinity ? a : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b))));

/** -log p alone, in log space. */
export function textbookCtc(scores: Float32Array, frames: number, classes: number, labels: Int32Array, blank: number): number {
  const states = 2 * labels.length + 1, extended = Int32Array.from({ length: states }, (_, s) => (s % 2 === 0 ? blank : labels[s >> 1]));
  let alpha = new Float64Array(states).fill(-Infinity);
  for (let t = 0; t < frames; t++) {
    const row = scores.subarray(t * classes, (t + 1) * classes), max = row.reduce((a, b) => Math.max(a, b), -Infinity), z = max + Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0)), before = alpha;
    alpha = Float64Array.from({ length: states }, (_, s) => {
      const own = row[extended[s]] - z;
      if (t === 0) return s < 2 ? own : -Infinity;
      let value = before[s];
      if (s > 0) value = add(value, before[s - 1]);
      if (s > 1 && extended[s] !== blank && extended[s] !== extended[s - 2]) value = add(value, before[s - 2]);
      return own + value;
    });
  }
  return -add(alpha[states - 1], alpha[states - 2]);
}
