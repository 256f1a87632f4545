/** Chains in plain JavaScript, float64: the same recursions as ours, and those of textbooks in log space. */

/** Forward-backward in scaled linear space: log Z, the sum of squared marginals (so that all are read), and the expected transitions. */
export function scaledForwardBackward(e: Float32Array, A: Float64Array, T: number, K: number): { logPartition: number; marginals: Float64Array } {
  const E = A.map(Math.exp), alpha = new Float64Array(T * K), x = new Float64Array(T * K), scale = new Float64Array(T), marginals = new Float64Array(T * K), counts = new Float64Array(K * K);
  const b = new Float64Array(K).fill(1), z = new Float64Array(K);
  let logPartition = 0;
  for (let t = 0; t < T; t++) {
    const row = t * K;
    let top = -Infinity, sum = 0;
    for (let j = 0; j < K; j++) if (e[row + j] > top) top = e[row + j];
    if (t > 0) {
      for (let i = 0; i < K; i++) {
        const a = alpha[row - K + i], from = i * K;
        for (let j = 0; j < K; j++) alpha[row + j] += a * E[from + j];
      }
    }
    for (let j = 0; j < K; j++) {
      const weight = (x[row + j] = Math.exp(e[row + j] - top));
      sum += alpha[row + j] = t === 0 ? weight : alpha[row + j] * weight;
    }
    for (let j = 0; j < K; j++) alpha[row + j] /= sum;
    scale[t] = sum;
    logPartition += Math.log(sum) + top;
  }
  for (let t = T - 1; t >= 0; t--) {
    const row = t * K;
    for (let j = 0; j < K; j++) {
      marginals[row + j] = alpha[row + j] * b[j];
      z[j] = (x[row + j] * b[j]) / scale[t];
    }
    if (t === 0) break;
    for (let i = 0; i < K; i++) {
      const from = i * K, a = alpha[row - K + i];
      let sum = 0;
      for (let j = 0; j < K; j++) {
        sum += E[from + j] * z[j];
        counts[from + j] += a * z[j];
      }
      b[i] = sum;
    }
  }
  return { logPartition, marginals };
}

/** log Z and marginals in log space, with an exponential for every transition of every row. */
export function textbookForwardBackward(e: Float32Array, A: Float64Array, T: number, K: number): { logPartition: number; marginals: Float64Array } {
  const alpha = new Float64Array(T * K), beta = new Float64Array(T * K), scores = new Float64Array(K);
  const logSumExp = (): number => {
    let top = -Infinity, sum = 0;
    for (let k = 0; k < K; k++) if (scores[k] > top) top = scores[k];
    for (let k = 0; k < K; k++) sum += Math.exp(scores[k] - top);
    return top + Math.log(sum);
  };
  for (let t = 0; t < T; t++) {
    for (let j = 0; j < K; j++) {
      if (t > 0) for (let i = 0; i < K; i++) scores[i] = alpha[(t - 1) * K + i] + A[i * K + j];
      alpha[t * K + j] = e[t * K + j] + (t > 0 ? logSumExp() : 0);
    }
  }
  for (let t = T - 2; t >= 0; t--) {
    for (let i = 0; i < K; i++) {
      for (let j = 0; j < K; j++) scores[j] = A[i * K + j] + e[(t + 1) * K + j] + beta[(t + 1) * K + j];
      beta[t * K + i] = logSumExp();
    }
  }
  for (let j = 0; j < K; j++) scores[j] = alpha[(T - 1) * K + j];
  const logPartition = logSumExp();
  return { logPartition, marginals: Float64Array.from(alpha, (a, k) => Math.exp(a + beta[k] - logPartition)) };
}

/** Viterbi without back-pointers. */
export function viterbi(e: Float32Array, A: Float64Array, T: number, K: number): Int32Array {
  const delta = new Float64Array(T * K), path = new Int32Array(T), back = new Float64Array(K * K);
  for (let i = 0; i < K; i++) for (let j = 0; j < K; j++) back[j * K + i] = A[i * K + j];
  for (let j = 0; j < K; j++) delta[j] = e[j];
  for (let t = 1; t < T; t++) {
    const row = t * K, before = row - K;
    delta.fill(-Infinity, row, row + K);
    for (let i = 0; i < K; i++) {
      const d = delta[before + i], from = i * K;
      for (let j = 0; j < K; j++) {
        const candidate = d + A[from + j];
        if (candidate > delta[row + j]) delta[row + j] = candidate;
      }
    }
    for (let j = 0; j < K; j++) delta[row + j] += e[row + j];
  }
  let next = -1;
  for (let t = T - 1; t >= 0; t--) {
    let best = 0, top = -Infinity;
    for (let i = 0; i < K; i++) {
      const score = delta[t * K + i] + (next < 0 ? 0 : back[next * K + i]);
      if (score > top) {
        top = score;
        best = i;
      }
    }
    next = path[t] = best;
  }
  return path;
}

