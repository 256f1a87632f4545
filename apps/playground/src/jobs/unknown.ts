import { auroc, falsePositiveRateAtRecall, riskCoverage } from "@logits/metrics";
import { ConformalPValues, LogitDetector, Threshold, scoreHistogram, type Exceedance, type LogitDetectorMethod, type ScoreHistogram } from "@logits/ood";
import type { Control } from "../worker/protocol.ts";
import { partsOf } from "./data.ts";

/** What a detector does; nothing of it depends on a threshold. */
export interface Scored {
  readonly calibrationRows: number;
  readonly testRows: number;
  readonly outlierRows: number;
  readonly histogram: ScoreHistogram;
  /** null without outliers. */
  readonly auroc: number | null;
  /** Share of the test rows flagged where 95 % of the outliers are. */
  readonly flaggedAt95Detected: number | null;
  /** Share of the outliers kept where 95 % of the test rows are: FPR95 as most papers give it. */
  readonly keptAt95Kept: number | null;
  readonly accuracy: number;
  readonly aurc: number;
  readonly curve: readonly { readonly coverage: number; readonly risk: number }[];
}

/** What a threshold does. */
export interface Guarded {
  /** null: too few rows, nothing is flagged. */
  readonly threshold: number | null;
  readonly needed: number;
  readonly falsePositives: Exceedance;
  readonly detected: Exceedance | null;
  /** Where errors and answers stand when flagged rows get none. */
  readonly answered: { readonly coverage: number; readonly risk: number | null };
  readonly medianPValue: number | null;
}

interface Question {
  readonly key: string;
  readonly seed: number;
  readonly method: LogitDetectorMethod;
}

interface Scores {
  readonly name: string;
  readonly calibration: Float32Array;
  readonly test: Float32Array;
  readonly outside: Float32Array;
  readonly errors: Uint8Array;
}

const POINTS = 200;
let last: Scores | undefined;

async function scoresOf({ key, seed, method }: Question, control: Control): Promise<Scores> {
  const name = `${key} ${seed} ${method}`;
  if (last?.name === name) return last;
  const { set, calibration, test } = await partsOf(key, seed, control), detector = LogitDetector.of(method), width = set.info.classes;
  const errors = Uint8Array.from(test.labels.data, (label, n) => {
    const row = test.logits.data.subarray(n * width, (n + 1) * width);
    return Number(row.indexOf(Math.max(...row)) !== label);
  });
  last = {
    name, errors, calibration: detector.score(calibration).data, test: detector.score(test).data,
    outside: set.outliers === undefined ? new Float32Array(0) : detector.score({ logits: set.outliers }).data,
  };
  return last;
}

/** Scores all rows with a detector. */
export async function score(question: Question, control: Control): Promise<Scored> {
  const { calibration, test, outside, errors } = await scoresOf(question, control);
  const all = Float64Array.of(...test, ...outside), outer = Uint8Array.from(all, (_, i) => Number(i >= test.length)), some = outside.length > 0;
  const curve = riskCoverage(test.map((value) => 0 - value), errors), step = Math.ceil(test.length / POINTS);
  return {
    calibrationRows: calibration.length, testRows: test.length, outlierRows: outside.length, histogram: scoreHistogram(test, outside),
    auroc: some ? auroc(all, outer) : null,
    flaggedAt95Detected: some ? falsePositiveRateAtRecall(all, outer) : null,
    keptAt95Kept: some ? falsePositiveRateAtRecall(all.map((value) => 0 - value), outer.map((mark) => 1 - mark)) : null,
    accuracy: 1 - errors.reduce((sum, error) => sum + error, 0) / errors.length,
    aurc: curve.aurc,
    curve: Array.from({ length: Math.ceil(test.length / step) }, (_, i) => Math.min(test.length - 1, (i + 1) * step - 1)).map((i) => ({ coverage: curve.coverage[i], risk: curve.risk[i] })),
  };
}

/** Sets the threshold on the calibration rows and counts what it flags. */
export async function guard({ rate, confidence, ...question }: Question & { readonly rate: number; readonly confidence: number | "marginal" }, control: Control): Promise<Guarded> {
  const { calibration, test, outside, errors } = await scoresOf(question, control);
  const threshold = Threshold.fit(calibration, { maxFalsePositiveRate: rate, confidence });
  const kept = [...test.keys()].filter((n) => !threshold.exceeds(test[n])), wrong = kept.reduce((sum, n) => sum + errors[n], 0);
  const p = ConformalPValues.fit(calibration).pValues(outside).sort();
  return {
    threshold: threshold.attainable ? threshold.value : null, needed: threshold.needed,
    falsePositives: threshold.exceedance(test), detected: outside.length > 0 ? threshold.exceedance(outside) : null,
    answered: { coverage: kept.length / test.length, risk: kept.length === 0 ? null : wrong / kept.length },
    medianPValue: p.length > 0 ? p[p.length >> 1] : null,
  };
}
