import { digamma, log, logGamma, sigmoid, softplus } from "@logits/statistics";
import { defineLoss, lossRows, type RowLossOptions } from "@logits/tensor";
import type { LabelLoss } from "../labelLoss.ts";
import { checkChoice, checkRange } from "../range.ts";
import { trigamma } from "./trigamma.ts";

/** Options of `evidentialLoss`. */
export interface EvidentialOptions extends RowLossOptions {
  /** Expected squared error, expected cross-entropy ("digamma"), or cross-entropy of the expectation ("log") under the Dirichlet distribution. Default "squared". */
  readonly form?: "squared" | "digamma" | "log";
  /** Factor of the divergence of the evidence for other classes from none, >= 0; the paper lets it grow from 0 to 1 in the first 10 epochs. Default 0. */
  readonly kl?: number;
}

/**
 * Evidential loss: outputs are evidence, the parameters of a Dirichlet distribution over the classes' probabilities.
 *
 *   a = 1 + log(1 + exp(x)),  S = sum a,  m = a / S
 *   squared: sum_c ([c = y] - m[c])^2 + m[c] (1 - m[c]) / (S + 1);   digamma: psi(S) - psi(a[y]);   log: log S - log a[y]
 *   plus kl KL(Dirichlet(b), Dirichlet(1)),  b = a with b[y] = 1
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = no evidence
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `form`, `kl`
 * @returns float32 of the labels' shape ("none") or []. NaN in a row, or +Infinity: NaN. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for another form, a negative factor
 * @example
 *   evidentialLoss([[-Infinity, -Infinity]], [0], { form: "log" }); // no evidence: log 2 = 0.6931
 * Source: Sensoy, Kaplan, Kandemir, "Evidential Deep Learning to Quantify Classification Uncertainty", NeurIPS 2018, equations 3 to 5; softplus as the evidence.
 */
export const evidentialLoss: LabelLoss<EvidentialOptions> = /* @__PURE__ */ defineLoss("evidentialLoss", 2, (where, [logits, labels], options) => {
  const { form = "squared", kl = 0 } = options, { z, y, rows, classes, shape, weights, gradient } = lossRows(where, logits, labels, options);
  checkRange(where, "kl", kl, 0);
  checkChoice(where, "form", form, ["squared", "digamma", "log"]);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(z.size), a = new Float64Array(classes), slope = new Float64Array(classes);
      for (let row = 0; row < rows; row++) {
        if (weights?.[row] === 0) continue;
        const x = z.data.subarray(row * classes, (row + 1) * classes), label = y[row];
        let s = 0;
        x.forEach((v, c) => (s += a[c] = 1 + softplus(v)));
        values[row] = s === Infinity ? NaN : form === "squared" ? squared(a, s, label, slope) : form === "log" ? log(s) - log(a[label]) : digamma(s) - digamma(a[label]);
        if (form !== "squared") slope.fill(form === "log" ? 1 / s : trigamma(s))[label] -= form === "log" ? 1 / a[label] : trigamma(a[label]);
        if (kl > 0) {
          const t = s - a[label] + 1, excess = t - classes;
          let sum = logGamma(t) - logGamma(classes) - excess * digamma(t);
          for (let c = 0; c < classes; c++) {
            if (c === label) continue;
            sum += (a[c] - 1) * digamma(a[c]) - logGamma(a[c]);
            slope[c] += kl * ((a[c] - 1) * trigamma(a[c]) - excess * trigamma(t));
          }
          values[row] += kl * sum;
        }
        if (coefficients) for (let c = 0; c < classes; c++) grad[row * classes + c] = values[row] === values[row] ? coefficients[row] * slope[c] * sigmoid(x[c]) : NaN;
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});

function squared(a: Float64Array, s: number, label: number, slope: Float64Array): number {
  let errors = 0, squares = 0, mean = 0;
  for (let c = 0; c < a.length; c++) {
    const m = a[c] / s, gap = m - (c === label ? 1 : 0);
    errors += gap * gap;
    squares += m * m;
    slope[c] = 2 * gap - (2 * m) / (s + 1);
    mean += m * slope[c];
  }
  const variance = (1 - squares) / (s + 1);
  for (let c = 0; c < a.length; c++) slope[c] = (slope[c] - mean) / s - variance / (s + 1);
  return errors + variance;
}
