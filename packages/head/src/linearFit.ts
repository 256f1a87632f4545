import { core, type ResidentTensor } from "@logits/core-wasm";
import { addDots, combine, LinearCrossEntropy, LinearScaling } from "@logits/core-wasm/linear";
import { lineSearch } from "@logits/optimize";
import type { Steps } from "@logits/tensor";

type Vector = ResidentTensor<"float32">;

/** Elements of a vector between two pauses. */
const SLICE = 262144;
/** Pairs of differences at most, and the bytes that they may take. */
const MEMORY = 10;
const MEMORY_BYTES = 402653184;
/** Rounding of the loss, relative: logits in float32, their sum in float64. */
const NOISE = 1e-7;

/** Where a fit ended. */
export interface LinearOptimum {
  /** [F + 1, S], S classes rounded up to a multiple of 4; the last row is the bias. */
  readonly parameters: Float32Array;
  /** Loss with the penalty. */
  readonly value: number;
  readonly iterations: number;
  readonly evaluations: number;
  /** Euclidean norm of the gradient in the scaled variables, over that at zero. */
  readonly gradientNorm: number;
  readonly reason: "gradient" | "iterations" | "lineSearch" | "overflow";
}

/**
 * Minimises loss(W, b) + l2 / 2 |W|^2 by L-BFGS with a strong Wolfe line search, from zero.
 *
 * The state is float32 in WebAssembly memory and not `lbfgs` of @logits/optimize on float64: with 10 million parameters ten pairs are 1.6 GB there and an
 * iteration reads 4 GB. Here the two-loop recursion runs on the Gram matrix of the pairs and the gradient, in float64, so that an iteration reads each
 * vector twice, once for dot products and once for the direction.
 *
 * Source: Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5; Chen, Wang and Zhou, "Large-scale L-BFGS using MapReduce", NIPS 2014, for the recursion on dot products.
 */
