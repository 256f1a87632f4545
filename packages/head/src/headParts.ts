import type { TemperatureScaling } from "@logits/calibration";
import type { SplitConformal } from "@logits/conformal";
import type { ConformalPValues, Detector, Threshold } from "@logits/ood";
import type { Selection } from "./chooseDetector.ts";
import type { Fold } from "./folds.ts";
import type { HeadInput } from "./rows.ts";
import type { Scorer } from "./scorer.ts";

/** The detector of a head with what makes its scores answers. */
export interface Guard {
  readonly detector: Detector;
  readonly threshold: Threshold;
  readonly pValues: ConformalPValues;
}

/** What a fit makes and an artefact holds. */
export interface HeadParts<L extends string> {
  /** Version of the library that fitted. */
  readonly library: string;
  readonly classes: readonly L[];
  readonly input: HeadInput;
  readonly alpha: number;
  readonly guarantee: "all" | "accepted";
  readonly split: number | "given" | "folds";
  readonly seed: number;
  readonly calibrationRows: number;
  /** SHA-256 of the calibration rows: the line "float32 [N, C]", their logits, the line "int32 [N]", their labels, numbers little-endian. */
  readonly calibrationHash: string;
  readonly calibrator: TemperatureScaling;
  readonly conformal?: SplitConformal;
  readonly guard?: Guard;
  readonly folds?: readonly Fold[];
  readonly maxFalsePositiveRate?: number;
  readonly scorer?: Scorer;
  readonly selection?: Selection;
}
