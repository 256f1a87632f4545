/** Sine and cosine in float64, the same bits in every engine; for |x| up to 16. Within 2e-15 up to 4, 2e-14 beyond (measured). */
export function sineCosine(x: number): [sine: number, cosine: number] {
  // Taylor at x / 32, then five doublings; 1 - cos is carried, which does not cancel.
  const small = x / 32, square = small * small;
  let sine = 1, versine = 1;
  for (let n = 15; n > 1; n -= 2) {
    sine = 1 - (square * sine) / (n * (n - 1));
    versine = 1 - (square * versine) / (n * (n + 1));
  }
  sine *= small;
  versine *= square / 2;
  for (let k = 0; k < 5; k++) [sine, versine] = [2 * sine * (1 - versine), 2 * sine * sine];
  return [sine, 1 - versine];
}

/** The angle in [0, pi] whose cosine is c, in float64, the same bits in every engine; c in [-1, 1]. Within 9e-16 of its size (measured). */
export function arcCosine(c: number): number {
  if (c < 0) return Math.PI - arcCosine(-c);
  const sine = Math.sqrt((1 - c) * (1 + c));
  // sqrt(2 (1 - c)) (1 + (1 - c) / 12) is within 4 %; each step takes the error to its fifth power.
  let angle = Math.sqrt(2 * (1 - c)) * (1 + (1 - c) / 12);
  for (let k = 0; k < 2; k++) {
    const [s, t] = sineCosine(angle), off = sine * t - c * s;
    angle += off * (1 + (off * off) / 6);
  }
  return angle;
}
