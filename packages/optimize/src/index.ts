export { lbfgs, lbfgsSteps, type LbfgsOptions } from "./lbfgs.ts";
export { owlqn, owlqnSteps, type OwlqnOptions } from "./owlqn.ts";
export { lineSearch, type LinePoint } from "./lineSearch.ts";
export { newton1d, newton1dSteps, type Derivatives, type Newton1dOptions, type Newton1dResult } from "./newton1d.ts";
export { newton, newtonSteps, type NewtonOptions, type NewtonResult, type SecondOrderObjective } from "./newton.ts";
export { adam, adamSteps, type AdamOptions } from "./adam.ts";
export { run, runAsync, type RunOptions } from "./run.ts";
export type { Objective, OptimizerProgress, OptimizerResult, OptimizerSteps, SteppedObjective } from "./result.ts";
