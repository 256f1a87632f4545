// Reductions over an axis and the gradients of the softmax family.
export { sum } from "../sum.ts";
export { max } from "../max.ts";
export { argmax, type ArgmaxOptions } from "../argmax.ts";
export { entropy, entropyGrad } from "../entropy.ts";
export { logSoftmaxGrad, logSumExpGrad, softmaxGrad } from "../softmaxGrad.ts";
