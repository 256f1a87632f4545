export { SemiMarkov, type ProbableSegment, type SegmentGradients, type SegmentMarginals, type SemiMarkovOptions } from "./semiMarkov.ts";
export { type SegmentModel, type SegmentModelOptions } from "./segmentModel.ts";
export { semiMarkovLoss, type SemiMarkovLossOptions } from "./semiMarkovLoss.ts";
export { segmentLabels, segmentsOf, type Segment } from "./segments.ts";
export { IntervalCrf, type Interval, type IntervalMarginals, type IntervalOptions } from "./intervals.ts";
export { negativeBinomialDurations, type DurationScores } from "./durations.ts";
