import { log } from "@logits/statistics";
import { Tensor, checkInteger, describe, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, typeError, type CsrMatrix, type LongWorkOptions, type Steps, type TensorJSON } from "@logits/tensor";
import { murmur3 } from "./hashedNgramsMurmur3.ts";
import { TextNormaliser } from "./hashedNgramsText.ts";

const FORMAT = "logits/hashed-ngrams";

/** Lengths of n-grams: from the first to the second, integers in [1, 8]. */
export type NgramRange = readonly [from: number, to: number];

/** Options of `hashedNgrams` and `HashedNgrams.fit`. */
export interface HashedNgramsOptions {
  /** F, an integer in [1, 2^24]. Default 2^15. */
  readonly buckets?: number;
  /** Lengths of the n-grams of words; null: none. Default [1, 2]. */
  readonly word?: NgramRange | null;
  /** Lengths of the n-grams of characters; null: none. Default [2, 4]. */
  readonly char?: NgramRange | null;
}

/** What `HashedNgrams` writes as JSON. */
export interface HashedNgramsJSON {
  readonly format: "logits/hashed-ngrams";
  readonly version: 1;
  readonly buckets: number;
  readonly word: NgramRange | null;
  readonly char: NgramRange | null;
  readonly n: number;
  readonly idf: TensorJSON;
}

/**
 * Texts as sparse features that need no vocabulary: n-grams of words and of characters, hashed into buckets.
 *
 *   x = v / |v|,   v = w / |w| + c / |c|,   w[b], c[b] = 1 + ln(number of n-grams of words, of characters in bucket b), 0 where there is none
 *
 * Text: Unicode NFC, lower case (no locale), words end at white space, control characters and punctuation; an apostrophe inside a word belongs to it. n-grams of words stand
 * between two marks, so that n >= 2 sees the beginning and the end; n-grams of characters (code points) stay within a word, which has a space on each side (`char_wb` of
 * scikit-learn, shorter words once as a whole). Bucket: MurmurHash3 (32 bit) of the UTF-8 bytes, seed 0 for words and 1 for characters, modulo F; all counts are positive.
 *
 * @param texts - N strings; a lone surrogate counts as U+FFFD
 * @returns CSR [N, F], columns rising in each row, rows of length 1; a text without words (empty, only punctuation) is a row without elements. Never NaN. The same bits in
 *   every engine, up to characters that are newer than the engine's Unicode tables
 * @throws TypeError for anything but strings; RangeError for a range or a number of buckets outside its bounds, or no n-grams at all
 * @example
 *   hashedNgrams(["how do i sail to the moon"], { buckets: 2 ** 16 }).shape; // [1, 65536]
 * Source: Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009; sublinear counts: Manning, Raghavan, Schütze 2008, section 6.4.1.
 */
export function hashedNgrams(texts: readonly string[], options: HashedNgramsOptions = {}): CsrMatrix {
  return runSteps(weighted("hashedNgrams", texts, settingsOf("hashedNgrams", options), undefined));
}

/**
 * `hashedNgrams` with weights for rare n-grams, learned from texts.
 *
 *   w[b], c[b] = (1 + ln count) idf[b],   idf[b] = 1 + ln((1 + N) / (1 + texts that have an n-gram in bucket b))
 *
 * An n-gram that no text of the fit has gets the largest weight, so that unknown words stay visible to a detector.
 *
 * @example
 *   const ngrams = HashedNgrams.fit(trainingTexts);
 *   const head = LinearHead.fit(ngrams.transform(trainingTexts), labels);
 *   head.logits(ngrams.transform(["how do i sail to the moon"]));
 * Source: as `hashedNgrams`; smoothed idf as in scikit-learn's TfidfTransformer.
 */
export class HashedNgrams {
  /** F. */
  readonly buckets: number;
  readonly word: NgramRange | null;
  readonly char: NgramRange | null;
  /** Texts of the fit. */
  readonly n: number;
  /** float32 [F], in [1, 1 + ln(1 + N)]. */
  readonly idf: Tensor<"float32">;

  private constructor(settings: Settings, n: number, idf: Tensor<"float32">) {
    this.buckets = settings.buckets;
    this.word = settings.word;
    this.char = settings.char;
    this.n = n;
    this.idf = idf;
    Object.freeze(this);
  }

