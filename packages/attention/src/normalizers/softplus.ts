import { exp, sigmoid, softplus as softplusOf } from "@logits/core-wasm";
import { log, pow } from "@logits/statistics";
import { Tensor, checkPositive } from "@logits/tensor";
import type { RowNormalizer } from "../rowNormalizer.ts";
import { rowNormalizer, type Rows } from "./rowNormalizer.ts";

/** Below this softplus(x) is exp(x) to the last bit of float32: rows that lie there altogether are measured from their largest score, so that none underflows. */
const LOW = -17;

/** softplus(x) by row, up to a factor that a row's sum takes out again, its derivative in the score times the same, and the sums. x = s log n; 0 where a key is not seen. */
function positive(scores: Rows, seen: Int32Array): { readonly values: Float32Array; readonly slopes: Float32Array; readonly totals: Float64Array } {
  const [rows, count] = scores.shape, x = new Tensor("float32", scores.shape, new Float32Array(scores.size)), low = new Uint8Array(rows);
  for (let i = 0, at = 0; i < rows; i++, at += count) {
    const length = log(seen[i]);
    let top = -Infinity;
    for (let c = at; c < at + count; c++) {
      x.data[c] = scores.data[c] === -Infinity ? -Infinity : scores.data[c] * length;
      if (!(x.data[c] <= top)) top = x.data[c];
    }
    low[i] = Number(top < LOW && top !== -Infinity);
    if (low[i]) for (let c = at; c < at + count; c++) x.data[c] -= top;
  }
  const values = softplusOf(x).data, slopes = sigmoid(x).data, totals = new Float64Array(rows);
  for (let i = 0, at = 0; i < rows; i++, at += count) {
    const length = log(seen[i]);
    if (low[i]) {
      values.set(exp(new Tensor("float32", [count], x.data.slice(at, at + count))).data, at);
      slopes.set(values.subarray(at, at + count), at);
    }
    for (let c = at; c < at + count; c++) {
      totals[i] += values[c];
      slopes[c] *= length;
    }
  }
  return { values, slopes, totals };
}

/** The gradient in the scores from that in values / total, which `of` gives for one row. */
function backward(scores: Rows, seen: Int32Array, of: (row: number, values: Float64Array) => ArrayLike<number>): Rows {
  const [rows, count] = scores.shape, { values, slopes, totals } = positive(scores, seen), out = new Float32Array(rows * count), shares = new Float64Array(count);
  for (let i = 0, at = 0; i < rows; i++, at += count) {
    if (seen[i] === 0) continue;
    for (let c = 0; c < count; c++) shares[c] = values[at + c] / totals[i];
    const upstream = of(i, shares);
    let mean = 0;
    for (let c = 0; c < count; c++) if (shares[c] !== 0) mean += shares[c] * upstream[c];
    for (let c = 0; c < count; c++) out[at + c] = slopes[at + c] === 0 ? 0 : ((upstream[c] - mean) * slopes[at + c]) / totals[i];
  }
  return new Tensor("float32", scores.shape, out);
}

/**
 * Length-scaled softplus attention (LSSA): softplus instead of the exponential, with the scores multiplied by the log of the number n of keys that the query sees. Rows sum to 1.
 *
 *   P = softplus(s log n) / sum_j softplus(s log n)
 *
 * The paper's score is log(D) times the cosine of query and key: normalise both and give `scale: Math.log(D)`. With one key P = 1.
 *
 * Special values: NaN for a query whose scores hold NaN or +Infinity. Rows of very low scores become a softmax, their limit, and none underflows.
 *
 * @example
 *   attention(unitQuery, unitKey, value, { normalizer: softplus, scale: Math.log(64), causal: true });
 * Source: Gao, Spratling, Gionfrida, "Softplus Attention with Re-weighting Boosts Length Extrapolation in Large Language Models", ICML 2026 (arXiv 2501.13428, version 5), the normalisation stage.
 */
