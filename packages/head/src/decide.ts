export { FittedHead as DecisionHead, type DecideOptions } from "./fittedHead.ts";
export { type DecisionHeadJSON } from "./headJson.ts";
export { type Decision, type InvalidWhy, type UnknownWhy, type Why } from "./decision.ts";
export { type Guarantee } from "./guarantees.ts";
