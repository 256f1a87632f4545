/** One bin (lower, upper] of a reliability diagram. */
export interface ReliabilityBin {
  readonly lower: number;
  readonly upper: number;
  readonly count: number;
  /** Mean confidence and accuracy of the rows in the bin; null if there are none. */
  readonly confidence: number | null;
  readonly accuracy: number | null;
  /** Exact (Clopper-Pearson) 95 % interval of the accuracy. */
  readonly interval: readonly [number, number] | null;
  /** Where the accuracy of a perfectly calibrated model would lie 95 times of 100. */
  readonly band: readonly [number, number] | null;
}

/** What is measured on the shown rows, before and after calibration. Information in nats, shares in [0, 1]. */
export interface Measures {
  readonly accuracy: number;
  readonly meanConfidence: number;
  readonly nll: number;
  readonly brier: number;
  readonly ece: number;
  /** The same error for a perfectly calibrated model with these confidences: mean, 95 % point, and how often it is at least as large. */
  readonly eceNull: { readonly mean: number; readonly quantile95: number; readonly pValue: number; readonly repetitions: number };
  readonly aurc: number;
  /** Rows whose largest score is shared by several classes; the smallest index counts as the prediction. */
  readonly ties: number;
  readonly reliability: readonly ReliabilityBin[];
  /** At most 200 points. */
  readonly riskCoverage: readonly { readonly coverage: number; readonly risk: number }[];
}

/** A share of at least one row, with its exact (Clopper-Pearson) 95 % interval. */
export interface Share {
  readonly rows: number;
  readonly share: number;
  readonly interval: readonly [number, number];
}

/** Prediction sets measured on the test rows. */
export interface SetMeasures {
  readonly method: "LAC" | "APS";
  readonly alpha: number;
  /** Calibration rows behind the quantile. */
  readonly n: number;
  /** null: the calibration rows are too few for this alpha, and every set holds all labels. */
  readonly quantile: number | null;
  /** What the promise allows to expect: mean over calibration sets, and the 95 % range for this one. */
  readonly expected: { readonly mean: number; readonly interval: readonly [number, number] };
  readonly coverage: Share;
  readonly meanSize: number;
  readonly bySize: readonly ({ readonly from: number; readonly to: number } & Share)[];
  /** Classes with rows. */
  readonly byClass: readonly ({ readonly label: string } & Share)[];
}

/** A detector measured on the test rows. */
export interface DetectorMeasures {
  readonly method: string;
  /** What it was chosen among, by which AUROC; null where there was no choice. */
  readonly selection: { readonly candidates: readonly string[]; readonly auroc: readonly number[]; readonly rows: number; readonly outliers: number } | null;
  /** At most this share of in-distribution rows is to be flagged. */
  readonly maxFalsePositiveRate: number;
  /** The probability, over the drawing of the calibration rows, that the share is kept; "marginal": it is kept on average. */
  readonly confidence: number | "marginal";
  /** Calibration rows behind the threshold, and how many the promise needs. */
  readonly n: number;
  readonly needed: number;
  /** null: the calibration rows are too few, and nothing is flagged. */
  readonly threshold: number | null;
  /** Which rows the prediction sets promise to cover. */
  readonly guarantee: "all" | "accepted";
  /** Test rows that are flagged. */
  readonly falsePositives: Share;
  /** Test rows that are not flagged and whose most probable class is right, of all test rows. */
  readonly answered: Share;
  /** Scores of test rows and outliers in bins [lower, upper); the first and the last bin also hold what lies beyond. */
  readonly histogram: readonly { readonly lower: number; readonly upper: number; readonly inside: number; readonly outside: number }[];
  /** Rows known to be outside that took no part in any choice; null without. */
  readonly outliers: {
    readonly rows: number;
    readonly detected: Share;
    readonly auroc: number;
    readonly flaggedAt95Detected: number;
    readonly keptAt95Kept: number;
  } | null;
}

/** `metrics.json`. */
export interface ReportMetrics {
  readonly format: "logits/report";
  readonly version: 1;
  readonly title: string;
  readonly classes: number;
  /** No row is in two of fit, calibration and test. `shown` = calibration and test: rows that the temperature never saw. */
  readonly rows: { readonly fit: number; readonly calibration: number; readonly test: number; readonly shown: number; readonly split: string; readonly seed: number };
  /** Probabilities that were below 2^-126 and were set to it, and the rows that had one. */
  readonly input: { readonly kind: "logits" | "probabilities"; readonly clipped: number; readonly clippedRows: number };
  readonly temperature: number;
  /** null where the fit rows do not determine it: rows of equal scores (the temperature is 1 then), or an optimum beyond its bound. */
  readonly temperatureStandardError: number | null;
  readonly temperatureAtBound: boolean;
  readonly before: Measures;
  readonly after: Measures;
  readonly sets: readonly SetMeasures[];
  /** null without one. */
  readonly detector: DetectorMeasures | null;
  readonly versions: { readonly logits: string; readonly variant: string };
}
