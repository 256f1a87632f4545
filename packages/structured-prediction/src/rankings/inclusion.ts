import { exp, expm1, log } from "@logits/statistics";

/** Step of log t: the sum of a function that is analytic within pi / 2 of the real line differs from its integral by about exp(-pi^2 / STEP) = 7e-18. */
const STEP = 0.25;

/**
 * P(item j at place r), float64 [N K], for items that arrive at exponential times with the rates exp(s): an integral over log t.
 *
 *   P(j at r) = sum over y of STEP w_j e^y exp(-w_j e^y) P(r of the others by e^y)
 */
export function inclusion(s: Float64Array, places: number): Float64Array {
  const N = s.length, out = new Float64Array(N * places), able = Array.from(s.keys()).filter((j) => s[j] > -Infinity);
  const top = able.reduce((a, j) => Math.max(a, s[j]), -Infinity), w = able.map((j) => exp(s[j] - top)), least = w.reduce((a, b) => Math.min(a, b), 1);
  // Before the first place is likely given: below 1e-18 of it. After the last: exp(-40).
  const start = Math.floor((-42 - log(able.length)) / STEP), end = Math.ceil((log(40) - (least > 0 ? log(least) : -745)) / STEP), arrived = new Float64Array(able.length), counts = new Float64Array(places);
  for (let step = start; step <= end; step++) {
    const t = exp(step * STEP);
    for (let i = 0; i < w.length; i++) arrived[i] = -expm1(-w[i] * t);
    counts.fill(0);
    counts[0] = 1;
    leaveOneOut(arrived, 0, w.length, counts, (i, others) => {
      const density = STEP * w[i] * t * exp(-w[i] * t);
      if (density > 0) for (let r = 0; r < places; r++) out[able[i] * places + r] += density * others[r];
    });
  }
  return out;
}

/** Calls `visit` for each i of [from, to) with the distribution of the number of successes among all others, cut at its length: by halves, so that nothing is divided out. */
function leaveOneOut(p: Float64Array, from: number, to: number, counts: Float64Array, visit: (i: number, others: Float64Array) => void): void {
  if (to - from === 1) return visit(from, counts);
  const middle = (from + to) >> 1;
  leaveOneOut(p, from, middle, joined(p, middle, to, counts), visit);
  leaveOneOut(p, middle, to, joined(p, from, middle, counts), visit);
}

function joined(p: Float64Array, from: number, to: number, counts: Float64Array): Float64Array {
  const out = counts.slice();
  for (let i = from; i < to; i++) {
    for (let r = out.length - 1; r > 0; r--) out[r] = out[r] * (1 - p[i]) + out[r - 1] * p[i];
    out[0] *= 1 - p[i];
  }
  return out;
}
