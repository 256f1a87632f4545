import { logSoftmax, logSumExp, matmul, softmax } from "@logits/core-wasm";
import { vectorScalingGradient } from "@logits/core-wasm/affine";
import { lbfgsSteps, type SteppedObjective } from "@logits/optimize";
import { Tensor, type Steps } from "@logits/tensor";

/** A ridge on each kind of parameter: lambda times the sum of squared distances from the start (0 for off-diagonal weights and biases). */
export interface AffinePenalty {
  readonly diagonal: number;
  readonly offDiagonal: number;
  readonly bias: number;
}

/** softmax(W x + b) on rows x, W a diagonal or a full matrix. */
export interface AffineProblem {
  readonly z: Tensor<"float32">;
  readonly y: Tensor<"int32">;
  /** Whether some class is impossible in some row. */
  readonly impossible: boolean;
  readonly full: boolean;
  /** x: the logits, or their log-probabilities. */
  readonly input: "logits" | "logProbabilities";
  /** The diagonal at the start and in the penalty; the weights are counted in units of it. */
  readonly centre: number;
  readonly penalty: AffinePenalty;
  readonly maxIterations: number;
}

/** Where the fit ended. */
export interface AffineOptimum {
  /** [C], or [C, C] row-major: calibrated logit i from input j. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
  /** Mean negative log-likelihood without the penalty. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly iterations: number;
  readonly converged: boolean;
  readonly atBound: boolean;
}

/** Largest component of the gradient of the mean loss, per parameter scaled to curvature 1: the standard error there is 1 / sqrt(N). */
const TOLERANCE = 1e-6;
/** Rounding of the objective, relative: rows in float32, their sum in float64. */
const NOISE = 1e-7;
/** Work of a piece between two pauses: elements, or products of a full matrix. */
const ELEMENTS = 131072;
const PRODUCTS = 8388608;

/** The inputs of a map: logits or log-probabilities; impossible classes are 0 here and -Infinity again in the result. */
function inputsOf(z: Float32Array, classes: number, input: AffineProblem["input"], impossible: boolean): Float32Array {
  const x = input === "logits" ? z : logSoftmax({ data: z, shape: [z.length / classes, classes] }).data;
  return impossible ? x.map((value) => (value === -Infinity ? 0 : value)) : x;
}

/** out = W x + b in float32; a class of score -Infinity stays impossible and counts nothing for the others. */
function forward(z: Float32Array, x: Float32Array, impossible: boolean, weights: Float32Array | Float64Array, bias: Float32Array | Float64Array, full: boolean, out: Float32Array): void {
  const classes = bias.length, rows = z.length / classes;
  if (full) matmul({ data: x, shape: [rows, classes] }, { data: weights as Float32Array, shape: [classes, classes] }, { transposeB: true, out: new Tensor("float32", [rows, classes], out) });
  for (let at = 0; at < z.length; at += classes) {
    if (full) for (let c = 0; c < classes; c++) out[at + c] += bias[c];
    else for (let c = 0; c < classes; c++) out[at + c] = weights[c] * x[at + c] + bias[c];
  }
  if (impossible) for (let i = 0; i < z.length; i++) if (z[i] === -Infinity) out[i] = -Infinity;
}

// Loops of their own, which the engine compiles better than those in a generator.

/** Adds residuals to the gradient of the bias [C] behind the weights of a full matrix. */
function addGradient(r: Float32Array, gradient: Float64Array, classes: number): void {
  const count = gradient.length - classes;
  for (let at = 0; at < r.length; at += classes) for (let c = 0; c < classes; c++) gradient[count + c] += r[at + c];
}

/** As `addGradient` for the diagonal of the Hessian. */
function addCurvature(p: Float32Array, hessian: Float64Array, classes: number): void {
  const count = hessian.length - classes;
  for (let at = 0; at < p.length; at += classes) for (let c = 0; c < classes; c++) hessian[count + c] += p[at + c] * (1 - p[at + c]);
}

/** The map on rows: calibrated logits. A row with NaN or +Infinity becomes NaN. */
export function applyAffine(z: Float32Array, weights: Float32Array, bias: Float32Array, input: AffineProblem["input"]): Float32Array {
  const classes = bias.length, out = new Float32Array(z.length);
  if (z.length === 0) return out;
  const bad: number[] = [];
  for (let i = 0; i < z.length; i++) if (z[i] !== z[i] || z[i] === Infinity) bad.push(i - (i % classes));
  const safe = bad.length > 0 ? z.slice() : z;
  for (const row of bad) safe.fill(0, row, row + classes);
  const impossible = safe.includes(-Infinity), x = inputsOf(safe, classes, input, impossible);
  // A row of impossible classes only has no log-probabilities.
  const clean = impossible && input === "logProbabilities" ? x.map((value) => (value !== value ? 0 : value)) : x;
  forward(safe, clean, impossible, weights, bias, weights.length > classes || classes === 1, out);
  for (const row of bad) out.fill(NaN, row, row + classes);
  return out;
}

/** Minimises the mean negative log-likelihood plus the penalty, from W = centre I, b = 0, each parameter scaled by the curvature there. Rows have been checked. */
export function* fitAffine(problem: AffineProblem): Steps<AffineOptimum> {
  const { z, y, impossible, full, input, centre, penalty, maxIterations } = problem;
  const [n, classes] = z.shape;
  const count = full ? classes * classes : classes, size = count + classes;
  const piece = Math.max(4, Math.floor(full ? Math.min(ELEMENTS / classes, PRODUCTS / (classes * classes)) : ELEMENTS / classes));
  const scales = new Float64Array(size).fill(1);
  const w32 = new Float32Array(count), b32 = new Float32Array(classes), weights = new Float64Array(count), bias = new Float64Array(classes);
  const diagonal = (i: number): boolean => !full || i % (classes + 1) === 0;
  const put = (u: Float64Array): void => {
    for (let i = 0; i < count; i++) weights[i] = centre * ((diagonal(i) ? 1 : 0) + u[i] / scales[i]);
    for (let c = 0; c < classes; c++) bias[c] = u[count + c] / scales[count + c];
    w32.set(weights);
    b32.set(bias);
  };
  let passes = 0, separated = true;
  /** Runs over the rows: loss, gradient by (weights / centre, bias), and, where asked for, the diagonal of the Hessian. */
  const pass = function* (gradient: Float64Array, hessian?: Float64Array): Steps<number> {
    let loss = 0;
    gradient.fill(0);
    separated = true;
    const share = passes / (passes + 8);
    passes++;
    for (let first = 0; first < n; first += piece) {
      const rows = Math.min(piece, n - first), shape = [rows, classes];
      const part = z.data.slice(first * classes, (first + rows) * classes);
      if (!full) {
        const sums = vectorScalingGradient(inputsOf(part, classes, input, false), y.data.slice(first, first + rows), w32, b32, { gradient, curvature: hessian });
        loss += sums.loss;
        separated &&= sums.separated;
        yield share;
        continue;
      }
      const x = inputsOf(part, classes, input, impossible);
      const out = new Float32Array(part.length);
      forward(part, x, impossible, w32, bias, full, out);
      const p = softmax({ data: out, shape }).data, total = logSumExp({ data: out, shape }).data;
      for (let r = 0, at = 0; r < rows; r++, at += classes) {
        const label = y.data[first + r], own = out[at + label];
        loss += total[r] - own;
        if (separated) for (let c = 0; c < classes; c++) if (c !== label && out[at + c] >= own) separated = false;
      }
      if (hessian) {
        addCurvature(p, hessian, classes);
        const squares = matmul({ data: p.map((q) => q * (1 - q)), shape }, { data: x.map((value) => value * value), shape }, { transposeA: true }).data;
        for (let i = 0; i < count; i++) hessian[i] += squares[i];
      }
      for (let r = 0; r < rows; r++) p[r * classes + y.data[first + r]] -= 1;
      addGradient(p, gradient, classes);
      const sums = matmul({ data: p, shape }, { data: x, shape }, { transposeA: true }).data;
      for (let i = 0; i < count; i++) gradient[i] += sums[i];
      yield share;
    }
    for (let i = 0; i < count; i++) gradient[i] *= centre / n;
    for (let i = count; i < size; i++) gradient[i] /= n;
    if (hessian) for (let i = 0; i < size; i++) hessian[i] *= (i < count ? centre * centre : 1) / n;
    return loss / n;
  };
  const lambda = (i: number): number => (i >= count ? penalty.bias : diagonal(i) ? penalty.diagonal : penalty.offDiagonal);
  const objective: SteppedObjective<number> = function* (u, gradient) {
    put(u);
    let value = yield* pass(gradient);
    for (let i = 0; i < size; i++) {
      const free = u[i] / scales[i];
      value += lambda(i) * free * free;
      gradient[i] = (gradient[i] + 2 * lambda(i) * free) / scales[i];
    }
    // Differences that float32 does not hold are outside the domain.
    return value === value ? value : Infinity;
  };
  const hessian = new Float64Array(size), unused = new Float64Array(size);
  put(unused);
  yield* pass(unused, hessian);
  const mean = hessian.reduce((sum, h) => sum + h, 0) / size;
  if (mean > 0) for (let i = 0; i < size; i++) scales[i] = Math.sqrt(hessian[i] + 2 * lambda(i) + 1e-4 * mean);
  const search = lbfgsSteps(objective, unused.fill(0), { gradientTolerance: TOLERANCE, maxIterations, noise: NOISE });
  let step = search.next();
  for (; !step.done; step = search.next()) if (typeof step.value === "number") yield step.value;
  const { x: found, gradientNorm, iterations, converged } = step.value;
  put(found);
  if (penalty.bias === 0) {
    // Softmax does not see a common shift.
    const shift = bias.reduce((sum, b) => sum + b, 0) / classes;
    for (let c = 0; c < classes; c++) bias[c] -= shift;
  }
  const loss = yield* pass(unused);
  const free = penalty.diagonal === 0 && penalty.bias === 0 && (penalty.offDiagonal === 0 || !full);
  const seen = new Uint8Array(classes);
  for (const label of y.data) seen[label] = 1;
  const absent = classes > 1 && penalty.bias === 0 && seen.includes(0);
  return { weights: Float32Array.from(weights), bias: Float32Array.from(bias), loss, gradientNorm, iterations, converged, atBound: classes > 1 && ((free && separated) || absent) };
}
