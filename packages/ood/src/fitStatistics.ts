import { asFloat32, asInt32, checkShape, describe, rangeError, typeError, type Steps, type TensorLike } from "@logits/tensor";
import { FeatureStatistics } from "./featureStatistics.ts";

/** Statistics of the rows of a fit; without labels they are one class. */
export function* statisticsSteps(where: string, features: TensorLike, labels: TensorLike | undefined, asked: number | undefined): Steps<FeatureStatistics> {
  const x = asFloat32(where, "features", features);
  checkShape(where, "features", x, ["N", "F"]);
  const [rows, width] = x.shape;
  if (rows === 0 || width === 0) throw rangeError(where, "features", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
  const y = asInt32(where, "labels", labels ?? new Int32Array(rows));
  const classes = asked ?? y.data.reduce((most, label) => Math.max(most, label), 0) + 1;
  return yield* new FeatureStatistics({ classes, features: width }).updateSteps(where, { features: x, labels: y });
}

/** Checks that these are statistics with rows. */
export function checkStatistics(where: string, statistics: FeatureStatistics): void {
  if (!(statistics instanceof FeatureStatistics)) throw typeError(where, "statistics", "a FeatureStatistics", describe(statistics));
  if (statistics.count === 0) throw rangeError(where, "statistics", "of at least one row", "none");
}
