export { fromTopLogprobs, type PartialScores, type TokenLogprob, type TopLogprobsOptions } from "./topLogprobs.ts";
