const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** The smallest float32 >= x. */
export function roundUp(x: number): number {
  float[0] = x;
  // One step towards Infinity: of the bits away from zero or towards it; from 0 of either sign to the smallest positive.
  if (float[0] < x) bits[0] = float[0] === 0 ? 1 : bits[0] + (bits[0] > 0 ? 1 : -1);
  return float[0];
}

/** The largest float32 <= x. */
export function roundDown(x: number): number {
  return -roundUp(-x);
}
