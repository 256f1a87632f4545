export { crossEntropy } from "./classification/crossEntropy.ts";
