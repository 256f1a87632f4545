/** Decoding rules in plain JavaScript, as a careful person writes them: typed arrays, no closures in loops, `Math.exp`. */

export interface Drawn {
  readonly token: number;
  readonly kept: number;
}

const BUCKETS = 4096, PER_NAT = 64;

/** Top-p and a draw by a histogram over the distance below the largest score: two passes, one bucket sorted. */
export function histogramTopP(x: Float32Array, temperature: number, p: number, u: number, weights: Float64Array, masses: Float64Array): Drawn {
  let top = -Infinity;
  for (let i = 0; i < x.length; i++) if (x[i] > top) top = x[i];
  const scale = 1 / temperature;
  masses.fill(0);
  let z = 0;
  for (let i = 0; i < x.length; i++) {
    const d = (top - x[i]) * scale, e = Math.exp(-d), b = d * PER_NAT;
    weights[i] = e;
    z += e;
    masses[b < BUCKETS ? b | 0 : BUCKETS - 1] += e;
  }
  let before = 0, bucket = 0;
  while (bucket < BUCKETS - 1 && before + masses[bucket] < p * z) before += masses[bucket++];
  const near: number[] = [];
  for (let i = 0; i < x.length; i++) {
    const b = (top - x[i]) * scale * PER_NAT;
    if ((b < BUCKETS ? b | 0 : BUCKETS - 1) === bucket) near.push(i);
  }
  near.sort((a, b) => x[b] - x[a] || a - b);
  let last = 0;
  for (; last < near.length - 1; last++) {
    before += weights[near[last]];
    if (before >= p * z) break;
  }
  return walk(x, weights, x[near[last]], near[last], u);
}

/** The same by sorting all indices. */
export function sortedTopP(x: Float32Array, temperature: number, p: number, u: number, weights: Float64Array): Drawn {
  let top = -Infinity, z = 0;
  for (let i = 0; i < x.length; i++) if (x[i] > top) top = x[i];
  for (let i = 0; i < x.length; i++) z += weights[i] = Math.exp((x[i] - top) / temperature);
  const order = Uint32Array.from(x.keys()).sort((a, b) => x[b] - x[a] || a - b);
  let before = 0, last = 0;
  for (; last < order.length - 1; last++) {
    before += weights[order[last]];
    if (before >= p * z) break;
  }
  return walk(x, weights, x[order[last]], order[last], u);
}

/** Min-p and a draw. */
export function minP(x: Float32Array, temperature: number, p: number, u: number, weights: Float64Array): Drawn {
  let top = -Infinity;
  for (let i = 0; i < x.length; i++) if (x[i] > top) top = x[i];
  const limit = top + Math.log(p) * temperature;
  for (let i = 0; i < x.length; i++) weights[i] = x[i] >= limit ? Math.exp((x[i] - top) / temperature) : 0;
  return walk(x, weights, limit, x.length, u);
}

/** Top-k and a draw: a list of k with insertion. */
export function topK(x: Float32Array, temperature: number, k: number, u: number, weights: Float64Array): Drawn {
  const values = new Float64Array(k).fill(-Infinity), ids = new Int32Array(k);
  for (let i = 0; i < x.length; i++) {
    const v = x[i];
    if (!(v > values[k - 1])) continue;
    let at = k - 1;
    for (; at > 0 && values[at - 1] < v; at--) {
      values[at] = values[at - 1];
      ids[at] = ids[at - 1];
    }
    values[at] = v;
    ids[at] = i;
  }
  for (let i = 0; i < k; i++) weights[ids[i]] = Math.exp((values[i] - values[0]) / temperature);
  return walk(x, weights, values[k - 1], ids[k - 1], u);
}

/** Draws among the scores above `limit`, and those equal to it up to index `last`, by the running sum. */
function walk(x: Float32Array, weights: Float64Array, limit: number, last: number, u: number): Drawn {
  let sum = 0, kept = 0;
  for (let i = 0; i < x.length; i++) {
    if (x[i] > limit || (x[i] === limit && i <= last)) {
      sum += weights[i];
      kept++;
    }
  }
  let below = 0, token = 0;
  for (let i = 0; i < x.length; i++) {
    if (!(x[i] > limit || (x[i] === limit && i <= last))) continue;
    token = i;
    below += weights[i];
    if (below > u * sum) break;
  }
  return { token, kept };
}
