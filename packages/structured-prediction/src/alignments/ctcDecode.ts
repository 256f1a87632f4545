import { logSoftmax } from "@logits/core-wasm";
import { log, logAddExp } from "@logits/statistics";
import { asFloat32, checkInteger, checkShape, rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import { checkFrames } from "./frames.ts";

/** A sequence of labels that frames may spell. */
export interface CtcHypothesis {
  readonly labels: readonly number[];
  /** log-probability that the frames spell it, over the paths that the search kept (`ctcGreedy`: of its one path). */
  readonly logProb: number;
  /** The score that ranked it: logProb, and what `languageModel` gave. */
  readonly score: number;
}

/**
 * The labels of the most probable path: the largest class of each frame, repetitions joined, blanks dropped.
 *
 * @param logits - float32 [T, C]
 * @param options - `blank` (0)
 * @returns the labels and the log-probability of that path; at equal scores the smaller class
 * @throws RangeError for another shape, a frame with NaN or +Infinity, or of -Infinity only
 * @example
 *   ctcGreedy([[0, 3], [0, 3], [3, 0], [0, 3]]).labels; // 1, 1
 * Source: Graves et al., ICML 2006, best path decoding.
 */
export function ctcGreedy(logits: TensorLike, { blank = 0 }: { readonly blank?: number } = {}): CtcHypothesis {
  const { p, frames, classes } = read("ctcGreedy", logits, blank), labels: number[] = [];
  let last = blank, logProb = 0;
  for (let t = 0; t < frames; t++) {
    let best = 0;
    for (let c = 1; c < classes; c++) if (p[t * classes + c] > p[t * classes + best]) best = c;
    logProb += p[t * classes + best];
    if (best !== blank && best !== last) labels.push(best);
    last = best;
  }
  return { labels, logProb, score: logProb };
}

/** Options of `ctcBeam`. */
export interface CtcBeamOptions {
  /** Default 0. */
  readonly blank?: number;
  /** Prefixes kept after each frame, an integer from 1 up. Default 16. */
  readonly width?: number;
  /** Hypotheses returned at most. Default 1. */
  readonly count?: number;
  /** Classes of a frame less probable than this are not tried. Default 1e-4; 0 = all. */
  readonly least?: number;
  /** What a label adds to the score behind a prefix: weight times log p of a language model, a bonus for length, -Infinity to forbid it. */
  languageModel?(label: number, prefix: readonly number[]): number;
}

/** A prefix with what its paths sum to. */
interface Prefix {
  readonly labels: readonly number[];
  readonly extra: number;
  /** Ending in a blank, and in the last label: log-probabilities. */
  blank: number;
  label: number;
  nextBlank: number;
  nextLabel: number;
  readonly children: Map<number, Prefix>;
}

/**
 * Prefix beam search: the most probable sequences of labels, each summed over its paths, with a language model on the way.
 *
 * @param logits - float32 [T, C]
 * @param options - `blank` (0), `width` (16), `count` (1), `least` (1e-4), `languageModel`
 * @returns at most `count` hypotheses by falling score; with `width` and `least` wide enough their log-probabilities are exact
 * @throws RangeError for another shape, a frame with NaN or +Infinity, or of -Infinity only, a width or count below 1, NaN from the language model
 * @example
 *   ctcBeam(logits, { width: 32, languageModel: (label, prefix) => 0.5 * Math.log(bigram(prefix.at(-1), label)) })[0].labels;
 * Source: Graves, Jaitly, "Towards end-to-end speech recognition", ICML 2014; Hannun et al., "First-pass large vocabulary continuous speech recognition", 2014 (arXiv:1408.2873).
 */
export function ctcBeam(logits: TensorLike, { blank = 0, width = 16, count = 1, least = 1e-4, languageModel }: CtcBeamOptions = {}): CtcHypothesis[] {
  const where = "ctcBeam", { p, frames, classes } = read(where, logits, blank);
  checkInteger(where, "width", width, 1, 2147483647);
  checkInteger(where, "count", count, 1, 2147483647);
  if (!(least >= 0 && least < 1)) throw rangeError(where, "least", "in [0, 1)", `${least}`);
  const cut = least === 0 ? -Infinity : Math.fround(log(least));
  const made = (labels: readonly number[], extra: number): Prefix => ({ labels, extra, blank: -Infinity, label: -Infinity, nextBlank: -Infinity, nextLabel: -Infinity, children: new Map() });
  const total = (x: Prefix): number => logAddExp(x.blank, x.label) + x.extra;
  const root = made([], 0);
  root.blank = 0;
  let beam = [root];
  for (let t = 0; t < frames; t++) {
    const touched = new Set<Prefix>(beam), row = t * classes;
    for (const x of beam) {
      const sum = logAddExp(x.blank, x.label), last = x.labels.at(-1);
      x.nextBlank = logAddExp(x.nextBlank, sum + p[row + blank]);
      if (last !== undefined) x.nextLabel = logAddExp(x.nextLabel, x.label + p[row + last]);
      for (let c = 0; c < classes; c++) {
        if (c === blank || p[row + c] < cut || p[row + c] === -Infinity) continue;
        // The same label again only behind a blank.
        const from = c === last ? x.blank : sum;
        if (from === -Infinity) continue;
        let next = x.children.get(c);
        if (next === undefined) {
          const bonus = languageModel === undefined ? 0 : languageModel(c, x.labels);
          if (!(bonus < Infinity)) throw rangeError(where, "languageModel", "a finite number, or -Infinity", `${bonus} for ${c} behind [${x.labels.join(", ")}]`);
          x.children.set(c, (next = made([...x.labels, c], x.extra + bonus)));
        }
        if (next.extra === -Infinity) continue;
        next.nextLabel = logAddExp(next.nextLabel, from + p[row + c]);
        touched.add(next);
      }
    }
    for (const x of touched) {
      x.blank = x.nextBlank;
      x.label = x.nextLabel;
      x.nextBlank = x.nextLabel = -Infinity;
    }
    const ranked = [...touched].filter((x) => total(x) > -Infinity).sort((a, b) => total(b) - total(a) || smaller(a.labels, b.labels));
    for (const x of ranked.slice(width)) x.blank = x.label = -Infinity;
    beam = ranked.slice(0, width);
  }
  return beam.sort((a, b) => total(b) - total(a) || smaller(a.labels, b.labels)).slice(0, count).map((x) => ({ labels: x.labels, logProb: logAddExp(x.blank, x.label), score: total(x) }));
}

/** The order of sequences of labels at equal scores. */
function smaller(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

function read(where: string, logits: TensorLike, blank: number): { readonly p: Float32Array; readonly frames: number; readonly classes: number } {
  const x: Tensor<"float32"> = asFloat32(where, "logits", logits);
  checkShape(where, "logits", x, ["T", "C"]);
  const [frames, classes] = x.shape;
  checkInteger(where, "blank", blank, 0, classes - 1);
  checkFrames(where, x, frames, classes);
  return { p: frames === 0 ? new Float32Array(0) : logSoftmax(x).data, frames, classes };
}
