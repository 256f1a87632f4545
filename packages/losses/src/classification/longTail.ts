import { log, pow } from "@logits/statistics";
import { asFloat32, checkPositive, checkShape, rangeError, Tensor, type RowLossOptions, type ScoreRows, type TensorLike } from "@logits/tensor";
import { labelLoss, type LabelLoss } from "../labelLoss.ts";
import { checkChoice, checkRange, checkShare, perClass } from "../range.ts";

/** z[row, c] + by(row, c, z). */
function shifted({ z, rows, classes }: ScoreRows, by: (row: number, c: number, i: number) => number): Tensor<"float32"> {
  const out = new Float32Array(z.size);
  for (let row = 0, i = 0; row < rows; row++) for (let c = 0; c < classes; c++, i++) out[i] = z.data[i] + by(row, c, i);
  return new Tensor("float32", z.shape, out);
}

/** Options of `logitAdjustedLoss`. */
export interface LogitAdjustedOptions extends RowLossOptions {
  /** float32 [C], finite and not negative: how often each class occurs, as counts or shares. A class that never does is impossible. */
  readonly prior: TensorLike;
  /** How strongly, >= 0; 0: cross-entropy. Default 1. */
  readonly tau?: number;
}

/**
 * Logit adjustment: cross-entropy of logits plus the log of the classes' shares, so that rare classes must be found by what the logits say of them. `tau` 1 with counts: balanced softmax.
 *
 *   loss = crossEntropy(x + tau log prior, y);   gradient = softmax(x + tau log prior) - onehot(y)
 *
 * Decisions are made with the logits as they are.
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `tau`, and `prior`, which must be given
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for a negative tau, a prior that is not [C]
 * @example
 *   logitAdjustedLoss([[0, 0]], [1], { prior: [9, 1] }); // -log 0.1 = 2.3026
 * Source: Menon, Jayasumana, Rawat, Jain, Veit, Kumar, "Long-tail Learning via Logit Adjustment", ICLR 2021, equation 10; Ren et al., "Balanced Meta-Softmax", NeurIPS 2020.
 */
export const logitAdjustedLoss: LabelLoss<LogitAdjustedOptions> = /* @__PURE__ */ labelLoss("logitAdjustedLoss", ({ prior, tau = 1 }, rows, where) => {
  checkRange(where, "tau", tau, 0);
  const by = Float64Array.from(perClass(where, "prior", prior, rows.classes), (v) => (tau === 0 ? 0 : tau * log(v)));
  return { scores: shifted(rows, (_, c) => by[c]), value: (logP) => -logP, slope: () => 1 };
});

/**
 * Margins that grow as classes get rarer.
 *
 *   margin[c] = largest counts[c]^(-1/4) / max_k counts[k]^(-1/4)
 *
 * @param counts - float32 [C], > 0: rows of each class
 * @param largest - the margin of the rarest class, > 0. Default 0.5
 * @returns float32 [C]
 * @throws RangeError for counts that are not positive, a margin that is none
 * @example
 *   ldamMargins([16, 1]); // 0.25, 0.5
 * Source: Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, equation 13.
 */
export function ldamMargins(counts: TensorLike, largest = 0.5): Tensor<"float32"> {
  const n = positive("ldamMargins", counts), least = n.reduce((a, b) => Math.min(a, b), Infinity);
  checkPositive("ldamMargins", "largest", largest);
  return new Tensor("float32", [n.length], n.map((v) => largest * Math.sqrt(Math.sqrt(least / v))));
}

function positive(where: string, counts: TensorLike): Float32Array {
  const { data, shape } = asFloat32(where, "counts", counts), bad = data.findIndex((v) => !(v > 0 && v < Infinity));
  checkShape(where, "counts", { shape }, ["C"]);
  if (bad >= 0) throw rangeError(where, "counts", "finite and > 0", `${data[bad]} at index ${bad}`);
  return data;
}

/** Options of `ldamLoss`. */
export interface LdamOptions extends RowLossOptions {
  /** float32 [C], finite and not negative: by how much the label's score is lowered (`ldamMargins`). */
  readonly margins: TensorLike;
  /** Multiplies the scores, > 0; they are meant to be cosines. Default 30. */
  readonly scale?: number;
}

/**
 * Label-distribution-aware margin loss: cross-entropy in which the label's score is lowered by a margin of its class.
 *
 *   loss = crossEntropy(s (x - margins[y] onehot(y)), y);   gradient = s (softmax(s (x - margins[y] onehot(y))) - onehot(y))
 *
 * @param logits - float32 [B, C] or [B, ..., C], usually cosines; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `scale` s, and `margins`, which must be given
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for a scale that is not positive, margins that are not [C]
 * @example
 *   ldamLoss([[0.5, 0]], [0], { margins: [0.5, 0.1], scale: 10 }); // log 2 = 0.6931
 * Source: Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, equation 11; scale 30 as in its code.
 */
