import { type TensorLike, describe, rangeError, typeError } from "@logits/tensor";
import { atan, cotPi } from "./circle.ts";
import { log, log1p } from "./logarithm.ts";
import { chiSquareSurvival } from "./regularizedGamma.ts";
import { asFloat64 } from "./values.ts";

/** How several p-values become one. */
export type CombinationMethod = "fisher" | "cauchy" | "harmonic" | "mean" | "bonferroni";
const METHODS: readonly CombinationMethod[] = ["fisher", "cauchy", "harmonic", "mean", "bonferroni"];

/** Options of `combinePValues`. */
export interface CombinePValuesOptions {
  /** "harmonic", "mean" and "bonferroni" are valid whatever the dependence, "fisher" for independent p-values, "cauchy" nearly so for small p-values of any dependence. No default: which is valid is the question. */
  readonly method: CombinationMethod;
}

/**
 * One p-value of D for each of N rows, a list of N for each test.
 *
 *   fisher      P(chi2(2 D) > -2 sum ln p)                               independent tests
 *   cauchy      1/2 - atan(mean cot(pi p)) / pi                          any dependence, in the limit of small p
 *   harmonic    min(1, a_D D / sum(1 / p))                               any dependence; a_2 = 2, a_D = (y + D)^2 / ((y + 1) D) where y^2 = D ((y + 1) ln(y + 1) - y)
 *   mean        min(1, 2 mean p)                                         any dependence
 *   bonferroni  min(1, D min p)                                          any dependence
 *
 * Several detectors' p-values of one row depend on each other, so "fisher" would promise too much for them (simulated in the tests). D = 1: the p-values as they are.
 *
 * @param pValues - D lists float64 [N], each in [0, 1] (float32 would move a p-value across the level)
 * @param options - `method`
 * @returns float64 [N]; a p-value of 0 gives 0 (for "mean" only where all are)
 * @throws RangeError for no list, lists of different lengths, a p-value outside [0, 1] or NaN (named), another method
 * @example combinePValues([[0.01, 0.5], [0.04, 0.9]], { method: "bonferroni" }) // 0.02, 1
 * Sources: Fisher, 1932; Liu and Xie, JASA 115 (2020); Vovk and Wang, "Combining p-values via averaging", Biometrika 107 (2020): harmonic, and mean (after Rueschendorf, 1982).
 */
export function combinePValues(pValues: readonly TensorLike[], options: CombinePValuesOptions): Float64Array {
  const where = "combinePValues", method = options?.method;
  if (!METHODS.includes(method)) throw rangeError(where, "method", METHODS.map((name) => `"${name}"`).join(", "), `${method}`);
  if (!Array.isArray(pValues)) throw typeError(where, "pValues", "a list of lists, one for each test", describe(pValues));
  if (pValues.length === 0) throw rangeError(where, "pValues", "of at least one test", "none");
  const lists = pValues.map((list, d) => asFloat64(where, `pValues[${d}]`, list)), count = lists[0].length, tests = lists.length;
  lists.forEach((list, d) => {
    if (list.length !== count) throw rangeError(where, `pValues[${d}]`, `of length ${count}`, `${list.length}`);
    const bad = list.findIndex((p) => !(p >= 0 && p <= 1));
    if (bad >= 0) throw rangeError(where, `pValues[${d}]`, "in [0, 1]", `${list[bad]} at index ${bad}`);
  });
  if (tests === 1) return lists[0].slice();
  const factor = method === "harmonic" ? harmonicFactor(tests) : 1, row = new Float64Array(tests);
  return Float64Array.from({ length: count }, (_, n) => {
    lists.forEach((list, d) => (row[d] = list[n]));
    return combined(method, row, factor);
  });
}

function combined(method: CombinationMethod, p: Float64Array, factor: number): number {
  const tests = p.length;
  if (method === "bonferroni") return Math.min(1, tests * Math.min(...p));
  if (method === "mean") return Math.min(1, (2 * p.reduce((sum, one) => sum + one, 0)) / tests);
  if (p.includes(0)) return 0;
  if (method === "fisher") return chiSquareSurvival(-2 * p.reduce((sum, one) => sum + log(one), 0), 2 * tests);
  if (method === "harmonic") return Math.min(1, (factor * tests) / p.reduce((sum, one) => sum + 1 / one, 0));
  const t = p.reduce((sum, one) => sum + cotPi(one), 0) / tests;
  // 1/2 - atan(t) / pi cancels for a large t, where it is atan(1 / t) / pi.
  return t > 1 ? atan(1 / t) / Math.PI : 0.5 - atan(t) / Math.PI;
}

/** a_D: what makes the harmonic mean of D p-values one, whatever their dependence. */
function harmonicFactor(tests: number): number {
  if (tests === 2) return 2;
  // y^2 - D ((y + 1) ln(y + 1) - y) is negative for small y and grows past 0 once.
  let low = 0, high = 1;
  const f = (y: number): number => y * y - tests * ((y + 1) * log1p(y) - y);
  while (f(high) <= 0) high *= 2;
  // Below, the root at 0 is not meant.
  while (f(low = high / 2) > 0) high = low;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (f(middle) > 0) high = middle;
    else low = middle;
  }
  return ((high + tests) * (high + tests)) / ((high + 1) * tests);
}
