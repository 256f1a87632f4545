// What segmentations are made of; for @logits/structured-prediction, not part of the package's index.
export { segmentPairs, segmentShares, segmentSums, segmentTables, type SegmentMessages, type SegmentScores, type SegmentSequence, type SegmentSums, type SegmentTables, type SegmentWeights } from "../segmentSums.ts";
export { intervalSums, type IntervalProblem, type IntervalSums, type IntervalsWanted } from "../intervalSums.ts";
