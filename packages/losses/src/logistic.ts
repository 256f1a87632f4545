import { exp, log1p } from "@logits/statistics";
import { times } from "./elementLoss.ts";

/** Binary cross-entropy of a logit with a target, its positive part weighted: one exponential for both parts. */
export function logisticLoss(x: number, t: number, weight = 1): number {
  const e = log1p(exp(-Math.abs(x)));
  return times(weight * t, e - (x < 0 ? x : 0)) + times(1 - t, e + (x > 0 ? x : 0));
}

/** Its derivative, (1 - t) p - weight t (1 - p), with all digits of both. */
export function logisticSlope(x: number, t: number, weight = 1): number {
  const e = exp(-Math.abs(x)), p = (x < 0 ? e : 1) / (1 + e), q = (x < 0 ? 1 : e) / (1 + e);
  return (1 - t) * p - weight * t * q;
}
