// A linear layer into a large vocabulary, in tiles; for @logits/losses, not part of the package's index.
export { vocabularyPass, type VocabularyGradients, type VocabularyProblem, type VocabularyStatistics } from "../vocabulary.ts";
