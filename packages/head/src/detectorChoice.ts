import { fitCommonDetectorSteps, type CommonDetectorSpec, type Detector } from "@logits/ood";
import { describe, typeError, type Steps, type Tensor } from "@logits/tensor";
import type { LabelledRows } from "./rows.ts";

/** What a function that fits a detector is given: fit rows, and never a calibration row. */
export interface FitRows {
  /** float32 [N, C]. */
  readonly logits: Tensor<"float32">;
  /** float32 [N, F]. undefined, whatever the type says, where the data have none: a fit that needs them refuses that by name. */
  readonly features: Tensor<"float32">;
  /** int32 [N], in [0, C). */
  readonly labels: Tensor<"int32">;
  /** C. */
  readonly classes: number;
  /** int32 [C]: which class of the data each column of `logits` is. All of them, but where classes are held out to choose among detectors. */
  readonly kept: Int32Array;
}

/**
 * Fits a detector on fit rows: with the class and the options of your choice, whose code a bundle then carries. It may return the pieces of the fit (`fitSteps`), so that `fitAsync` pauses in it.
 *
 * @example ({ features, logits }) => VimDetector.fit(features, logits, { dimension: 64 })
 */
export type DetectorFactory = (rows: FitRows) => Detector | Steps<Detector>;

/** A detector by name or options, or by a function, to be fitted on the fit rows; or one that is fitted already. */
export type DetectorChoice = CommonDetectorSpec | DetectorFactory | Detector;

/** Whether a choice is a fitted detector. */
export function isDetector(choice: DetectorChoice): choice is Detector {
  return typeof choice === "object" && choice !== null && typeof (choice as Detector).score === "function";
}

/** Fits what was chosen. */
export function* fitChoice(where: string, choice: DetectorChoice, rows: LabelledRows, kept?: Int32Array): Steps<Detector> {
  if (isDetector(choice)) return choice;
  const { logits, features, labels } = rows, classes = logits.shape[1];
  if (typeof choice !== "function") return yield* fitCommonDetectorSteps(where, choice, { features, labels, classes }, "detector");
  if ("fromJSON" in choice) throw typeError(where, "detector", "a function that fits it", `the class ${choice.name}`, `Pass ({ features, logits, labels }) => ${choice.name}.fit(...)`);
  const made = choice({ logits, labels, classes, kept: kept ?? Int32Array.from({ length: classes }, (_, c) => c), features: features! });
  const detector = typeof (made as Partial<Steps<Detector>>)?.next === "function" ? yield* made as Steps<Detector> : made as Detector;
  if (!isDetector(detector)) throw typeError(where, "detector", "a function that returns a detector", describe(detector));
  return detector;
}

/** What a choice is called. */
export function nameOf(choice: DetectorChoice, { method }: Detector): string {
  return typeof choice === "string" ? choice : isDetector(choice) || typeof choice === "function" ? method : JSON.stringify(choice);
}

/** The method of a choice; undefined for a function. */
export function methodOf(choice: DetectorChoice): string | undefined {
  return typeof choice === "string" ? choice : typeof choice === "function" ? undefined : choice?.method;
}
