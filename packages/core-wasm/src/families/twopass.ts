// Softmax without a pass for the maximum.
export { twoPassSoftmax } from "../twoPassSoftmax.ts";
