import { dot } from "./check.ts";

/** A step and the change of the gradient along it; rho = 1 / (s . y). */
export interface CurvaturePair {
  readonly s: Float64Array;
  readonly y: Float64Array;
  rho: number;
}

/**
 * direction = -H gradient, with H the inverse Hessian that limited-memory BFGS builds from the pairs, oldest first: the two-loop recursion. `weights` is room.
 *
 * Source: Nocedal, Wright, "Numerical optimization", 2nd edition (2006), algorithm 7.4.
 */
export function quasiNewtonDirection(gradient: Float64Array, pairs: readonly CurvaturePair[], weights: Float64Array, direction: Float64Array): void {
  for (let i = 0; i < gradient.length; i++) direction[i] = -gradient[i];
  for (let k = pairs.length - 1; k >= 0; k--) {
    weights[k] = pairs[k].rho * dot(pairs[k].s, direction);
    add(direction, -weights[k], pairs[k].y);
  }
  if (pairs.length > 0) {
    const { y, rho } = pairs[pairs.length - 1];
    const scale = 1 / (rho * dot(y, y));
    for (let i = 0; i < direction.length; i++) direction[i] *= scale;
  }
  for (let k = 0; k < pairs.length; k++) add(direction, weights[k] - pairs[k].rho * dot(pairs[k].y, direction), pairs[k].s);
}

function add(x: Float64Array, scale: number, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i] += scale * y[i];
}
