/** A point on a line: step length, value and slope there. */
export interface LinePoint {
  readonly step: number;
  readonly value: number;
  readonly slope: number;
}

/** How far two values of an objective computed in float64 may differ by rounding, relative. */
const ROUNDING = 1e-14;

/** Sufficient decrease and curvature of the strong Wolfe conditions. */
export const DECREASE = 1e-4;
export const CURVATURE = 0.9;

/**
 * Whether `at` satisfies the strong Wolfe conditions against the start of the line. Where the two values differ by no more than `noise`, relative,
 * the decrease is judged by the slopes instead.
 * Source: Nocedal and Wright, Numerical Optimization (2006), (3.7); Hager and Zhang, SIAM J. Optimization 16 (2005), the approximate Wolfe conditions.
 */
export function satisfiesWolfe(start: LinePoint, at: LinePoint, noise: number = ROUNDING): boolean {
  return decreases(start, at, noise) && Math.abs(at.slope) <= -CURVATURE * start.slope;
}

function decreases(start: LinePoint, at: LinePoint, noise: number): boolean {
  if (at.value <= start.value + DECREASE * at.step * start.slope) return true;
  return at.value <= start.value + noise * Math.abs(start.value) && at.slope <= (2 * DECREASE - 1) * start.slope;
}

/** Minimiser of the cubic through two points with their slopes, kept a tenth of their distance away from both; the middle where there is none. */
function cubicMinimiser(a: LinePoint, b: LinePoint): number {
  const width = b.step - a.step;
  const d1 = a.slope + b.slope - (3 * (b.value - a.value)) / width;
  const square = d1 * d1 - a.slope * b.slope;
  const d2 = (width > 0 ? 1 : -1) * Math.sqrt(square);
  const share = 1 - (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
  return a.step + width * (share > 0.1 ? Math.min(share, 0.9) : share <= 0.1 ? 0.1 : 0.5);
}

/**
 * Strong Wolfe line search by bracketing and zoom with cubic interpolation, as a generator that asks for evaluations: each step length that it yields is answered by the point there.
 *
 *   f(step) <= f(0) + 1e-4 step f'(0),   |f'(step)| <= 0.9 |f'(0)|
 *
 * @param start - step 0: value and slope < 0
 * @param first - first step length > 0
 * @param noise - how far two values may differ by rounding, relative: within it the decrease is judged by the slopes. Default 1e-14; about 1e-7 for an objective in float32
 * @returns a point that satisfies the conditions, or the lowest one found with `ok: false` after 40 evaluations
 * @example
 *   const search = lineSearch({ step: 0, value: 4, slope: -4 }, 1); // f(t) = (t - 2)^2
 *   search.next().value; // 1, to be answered by search.next({ step: 1, value: 1, slope: -2 })
 * Source: Nocedal and Wright (2006), algorithms 3.5 and 3.6.
 */
export function* lineSearch(start: LinePoint, first: number, noise: number = ROUNDING): Generator<number, { at: LinePoint; ok: boolean }, LinePoint> {
  let low = start, high: LinePoint | undefined;
  let step = first;
  for (let i = 0; i < 40; i++) {
    const at = yield step;
    if (at.value < Infinity && satisfiesWolfe(start, at, noise)) return { at, ok: true };
    if (!decreases(start, at, noise) || at.value > low.value + noise * Math.abs(start.value)) high = at;
    else if (high === undefined ? at.slope >= 0 : at.slope * (high.step - low.step) >= 0) {
      high = low;
      low = at;
    } else low = at;
    if (high === undefined) {
      step = 4 * at.step;
      if (!(step < 1e100)) break;
    } else {
      step = high.value < Infinity ? cubicMinimiser(low, high) : low.step + 0.25 * (high.step - low.step);
      if (step === low.step || step === high.step) break;
    }
  }
  return { at: low, ok: false };
}
