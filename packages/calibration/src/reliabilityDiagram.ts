import { binomialTail, clopperPearson } from "@logits/statistics";
import { rangeError, type TensorLike } from "@logits/tensor";
import { CONVENTION, binSums } from "./bins.ts";
import { areConfidences, checkedConfidences, type Confidences } from "./confidences.ts";

/** Options of `reliabilityDiagram`. */
export interface ReliabilityDiagramOptions {
  /** Number of bins B of equal width. Default 15. */
  readonly bins?: number;
  /** Level of `interval` and `band`, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** One bar of the diagram. Without rows only `low`, `high` and `count` say something. */
export interface ReliabilityBin {
  readonly low: number;
  readonly high: number;
  readonly count: number;
  readonly meanConfidence: number | null;
  readonly accuracy: number | null;
  /** Clopper-Pearson interval of the accuracy that the bin's rows support. */
  readonly interval: readonly [low: number, high: number] | null;
  /** Where the accuracy of a perfectly calibrated model would lie with at least the level's probability. */
  readonly band: readonly [low: number, high: number] | null;
}

/** The data of a reliability diagram. */
export interface ReliabilityDiagram {
  readonly n: number;
  readonly level: number;
  readonly convention: string;
  readonly bins: readonly ReliabilityBin[];
}

/**
 * Accuracy against confidence, bin by bin, with what chance alone would do: the data of a reliability diagram.
 *
 * Bins as `expectedCalibrationError`. `interval`: exact (Clopper-Pearson) for the accuracy behind the bin. `band`: the accuracies that a perfectly calibrated
 * model shows, from the exact binomial with the bin's mean confidence; confidences that differ inside a bin make the truth narrower (Hoeffding), never wider.
 *
 * @param predictions - probabilities, float32 [N, C], or `{ confidence, correct }`
 * @param labels - int32 [N]; with probabilities only
 * @param options - `bins` (15), `level` (0.95)
 * @returns `n`, `level`, `convention`, `bins`
 * @throws RangeError as `expectedCalibrationError`, and for a level outside (0, 1)
 * @example
 *   reliabilityDiagram({ confidence: [0.75, 0.75], correct: [1, 0] }, { bins: 2 }).bins[1].accuracy; // 0.5
 * Source: Murphy and Winkler, 1977; Clopper and Pearson, 1934; bands: Broecker and Smith, 2007; Hoeffding, 1956.
 */
export function reliabilityDiagram(probabilities: TensorLike, labels: TensorLike, options?: ReliabilityDiagramOptions): ReliabilityDiagram;
export function reliabilityDiagram(confidences: Confidences, options?: ReliabilityDiagramOptions): ReliabilityDiagram;
export function reliabilityDiagram(predictions: TensorLike | Confidences, second?: TensorLike | ReliabilityDiagramOptions, third?: ReliabilityDiagramOptions): ReliabilityDiagram {
  const where = "reliabilityDiagram";
  const plain = areConfidences(predictions);
  const { bins = 15, level = 0.95 } = ((plain ? second : third) ?? {}) as ReliabilityDiagramOptions;
  if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
  const rows = checkedConfidences(where, predictions, plain ? undefined : (second as TensorLike | undefined));
  const sums = binSums(where, rows, bins);
  const tail = (1 - level) / 2;
  const list = Array.from(sums.count, (count, b): ReliabilityBin => {
    const edges = { low: b / bins, high: (b + 1) / bins, count };
    if (count === 0) return { ...edges, meanConfidence: null, accuracy: null, interval: null, band: null };
    const meanConfidence = sums.confidence[b] / count, hits = sums.correct[b];
    return { ...edges, meanConfidence, accuracy: hits / count, interval: clopperPearson(hits, count, level), band: binomialBand(count, Math.min(1, meanConfidence), tail) };
  });
  return { n: rows.confidence.length, level, convention: CONVENTION, bins: list };
}

/** The share of successes that is left on each side with probability at most `tail`. */
function binomialBand(n: number, p: number, tail: number): readonly [number, number] {
  // Largest k with P(X < k) <= tail, and smallest k with P(X > k) <= tail; both by bisection, P is monotone in k.
  const low = lastTrue(n, (k) => binomialTail(n - k + 1, n, 1 - p) <= tail);
  const high = n - lastTrue(n, (k) => binomialTail(n - k + 1, n, p) <= tail);
  return [low / n, high / n];
}

/** Largest k in [0, n] with `holds(k)`, which is true up to some k and holds at 0. */
function lastTrue(n: number, holds: (k: number) => boolean): number {
  let yes = 0, no = n + 1;
  while (no - yes > 1) {
    const middle = (yes + no) >> 1;
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}
