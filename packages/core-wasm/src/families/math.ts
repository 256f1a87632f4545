// Elementwise functions.
export { type ElementwiseOptions } from "../elementwise.ts";
export { exp } from "../exp.ts";
export { log } from "../log.ts";
export { log1p } from "../log1p.ts";
export { expm1 } from "../expm1.ts";
export { tanh } from "../tanh.ts";
export { erf } from "../erf.ts";
export { sigmoid } from "../sigmoid.ts";
export { softplus } from "../softplus.ts";
