import type { Tensor, TensorLike } from "@logits/tensor";
import type { Fingerprints } from "./fingerprints.ts";

/** Rows to be scored: what the detector `needs` must be there. */
export interface DetectorRows {
  /** float32 [N, C]. */
  readonly logits?: TensorLike;
  /** float32 [N, F]. */
  readonly features?: TensorLike;
}

/** What a detector needs of each row. */
export type DetectorNeeds = "logits" | "features";

/** A score that is one statistic of the logits: `sign` times what `logitStatistics` gives at the temperature. */
export interface ScoreStatistic {
  readonly name: string;
  readonly sign: 1 | -1;
  readonly temperature: number;
}

/** Says how unlike the rows of the fit a row is. Higher = more out-of-distribution, for every detector. */
export interface Detector {
  /** The method, for people and artefacts: "energy", "mahalanobis", ... */
  readonly method: string;
  readonly needs: readonly DetectorNeeds[];
  /** F, for a detector of features that takes rows of one width only. */
  readonly features?: number;
  /** Features below 0 are an error, as for what is made for the output of a ReLU. */
  readonly nonNegative?: boolean;
  /** Recognises the rows of the fit. Without: nothing was fitted, or nobody knows on which rows. */
  readonly fingerprints?: Fingerprints;
  /** Where the score is one statistic of the logits: by it logits that are on a GPU are judged there. */
  readonly statistic?: ScoreStatistic;
  /** float32 [N]; NaN for a row with NaN. */
  score(rows: DetectorRows): Tensor<"float32">;
  toJSON(): { readonly format: string; readonly version: number };
  /** Gives back at once what the detector holds in WebAssembly memory; it is of no use afterwards. */
  dispose?(): void;
}
