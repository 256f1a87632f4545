import { asInt32, checkInteger, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";
import type { Alignment } from "./alignment.ts";
import { normalisedText, type Normalization, type NormalisedText } from "./normalisedText.ts";
import { tokenBytes, type TokenBytes, type TokenKind } from "./tokenBytes.ts";

/** What is known about a tokenizer. */
export interface AlignTokensOptions extends Normalization {
  /**
   * How its tokens are written. "wordpiece": `##` before what goes on with a word. "byte-level": characters that stand for bytes, `Ġ` for a space (GPT-2, RoBERTa, Llama 3, Qwen).
   * "sentencepiece": `▁` for a space and `<0xE2>` for bytes, of SentencePiece's BPE or Unigram (T5, XLM-RoBERTa, Llama 2, Gemma). Default: "wordpiece" where a token starts with `##`, "sentencepiece"
   * where one holds `▁`, "byte-level" where one holds `Ġ` or `Ċ`, else "wordpiece".
   */
  readonly kind?: TokenKind;
  /** Of WordPiece: before what goes on with a word. Default "##". */
  readonly prefix?: string;
  /** Tokens for what the vocabulary lacks. Default ["[UNK]", "<unk>"]. */
  readonly unknown?: readonly string[];
  /** Tokens that stand for no text. Default: those of BERT, RoBERTa, T5, GPT-2, Llama and Gemma. */
  readonly special?: readonly string[];
  /** Whether the tokens may end before the text: after truncation. Default false. */
  readonly truncated?: boolean;
  /** The tokenizer's own offsets, int [T, 2], [start, end): then tokens are not searched. */
  readonly offsets?: TensorLike;
  /** What those offsets count. Python's tokenizers give code points. Default "utf16". */
  readonly unit?: "utf16" | "codePoint" | "byte";
}

const NAME = "alignTokens";
const SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "<s>", "</s>", "<pad>", "<mask>", "<cls>", "<sep>", "<bos>", "<eos>", "<|endoftext|>", "<|startoftext|>", "<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>", "<|return|>"];
const UNKNOWN = ["[UNK]", "<unk>"];

/**
 * Finds where each token lies in the text it came from.
 *
 * A token's slice is what it stands for in the text as it was written: with the accents, capitals and ligatures that the tokenizer changed. White space before a token is not part of its slice, unless the
 * token is nothing else. A character whose bytes are several tokens is the slice of each. An unknown token takes a whole word of BERT's, else as little as lets the rest fit.
 *
 * @param text - as it was given to the tokenizer
 * @param tokens - T tokens, in the order of the text; special ones may be among them
 * @param options - `kind`, `form`, `lowercase`, `stripAccents`, `prefix`, `unknown`, `special`, `truncated`, or `offsets` and `unit`
 * @returns offsets in UTF-16 and in code points, which tokens stand for text, and their words
 * @throws RangeError where the tokens do not fit the text: the token and what stands there are named; or offsets that leave the text or go back
 * @example
 *   const { start, end } = alignTokens("Zoë's café", ["zoe", "'", "s", "cafe"], { lowercase: true, stripAccents: true });
 * Source: the definitions of WordPiece (Devlin et al. 2019), byte-level BPE (Radford et al. 2019), SentencePiece (Kudo and Richardson 2018).
 */
export function alignTokens(text: string, tokens: readonly string[], options: AlignTokensOptions = {}): Alignment {
  if (typeof text !== "string") throw typeError(NAME, "text", "a string", describe(text));
  if (!Array.isArray(tokens)) throw typeError(NAME, "tokens", "an array of strings", describe(tokens));
  tokens.forEach((token, t) => {
    if (typeof token !== "string") throw typeError(NAME, `tokens[${t}]`, "a string", describe(token));
  });
  const special = new Set(options.special ?? SPECIAL);
  const [start, end] = options.offsets === undefined ? search(text, tokens, special, options) : converted(text, tokens.length, options.offsets, options.unit ?? "utf16");
  return alignment(text, start, end, (t) => end[t] > start[t] || !(special.has(tokens[t]) || options.offsets !== undefined));
}

