// softmax, logSoftmax, logSumExp: the family behind the 6 KiB budget.
export { logSoftmax, logSumExp, softmax, type SoftmaxOptions } from "../softmax.ts";