/** Score of a path. Where float32 rounds two paths to one score, ours may take the other: paths are compared by what they score. */
export function pathScore(e: Float32Array, A: ArrayLike<number>, path: Int32Array, K: number): number {
  let score = e[path[0]];
  for (let t = 1; t < path.length; t++) score += A[path[t - 1] * K + path[t]] + e[t * K + path[t]];
  return score;
}

/** Scores of the transitions of tied BIOES tags; labels O, then B, I, E, S of each type. */
export interface Tied { readonly types: number; readonly stay: number; readonly open: number; readonly close: number; readonly reopen: number; readonly inside: number; readonly finish: number }

/** The matrix of tied BIOES tags, [from, to]. */
export function tiedMatrix({ types, stay, open, close, reopen, inside, finish }: Tied): Float32Array {
  const K = 1 + 4 * types, A = new Float32Array(K * K).fill(-Infinity), role = (k: number): number => (k === 0 ? -1 : (k - 1) % 4), type = (k: number): number => Math.floor((k - 1) / 4);
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < K; j++) {
      const [a, b] = [role(i), role(j)];
      if (a === -1 || a >= 2) {
        if (b === -1) A[i * K + j] = a === -1 ? stay : close;
        else if (b === 0 || b === 3) A[i * K + j] = a === -1 ? open : reopen;
      } else if ((b === 1 || b === 2) && type(i) === type(j)) A[i * K + j] = b === 1 ? inside : finish;
    }
  }
  return A;
}

/** Viterbi of tied BIOES tags in O(K) a row, as ours runs it. */
export function tiedViterbi(e: Float32Array, { types, stay, open, close, reopen, inside, finish }: Tied, T: number): Int32Array {
  const K = 1 + 4 * types, delta = new Float64Array(T * K), path = new Int32Array(T);
  for (let j = 0; j < K; j++) delta[j] = e[j];
  for (let t = 1; t < T; t++) {
    const row = t * K, before = row - K;
    let closed = -Infinity;
    for (let k = 0; k < types; k++) {
      const at = before + 4 * k;
      if (delta[at + 3] > closed) closed = delta[at + 3];
      if (delta[at + 4] > closed) closed = delta[at + 4];
    }
    const outside = delta[before], toOutside = Math.max(outside + stay, closed + close), toSpan = Math.max(outside + open, closed + reopen);
    delta[row] = e[row] + toOutside;
    for (let k = 0; k < types; k++) {
      const at = row + 4 * k, from = before + 4 * k, span = delta[from + 1] > delta[from + 2] ? delta[from + 1] : delta[from + 2];
      delta[at + 1] = e[at + 1] + toSpan;
      delta[at + 2] = e[at + 2] + span + inside;
      delta[at + 3] = e[at + 3] + span + finish;
      delta[at + 4] = e[at + 4] + toSpan;
    }
  }
  let next = 0;
  for (let j = 1; j < K; j++) if (delta[(T - 1) * K + j] > delta[(T - 1) * K + next]) next = j;
  path[T - 1] = next;
  for (let t = T - 2; t >= 0; t--) {
    const row = t * K, role = next === 0 ? -1 : (next - 1) % 4;
    if (role === 1 || role === 2) {
      const begin = next - role;
      next = delta[row + begin] >= delta[row + begin + 1] ? begin : begin + 1;
    } else {
      let top = delta[row] + (role === -1 ? stay : open), best = 0;
      for (let j = 3; j < K; j += 4) {
        for (const k of [j, j + 1]) {
          const score = delta[row + k] + (role === -1 ? close : reopen);
          if (score > top) {
            top = score;
            best = k;
          }
        }
      }
      next = best;
    }
    path[t] = next;
  }
  return path;
}
