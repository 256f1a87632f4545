export { crossEntropy } from "./crossEntropy.ts";
