import type { Tensor, TensorLike } from "@logits/tensor";

/** Rows to be scored: what the detector `needs` must be there. */
export interface DetectorRows {
  /** float32 [N, C]. */
  readonly logits?: TensorLike;
  /** float32 [N, F]. */
  readonly features?: TensorLike;
}

/** What a detector needs of each row. */
export type DetectorNeeds = "logits" | "features";

/** Says how unlike the rows of the fit a row is. Higher = more out-of-distribution, for every detector. */
export interface Detector {
  /** The method, for people and artefacts: "energy", "mahalanobis", ... */
  readonly method: string;
  readonly needs: readonly DetectorNeeds[];
  /** float32 [N]; NaN for a row with NaN. */
  score(rows: DetectorRows): Tensor<"float32">;
  toJSON(): { readonly format: string; readonly version: number };
}
