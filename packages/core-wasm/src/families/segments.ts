// What segmentations are made of; for @logits/structured-prediction, not part of the package's index.
export { segmentSums, segmentTables, type SegmentMessages, type SegmentScores, type SegmentSequence, type SegmentSums, type SegmentTables } from "../segmentSums.ts";
export { intervalSums, type IntervalProblem, type IntervalSums, type IntervalsWanted } from "../intervalSums.ts";
