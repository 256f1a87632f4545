export { DecisionHead, type DecideOptions, type DecisionHeadData, type DecisionHeadJSON, type DecisionHeadOptions } from "./decisionHead.ts";
export { type Decision, type Guarantee, type Why } from "./decision.ts";
export { LinearHead, type LinearHeadFit, type LinearHeadJSON, type LinearHeadOptions } from "./linearHead.ts";
export { scorerFromJSON, type Scorer } from "./scorer.ts";
export { ZeroShotScorer, type Prompts, type ZeroShotOptions, type ZeroShotScorerJSON } from "./zeroShotScorer.ts";
