import { onesOf, riskSums } from "@logits/core-wasm/order";
import { withTally } from "@logits/statistics";
import { asMask, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
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
 * @returns `coverage`, `risk` (float64 [N], made when they are read), `aurc`, `eAurc`, `augrc`
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
  const bits = lastingData(mask), total = onesOf(bits), sums = c instanceof Float32Array ? riskSums(c, bits, total) : undefined, marks = sums?.marks ?? marksOf(c as Float64Array, bits);
  let coverage: Float64Array | undefined, risk: Float64Array | undefined;
  const result = {
    get coverage() { return (coverage ??= Float64Array.from({ length: n }, (_, i) => (i + 1) / n)); },
    get risk() { return (risk ??= riskOf(marks)); },
  };
  if (sums) return Object.assign(result, { aurc: sums.risk / n, eAurc: (sums.risk - sums.best) / n, augrc: sums.weighted / n / n });
  let sum = 0, general = 0, best = 0;
  result.risk.forEach((share, i) => {
    sum += share;
    general += (i + 1) * share;
    if (i >= n - total) best += (i + 1 - (n - total)) / (i + 1);
  });
  return Object.assign(result, { aurc: sum / n, eAurc: (sum - best) / n, augrc: general / n / n });
}

/** As those of `riskSums`, for confidences that are no float32. */
function marksOf(confidence: Float64Array, errors: Uint8Array): Uint8Array {
  const marks = new Uint8Array(confidence.length);
  withTally(confidence, errors, ({ counts, ones }) => {
    for (let k = counts.length - 1, i = 0; k >= 0; i += counts[k--]) {
      marks.fill(1, i, i + ones[k]);
      marks[i] += 2;
    }
  });
  return marks;
}

/** The curve, errors of equal confidences spread evenly. */
function riskOf(marks: Uint8Array): Float64Array {
  const n = marks.length, risk = new Float64Array(n);
  for (let start = 0, total = 0; start < n; ) {
    let wrong = marks[start] & 1, end = start + 1;
    for (; end < n && marks[end] < 2; end++) wrong += marks[end];
    for (let i = start; i < end; i++) risk[i] = (total + (wrong * (i + 1 - start)) / (end - start)) / (i + 1);
    total += wrong;
    start = end;
  }
  return risk;
}