  /**
   * Counts in how many texts each bucket occurs.
   *
   * @param texts - N >= 1 strings
   * @throws as `hashedNgrams`, and RangeError for no texts
   */
  static fit(texts: readonly string[], options: HashedNgramsOptions = {}): HashedNgrams {
    return runSteps(HashedNgrams.#steps("HashedNgrams.fit", texts, options));
  }

  /** `fit` with pauses: the same bits. The texts must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(texts: readonly string[], options: HashedNgramsOptions & LongWorkOptions = {}): Promise<HashedNgrams> {
    return runStepsAsync(HashedNgrams.#steps("HashedNgrams.fitAsync", texts, options), options);
  }

  static *#steps(where: string, texts: readonly string[], options: HashedNgramsOptions): Steps<HashedNgrams> {
    const settings = settingsOf(where, options);
    checkTexts(where, texts);
    if (texts.length === 0) throw rangeError(where, "texts", "at least one", "none");
    const counter = new Counter(settings);
    const documents = new Int32Array(settings.buckets);
    for (let n = 0; n < texts.length; n++) {
      counter.count(texts[n]);
      for (const bucket of counter.buckets()) documents[bucket]++;
      counter.clear();
      if (n % PIECE === 0) yield n / texts.length;
    }
    const idf = Float32Array.from(documents, (count) => 1 + log((1 + texts.length) / (1 + count)));
    return new HashedNgrams(settings, texts.length, new Tensor("float32", [settings.buckets], idf));
  }

  /**
   * Features of texts.
   *
   * @param texts - N strings, any
   * @returns CSR [N, F], as of `hashedNgrams`
   * @throws TypeError for anything but strings
   */
  transform(texts: readonly string[]): CsrMatrix {
    return runSteps(weighted("HashedNgrams.transform", texts, this, this.idf.data));
  }

  /** `transform` with pauses: the same bits. The texts must not change meanwhile. Rejects with the signal's reason on abort. */
  async transformAsync(texts: readonly string[], options: LongWorkOptions = {}): Promise<CsrMatrix> {
    return runStepsAsync(weighted("HashedNgrams.transformAsync", texts, this, this.idf.data), options);
  }

  toJSON(): HashedNgramsJSON {
    const { buckets, word, char, n, idf } = this;
    return { format: FORMAT, version: 1, buckets, word, char, n, idf: tensorToJSON(idf) };
  }

  /**
   * Reads what `toJSON` wrote, bit by bit.
   *
   * @param json - a parsed JSON value
   * @throws FormatError, naming the field, for another format or version, or a field that is missing or not what it must be
   */
  static fromJSON(json: unknown): HashedNgrams {
    const fields = readJson("HashedNgrams.fromJSON", json, FORMAT, 1, "@logits/head");
    const buckets = fields.integer("buckets", 1, MOST_BUCKETS);
    const range = (field: "word" | "char"): NgramRange | null => {
      const value = (json as Record<string, unknown>)[field];
      if (value === null) return null;
      const wrong = rangeProblem(fields.value(field));
      return wrong === undefined ? [(value as NgramRange)[0], (value as NgramRange)[1]] : fields.fail(field, RANGE, wrong);
    };
    const settings = { buckets, word: range("word"), char: range("char") };
    if (settings.word === null && settings.char === null) fields.fail("char", "a range where `word` is null", "null");
    const n = fields.integer("n", 1, Number.MAX_SAFE_INTEGER);
    const idf = fields.tensor("idf", "float32", 1);
    if (idf.size !== buckets) fields.fail("idf", `of shape [${buckets}], one for each bucket`, `[${idf.size}]`);
    const bad = idf.data.findIndex((weight) => !(weight > 0));
    if (bad >= 0) fields.fail("idf", "positive numbers", `${idf.data[bad]} at index ${bad}`);
    return new HashedNgrams(settings, n, idf);
  }
}

const MOST_BUCKETS = 16777216;
const LONGEST = 8;
const RANGE = `[from, to] of integers with 1 <= from <= to <= ${LONGEST}`;
/** Texts between two pauses: about a millisecond. */
const PIECE = 64;

interface Settings {
  readonly buckets: number;
  readonly word: NgramRange | null;
  readonly char: NgramRange | null;
}

function settingsOf(where: string, { buckets = 32768, word = [1, 2], char = [2, 4] }: HashedNgramsOptions): Settings {
  checkInteger(where, "buckets", buckets, 1, MOST_BUCKETS);
  for (const [name, range] of [["word", word], ["char", char]] as const) {
    const wrong = range === null ? undefined : rangeProblem(range);
    if (wrong !== undefined) throw rangeError(where, name, `${RANGE}, or null`, wrong);
  }
  if (word === null && char === null) throw rangeError(where, "char", "a range where `word` is null", "null");
  return { buckets, word: word && [word[0], word[1]], char: char && [char[0], char[1]] };
}

function rangeProblem(range: unknown): string | undefined {
  if (!Array.isArray(range)) return describe(range);
  const [from, to] = range as unknown[];
  const fine = range.length === 2 && Number.isInteger(from) && Number.isInteger(to) && (from as number) >= 1 && (from as number) <= (to as number) && (to as number) <= LONGEST;
  return fine ? undefined : `[${range.join(", ")}]`;
}

function checkTexts(where: string, texts: readonly string[]): void {
  if (!Array.isArray(texts)) throw typeError(where, "texts", "an array of strings", describe(texts), typeof texts === "string" ? "Pass [text]" : undefined);
  const bad = texts.findIndex((text) => typeof text !== "string");
  if (bad >= 0) throw typeError(where, "texts", "an array of strings", `${describe(texts[bad])} at index ${bad}`);
}

function* weighted(where: string, texts: readonly string[], settings: Settings, idf: Float32Array | undefined): Steps<CsrMatrix> {
  checkTexts(where, texts);
  const counter = new Counter(settings);
  const indptr = new Int32Array(texts.length + 1);
  let indices = new Int32Array(128 * Math.max(1, texts.length)), data = new Float32Array(indices.length), used = 0;
  for (let n = 0; n < texts.length; n++) {
    counter.count(texts[n]);
    const row = counter.buckets();
    if (used + row.length > indices.length) {
      const size = 2 * (used + row.length);
      const [wider, longer] = [new Int32Array(size), new Float32Array(size)];
      wider.set(indices.subarray(0, used));
      longer.set(data.subarray(0, used));
      [indices, data] = [wider, longer];
    }
    indices.set(row, used);
    counter.values(row, idf, data.subarray(used, used + row.length));
    counter.clear();
    indptr[n + 1] = used += row.length;
    if (n % PIECE === 0) yield n / texts.length;
  }
  return { shape: [texts.length, settings.buckets], indptr, indices: indices.slice(0, used), data: data.slice(0, used) };
}

/** Counts the n-grams of one text by bucket, words and characters apart. */
class Counter {
  readonly #settings: Settings;
  readonly #texts = new TextNormaliser();
  readonly #words: Int32Array;
  readonly #chars: Int32Array;
  #touched = new Int32Array(512);
  #size = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#words = new Int32Array(settings.buckets);
    this.#chars = new Int32Array(settings.buckets);
  }

