/** pi / 2 in three parts, the two large ones of 27 bits: their products with an integer below 2^26 are exact (Cody and Waite, "Software Manual for the Elementary Functions", 1980). */
const HALF_PI_A = 1.570796325802803, HALF_PI_B = 9.920935739593517e-10, HALF_PI_C = 5.721188726109832e-18;

/** Writes sin(angle) and cos(angle), within 3e-16 for |angle| <= 2^25: the same bits in every engine. */
export function sinCos(angle: number, out: Float64Array): void {
  const n = Math.round(angle * 0.6366197723675814), r = angle - n * HALF_PI_A - n * HALF_PI_B - n * HALF_PI_C, s = r * r;
  // Taylor to degrees 17 and 16 on [-pi / 4, pi / 4]: what is left out is below 3e-18.
  const sine = r + r * s * (-0.16666666666666666 + s * (0.008333333333333333 + s * (-0.0001984126984126984 + s * (2.7557319223985893e-06 + s * (-2.505210838544172e-08 + s * (1.6059043836821613e-10 + s * (-7.647163731819816e-13 + s * (2.8114572543455206e-15))))))));
  const cosine = 1 + s * (-0.5 + s * (0.041666666666666664 + s * (-0.001388888888888889 + s * (2.48015873015873e-05 + s * (-2.755731922398589e-07 + s * (2.08767569878681e-09 + s * (-1.1470745597729725e-11 + s * (4.779477332387385e-14))))))));
  const quarter = n & 3;
  out[0] = quarter === 0 ? sine : quarter === 1 ? cosine : quarter === 2 ? -sine : -cosine;
  out[1] = quarter === 0 ? cosine : quarter === 1 ? -sine : quarter === 2 ? -cosine : sine;
}