export function* minimise(loss: LinearCrossEntropy, scaling: LinearScaling, l2: number, curvature: number, tolerance: number, maxIterations: number): Steps<LinearOptimum> {
  const vectors: Vector[] = [];
  const alloc = function* (): Steps<Vector> {
    const made = core.alloc(loss.shape);
    vectors.push(made);
    yield share;
    return made;
  };
  const n = loss.shape[0] * loss.shape[1];
  const memory = Math.min(MEMORY, Math.max(3, Math.floor(MEMORY_BYTES / (8 * n))));
  let share = 0;

  function* dots(of: readonly Vector[], a: Vector, b: Vector, count: number = n): Steps<Float64Array> {
    const sums = new Float64Array(2 * of.length);
    for (let first = 0; first < count; first += SLICE) {
      addDots(of, a, b, sums, first, Math.min(SLICE, count - first));
      yield share;
    }
    return sums;
  }
  function* combined(of: readonly Vector[], coefficients: readonly number[], y: Vector): Steps<void> {
    for (let first = 0; first < n; first += SLICE) {
      combine(of, coefficients, y, first, Math.min(SLICE, n - first));
      yield share;
    }
  }

  try {
    let x = yield* alloc(), g = yield* alloc(), trial = yield* alloc(), trialG = yield* alloc();
    const w = yield* alloc(), direction = yield* alloc();
    const { rows, features, shape: [, stride] } = loss;
    const evaluate = function* (at: Vector, gradient: Vector): Steps<number> {
      gradient.data.fill(0, features * stride);
      for (let first = 0, end: number; first === 0 || first < features; first = end) {
        end = scaling.pieceEnd(first);
        scaling.toWeights(at, w, first);
        gradient.data.fill(0, first * stride, end * stride);
        yield share;
        if (end === first) break; // no features
      }
      let value = 0;
      for (let first = 0; first < rows; first = loss.pieceEnd(first)) {
        value += loss.pass(w, gradient, first);
        yield share;
      }
      for (let first = 0; first < features; first = scaling.pieceEnd(first)) {
        scaling.toGradient(gradient, w, l2, first);
        yield share;
      }
      const [square] = yield* dots([w], w, w, features * stride);
      return value + 0.5 * l2 * square;
    };

    let value = yield* evaluate(x, g);
    let evaluations = 1, iterations = 0;
    let square = (yield* dots([g], g, g))[0];
    const start = Math.sqrt(square);
    const result = (reason: LinearOptimum["reason"]): LinearOptimum => ({ parameters: w.data.slice(), value, iterations, evaluations, gradientNorm: start > 0 ? Math.sqrt(square) / start : 0, reason });
    // Pairs, oldest first: s_0, y_0, s_1, y_1, ... products[k] holds the dot products of y_k with s_0, y_0, ..., s_k, y_k.
    let pairs: Vector[] = [];
    let products: number[][] = [];
    const spare: Vector[] = [];
    const forget = (): void => {
      spare.push(...pairs);
      pairs = [];
      products = [];
    };
    while (!(square <= (tolerance * start) ** 2) || square === Infinity) {
      if (!(square < Infinity)) return result("overflow");
      if (iterations === maxIterations) return result("iterations");
      const gDots = pairs.length > 0 ? (yield* dots(pairs, g, g)).filter((_, i) => i % 2 === 0) : new Float64Array(0);
      const { scale, along } = directionOf(products, gDots);
      const slope = -scale * square + along.reduce((sum, c, i) => sum + c * gDots[i], 0);
      if (!(slope < 0)) {
        if (pairs.length === 0) return result("lineSearch");
        forget();
        continue;
      }
      yield* combined([g, ...pairs], [-scale, ...along], direction);
      const search = lineSearch({ step: 0, value, slope }, pairs.length > 0 ? 1 : 1 / curvature, NOISE);
      let asked = search.next();
      let at = value, slopes: Float64Array = new Float64Array(2);
      while (!asked.done) {
        yield* combined([x, direction], [1, asked.value], trial);
        at = yield* evaluate(trial, trialG);
        evaluations++;
        slopes = yield* dots([trialG], direction, trialG);
        asked = search.next({ step: asked.value, value: at, slope: slopes[0] });
      }
      if (!asked.value.ok) {
        // Curvature that misleads is forgotten once; then no lower value can be reached.
        if (pairs.length === 0) {
          yield* evaluate(x, trialG); // so that w is that of x
          return result("lineSearch");
        }
        forget();
        continue;
      }
      if (pairs.length === 2 * memory) {
        spare.push(...pairs.splice(0, 2));
        products = products.slice(1).map((row) => row.slice(2));
      }
      const s = spare.pop() ?? (yield* alloc()), y = spare.pop() ?? (yield* alloc());
      yield* combined([trial, x], [1, -1], s);
      yield* combined([trialG, g], [1, -1], y);
      const yDots = Array.from((yield* dots([...pairs, s, y], y, y)).filter((_, i) => i % 2 === 0));
      [x, trial] = [trial, x];
      [g, trialG] = [trialG, g];
      value = at;
      square = slopes[1];
      iterations++;
      const [sy, yy] = yDots.slice(-2);
      if (sy > 1e-10 * yy) {
        pairs.push(s, y);
        products.push(yDots);
      } else spare.push(s, y);
      // The norm falls about geometrically.
      share = square > 0 ? Math.min(0.99, Math.max(share, Math.sqrt(start * start / square) * tolerance)) : 0.99;
    }
    return result("gradient");
  } finally {
    for (const vector of vectors) vector.dispose();
  }
}

/** The direction of L-BFGS, -scale g + sum_i along[i] pairs[i], from dot products: those of each y with what came before it, those of the gradient with the pairs. */
function directionOf(products: readonly (readonly number[])[], gDots: Float64Array): { scale: number; along: number[] } {
  const count = products.length;
  const along = new Array<number>(2 * count).fill(0);
  const weights = new Array<number>(count).fill(0);
  const sy = (i: number, j: number): number => products[j][2 * i]; // s_i . y_j, i <= j
  const yy = (i: number, j: number): number => products[Math.max(i, j)][2 * Math.min(i, j) + 1];
  for (let i = count - 1; i >= 0; i--) {
    let product = -gDots[2 * i];
    for (let j = count - 1; j > i; j--) product += along[2 * j + 1] * sy(i, j);
    weights[i] = product / sy(i, i);
    along[2 * i + 1] = -weights[i];
  }
  const scale = count > 0 ? sy(count - 1, count - 1) / yy(count - 1, count - 1) : 1;
  for (let i = 0; i < count; i++) along[2 * i + 1] *= scale;
  for (let i = 0; i < count; i++) {
    let product = -scale * gDots[2 * i + 1];
    for (let j = 0; j < count; j++) product += along[2 * j + 1] * yy(i, j);
    for (let j = 0; j < i; j++) product += along[2 * j] * sy(j, i);
    along[2 * i] = weights[i] - product / sy(i, i);
  }
  return { scale, along };
}