export const softplus: RowNormalizer = /* @__PURE__ */ rowNormalizer({
  name: "softplus",
  weights(scores, seen) {
    const { values, totals } = positive(scores, seen), [rows, count] = scores.shape;
    for (let i = 0, at = 0; i < rows; i++) for (const end = at + count; at < end; at++) values[at] /= totals[i];
    return new Tensor("float32", scores.shape, values);
  },
  gradient(scores, _weights, upstream, seen) {
    const [, count] = scores.shape;
    return backward(scores, seen, (row) => upstream.data.subarray(row * count, (row + 1) * count));
  },
});

/** Options of reweightedSoftplus. */
export interface ReweightedSoftplusOptions {
  /** p, above 0. The paper's are 3, best at the length of training, and 15, best far beyond it. Default 15. */
  readonly power?: number;
}

/** x^p for 0 < x <= 1, by squares where p is an integer, which is faster than pow. */
function raised(x: number, p: number): number {
  if (!Number.isInteger(p)) return pow(x, p);
  let y = 1;
  for (let n = p; n > 0; n = Math.floor(n / 2), x *= x) if (n % 2 === 1) y *= x;
  return y;
}

/** Up to so many keys nothing is taken off: in the paper the bias of the first three rows is 0. */
const FEW = 3;

/**
 * Re-weighted softplus attention (LSSAR): weights of `softplus` above the mean, to a power. Rows sum to 1 and are sparse: sharper the larger the power.
 *
 *   A = softplus's weights;   R = max(n A - o, 0)^p;   P = R / sum_j R;   o = 1, and 0 for queries that see at most 3 keys
 *
 * Special values: a query that sees more than three keys, all with the same score, has no weight above the mean: 0, as of the zero vector. NaN as of `softplus`.
 *
 * @param options - `power`
 * @returns for `normalizer` of `attention`, with cosine scores as of `softplus`
 * @throws RangeError for a power that is not a finite number above 0
 * @example
 *   attention(unitQuery, unitKey, value, { normalizer: reweightedSoftplus({ power: 3 }), scale: Math.log(64), causal: true });
 * Source: Gao, Spratling, Gionfrida, "Softplus Attention with Re-weighting Boosts Length Extrapolation in Large Language Models", ICML 2026 (arXiv 2501.13428, version 5), the sharpening stage.
 */
export function reweightedSoftplus(options: ReweightedSoftplusOptions = {}): RowNormalizer {
  const { power = 15 } = options;
  checkPositive("reweightedSoftplus", "power", power);
  /** What is above the mean in units of the largest, so that no power overflows, its powers and their sum; top: the largest. */
  const excess = (shares: Float64Array, seen: number): { readonly above: Float64Array; readonly powers: Float64Array; readonly top: number; readonly total: number } => {
    const above = new Float64Array(shares.length), powers = new Float64Array(shares.length), off = seen > FEW ? 1 : 0;
    let top = 0, total = 0;
    for (let c = 0; c < above.length; c++) top = Math.max(top, (above[c] = Math.max(seen * shares[c] - off, 0)));
    if (top !== 0) {
      for (let c = 0; c < above.length; c++) {
        if (above[c] === 0) continue;
        total += powers[c] = raised((above[c] /= top), power);
      }
    }
    return { above, powers, top, total };
  };
  return rowNormalizer({
    name: "reweightedSoftplus",
    weights(scores, seen) {
      const { values, totals } = positive(scores, seen), [rows, count] = scores.shape, shares = new Float64Array(count);
      for (let i = 0, at = 0; i < rows; i++, at += count) {
        for (let c = 0; c < count; c++) shares[c] = values[at + c] / totals[i];
        const { powers, top, total } = excess(shares, seen[i]);
        for (let c = 0; c < count; c++) values[at + c] = top === 0 ? 0 : powers[c] / total;
      }
      return new Tensor("float32", scores.shape, values);
    },
    gradient(scores, _weights, upstream, seen) {
      const [, count] = scores.shape;
      return backward(scores, seen, (row, shares) => {
        const { above, powers, top, total } = excess(shares, seen[row]), u = upstream.data.subarray(row * count, (row + 1) * count);
        let mean = 0;
        for (let c = 0; c < count; c++) if (above[c] !== 0) mean += (u[c] * powers[c]) / total;
        return powers.map((r, c) => (above[c] === 0 ? 0 : (seen[row] * power * r * (u[c] - mean)) / (above[c] * total * top)));
      });
    },
  });
}