function search(text: string, tokens: readonly string[], special: ReadonlySet<string>, options: AlignTokensOptions): [Int32Array, Int32Array] {
  const { prefix = "##", unknown = UNKNOWN, truncated = false } = options, kind = options.kind ?? kindOf(tokens, prefix);
  const source = normalisedText(text, options), { bytes, pieceOf } = source, n = bytes.length, T = tokens.length;
  const unknowns = new Set(unknown);
  const begin = new Int32Array(T + 1), after = new Int32Array(T);
  // The choices that were made: token, where, how far it was taken last, and whether a whole word was tried.
  const choices: Choice[] = [];
  const extent = (choice: Choice): number => {
    const word = kind === "wordpiece" ? wordEnd(source, choice.at, text) : -1;
    if (word >= 0 && !choice.word) {
      choice.word = true;
      return word;
    }
    do {
      if (choice.grown === n) return -1;
      choice.grown = characterEnd(bytes, choice.grown);
    } while (choice.grown === word);
    return choice.grown;
  };
  let t = 0, at = 0, work = 64 * (n + T) + 4096, furthest = 0, place = 0;
  const failed = (): Error => {
    if (work <= 0) return rangeError(NAME, "tokens", "that fit the text in one way", "unknown and special tokens that fit in too many", "Pass the tokenizer's own `offsets`");
    const piece = place < n ? pieceOf[place] : -1;
    const rest = piece < 0 ? "the end of the text" : JSON.stringify(text.slice(source.start[piece], source.start[piece] + 16));
    return furthest < T
      ? rangeError(NAME, "tokens", "that fit the text", `${JSON.stringify(tokens[furthest])} at index ${furthest} where the text has ${rest}`, "Say how the tokenizer normalises: `lowercase`, `stripAccents`, `form`, `kind`")
      : rangeError(NAME, "tokens", "that cover the text", `${rest} after the last one`, "Pass `truncated: true` where the tokens were cut off");
  };
  const cached = new Map<string, TokenBytes | undefined>();
  for (;;) {
    let next = -1;
    if (t === T) {
      const rest = skipped(source, at);
      if (rest === n || truncated) {
        at = rest;
        break;
      }
      if (T >= furthest) [furthest, place] = [T, rest];
    } else {
      const token = tokens[t];
      if (special.has(token)) {
        choices.push({ t, at, grown: at, word: false });
        begin[t] = next = at;
      } else if (unknowns.has(token)) {
        const first = skipped(source, at, kind === "wordpiece"), choice = { t, at: first, grown: first, word: false };
        if (first < n) {
          choices.push(choice);
          begin[t] = first;
          next = extent(choice);
        }
      } else {
        if (!cached.has(token)) cached.set(token, tokenBytes(token, kind, prefix, options));
        const wanted = cached.get(token);
        if (wanted) {
          const found = match(source, at, wanted, (used) => (work -= used));
          begin[t] = found.from;
          next = found.to;
        }
      }
      if (next < 0 && t >= furthest) [furthest, place] = [t, skipped(source, at)];
    }
    work--;
    while (next < 0) {
      // Back to the last choice that has another way.
      const choice = choices.at(-1);
      if (choice === undefined || --work <= 0) throw failed();
      t = choice.t;
      if (special.has(tokens[t])) {
        choices.pop();
        // The special token's own letters, in the text.
        const found = match(source, choice.at, { spaces: 0, bytes: new TextEncoder().encode(tokens[t]) }, (used) => (work -= used));
        begin[t] = found.from;
        next = found.to;
      } else {
        begin[t] = choice.at;
        next = extent(choice);
        if (next < 0) choices.pop();
      }
    }
    after[t] = next;
    at = next;
    t++;
  }
  const start = new Int32Array(T), end = new Int32Array(T);
  // Backwards, to know where the next token with text begins.
  for (let k = T - 1, next = at; k >= 0; k--) {
    if (after[k] === begin[k]) continue;
    // A token in the middle of a character's bytes has the whole character; what the tokenizer dropped behind a token belongs to it.
    let to = after[k];
    while (to < next && source.kind[pieceOf[to]] === 2 && pieceOf[to] !== pieceOf[to - 1]) to = pieceEnd(pieceOf, to);
    start[k] = source.start[pieceOf[begin[k]]];
    end[k] = source.end[pieceOf[to - 1]];
    next = begin[k];
  }
  for (let k = 0, last = 0; k < T; k++) {
    if (after[k] === begin[k]) start[k] = end[k] = last;
    else last = Math.max(last, end[k]);
  }
  return [start, end];
}

