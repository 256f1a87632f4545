// Tokens from scores; for @logits/sampling, not part of the package's index.
export { drawToken, tokenRows, tokenStatistics, type TokenDraw, type TokenOptions, type TokenRow, type TokenRows, type TokenRules, type TokenStatistics } from "../sampling.ts";
