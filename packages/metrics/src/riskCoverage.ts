import { withTally } from "@logits/statistics";
import { asMask, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { numbers } from "./rows.ts";

/** What a model that may abstain trades: risk against coverage. */
export interface RiskCoverage {
  /** i / N for i = 1..N, the share of rows that are answered. */
  readonly coverage: Float64Array;
  /** Share of errors among the i most confident rows. */
  readonly risk: Float64Array;
  /** Area under the curve: the mean of `risk`. */
  readonly aurc: number;
  /** `aurc` minus that of an order that puts every error last: 0 for perfect confidences. */
  readonly eAurc: number;
  /** Area under the generalised risk: the mean of coverage times risk, errors that are answered as a share of all rows. */
  readonly augrc: number;
}

/**
 * Risk-coverage curve of a selective classifier, with its area.
 *
 *   risk[i - 1] = (errors among the i most confident rows) / i        aurc = (1 / N) sum_i risk[i - 1]        augrc = (1 / N) sum_i (i / N) risk[i - 1]
 *
 * Equal confidences: the errors of a block of ties arrive evenly, which is the mean over all orders inside the block. So the result does not
 * depend on the order of the rows. O(N). `aurc` gives the first few rows most of the say; `augrc` counts every pair of a right and a wrong row alike:
 *
 *   augrc = e (e + 1 / N) / 2 + e (1 - e) (1 - A),   e the error rate, A the AUROC of confidence, right against wrong rows
 *
 * @param confidence - float32 or float64 [N]; higher = answered earlier
 * @param errors - mask [N]: 1 or true = the answer was wrong
 * @returns `coverage`, `risk` (float64 [N]), `aurc`, `eAurc`, `augrc`
 * @throws RangeError for no rows, another shape, a NaN (its row is named)
 * @example
 *   riskCoverage([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 0]).aurc; // 0.1458
 * Source: Geifman, Uziel, El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019 (aurc, eAurc); Traub, Bungert, Lueth, Baumgartner, Maier-Hein, Maier-Hein, Jaeger, "Overcoming common flaws in the evaluation of selective classification systems", NeurIPS 2024 (augrc).
 */
export function riskCoverage(confidence: TensorLike, errors: TensorLike): RiskCoverage {
  const c = numbers("riskCoverage", "confidence", confidence);
  const mask = asMask("riskCoverage", "errors", errors);
  checkShape("riskCoverage", "errors", mask, ["N"]);
  const n = c.length;
  if (mask.size !== n) throw rangeError("riskCoverage", "errors", `of shape [${n}]`, `[${mask.size}]`);
  const coverage = new Float64Array(n), risk = new Float64Array(n);
  const { total, sum } = withTally(c as Float32Array, mask.data, ({ counts, ones }) => {
    let total = 0, sum = 0;
    for (let k = counts.length - 1, start = 0; k >= 0; k--) {
      const end = start + counts[k], wrong = ones[k];
      // One row is the common case, and spares a division.
      if (end - start === 1) sum += risk[start] = (total + wrong) / end;
      else for (let i = start; i < end; i++) sum += risk[i] = (total + (wrong * (i + 1 - start)) / (end - start)) / (i + 1);
      total += wrong;
      start = end;
    }
    return { total, sum };
  });
  let general = 0;
  for (let i = 0; i < n; i++) {
    coverage[i] = (i + 1) / n;
    general += (i + 1) * risk[i];
  }
  let best = 0;
  for (let i = n - total; i < n; i++) best += (i + 1 - (n - total)) / (i + 1);
  return { coverage, risk, aurc: sum / n, eAurc: (sum - best) / n, augrc: general / n / n };
}
