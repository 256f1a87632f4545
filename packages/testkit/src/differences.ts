import { AssertionError } from "./compare.ts";

/** How the differences are taken. */
export interface DifferenceOptions {
  /**
   * Step at |x| <= 1, multiplied by |x| beyond; default 6e-6 (the cube root of the float64 epsilon, where truncation and rounding balance)
   * or 7e-4 (its fifth root) with `extrapolate`.
   */
  readonly step?: number;
  /** Richardson extrapolation from steps h and 2h: about 1e-12 instead of 1e-10 on smooth functions, worse beside a kink. */
  readonly extrapolate?: boolean;
}

/**
 * The gradient of a scalar function by central differences in float64: (f(x + h) - f(x - h)) / 2h for each element.
 * A value of `f` that is not finite is an error, because NaN would agree with a gradient that is NaN too.
 *
 * @example
 *   expectClose(grad, finiteDifferenceGradient((x) => lossRef(x, labels), logits.data), { atol: 1e-6 });
 */
export function finiteDifferenceGradient(f: (x: Float64Array) => number, x: ArrayLike<number>, options: DifferenceOptions = {}): Float64Array {
  const { extrapolate = false, step = extrapolate ? 7e-4 : 6e-6 } = options;
  const point = Float64Array.from(x);
  const valueAt = (i: number, value: number): number => {
    const moved = point.slice();
    moved[i] = value;
    const result = f(moved);
    if (!Number.isFinite(result)) throw new AssertionError(`finiteDifferenceGradient: f is ${result} where element ${i} is ${value}`);
    return result;
  };
  return point.map((center, i) => {
    const central = (h: number): number => {
      const up = center + h;
      const down = center - h;
      return (valueAt(i, up) - valueAt(i, down)) / (up - down);
    };
    const h = step * Math.max(1, Math.abs(center));
    return extrapolate ? (4 * central(h) - central(2 * h)) / 3 : central(h);
  });
}