  count(text: string): void {
    const { word, char, buckets } = this.#settings;
    const { bytes, points, pointCount, spaces, wordCount } = this.#texts.normalise(text);
    const add = (counts: Int32Array, seed: number, from: number, to: number): void => {
      const bucket = murmur3(bytes, from, to, seed) % buckets;
      if (this.#words[bucket] === 0 && this.#chars[bucket] === 0) {
        if (this.#size === this.#touched.length) {
          const longer = new Int32Array(2 * this.#size);
          longer.set(this.#touched);
          this.#touched = longer;
        }
        this.#touched[this.#size++] = bucket;
      }
      counts[bucket]++;
    };
    if (word !== null && wordCount > 0) {
      for (let length = word[0]; length <= word[1]; length++) {
        // A mark is an empty word before the first and after the last: its n-gram begins or ends with the space that joins them.
        const marks = length === 1 ? 0 : 1;
        for (let first = -marks; first + length <= wordCount + marks; first++) {
          const last = first + length - 1;
          const from = first < 0 ? points[spaces[0]] : points[spaces[first] + 1];
          const to = last === wordCount ? points[pointCount] : points[spaces[last + 1]];
          add(this.#words, 0, from, to);
        }
      }
    }
    if (char === null) return;
    for (let w = 0; w < wordCount; w++) {
      const start = spaces[w], size = spaces[w + 1] + 1 - start;
      for (let length = char[0]; length <= char[1]; length++) {
        if (length >= size) {
          add(this.#chars, 1, points[start], points[start + size]);
          break;
        }
        for (let at = start; at + length <= start + size; at++) add(this.#chars, 1, points[at], points[at + length]);
      }
    }
  }

  /** The buckets with a count, rising; valid until `clear`. */
  buckets(): Int32Array {
    return this.#touched.subarray(0, this.#size).sort();
  }

  /** The features of the counted text, one for each of `row`. */
  values(row: Int32Array, idf: Float32Array | undefined, out: Float32Array): void {
    const x = new Float64Array(row.length);
    for (const counts of [this.#words, this.#chars]) {
      let squares = 0;
      for (const bucket of row) squares += this.#value(counts[bucket], idf?.[bucket]) ** 2;
      if (squares === 0) continue;
      const scale = 1 / Math.sqrt(squares);
      for (let j = 0; j < row.length; j++) x[j] += this.#value(counts[row[j]], idf?.[row[j]]) * scale;
    }
    let squares = 0;
    for (const value of x) squares += value ** 2;
    const scale = 1 / Math.sqrt(squares);
    for (let j = 0; j < row.length; j++) out[j] = x[j] * scale;
  }

  #value(count: number, idf = 1): number {
    return count === 0 ? 0 : count === 1 ? idf : (1 + log(count)) * idf;
  }

  clear(): void {
    for (let i = 0; i < this.#size; i++) this.#words[this.#touched[i]] = this.#chars[this.#touched[i]] = 0;
    this.#size = 0;
  }
}
