import { type TensorLike, rangeError } from "@logits/tensor";
import { select } from "./orderStatistic.ts";
import { asOrderable } from "./values.ts";

/**
 * Sample quantile of type R-7: linear interpolation between the order statistics around position (N - 1) p.
 *
 *   h = (N - 1) p;  Q = x_(floor h) + (h - floor h) (x_(floor h + 1) - x_(floor h)), order statistics from 0
 *
 * @param x - shape [N], N >= 1, any TensorLike, float64 kept; infinities are ordinary values
 * @param p - probability in [0, 1]: 0 is the minimum, 1 the maximum, 0.5 the median
 * @returns the quantile; between a finite value and an infinite one it is the infinite one, between -Infinity and
 *   +Infinity NaN
 * @throws RangeError if x is empty or has a NaN (with its index), or p is outside [0, 1]
 * @example quantile([1, 2, 3, 4], 0.5) // 2.5
 * Source: Hyndman and Fan, The American Statistician 50 (1996), definition 7.
 */
export function quantile(x: TensorLike, p: number): number {
  const values = asOrderable("quantile", "x", x);
  const n = values.length;
  if (n === 0) throw rangeError("quantile", "x", "with at least 1 element", "0");
  if (!(p >= 0 && p <= 1)) throw rangeError("quantile", "p", "a number in [0, 1]", `${p}`);
  const position = (n - 1) * p, below = Math.floor(position), share = position - below;
  const copy = values.slice();
  const low = select(copy, below);
  if (share === 0) return low;
  let high = Infinity;
  for (let i = below + 1; i < n; i++) if (copy[i] < high) high = copy[i];
  if (low === high) return low;
  const width = high - low;
  return width < Infinity ? low + share * width : (1 - share) * low + share * high;
}

/**
 * The rank of the conformal quantile: k = ceil((N + 1) (1 - alpha) - 1e-9), from 1.
 *
 * The 1e-9 keeps a product that is an integer in exact arithmetic (20 x 0.95) from being rounded up to the next.
 *
 * @param n - number of calibration scores, integer >= 0
 * @param alpha - miscoverage in (0, 1)
 * @returns k in [1, N + 1]; k > N means that no finite threshold gives the coverage
 * @throws RangeError if n is no integer >= 0 or alpha outside (0, 1)
 * @example conformalRank(99, 0.1) // 90
 * Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), section 2.2; Lei et al., JASA 113 (2018).
 */
export function conformalRank(n: number, alpha: number): number {
  if (!(Number.isSafeInteger(n) && n >= 0)) throw rangeError("conformalRank", "n", "an integer >= 0", `${n}`);
  return rankOf("conformalRank", n, alpha);
}

function rankOf(where: string, n: number, alpha: number): number {
  if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "a number in (0, 1)", `${alpha}`);
  return Math.max(1, Math.ceil((n + 1) * (1 - alpha) - 1e-9));
}

/**
 * The conformal quantile of calibration scores: a new exchangeable score is at most this value with probability at least 1 - alpha.
 *
 *   q = x_(k), k = ceil((N + 1) (1 - alpha) - 1e-9);  q = +Infinity if k > N
 *
 * @param scores - shape [N], any TensorLike, float64 kept; +Infinity is allowed
 * @param alpha - miscoverage in (0, 1)
 * @returns the k-th smallest score; +Infinity where N is too small (N < 1 / alpha - 1), also for an empty `scores`
 * @throws RangeError if a score is NaN (with its index) or alpha is outside (0, 1)
 * @example conformalQuantile([0.1, 0.4, 0.2, 0.3], 0.2) // 0.4
 * Source: as `conformalRank`.
 */
export function conformalQuantile(scores: TensorLike, alpha: number): number {
  const values = asOrderable("conformalQuantile", "scores", scores);
  const k = rankOf("conformalQuantile", values.length, alpha);
  return k > values.length ? Infinity : select(values.slice(), k - 1);
}