export const ldamLoss: LabelLoss<LdamOptions> = /* @__PURE__ */ labelLoss("ldamLoss", ({ margins, scale = 30 }, rows, where) => {
  checkPositive(where, "scale", scale);
  const by = perClass(where, "margins", margins, rows.classes), { z, y, classes } = rows;
  // One rounding: the difference of a cosine and a margin, times the scale.
  return { scores: new Tensor("float32", z.shape, z.data.map((v, i) => scale * (i % classes === y[Math.floor(i / classes)] ? v - by[i % classes] : v))), value: (logP) => -logP, slope: () => scale };
});

/** Options of `classBalancedWeights`. */
export interface ClassBalancedOptions {
  /** How much a further row of a class adds to it, in [0, 1): 0 all classes alike, to 1 by the inverse of the count. Default 0.9999. */
  readonly beta?: number;
}

/**
 * Weights of classes by their effective number of rows; they sum to C. For `classWeight` of `crossEntropy` and `alpha` of `focalLoss`.
 *
 *   w[c] = (1 - beta) / (1 - beta^counts[c]), times C / sum w
 *
 * @param counts - float32 [C], > 0: rows of each class
 * @returns float32 [C]
 * @throws RangeError for counts that are not positive, a beta outside [0, 1)
 * @example
 *   classBalancedWeights([1, 2], { beta: 0.5 }); // 1.2, 0.8
 * Source: Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, equation 3.
 */
export function classBalancedWeights(counts: TensorLike, { beta = 0.9999 }: ClassBalancedOptions = {}): Tensor<"float32"> {
  const n = positive("classBalancedWeights", counts);
  checkShare("classBalancedWeights", "beta", beta);
  const w = Float64Array.from(n, (v) => 1 / (1 - pow(beta, v))), sum = w.reduce((a, b) => a + b, 0);
  return new Tensor("float32", [n.length], Float32Array.from(w, (v) => (v * n.length) / sum));
}

/** Options of `seesawLoss`. */
export interface SeesawOptions extends RowLossOptions {
  /** float32 [C], > 0: rows of each class so far. */
  readonly counts: TensorLike;
  /** Exponent of the ratio of counts by which rarer classes are pushed away less, >= 0. Default 0.8. */
  readonly p?: number;
  /** Exponent of the ratio of probabilities by which classes above the label are pushed away more, >= 0. Default 2. */
  readonly q?: number;
  /** "official": factors are constants; "exact": the second moves with the logits. Default "official". */
  readonly gradient?: "official" | "exact";
}

/**
 * Seesaw loss: cross-entropy in which other classes count less where they are rarer than the label's, and more where they are above it.
 *
 *   loss = -log( exp(x[y]) / sum_c S[c] exp(x[c]) ),   S[c] = min(1, n[c] / n[y])^p max(1, p[c] / p[y])^q,  S[y] = 1
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `p`, `q`, `gradient`, and `counts` n, which must be given
 * @returns float32 of the labels' shape ("none") or []; +Infinity or NaN where the labelled class is impossible. p = q = 0: cross-entropy. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for counts that are not positive, negative exponents, another gradient
 * @example
 *   seesawLoss([[0, 0]], [0], { counts: [32, 1] }); // log(1 + 32^-0.8) = 0.0607
 * Source: Wang et al., "Seesaw Loss for Long-Tailed Instance Segmentation", CVPR 2021, equations 4 to 7. Public code takes p[y] as at least 0.01.
 */
export const seesawLoss: LabelLoss<SeesawOptions> = /* @__PURE__ */ labelLoss("seesawLoss", ({ counts, p = 0.8, q = 2, gradient = "official" }, rows, where) => {
  const { z, y, classes, weights } = rows, n = positive(where, counts);
  if (n.length !== classes) throw rangeError(where, "counts", `of shape [${classes}]`, `[${n.length}]`);
  checkRange(where, "p", p, 0);
  checkRange(where, "q", q, 0);
  checkChoice(where, "gradient", gradient, ["official", "exact"]);
  const logs = Float64Array.from(n, log), takesPart = (row: number): boolean => weights?.[row] !== 0;
  return {
    scores: shifted(rows, (row, c, i) => (takesPart(row) && c !== y[row] ? p * Math.min(0, logs[c] - logs[y[row]]) + (q > 0 ? q * Math.max(0, z.data[i] - z.data[row * classes + y[row]]) : 0) : 0)),
    value: (logP) => -logP,
    slope: () => 1,
    finish(grad) {
      if (gradient === "official") return;
      for (let row = 0, i = 0; row < rows.rows; row++) for (let c = 0, own = row * classes + y[row]; c < classes; c++, i++) {
        if (!takesPart(row) || !(z.data[i] > z.data[own])) continue;
        grad[own] -= q * grad[i];
        grad[i] *= 1 + q;
      }
    },
  };
});
