/**
 * Access to the bits of a float64, and exact scaling by powers of two: what the elementary functions stand on.
 * Not exported from the package.
 */
const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);
float[0] = 1;
/** Index of the word that holds sign and exponent: 1 where the machine is little-endian. */
const HIGH = words[1] === 0x3ff00000 ? 1 : 0;

/** Sign, exponent and the upper 20 bits of the fraction, as an unsigned 32-bit number. */
export function highWord(x: number): number {
  float[0] = x;
  return words[HIGH];
}

/** 2^k for k in [-1074, 1023]. A table: assembling a float64 from words costs a failed store forwarding, 30 ns of the 57 that `log` took. */
const POWERS = /* @__PURE__ */ powersOfTwo();

function powersOfTwo(): Float64Array {
  const table = new Float64Array(2098);
  for (let k = 0, power = 5e-324; k < 2098; k++, power *= 2) table[k] = power;
  return table;
}

/** 2^k for k in [-1074, 1023]. */
export function powerOfTwo(k: number): number {
  return POWERS[k + 1074];
}

/** x 2^k for x in [1/2, 2] and k in [-1080, 1024]: exact unless the result is subnormal, then rounded once. */
export function scaleByPowerOfTwo(x: number, k: number): number {
  if (k > 1023) return x * 2 * 8.98846567431158e307;
  return k < -1074 ? x * 0.0078125 * powerOfTwo(k + 7) : x * powerOfTwo(k);
}

/** The float64 halfway between 0 <= low < high in the order of their bits: `low` or one above when they are neighbours. */
export function midpoint(low: number, high: number): number {
  float[0] = low;
  const lowHigh = words[HIGH], lowLow = words[1 - HIGH];
  float[0] = high;
  // Positive float64 are ordered as their bits; half the sum of two 63-bit integers by words.
  const sumLow = lowLow + words[1 - HIGH];
  const sumHigh = lowHigh + words[HIGH] + (sumLow > 0xffffffff ? 1 : 0);
  words[1 - HIGH] = (sumLow % 4294967296) / 2 + (sumHigh % 2) * 2147483648;
  words[HIGH] = Math.floor(sumHigh / 2);
  return float[0];
}
