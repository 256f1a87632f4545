/** How a tokenizer changes a text before it splits it. */
export interface Normalization {
  /** Default: none. */
  readonly form?: "NFC" | "NFD" | "NFKC" | "NFKD";
  readonly lowercase?: boolean;
  /** Drops nonspacing marks, after canonical decomposition: as BERT's uncased models do. */
  readonly stripAccents?: boolean;
}

/** A normalised text in UTF-8, where each byte knows the piece of the text that it came from. */
export interface NormalisedText {
  readonly bytes: Uint8Array;
  /** The piece of each byte: an index of `start` and `end`. */
  readonly pieceOf: Int32Array;
  /** 1 = white space; 2 = may be missing in tokens (controls, joiners, variation selectors). */
  readonly kind: Uint8Array;
  /** UTF-16 offsets of each piece of the text. */
  readonly start: Int32Array;
  readonly end: Int32Array;
  readonly pieces: number;
}

const utf8 = new TextEncoder();
const MARK = /^\p{M}$/u, NONSPACING = /\p{Mn}/gu, SPACE = /^[\s\u0085]$/u, IGNORABLE = /^[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Variation_Selector}\ufffd]$/u;

/** Code points that normalisation may join to what stands before them, beside marks: medial and final jamo, halfwidth voicing. */
function joins(point: number, character: string): boolean {
  return (point >= 0x1160 && point <= 0x11ff) || point === 0xff9e || point === 0xff9f || MARK.test(character);
}

/** Normalises, but for the forms of sigma, which depend on the tokenizer's notion of a word: all are the same here. */
export function normalise(text: string, { form, lowercase = false, stripAccents = false }: Normalization): string {
  let out = form === undefined ? text : text.normalize(form);
  if (stripAccents) out = out.normalize("NFD").replace(NONSPACING, "");
  return lowercase ? out.toLowerCase().replaceAll("ς", "σ") : out;
}

/**
 * Normalises a text piece by piece. A piece is one code point wherever the whole cluster comes out as its code points do one by one; else a starter with all that
 * joins it. A code point that disappears (an accent, a control) belongs to the piece before it, unless that is white space.
 */
export function normalisedText(text: string, normalization: Normalization): NormalisedText {
  const n = text.length;
  let bytes = new Uint8Array(n + 16), pieceOf = new Int32Array(n + 16), size = 0, pieces = 0;
  const start = new Int32Array(n), end = new Int32Array(n), kind = new Uint8Array(n);
  const { form, stripAccents = false, lowercase = false } = normalization, plain = form === undefined && !stripAccents && !lowercase;
  const push = (byte: number): void => {
    if (size === bytes.length) {
      const [more, of] = [new Uint8Array(2 * size), new Int32Array(2 * size)];
      more.set(bytes);
      of.set(pieceOf);
      [bytes, pieceOf] = [more, of];
    }
    bytes[size] = byte;
    pieceOf[size++] = pieces;
  };
  const add = (from: number, to: number, normalised: string): void => {
    if (normalised === "") {
      if (pieces > 0 && kind[pieces - 1] !== 1 && end[pieces - 1] === from) end[pieces - 1] = to;
      return;
    }
    if (normalised.length === 1 && normalised.charCodeAt(0) < 128) push(normalised.charCodeAt(0));
    else for (const byte of utf8.encode(normalised)) push(byte);
    start[pieces] = from;
    end[pieces] = to;
    kind[pieces++] = SPACE.test(normalised) || normalised === "\u2581" ? 1 : IGNORABLE.test(normalised) ? 2 : 0;
  };
  for (let at = 0; at < n; ) {
    const code = text.charCodeAt(at), next = at + 1 < n ? text.charCodeAt(at + 1) : 0;
    if (code < 128 && next < 128) {
      add(at, ++at, lowercase && code >= 65 && code <= 90 ? String.fromCharCode(code + 32) : text[at - 1]);
      continue;
    }
    const ends: number[] = [];
    let to = at;
    do {
      const point = text.codePointAt(to)!;
      if (to > at && !joins(point, String.fromCodePoint(point))) break;
      to += point > 0xffff ? 2 : 1;
      ends.push(to);
    } while (to < n);
    if (plain) for (const [k, stop] of ends.entries()) add(k === 0 ? at : ends[k - 1], stop, text.slice(k === 0 ? at : ends[k - 1], stop));
    else {
      const each = ends.map((stop, k) => normalise(text.slice(k === 0 ? at : ends[k - 1], stop), normalization)), whole = normalise(text.slice(at, to), normalization);
      if (each.join("") === whole) each.forEach((part, k) => add(k === 0 ? at : ends[k - 1], ends[k], part));
      else add(at, to, whole);
    }
    at = to;
  }
  return { bytes: bytes.subarray(0, size), pieceOf: pieceOf.subarray(0, size), kind, start, end, pieces };
}
