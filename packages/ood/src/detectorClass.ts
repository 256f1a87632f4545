import type { Detector } from "./detector.ts";

/** What reads detectors of one format: every detector class of this package, or one of your own. */
export interface DetectorClass {
  /** The `format` that its `toJSON` writes. */
  readonly format: string;
  /** A detector from what its `toJSON` wrote; FormatError where it is not that. `classes` are those that the caller knows, for a detector that holds others. */
  fromJSON(json: unknown, classes?: readonly DetectorClass[]): Detector;
}
