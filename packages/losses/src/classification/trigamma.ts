/** The derivative of digamma for x > 0: the asymptotic series for x >= 10, psi'(x) = psi'(x + 1) + 1 / x^2 below. Source: NIST Digital Library of Mathematical Functions, 5.15. */
export function trigamma(x: number): number {
  let sum = 0;
  for (; x < 10; x++) sum += 1 / (x * x);
  const r = 1 / x, z = r * r;
  return sum + r * (1 + r * (1 / 2 + r * (1 / 6 - z * (1 / 30 - z * (1 / 42 - z * (1 / 30 - (z * 5) / 66))))));
}
