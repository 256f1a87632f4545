export { ctcAlign, type AlignedLabel, type CtcAlignment, type CtcAlignOptions } from "./ctcAlign.ts";
export { ctcBeam, ctcGreedy, type CtcBeamOptions, type CtcHypothesis } from "./ctcDecode.ts";
export { ctcLoss, type CtcLossOptions } from "./ctcLoss.ts";
export type { CtcOptions } from "./frames.ts";
