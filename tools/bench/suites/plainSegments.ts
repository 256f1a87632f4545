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

/** Scores of a semi-Markov model: content [T, C], durations [D, C], transitions [C, C], start and end [C]. */
export interface PlainSegments {
  readonly T: number;
  readonly D: number;
  readonly C: number;
  readonly content: Float32Array;
  readonly durations: Float32Array;
  readonly transitions: Float32Array;
  readonly start: Float32Array;
  readonly end: Float32Array;
}

/** log Z in linear space: the window of D starts is multiplied by the content of each position, and scaled where a sum leaves [1e-12, 1e12]. */
export function scaledSegments({ T, D, C, content, durations, transitions, start, end }: PlainSegments): number {
  const window = new Float64Array(D * C), weights = Float64Array.from(durations, Math.exp), A = Float64Array.from(transitions, Math.exp), x = new Float64Array(C), alpha = new Float64Array(C), g = Float64Array.from(start, Math.exp);
  let logScale = 0;
  for (let t = 0; t < T; t++) {
    const own = (t % D) * C;
    if (t > 0) {
      let sum = 0;
      for (let c = 0; c < C; c++) sum += alpha[c];
      if (!(sum > 1e-12 && sum < 1e12)) {
        logScale += Math.log(sum);
        for (let c = 0; c < C; c++) alpha[c] /= sum;
        for (let k = 0; k < window.length; k++) window[k] /= sum;
      }
      g.fill(0);
      for (let b = 0; b < C; b++) for (let c = 0; c < C; c++) g[c] += alpha[b] * A[b * C + c];
    }
    for (let c = 0; c < C; c++) {
      window[own + c] = g[c];
      x[c] = Math.exp(content[t * C + c]);
      alpha[c] = 0;
    }
    // From the slot of the start at t downwards lengths grow from 1 on; the slots above hold older starts.
    for (let slot = t % D, d = 0; d < D; slot = slot === 0 ? D - 1 : slot - 1, d++) {
      for (let c = 0, w = slot * C, l = d * C; c < C; c++, w++, l++) {
        const v = window[w] * x[c];
        window[w] = v;
        alpha[c] += v * weights[l];
      }
    }
  }
  let z = 0;
  for (let c = 0; c < C; c++) z += alpha[c] * Math.exp(end[c]);
  return logScale + Math.log(z);
}

/** log Z as textbooks have it: a log-sum-exp over lengths and labels before, of scores of segments by prefix sums. */
export function textbookSegments({ T, D, C, content, durations, transitions, start, end }: PlainSegments): number {
  const sums = new Float64Array((T + 1) * C), alpha = new Float64Array((T + 1) * C).fill(-Infinity);
  for (let k = 0; k < T * C; k++) sums[k + C] = sums[k] + content[k];
  const terms = new Float64Array(D * C);
  for (let t = 1; t <= T; t++) {
    for (let c = 0; c < C; c++) {
      let n = 0, top = -Infinity;
      for (let d = 1; d <= Math.min(D, t); d++) {
        const s = t - d, score = sums[t * C + c] - sums[s * C + c] + durations[(d - 1) * C + c];
        if (s === 0) top = Math.max(top, (terms[n++] = start[c] + score));
        else for (let b = 0; b < C; b++) top = Math.max(top, (terms[n++] = alpha[s * C + b] + transitions[b * C + c] + score));
      }
      let sum = 0;
      for (let i = 0; i < n; i++) sum += Math.exp(terms[i] - top);
      alpha[t * C + c] = top + Math.log(sum);
    }
  }
  return Array.from({ length: C }, (_, c) => alpha[T * C + c] + end[c]).reduce(add);
}

/** log Z of intervals with shared endpoints on K tracks, scores [T, T, K]: linear space, a track scaled where its sum passes 1e100. */
export function scaledIntervals(scores: Float32Array, T: number, K: number): Float64Array {
  const v = new Float64Array(T * K), logs = new Float64Array(K), u = new Float64Array(K);
  for (let t = 0; t < T; t++) {
    for (let k = 0; k < K; k++) u[k] = t === 0 ? 1 : v[(t - 1) * K + k];
    let at = t * T * K;
    for (let i = 0; i < t; i++) for (let k = 0; k < K; k++, at++) u[k] += v[i * K + k] * Math.exp(scores[at]);
    for (let k = 0; k < K; k++, at++) {
      const next = (v[t * K + k] = u[k] * (1 + Math.exp(scores[at])));
      if (next < 1e100) continue;
      logs[k] += Math.log(next);
      for (let i = 0; i <= t; i++) v[i * K + k] /= next;
    }
  }
  return logs.map((z, k) => z + Math.log(v[(T - 1) * K + k]));
}

/** The same in log space. */
export function textbookIntervals(scores: Float32Array, T: number, K: number): Float64Array {
  const v = new Float64Array(T * K);
  for (let k = 0; k < K; k++) {
    for (let t = 0; t < T; t++) {
      let u = t === 0 ? 0 : v[(t - 1) * K + k];
      for (let i = 0; i < t; i++) u = add(u, v[i * K + k] + scores[(t * T + i) * K + k]);
      v[t * K + k] = u + add(0, scores[(t * T + t) * K + k]);
    }
  }
  return v.slice((T - 1) * K);
}
