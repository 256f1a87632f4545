/** Where tokens lie in a text. */
export interface Alignment {
  readonly text: string;
  /** UTF-16 offsets of each token, [start, end), int32 [T]: `text.slice(start, end)`. */
  readonly start: Int32Array;
  readonly end: Int32Array;
  /** The same in code points, as Python counts. */
  readonly codePointStart: Int32Array;
  readonly codePointEnd: Int32Array;
  /** uint8 [T]: 1 = the token stands for text; 0 = it is special, or padding. */
  readonly where: Uint8Array;
  /** int32 [T]: the word of each token: a run of the text without white space, counted from 0; -1 where the token does not stand for text. */
  readonly words: Int32Array;
}
