// The engine of @logits/attention; not part of the package's index.
export { attentionForward, attentionGradient, blockEnd, runsOf, type AttentionBlocks, type AttentionGradients, type AttentionProblem, type AttentionResult, type AttentionSizes, type Strided } from "../attention.ts";
