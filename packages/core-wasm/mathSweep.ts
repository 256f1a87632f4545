import { mathRef } from "./src/math.ref.ts";

export type MathName = keyof typeof mathRef;

/** What a sweep found of one kernel. */
export interface Sweep {
  /** Inputs compared, special ones included. */
  inputs: number;
  /** Largest error in units in the last place of float32 at the exact result. */
  maxUlp: number;
  /** Where it was found. */
  at: number;
  /** Inputs whose special result (NaN, infinity, underflow) is wrong; must be empty. At most 10. */
  wrong: { readonly x: number; readonly got: number; readonly want: number }[];
}

export type MathKernel = (x: number, y: number, length: number) => void;

const BLOCK = 65536;
const LARGEST = 3.4028234663852886e38;
const NORMAL = 2 ** -126;

/** Functions whose results below 2^-126 are 0. */
const FLUSHES = new Set<MathName>(["exp", "sigmoid", "softplus"]);

// Five of six inputs are so small or so large that the definition needs no call.
/** f(x) = a + b x + c x^2 to 2^-60 where |x| < 2^-30. */
const NEAR: Partial<Record<MathName, readonly [a: number, b: number, c: number]>> = {
  exp: [1, 1, 0.5],
  log1p: [0, 1, -0.5],
  expm1: [0, 1, 0.5],
  tanh: [0, 1, 0],
  erf: [0, 2 / Math.sqrt(Math.PI), 0],
  sigmoid: [0.5, 0.25, 0],
  softplus: [Math.LN2, 0.5, 0.125],
};
/** f(x) as float32 where x <= -256 and x >= 256; NaN stands for x itself. */
const FAR: Partial<Record<MathName, readonly [below: number, above: number]>> = {
  exp: [0, Infinity],
  expm1: [-1, Infinity],
  tanh: [-1, 1],
  erf: [-1, 1],
  sigmoid: [0, 1],
  softplus: [0, NaN],
};

function define(name: MathName, inputs: Float32Array, wants: Float64Array): void {
  // A block has one exponent and sign: its first number tells which form it needs.
  const first = inputs[0];
  const near = Math.abs(first) < 2 ** -30 ? NEAR[name] : undefined;
  const far = Math.abs(first) >= 256 && Math.abs(first) < Infinity ? FAR[name]?.[first < 0 ? 0 : 1] : undefined;
  const reference = mathRef[name];
  if (near) {
    const [a, b, c] = near;
    if (a === 0) for (let i = 0; i < BLOCK; i++) wants[i] = inputs[i] * (b + c * inputs[i]); // keeps -0
    else for (let i = 0; i < BLOCK; i++) wants[i] = a + inputs[i] * (b + c * inputs[i]);
  } else if (far === undefined) for (let i = 0; i < BLOCK; i++) wants[i] = reference(inputs[i]);
  else if (far === far) wants.fill(far);
  else wants.set(inputs);
}

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);
const UNITS = Float64Array.from({ length: 256 }, (_, field) => 2 ** (Math.max(field, 1) - 150));

/** Spacing of the float32 numbers at |want| = size. */
function spacing(size: number): number {
  float[0] = size;
  return UNITS[(bits[0] - (float[0] > size ? 1 : 0)) >> 23];
}

/**
 * Runs kernels over float32 bit patterns, in blocks of consecutive patterns in WebAssembly memory, and compares with float64.
 *
 * @param room - address of 2 * 256 KiB
 * @param stride - every stride-th block of 65,536 patterns; 1 = all 2^32
 */
export function sweep(name: MathName, kernels: readonly MathKernel[], memory: WebAssembly.Memory, room: number, stride: number): Sweep[] {
  const words = new Int32Array(memory.buffer, room, BLOCK);
  const inputs = new Float32Array(memory.buffer, room, BLOCK);
  const results = new Float32Array(memory.buffer, room + 4 * BLOCK, BLOCK);
  const wants = new Float64Array(BLOCK);
  const found = kernels.map((): Sweep => ({ inputs: 0, maxUlp: 0, at: 0, wrong: [] }));
  for (let block = 0; block < 65536; block += stride) {
    const start = block << 16;
    for (let i = 0; i < BLOCK; i++) words[i] = start + i;
    define(name, inputs, wants);
    kernels.forEach((kernel, k) => {
      kernel(room, room + 4 * BLOCK, BLOCK);
      compare(name, inputs, results, wants, found[k]);
    });
    if (found.some(({ wrong }) => wrong.length > 0)) break;
  }
  return found;
}

function compare(name: MathName, inputs: Float32Array, results: Float32Array, wants: Float64Array, found: Sweep): void {
  const flushes = FLUSHES.has(name);
  let { maxUlp, at } = found;
  for (let i = 0; i < BLOCK; i++) {
    const want = wants[i];
    const got = results[i];
    const size = Math.abs(want);
    let right = true;
    if (size <= LARGEST && size >= NORMAL) {
      const error = Math.abs(got - want);
      // A unit is at least 2^-24 of the value: most errors need no exact unit.
      if (error <= maxUlp * size * 5.960464477539063e-8) continue;
      if (flushes && got === 0 && size < NORMAL * (1 + 2 ** -22)) continue; // within a unit of the edge both are right
      const ulp = error / spacing(size);
      if (!(ulp < 1e3)) right = false;
      else if (ulp > maxUlp) {
        maxUlp = ulp;
        at = inputs[i];
      }
    } else if (size < NORMAL && want !== 0) {
      right = flushes ? got === 0 || (size > NORMAL * (1 - 2 ** -22) && got === NORMAL) : Math.abs(got - want) <= 2 ** -149;
    } else {
      right = Object.is(got, Math.fround(want));
    }
    if (!right && found.wrong.length < 10) found.wrong.push({ x: inputs[i], got, want });
  }
  Object.assign(found, { inputs: found.inputs + BLOCK, maxUlp, at });
}
