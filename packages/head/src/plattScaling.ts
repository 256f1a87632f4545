import { newtonSteps } from "@logits/optimize";
import { log, logit, sigmoid, softplus } from "@logits/statistics";
import { ConvergenceError, type Steps } from "@logits/tensor";

/** p = sigmoid(slope z + intercept). Both are float32 numbers, so that an artefact holds them exactly. */
export interface PlattScaling {
  readonly slope: number;
  readonly intercept: number;
}

/**
 * Platt's fit of one label's scores: the slope and intercept with the smallest cross-entropy to his smoothed targets, slope >= 0.
 *
 *   t = (N1 + 1) / (N1 + 2) for the N1 rows with the label, 1 / (N0 + 2) for the N0 others
 *
 * The smoothed targets are the shrinkage: separable scores have a finite optimum, and a label without a row of one kind gets nearly constant probabilities. Where the optimum has a
 * negative slope (the scores speak against the label) the best one allowed is 0: the label's share in all rows.
 *
 * @param z - N >= 1 finite scores, row n at n * stride + first
 * @param targets - 0 and 1 at the same places
 * Source: Platt, "Probabilistic outputs for support vector machines", 1999; Lin, Lin, Weng, 2007.
 */
export function* plattSteps(where: string, z: Float32Array, targets: Uint8Array, stride: number, first: number): Steps<PlattScaling> {
  const n = Math.floor((z.length - first - 1) / stride) + 1;
  let positives = 0, mean = 0, scatter = 0;
  for (let i = 0, at = first; i < n; i++, at += stride) {
    positives += targets[at];
    const off = z[at] - mean;
    mean += off / (i + 1);
    scatter += off * (z[at] - mean);
  }
  const high = (positives + 1) / (positives + 2), low = 1 / (n - positives + 2);
  const level = logit((positives * high + (n - positives) * low) / n);
  const spread = Math.sqrt(scatter / n);
  const flat = { slope: 0, intercept: Math.fround(level) };
  if (!(spread > 0)) return flat;
  // On standardised scores Newton's tolerance means the same for every label.
  const steps = newtonSteps((x, gradient, hessian) => {
    let loss = 0, g0 = 0, g1 = 0, h00 = 0, h01 = 0, h11 = 0;
    for (let i = 0, at = first; i < n; i++, at += stride) {
      const u = (z[at] - mean) / spread, score = x[0] * u + x[1], p = sigmoid(score), t = targets[at] ? high : low;
      loss += softplus(score) - t * score;
      g0 += (p - t) * u;
      g1 += p - t;
      const weight = p * (1 - p);
      h00 += weight * u * u;
      h01 += weight * u;
      h11 += weight;
    }
    gradient.set([g0 / n, g1 / n]);
    hessian.set([h00 / n, h01 / n, h01 / n, h11 / n]);
    return loss / n;
  }, [0, level], { gradientTolerance: 1e-9, maxIterations: 200 });
  for (;;) {
    const { done, value } = steps.next();
    if (!done) {
      yield 0;
      continue;
    }
    // Rounding of the loss can end the search a little above the tolerance.
    if (!value.converged && value.gradientNorm > 1e-6) throw new ConvergenceError(`${where}: expected Platt's fit of label ${first} to converge, got a gradient of ${value.gradientNorm}`, value.iterations, value.gradientNorm);
    const slope = value.x[0] / spread;
    return slope > 0 ? { slope: Math.fround(slope), intercept: Math.fround(value.x[1] - slope * mean) } : flat;
  }
}

/** What a probability stands for as a score: log(p / (1 - p)), where 0 and 1 count as 2^-149 and 1 - 2^-25, the ends of what float32 rounds there. */
export function scoreOf(p: number): number {
  return p === 0 ? log(2 ** -149) : p === 1 ? logit(1 - 2 ** -25) : logit(p);
}
