import { logSoftmax } from "@logits/core-wasm";
import { ctcPath, ctcSums } from "@logits/core-wasm/alignments";
import { exp, log } from "@logits/statistics";
import { Tensor, asInt32, checkPositive, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { checkFrames, ctcBatch, type CtcOptions } from "./frames.ts";

/** Options of `ctcAlign`. */
export interface CtcAlignOptions extends Pick<CtcOptions, "blank" | "wildcard"> {
  /** Seconds of a frame: spans get times. Default 1: frames. */
  readonly secondsPerFrame?: number;
  /** Sum the posteriors as well (a forward and a backward pass): `confidence`. Default false. */
  readonly confidence?: boolean;
}

/** Where a label lies in the frames. */
export interface AlignedLabel {
  /** The label. */
  readonly label: number;
  /** First frame, and the one behind the last. */
  readonly from: number;
  readonly to: number;
  /** The same in seconds. */
  readonly start: number;
  readonly end: number;
  /** exp of the mean log-probability of the label in its frames. */
  readonly probability: number;
  /** Mean posterior of the label in its frames, given that the frames spell the labels: how sure the alignment is. Only where asked for. */
  readonly confidence?: number;
}

/** An alignment. */
export interface CtcAlignment {
  readonly labels: readonly AlignedLabel[];
  /** int32 [T]: the index of the label that a frame belongs to, -1 for blanks. */
  readonly path: Tensor<"int32">;
  /** log-probability of the path. */
  readonly score: number;
  /** log-probability that the frames spell the labels, over all paths. Only with `confidence`. */
  readonly logProb?: number;
}

/**
 * Forced alignment: the most probable way in which frames spell labels that are known.
 *
 * In memory that does not grow with frames times labels: blocks of 8 MB and a row for each.
 *
 * @param logits - float32 [T, C]
 * @param labels - int32 [S], in [0, C) and not the blank
 * @param options - `blank` (0), `wildcard`, `secondsPerFrame` (1), `confidence` (false)
 * @returns spans of the labels, the path, its log-probability. At equal scores a frame stays at the later label, and at a label rather than a blank
 * @throws RangeError for another shape, a frame with NaN or +Infinity, or of -Infinity only, a label outside [0, C), labels that the frames cannot spell
 * @example
 *   ctcAlign(logits, tokens, { secondsPerFrame: 0.02 }).labels; // { label, start, end, probability }
 * Source: Graves et al., ICML 2006; as in Kuerzinger et al., "CTC-segmentation of large corpora", 2020 (arXiv:2007.09127), without its score threshold.
 */
export function ctcAlign(logits: TensorLike, labels: TensorLike, { blank = 0, wildcard, secondsPerFrame = 1, confidence = false }: CtcAlignOptions = {}): CtcAlignment {
  const where = "ctcAlign", y = asInt32(where, "labels", labels), batch = ctcBatch(where, logits, labels, { blank, ...(wildcard !== undefined && { wildcard }) });
  checkShape(where, "logits", batch.logits, ["T", "C"]);
  checkPositive(where, "secondsPerFrame", secondsPerFrame);
  const sequence = batch.sequence(0), { frames, classes } = batch;
  checkFrames(where, batch.logits, frames, classes);
  const path = ctcPath(where, sequence);
  if (path === undefined) throw rangeError(where, "labels", `${y.size} labels that ${frames} frames can spell: a frame for each, one more between equal ones, none of them impossible`, "labels without a path");
  const logP = frames === 0 ? new Float32Array(0) : logSoftmax(batch.logits).data, own = (t: number): number => (path[t] < 0 ? logP[t * classes + blank] : sequence.labels[path[t]] === classes ? 0 : logP[t * classes + sequence.labels[path[t]]]);
  const sure = new Float64Array(y.size), spans = Array.from(y.data, (label) => ({ label, from: frames, to: 0, sum: 0 }));
  let score = 0, logProb: number | undefined;
  for (let t = 0; t < frames; t++) {
    const value = own(t);
    score += value;
    if (path[t] < 0) continue;
    const span = spans[path[t]];
    span.from = Math.min(span.from, t);
    span.to = t + 1;
    span.sum += value;
  }
  if (confidence) {
    const { mantissa, exponent, sums } = ctcSums(where, sequence, { posteriors: (first, count, width, shares) => { for (let r = 0; r < count; r++) if (path[first + r] >= 0) sure[path[first + r]] += shares[r * width + path[first + r] + 1]; } });
    logProb = log(mantissa) + exponent * Math.LN2 - sums.reduce((sum, z) => sum + log(z), 0);
  }
  return {
    labels: spans.map(({ label, from, to, sum }, i) => ({ label, from, to, start: from * secondsPerFrame, end: to * secondsPerFrame, probability: exp(sum / (to - from)), ...(confidence && { confidence: sure[i] / (to - from) }) })),
    path: new Tensor("int32", [frames], path),
    score,
    ...(logProb !== undefined && { logProb }),
  };
}
