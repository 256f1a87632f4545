export { DecisionHead, type DecideOptions, type DecisionHeadData, type DecisionHeadJSON, type DecisionHeadOptions } from "./decisionHead.ts";
export { type Decision, type Guarantee, type Why } from "./decision.ts";
