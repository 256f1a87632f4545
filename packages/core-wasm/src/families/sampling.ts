// Tokens from scores; for @logits/sampling, not part of the package's index.
export { drawToken, tokenStatistics, type TokenDraw, type TokenRow, type TokenRules, type TokenStatistics } from "../sampling.ts";
