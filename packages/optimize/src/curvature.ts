import { dot } from "./check.ts";

/** A step and the change of the gradient along it; rho = 1 / (s . y). */
interface CurvaturePair {
  readonly s: Float64Array;
  readonly y: Float64Array;
  rho: number;
}

/**
 * What limited-memory BFGS remembers of the last steps, and the direction that it takes from them.
 *
 * Source: Nocedal, Wright, "Numerical optimization", 2nd edition (2006), algorithm 7.4.
 */
export class Curvature {
  /** The oldest first. */
  #pairs: CurvaturePair[] = [];
  readonly #weights: Float64Array;

  constructor(memory: number) {
    this.#weights = new Float64Array(memory);
  }

  get isEmpty(): boolean {
    return this.#pairs.length === 0;
  }

  forget(): void {
    this.#pairs = [];
  }

  /** direction = -H gradient, with H the inverse Hessian that the pairs build: the two-loop recursion. */
  direct(gradient: Float64Array, direction: Float64Array): void {
    const pairs = this.#pairs, weights = this.#weights;
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

  /** Remembers a step, if the gradient grew along it; the oldest makes room. */
  learn(from: Float64Array, to: Float64Array, gradientFrom: Float64Array, gradientTo: Float64Array): void {
    const pairs = this.#pairs, p = from.length, pair = pairs.length === this.#weights.length ? pairs.shift()! : { s: new Float64Array(p), y: new Float64Array(p), rho: 0 };
    for (let i = 0; i < p; i++) {
      pair.s[i] = to[i] - from[i];
      pair.y[i] = gradientTo[i] - gradientFrom[i];
    }
    const sy = dot(pair.s, pair.y);
    if (sy > 2.220446049250313e-16 * dot(pair.y, pair.y)) {
      pair.rho = 1 / sy;
      pairs.push(pair);
    }
  }
}

function add(x: Float64Array, scale: number, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i] += scale * y[i];
}
