// What losses over pairs need; for @logits/losses, not part of the package's index.
export { checkVectors, expRow, sigmoidRow, similarityPass, type ComparedRows, type Similarity, type SimilarityGradients } from "../similarity.ts";