interface Choice {
  readonly t: number;
  readonly at: number;
  grown: number;
  word: boolean;
}

function kindOf(tokens: readonly string[], prefix: string): TokenKind {
  if (tokens.some((token) => token.startsWith(prefix) && token.length > prefix.length)) return "wordpiece";
  if (tokens.some((token) => token.includes("\u2581"))) return "sentencepiece";
  return tokens.some((token) => /[ĠĊ]/u.test(token)) ? "byte-level" : "wordpiece";
}

/** The byte after white space and, but for `controls` false, after what may be missing in tokens. */
function skipped({ bytes, pieceOf, kind }: NormalisedText, at: number, controls = true): number {
  const last = controls ? 2 : 1;
  while (at < bytes.length && kind[pieceOf[at]] > 0 && kind[pieceOf[at]] <= last && (at === 0 || pieceOf[at] !== pieceOf[at - 1])) at = pieceEnd(pieceOf, at);
  return at;
}

/** The byte after a UTF-8 character. */
function characterEnd(bytes: Uint8Array, at: number): number {
  at++;
  while (at < bytes.length && (bytes[at] & 0xc0) === 0x80) at++;
  return at;
}

function pieceEnd(pieceOf: Int32Array, at: number): number {
  const piece = pieceOf[at];
  while (at < pieceOf.length && pieceOf[at] === piece) at++;
  return at;
}

/** Where a token's bytes are, from `at` on; to -1 where they are not there. */
function match({ bytes, pieceOf, kind }: NormalisedText, at: number, wanted: TokenBytes, spend: (work: number) => void): { from: number; to: number } {
  let to = at, spaces = wanted.spaces;
  const boundary = (p: number): boolean => p === 0 || pieceOf[p] !== pieceOf[p - 1];
  /** Whether a piece's bytes are those that are wanted from k on, as far as there are some. */
  const same = (p: number, k: number): boolean => {
    for (let piece = pieceOf[p]; p < bytes.length && pieceOf[p] === piece && k < wanted.bytes.length; p++, k++) if (bytes[p] !== wanted.bytes[k]) return false;
    return true;
  };
  const fresh = (p: number): boolean => p < bytes.length && boundary(p);
  if (wanted.bytes.length === 0) {
    // Nothing but white space: as much of it as there is, at most as many characters.
    while (fresh(to) && kind[pieceOf[to]] === 1 && spaces > 0) {
      to = pieceEnd(pieceOf, to);
      spaces--;
    }
    spend(1);
    return { from: at, to };
  }
  let from = -1;
  for (let k = 0; k < wanted.bytes.length; ) {
    spend(1);
    if (to >= bytes.length) return { from: at, to: -1 };
    const odd = fresh(to) && kind[pieceOf[to]] !== 0 && !same(to, k) ? kind[pieceOf[to]] : 0;
    // A control that the tokenizer dropped; white space before a token, or more of it than one within.
    if (odd === 2 || (odd === 1 && (from < 0 || wanted.bytes[k - 1] === 0x20))) to = pieceEnd(pieceOf, to);
    else if (odd === 1 && wanted.bytes[k] === 0x20) {
      to = pieceEnd(pieceOf, to);
      k++;
    } else if (odd === 1) return { from: at, to: -1 };
    else if (bytes[to] === wanted.bytes[k]) {
      if (from < 0) from = to;
      to++;
      k++;
    } else if (from < 0 && bytes[to] === 0x20) to++; // white space that normalisation made of a character
    else return { from: at, to: -1 };
  }
  return { from, to };
}

