/** pi / 2 in three parts, the two large ones of 27 bits: their products with an integer below 2^26 are exact (Cody and Waite, "Software Manual for the Elementary Functions", 1980). */
const HALF_PI_A = 1.570796325802803, HALF_PI_B = 9.920935739593517e-10, HALF_PI_C = 5.721188726109832e-18;

/** Writes sin(angle) and cos(angle), within 3e-16 for |angle| <= 2^25: the same bits in every engine. */
export function sinCos(angle: number, out: Float64Array): void {
  const n = Math.round(angle * 0.6366197723675814), r = angle - n * HALF_PI_A - n * HALF_PI_B - n * HALF_PI_C, s = r * r;
  // Taylor to degrees 17 and 16 on [-pi / 4, pi / 4]: what is left out is below 3e-18.
  let sine = 0, cosine = 0;
  for (let k = 8; k >= 1; k--) {
    sine = (-s / (2 * k * (2 * k + 1))) * (1 + sine);
    cosine = (-s / (2 * k * (2 * k - 1))) * (1 + cosine);
  }
  sine = r * (1 + sine);
  cosine = 1 + cosine;
  const quarter = n & 3;
  out[0] = quarter === 0 ? sine : quarter === 1 ? cosine : quarter === 2 ? -sine : -cosine;
  out[1] = quarter === 0 ? cosine : quarter === 1 ? -sine : quarter === 2 ? -cosine : sine;
}
