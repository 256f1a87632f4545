export { linearCrossEntropy, linearSoftCrossEntropy, linearStatistics, type LinearCrossEntropyOptions, type LinearGradients, type LinearStatistics } from "./linearCrossEntropy.ts";