/** BERT's word from a byte on: one character of punctuation or one ideograph, else up to white space or one of those. */
function wordEnd({ bytes, pieceOf, kind, start, end }: NormalisedText, at: number, text: string): number {
  const alone = (piece: number): boolean => /^(?:[\p{P}$+<=>^`|~]|\p{Script=Han})/u.test(text.slice(start[piece], end[piece]));
  let to = pieceEnd(pieceOf, at);
  if (alone(pieceOf[at])) return to;
  while (to < bytes.length && kind[pieceOf[to]] !== 1 && !alone(pieceOf[to])) to = pieceEnd(pieceOf, to);
  return to;
}

/** Offsets that a tokenizer gave, in UTF-16. */
function converted(text: string, T: number, offsets: TensorLike, unit: "utf16" | "codePoint" | "byte"): [Int32Array, Int32Array] {
  const o = asInt32(NAME, "offsets", offsets);
  if (o.size !== 2 * T) throw rangeError(NAME, "offsets", `of shape [${T}, 2]`, `[${o.shape.join(", ")}]`);
  if (unit !== "utf16" && unit !== "codePoint" && unit !== "byte") throw rangeError(NAME, "unit", `"utf16", "codePoint" or "byte"`, JSON.stringify(unit));
  const at = unit === "utf16" ? undefined : unit === "codePoint" ? pointStarts(text) : byteStarts(text);
  const last = at ? at.length - 1 : text.length;
  const start = new Int32Array(T), end = new Int32Array(T);
  for (let t = 0, before = 0; t < T; t++) {
    const [a, b] = [o.data[2 * t], o.data[2 * t + 1]];
    checkInteger(NAME, `offsets[${t}, 0]`, a, 0, last);
    checkInteger(NAME, `offsets[${t}, 1]`, b, a, last);
    // (0, 0) is what special tokens have, wherever they stand.
    if (a === b) {
      start[t] = end[t] = a === 0 && b === 0 ? before : at ? at[a] : a;
      continue;
    }
    // A byte in the middle of a character stands for the whole character.
    [start[t], end[t]] = at ? [at[a], unit === "byte" ? at[b - 1] + (text.codePointAt(at[b - 1])! > 0xffff ? 2 : 1) : at[b]] : [a, b];
    if (start[t] < before && t > 0 && end[t] < before) throw rangeError(NAME, "offsets", "in the order of the text", `[${a}, ${b}] after ${before} at index ${t}`);
    before = Math.max(before, end[t]);
  }
  return [start, end];
}

/** UTF-16 offset of each code point, and the length. */
function pointStarts(text: string): Int32Array {
  const out: number[] = [];
  for (let at = 0; at < text.length; at += text.codePointAt(at)! > 0xffff ? 2 : 1) out.push(at);
  return Int32Array.from([...out, text.length]);
}

/** UTF-16 offset of the code point of each UTF-8 byte, and the length. */
function byteStarts(text: string): Int32Array {
  const out: number[] = [];
  for (let at = 0; at < text.length; ) {
    const point = text.codePointAt(at)!;
    for (let k = point > 0xffff ? 4 : point > 0x7ff ? 3 : point > 0x7f ? 2 : 1; k > 0; k--) out.push(at);
    at += point > 0xffff ? 2 : 1;
  }
  return Int32Array.from([...out, text.length]);
}

function alignment(text: string, start: Int32Array, end: Int32Array, standsForText: (t: number) => boolean): Alignment {
  const T = start.length, codePointStart = new Int32Array(T), codePointEnd = new Int32Array(T), where = new Uint8Array(T), words = new Int32Array(T).fill(-1);
  let surrogates = false;
  for (let i = 0; i < text.length && !surrogates; i++) surrogates = (text.charCodeAt(i) & 0xfc00) === 0xd800;
  let points: Int32Array | undefined;
  if (surrogates) {
    // Code points before each UTF-16 offset.
    points = new Int32Array(text.length + 1);
    for (let i = 0; i < text.length; i++) points[i + 1] = points[i] + (i > 0 && (text.charCodeAt(i) & 0xfc00) === 0xdc00 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800 ? 0 : 1);
  }
  let word = -1, last = -1;
  for (let t = 0; t < T; t++) {
    codePointStart[t] = points ? points[start[t]] : start[t];
    codePointEnd[t] = points ? points[end[t]] : end[t];
    if (!standsForText(t)) continue;
    where[t] = 1;
    let space = last < 0;
    for (let i = Math.max(0, last); i < start[t] && !space; i++) space = /\s/u.test(text[i]);
    if (space || (last >= 0 && end[t] > start[t] && /^\s/u.test(text[start[t]]))) word++;
    words[t] = word;
    last = Math.max(last, end[t]);
  }
  return Object.freeze({ text, start, end, codePointStart, codePointEnd, where, words });
}
