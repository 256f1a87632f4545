/** A span of tokens [from, to), and of characters [start, end) where offsets are known. */
export interface Span {
  readonly type: string;
  /** Tokens: the first, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** UTF-16 offsets in the text. */
  readonly start?: number;
  readonly end?: number;
  /** The slice of the text, where it is known. */
  readonly text?: string;
}

/** A span that was decoded. */
export interface DecodedSpan extends Span {
  /** P(exactly this span is in the labels), 0 to 1. */
  readonly probability: number;
}
