export { exp, expm1 } from "./exponential.ts";
export { log, log1p, log2 } from "./logarithm.ts";
export { pow } from "./power.ts";
export { tanh } from "./hyperbolic.ts";
export { logAddExp, logit, sigmoid, softplus } from "./logistic.ts";
