// What a fit of a linear classifier needs; for @logits/head, not part of the package's index.
export { LinearCrossEntropy } from "../linearCrossEntropy.ts";
export { addDots, combine } from "../residentVectors.ts";
export { LinearScaling } from "../linearScaling.ts";
