export { alignTokens, type AlignTokensOptions } from "./alignTokens.ts";
export type { Alignment } from "./alignment.ts";
export type { Normalization } from "./normalisedText.ts";
export type { TokenKind } from "./tokenBytes.ts";
export { SpanDecoder, mergeWindows, type DecodeOptions, type SpanDecoderOptions, type TokenWindow } from "./spanDecoder.ts";
export type { DecodedSpans, LabellingOfSpans } from "./decodedSpans.ts";
export { readViterbiCalibration, type TransitionBiases } from "./biases.ts";
export type { SpanScheme } from "./tags.ts";
export type { DecodedSpan, Span } from "./span.ts";
