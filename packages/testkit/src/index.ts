export { AssertionError, expectClose, expectExact, ulpDistance, type Closeness, type Comparable } from "./compare.ts";
export { finiteDifferenceGradient, type DifferenceOptions } from "./differences.ts";
export { guarded, guardedInput, type Guarded, type GuardOptions, type MemoryLike } from "./guard.ts";
export { testRandom, type TestRandom } from "./random.ts";
export { runChecks, type Check, type Plain, type Result } from "./checks.ts";
export { checkKernel, kernelChecks, type KernelSpec, type SpecialRow } from "./kernel.ts";
export { checkEstimator, estimatorChecks, type EstimatorSpec, type PlantedTruth } from "./estimator.ts";
export { checkLoss, lossChecks, type Differentiable, type LossArgument, type LossCase, type LossLike, type LossSpec } from "./loss.ts";
export { checkGuarantee, type GuaranteeResult, type GuaranteeSpec, type Outcome } from "./guarantee.ts";
