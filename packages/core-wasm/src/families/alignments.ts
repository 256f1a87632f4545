// What alignments are made of; for @logits/structured-prediction, not part of the package's index.
export { ctcPath, ctcSums, type CtcSequence, type CtcSum, type CtcWanted } from "../ctc.ts";
