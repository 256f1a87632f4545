import { exp, log } from "@logits/statistics";
import { ConvergenceError, Tensor, asInt32, checkInteger, rangeError, type TensorLike } from "@logits/tensor";

/** Options of `fitPlackettLuce`. */
export interface PlackettLuceFitOptions {
  /** N. Default: the largest item + 1. */
  readonly items?: number;
  /** Every item counts as having won and lost so many comparisons with an item of score 0 beside. Default 0.5; 0 = maximum likelihood, which exists only where no group of items always comes first. */
  readonly prior?: number;
  /** Steps at most. Default 10,000. */
  readonly maxIterations?: number;
}

/** Scores of items, from rankings. */
export interface PlackettLuceFit {
  /** float32 [N], their mean is 0. */
  readonly scores: Tensor<"float32">;
  /** Of the rankings, in nats, without the prior. */
  readonly logLikelihood: number;
  readonly iterations: number;
}

const TOLERANCE = 1e-9;

/**
 * Scores of items from full or partial rankings, by minorisation and maximisation: every step raises the likelihood.
 *
 *   w[j] <- (choices of j + prior) / (sum over choices with j at hand of 1 / (sum of w at hand) + 2 prior / (w[j] + 1)),   score = log w
 *
 * @param rankings - int32 [M, K], best first; -1 fills up shorter ones. All N items are at hand: those that a ranking leaves out come behind its last
 * @param options - `items`, `prior` (0.5), `maxIterations` (10,000)
 * @returns scores, the log-likelihood of the rankings, the number of steps
 * @throws RangeError for an item outside [0, N) or twice in a ranking, -1 before an item, no ranking; ConvergenceError where the steps do not become smaller than 1e-9 (prior 0 and an item that always wins)
 * @example
 *   fitPlackettLuce([[0, 1, 2], [0, 2, 1], [1, 0, 2]]).scores;
 * Source: Hunter, "MM algorithms for generalized Bradley-Terry models", Annals of Statistics 32 (2004); the item beside: Turner, van Etten, Firth, Kosmidis, "Modelling rankings in R: the PlackettLuce package", 2020.
 */
export function fitPlackettLuce(rankings: TensorLike, { items, prior = 0.5, maxIterations = 10_000 }: PlackettLuceFitOptions = {}): PlackettLuceFit {
  const where = "fitPlackettLuce", y = asInt32(where, "rankings", rankings);
  if (y.shape.length !== 2 || y.size === 0) throw rangeError(where, "rankings", "of shape [M, K] with at least one ranking", `[${y.shape.join(", ")}]`);
  if (!(prior >= 0 && prior < Infinity)) throw rangeError(where, "prior", "finite and not negative", `${prior}`);
  checkInteger(where, "maxIterations", maxIterations, 1, 2147483647);
  const [M, K] = y.shape, N = items ?? y.data.reduce((most, j) => Math.max(most, j + 1), 0);
  checkInteger(where, "items", N, 1, 2147483647);
  const lists = Array.from({ length: M }, (_, m) => checked(where, y.data.subarray(m * K, (m + 1) * K), N, m * K)), won = new Float64Array(N).fill(prior);
  for (const list of lists) for (const j of list) won[j]++;
  let w = new Float64Array(N).fill(1);
  for (let step = 1; step <= maxIterations; step++) {
    const load = Float64Array.from(w, (x) => (2 * prior) / (x + 1));
    for (const list of lists) {
      let hand = w.reduce((a, b) => a + b, 0), summed = hand, inverse = 0;
      for (const j of list) {
        inverse += 1 / hand;
        load[j] += inverse;
        hand -= w[j];
        // Subtraction loses digits when little is left: sum again now and then.
        if (hand < 1e-6 * summed) summed = hand = rest(w, list, j);
      }
      const ranked = new Set(list);
      for (let j = 0; j < N; j++) if (!ranked.has(j)) load[j] += inverse;
    }
    const next = won.map((count, j) => (load[j] === 0 ? w[j] : count / load[j]));
    // Without the item beside only ratios count.
    const scale = prior === 0 ? exp(next.reduce((sum, x) => sum + log(x), 0) / -N) : 1;
    let moved = 0;
    for (let j = 0; j < N; j++) {
      next[j] *= scale;
      moved = Math.max(moved, Math.abs(log(next[j] / w[j])));
    }
    w = next;
    if (moved < TOLERANCE) {
      const s = w.map((x) => log(x)), mean = s.reduce((a, b) => a + b, 0) / N;
      return { scores: new Tensor("float32", [N], Float32Array.from(s, (x) => x - mean)), logLikelihood: lists.reduce((sum, list) => sum + logLikelihood(s, list), 0), iterations: step };
    }
    if (!(moved < Infinity)) break;
  }
  throw new ConvergenceError(`${where}: expected scores that settle within ${maxIterations} steps, got scores that run away or move slowly. Take a prior above 0`, maxIterations, NaN);
}

/** The items of a ranking without its filling. */
function checked(where: string, row: Int32Array, items: number, first: number): Int32Array {
  const end = row.indexOf(-1), list = end < 0 ? row : row.subarray(0, end), seen = new Set<number>();
  row.forEach((j, k) => {
    if (j === -1 ? false : k >= list.length || !(j >= 0 && j < items)) throw rangeError(where, "rankings", `in [0, ${items}), with -1 only at the end`, `${j} at index ${first + k}`);
    if (j >= 0 && seen.has(j)) throw rangeError(where, "rankings", "of different items", `${j} again at index ${first + k}`);
    seen.add(j);
  });
  return list;
}

/** The weight that is at hand after item j of a ranking. */
function rest(w: Float64Array, list: Int32Array, last: number): number {
  const gone = new Set(list.subarray(0, list.indexOf(last) + 1));
  return w.reduce((sum, x, j) => (gone.has(j) ? sum : sum + x), 0);
}

function logLikelihood(s: Float64Array, list: Int32Array): number {
  const left = new Set(s.keys());
  let total = 0;
  for (const j of list) {
    let top = -Infinity, z = 0;
    for (const i of left) top = Math.max(top, s[i]);
    for (const i of left) z += exp(s[i] - top);
    total += s[j] - top - log(z);
    left.delete(j);
  }
  return total;
}
