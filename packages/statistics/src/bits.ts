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

/** `x` with its upper 32 bits replaced. */
export function withHighWord(x: number, high: number): number {
  float[0] = x;
  words[HIGH] = high;
  return float[0];
}

/** 2^k for k in [-1022, 1023]. */
export function powerOfTwo(k: number): number {
  words[1 - HIGH] = 0;
  words[HIGH] = (k + 1023) << 20;
  return float[0];
}

/** x 2^k for x in [1/2, 2] and k in [-1080, 1024]: exact unless the result is subnormal, then rounded once. */
export function scaleByPowerOfTwo(x: number, k: number): number {
  if (k > 1023) return x * 2 * 8.98846567431158e307;
  if (k < -1021) return x * powerOfTwo(k + 200) * 6.223015277861142e-61;
  return x * powerOfTwo(k);
}

/** The next float64 towards +Infinity; NaN and +Infinity are kept. */
export function nextUp(x: number): number {
  if (x !== x || x === Infinity) return x;
  if (x === 0) return 5e-324;
  float[0] = x;
  const up = x > 0 ? 1 : -1;
  const low = words[1 - HIGH] + up;
  words[1 - HIGH] = low;
  if (low > 0xffffffff || low < 0) words[HIGH] += up;
  return float[0];
}
