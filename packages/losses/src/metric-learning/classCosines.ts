import { expRow, similarityPass } from "@logits/core-wasm/similarity";
import { exp, log, log1p } from "@logits/statistics";
import { checkInteger, checkLabels, defineLoss, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { takingPart, withoutIgnored } from "../labelled.ts";
import { floats, integers } from "../shaped.ts";

/** Options of a loss on the cosines of embeddings with class vectors. */
export interface ClassLossOptions extends LossOptions {
  /** K vectors for each class: rows K c to K c + K - 1 of `weights` belong to class c. Default 1. */
  readonly centers?: number;
}

/** A loss of embeddings [B, F], class vectors [C, F] and labels [B], with the gradients of both. */
export type ClassLoss<Options extends ClassLossOptions = ClassLossOptions> = Loss<
  [embeddings: TensorLike, weights: TensorLike, labels: TensorLike],
  Options,
  { readonly grads: { readonly embeddings: Tensor<"float32">; readonly weights: Tensor<"float32"> } }
>;

/** Embeddings, class vectors and labels, checked. */
export interface ClassBatch {
  /** float32 [B, F]. */
  readonly z: Tensor<"float32">;
  /** float32 [C K, F]. */
  readonly w: Tensor<"float32">;
  readonly y: Int32Array;
  readonly classes: number;
  /** d loss / d |embedding| of each row, beside what goes through the cosines. */
  readonly radial: Float64Array;
  /** |embedding| of row i, float64. */
  norm(i: number): number;
  /** |class vector k|, float64. */
  vectorNorm(k: number): number;
  /** cos(embedding i, class vector k), float64, in [-1, 1]. */
  cosine(i: number, k: number): number;
  /** Which vector of each class is nearest to the row in hand. */
  readonly nearest: Int32Array;
  /** The cosine of row i, which must be in hand, with the nearest vector of its label. */
  target(i: number): number;
}

/**
 * The value of row i from its cosines with the classes, the nearest vector of each, which stand in WebAssembly memory: with a coefficient they are turned into coefficient d value / d cosine.
 */
export type ClassRow = (cosines: Float32Array, i: number, coefficient: number | undefined) => number;

/** Checks the arguments of a loss on cosines with class vectors. */
export function classBatch(where: string, [embeddings, weights, labels]: readonly [TensorLike, TensorLike, TensorLike], { centers = 1, ignoreIndex }: ClassLossOptions = {}): ClassBatch {
  const z = floats(where, "embeddings", embeddings, ["B", "F"]), [rows, features] = z.shape, w = floats(where, "weights", weights, ["C", features]), [vectors] = w.shape, labelled = integers(where, "labels", labels, [rows]);
  checkInteger(where, "rows of weights / centers", vectors / centers, 1, vectors);
  checkLabels(where, "labels", labelled, vectors / centers, ignoreIndex);
  const dot = (a: Float32Array, i: number, b: Float32Array, k: number): number => {
    let sum = 0;
    for (let f = 0; f < features; f++) sum += a[i * features + f] * b[k * features + f];
    return sum;
  };
  const y = labelled.data.slice(), classes = vectors / centers, nearest = new Int32Array(classes), norm = (i: number): number => Math.sqrt(dot(z.data, i, z.data, i));
  const vectorNorm = (k: number): number => Math.sqrt(dot(w.data, k, w.data, k));
  const cosine = (i: number, k: number): number => {
    const size = norm(i) * vectorNorm(k);
    return size === 0 ? 0 : Math.max(-1, Math.min(1, dot(z.data, i, w.data, k) / size));
  };
  return { z, w, y, classes, radial: new Float64Array(rows), norm, vectorNorm, cosine, nearest, target: (i) => cosine(i, nearest[y[i]]) };
}

/**
 * Makes a loss on the cosines of embeddings with class vectors: what a row of cosines is worth is all that differs between them. Both gradients come from one pass over tiles of cosines, so B x C is never stored.
 *
 * @param reduced - of several vectors of a class the row gets the largest cosine; else all of them
 */
export function classLoss<Options extends ClassLossOptions = ClassLossOptions>(name: string, plan: (options: Options, batch: ClassBatch, where: string) => ClassRow, reduced = true): ClassLoss<Options> {
  return defineLoss(name, 3, (where, args: [TensorLike, TensorLike, TensorLike], options: Options) => {
    const batch = classBatch(where, args, options), { z, w, y, radial, norm, vectorNorm, cosine, nearest } = batch, [rows, features] = z.shape, weights = withoutIgnored(rowWeights(where, rows, options), y, options.ignoreIndex);
    const row = plan(options, batch, where), active = takingPart(rows, weights);
    return {
      shape: [rows],
      weights,
      pass(coefficients) {
        const values = new Float64Array(rows), pulls = new Float64Array(rows), pulled = new Int32Array(rows);
        const grads = similarityPass({ data: z.data, rows: active }, { data: w.data }, features, "cosine", (at, cosines) => {
          const i = active[at], f = reduced ? nearestCenters(cosines, nearest) : cosines;
          values[i] = row(f, i, coefficients?.[i]);
          if (reduced && f.length < cosines.length) spread(cosines, nearest);
          if (!reduced || coefficients === undefined) return;
          pulled[i] = nearest[y[i]];
          pulls[i] = cosines[pulled[i]];
          cosines[pulled[i]] = 0;
        }, coefficients !== undefined);
        return {
          values,
          gradients: () => {
            const { left, right } = grads!;
            // d cosine / d z of the label, (w / |w| - c z / |z|) / |z|, in float64: margins make it large where the difference is small.
            for (const i of active) {
              const k = pulled[i], zs = norm(i), ws = vectorNorm(k), c = cosine(i, k), pull = zs === 0 || ws === 0 ? 0 : pulls[i], along = radial[i] === 0 ? 0 : radial[i] / zs;
              if (pull === 0 && along === 0) continue;
              for (let f = 0; f < features; f++) {
                const a = z.data[i * features + f] / zs, b = pull === 0 ? 0 : w.data[k * features + f] / ws;
                left[i * features + f] += (pull * (b - c * a)) / zs + along * zs * a;
                right![k * features + f] += pull === 0 ? 0 : (pull * (a - c * b)) / ws;
              }
            }
            return { grads: { embeddings: new Tensor("float32", z.shape, left), weights: new Tensor("float32", w.shape, right!) } };
          },
        };
      },
    };
  });
}

/**
 * Cross-entropy of scale f with a label whose own f is given in float64, and f turned into coefficient d loss / d f.
 *
 *   loss = log sum_j exp(scale f[j]) - scale target, with f[label] = target
 */
export function softmaxRow(f: Float32Array, label: number, scale: number, target: number, coefficient: number | undefined): number {
  f[label] = -Infinity;
  let top = target;
  for (let j = 0; j < f.length; j++) top = Math.max(top, f[j]);
  top = Math.fround(top);
  const gap = scale * (target - top), others = expRow(f, scale, top), own = exp(gap), sum = own + others;
  if (coefficient !== undefined) {
    const k = (coefficient * scale) / sum;
    for (let j = 0; j < f.length; j++) f[j] *= k;
    f[label] = -k * others;
  }
  return others < own ? log1p(others / own) : log(sum) - gap;
}

/** The largest cosine of each class, in front; which vector of the class it was. */
function nearestCenters(cosines: Float32Array, nearest: Int32Array): Float32Array {
  const classes = nearest.length, centers = cosines.length / classes;
  for (let c = 0; c < classes; c++) {
    let best = c * centers;
    for (let k = best + 1; k < (c + 1) * centers; k++) if (cosines[k] > cosines[best]) best = k;
    nearest[c] = best;
    cosines[c] = cosines[best];
  }
  return cosines.subarray(0, classes);
}

/** The gradients of the classes, which stand in front, to the vectors that were nearest. */
function spread(row: Float32Array, nearest: Int32Array): void {
  const own = row.slice(0, nearest.length);
  row.fill(0);
  for (let c = 0; c < nearest.length; c++) row[nearest[c]] = own[c];
}
