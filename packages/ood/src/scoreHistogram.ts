import { asFloat32, checkInteger, checkNoNaN, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import type { Plot } from "@logits/metrics/plot";

/** Rows with a score in [low, high). */
export interface ScoreBin {
  readonly low: number;
  readonly high: number;
  readonly inside: number;
  readonly outside: number;
}

/** How the scores of a detector are spread. */
export interface ScoreHistogram {
  /** Rows like those of the fit, and rows that are unlike. */
  readonly inside: number;
  readonly outside: number;
  /** The first and the last bin also hold what lies beyond them. */
  readonly bins: readonly ScoreBin[];
}

/** Options of `scoreHistogram`. */
export interface ScoreHistogramOptions {
  /** Number of bins of equal width; default 40. */
  readonly bins?: number;
}

/**
 * How the scores of rows like those of the fit and of rows unlike them are spread: bins of equal width between the 0.5 % and the 99.5 % point of all finite scores.
 *
 * @param inside - scores of a detector, float32 [N], N at least 1; infinities fall into the first and the last bin
 * @param outside - scores of rows that are unlike, float32 [M]; may be left out
 * @param options - `bins` (40)
 * @returns counts; equal scores all lie in the first of bins of width 1
 * @throws RangeError for no scores inside, another shape, a NaN (its row is named), `bins` outside 1 to 1,000
 * @example
 *   scoreHistogram(detector.score({ logits }).data, detector.score({ logits: strange }).data).bins[0].inside;
 * Source: folklore.
 */
export function scoreHistogram(inside: TensorLike, outside: TensorLike = new Float32Array(0), options: ScoreHistogramOptions = {}): ScoreHistogram {
  const { bins = 40 } = options, where = "scoreHistogram";
  checkInteger(where, "bins", bins, 1, 1000);
  const [a, b] = (["inside", "outside"] as const).map((name) => {
    const scores = asFloat32(where, name, name === "inside" ? inside : outside);
    checkShape(where, name, scores, ["N"]);
    checkNoNaN(where, name, scores, 1);
    return scores.data;
  });
  if (a.length === 0) throw rangeError(where, "inside", "with at least one score", "none");
  const all = new Float64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  const finite = all.filter((score) => Math.abs(score) < Infinity).sort();
  const at = (share: number): number => (finite.length === 0 ? 0 : finite[Math.round(share * (finite.length - 1))]);
  const low = at(0.005), span = at(0.995) - low, width = span > 0 ? span / bins : 1;
  const count = (scores: Float32Array): Int32Array => {
    const counts = new Int32Array(bins);
    for (const score of scores) counts[Math.max(0, Math.min(bins - 1, Math.floor((score - low) / width)))]++;
    return counts;
  };
  const [ours, others] = [count(a), count(b)];
  return { inside: a.length, outside: b.length, bins: Array.from(ours, (own, i) => ({ low: low + i * width, high: low + (i + 1) * width, inside: own, outside: others[i] })) };
}

/** Options of `scorePlot`. */
export interface ScorePlotOptions {
  /** Rows with a score above are flagged; one that is infinite flags nothing and is not drawn. */
  readonly threshold?: number;
}

/**
 * A histogram of scores as a plot: shares of the rows like those of the fit and of those unlike them, and the threshold.
 *
 * @param histogram - of `scoreHistogram`
 * @param options - `threshold`
 * @example
 *   svg(scorePlot(scoreHistogram(inside, outside), { threshold: threshold.value }));
 * Source: folklore.
 */
export function scorePlot({ inside, outside, bins }: ScoreHistogram, options: ScorePlotOptions = {}): Plot {
  const { threshold } = options, low = bins.map((bin) => bin.low), high = bins.map((bin) => bin.high);
  const first = low[0], last = high[bins.length - 1];
  return {
    title: "Scores of a detector",
    description: `${inside} rows like those of the fit${outside > 0 ? ` and ${outside} that are unlike` : ""}, in ${bins.length} bins from ${first.toPrecision(3)} to ${last.toPrecision(3)}${threshold === undefined ? "" : `; threshold ${threshold.toPrecision(4)}`}.`,
    x: { label: "score, higher = less like the rows of the fit", domain: [first, last] },
    y: { label: "share of the rows", zero: true, percent: true },
    series: [
      { kind: "bars", ...(outside > 0 && { name: "like those of the fit" }), low, high, value: bins.map((bin) => bin.inside / inside), colour: 1 },
      ...(outside > 0 ? [{ kind: "bars", name: "unlike them", low, high, value: bins.map((bin) => bin.outside / outside), colour: 2 } as const] : []),
      ...(threshold !== undefined && threshold > first && threshold < last ? [{ kind: "rule", axis: "x", at: threshold, dashed: true, label: "flagged from here" } as const] : []),
    ],
  };
}
