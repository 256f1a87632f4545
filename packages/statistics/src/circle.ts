/** cot(pi x) for x in (0, 1), within 4e-16 relative where it is not near 0: the same bits in every engine. */
export function cotPi(x: number): number {
  if (x > 0.5) return -cotPi(1 - x);
  const t = Math.PI * (x > 0.25 ? 0.5 - x : x), s = t * t;
  // Taylor to degree 19 and 18 on [0, pi / 4]: the rest is below 1e-19.
  let sine = 0, cosine = 0;
  for (let k = 9; k >= 1; k--) {
    sine = (-s / (2 * k * (2 * k + 1))) * (1 + sine);
    cosine = (-s / (2 * k * (2 * k - 1))) * (1 + cosine);
  }
  sine = t * (1 + sine);
  cosine = 1 + cosine;
  return x > 0.25 ? sine / cosine : cosine / sine;
}

/** atan(x), within 1e-15 relative, of either sign and infinite too. */
export function atan(x: number): number {
  if (x < 0) return -atan(-x);
  if (x > 1) return Math.PI / 2 - atan(1 / x);
  // tan(a / 2) = t / (1 + sqrt(1 + t^2)), three times: t <= tan(pi / 32), then the series.
  let t = x;
  for (let i = 0; i < 3; i++) t /= 1 + Math.sqrt(1 + t * t);
  const s = t * t;
  let sum = 0;
  for (let k = 10; k >= 0; k--) sum = 1 / (2 * k + 1) - s * sum;
  return 8 * t * sum;
}
