export { DecisionHead, type DecideOptions, type DecisionHeadData, type DecisionHeadJSON, type DecisionHeadOptions, type FoldJSON } from "./decisionHead.ts";
export { type Decision, type InvalidWhy, type UnknownWhy, type Why } from "./decision.ts";
export { type Guarantee } from "./guarantees.ts";
export { type EvaluateOptions, type EvaluationData, type EvaluationReport, type OutlierReport, type Rate } from "./evaluate.ts";
export { type DetectorChoice, type Selection } from "./chooseDetector.ts";
export { type HeadInput, type RowFields } from "./rows.ts";
export { LinearHead, type LinearHeadFit, type LinearHeadJSON, type LinearHeadOptions } from "./linearHead.ts";
export { scorerFromJSON, type Scorer } from "./scorer.ts";
export { ZeroShotScorer, type Prompts, type ZeroShotOptions, type ZeroShotScorerJSON } from "./zeroShotScorer.ts";
