/**
 * Error terms of float64 operations: `s = a + b` and `p = a * b` are followed by the part that rounding lost.
 * Not exported from the package.
 * Source: Dekker, "A floating-point technique for extending the available precision", Numerische Mathematik 18 (1971); Knuth, TAOCP 2, 4.2.2.
 */

/** a + b - s, exact, where s is the rounded sum. */
export function sumError(a: number, b: number, s: number): number {
  const t = s - a;
  return a - (s - t) + (b - t);
}

/** a b - p, exact, where p is the rounded product; |a|, |b| < 2^995 and no underflow. */
export function productError(a: number, b: number, p: number): number {
  const ca = 134217729 * a, cb = 134217729 * b;
  const a1 = ca - (ca - a), b1 = cb - (cb - b);
  const a2 = a - a1, b2 = b - b1;
  return a2 * b2 - (p - a1 * b1 - a2 * b1 - a1 * b2);
}
