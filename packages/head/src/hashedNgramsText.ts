/**
 * A text as the n-grams see it: words between single spaces, with a space before the first and after the last, in UTF-8.
 *
 * Rule: `normalize("NFC")`, `toLowerCase()` (no locale), ’ between two characters of a word becomes '. White space, control characters and punctuation (\p{P}) end a word;
 * a ' inside a word belongs to it; everything else (letters, marks, digits, symbols, emoji) makes words. A lone surrogate becomes U+FFFD.
 */
export interface NormalisedText {
  readonly bytes: Uint8Array;
  /** Where each code point begins, and the length of `bytes`. */
  readonly points: Int32Array;
  readonly pointCount: number;
  /** Index in `points` of the space before each word, and of the last space. */
  readonly spaces: Int32Array;
  readonly wordCount: number;
}

const WORD = /(?:(?![\s\p{Cc}\p{P}])[^]|(?<=[^\s\p{Cc}\p{P}])'(?=[^\s\p{Cc}\p{P}]))+/gu;

/** Writes one text after another into the same memory: what `normalise` returned is valid until the next call. */
export class TextNormaliser {
  #bytes = new Uint8Array(1024);
  #points = new Int32Array(1024);
  #spaces = new Int32Array(256);

  normalise(text: string): NormalisedText {
    const words = text.normalize("NFC").toLowerCase().replaceAll("\u2019", "'").match(WORD) ?? [];
    let length = 2;
    for (const word of words) length += word.length + 1;
    if (3 * length > this.#bytes.length) {
      this.#bytes = new Uint8Array(6 * length);
      this.#points = new Int32Array(2 * length);
    }
    if (words.length + 1 > this.#spaces.length) this.#spaces = new Int32Array(2 * words.length + 2);
    const bytes = this.#bytes, points = this.#points, spaces = this.#spaces;
    let at = 0, count = 0;
    const space = (): void => {
      points[count++] = at;
      bytes[at++] = 32;
    };
    for (let w = 0; w < words.length; w++) {
      spaces[w] = count;
      space();
      const word = words[w];
      for (let i = 0; i < word.length; i++) {
        let code = word.codePointAt(i)!;
        if (code > 0xffff) i++;
        else if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
        points[count++] = at;
        if (code < 0x80) bytes[at++] = code;
        else {
          if (code < 0x800) bytes[at++] = 0xc0 | (code >> 6);
          else {
            if (code < 0x10000) bytes[at++] = 0xe0 | (code >> 12);
            else {
              bytes[at++] = 0xf0 | (code >> 18);
              bytes[at++] = 0x80 | ((code >> 12) & 63);
            }
            bytes[at++] = 0x80 | ((code >> 6) & 63);
          }
          bytes[at++] = 0x80 | (code & 63);
        }
      }
    }
    spaces[words.length] = count;
    if (words.length > 0) space();
    points[count] = at;
    return { bytes, points, pointCount: count, spaces, wordCount: words.length };
  }
}
