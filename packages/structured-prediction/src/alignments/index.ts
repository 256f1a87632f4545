export { ctcAlign, type AlignedLabel, type CtcAlignment, type CtcAlignOptions } from "./ctcAlign.ts";
export { ctcBeam, ctcGreedy, type CtcBeamOptions, type CtcHypothesis } from "./ctcDecode.ts";
export { ctcLoss, type CtcLossOptions } from "./ctcLoss.ts";
export { editDistance, expectedErrorLoss, type Edits } from "./editDistance.ts";
export type { CtcOptions } from "./frames.ts";
export { monotonicMarginals, monotonicSearch, type MonotonicMarginals, type MonotonicOptions, type MonotonicPath } from "./monotonic.ts";
export { softDtwLoss, type SoftDtwOptions } from "./softDtw.ts";
export { rnntLoss, transducerLoss, type RnntOptions, type TransducerOptions } from "./transducerLoss.ts";
