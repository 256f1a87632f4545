import { midpoint } from "./bits.ts";
import { exp } from "./exponential.ts";
import { betaFront, betaTails } from "./incompleteBeta.ts";
import { log } from "./logarithm.ts";

/** The float64 x in (0, 1) at which I_x(a, b) crosses p; 0 and 1 at the ends. Arguments have been checked. */
export function betaQuantileOf(p: number, a: number, b: number): number {
  if (p === 0 || p === 1) return p;
  const upperTail = p > 0.5;
  const goal = upperTail ? 1 - p : p;
  const logGoal = log(goal);
  let low = 0, high = 1;
  let x = a / (a + b);
  if (!(x > 0 && x < 1)) x = 0.5;
  for (let i = 0; i < 200; i++) {
    const y = 1 - x;
    const tail = betaTails(x, y, a, b)[upperTail ? 1 : 0];
    if (tail === goal) return x;
    if (tail > goal === upperTail) low = x;
    else high = x;
    const middle = midpoint(low, high);
    if (middle === low || middle === high) break;
    // d I / d log x = x^a (1 - x)^(b - 1) / B(a, b)
    const slope = betaFront(x, y, a, b) / y;
    const next = x * exp(((upperTail ? -1 : 1) * (logGoal - log(tail)) * tail) / slope);
    if (Math.abs(next - x) <= 2.220446049250313e-16 * x) return next;
    // Every third step halves the bracket, so that the number of steps is bounded.
    x = next > low && next < high && i % 3 !== 2 ? next : middle;
  }
  return x;
}
