// Sparse relatives of softmax.
export { sparsemax, sparsemaxGrad } from "../sparsemax.ts";
export { entmax15, entmax15Grad } from "../entmax15.ts";
