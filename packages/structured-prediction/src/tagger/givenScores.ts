import { describe, typeError } from "@logits/tensor";
import type { Columns } from "./conll.ts";
import { columnsOf, type FeatureFunction } from "./dataset.ts";
import { SEED, hashed, type ModelFile } from "./modelFile.ts";

/** Signs of attributes that are looked up together. */
const TEXT = 4096;
const ENCODER = new TextEncoder();

/** Sums of the weights of attributes that a function of the caller makes. They are encoded and looked up many at a time. */
export class GivenScores {
  readonly #file: ModelFile;
  readonly #features: FeatureFunction;
  readonly #row: Float64Array;
  /** Attributes of the tokens at hand, their text, and how many each token has. */
  readonly #names: string[] = [];
  #text = "";
  readonly #counts: number[] = [];
  #bytes = new Uint8Array(8 * TEXT);
  /** Where the bytes of each attribute end, its hash, what it could be; its first pair and the one after its last. */
  #ends = new Int32Array(0);
  #hashes = new Int32Array(0);
  #found = new Int32Array(0);
  #firstPairs = new Int32Array(0);
  #endPairs = new Int32Array(0);

  constructor(file: ModelFile, features: FeatureFunction) {
    this.#file = file;
    this.#features = features;
    this.#row = new Float64Array(file.labels.length);
  }

  /** Writes the sums of a sentence's tokens to emissions, from `at` on. */
  write(where: string, argument: string, given: readonly (string | Columns)[], emissions: Float32Array, at: number): void {
    const tokens = columnsOf(where, argument, given, this.#features), names = this.#names, counts = this.#counts;
    names.length = counts.length = 0;
    this.#text = "";
    for (let t = 0, first = 0; t < tokens.length; t++) {
      const before = names.length;
      for (const name of this.#features(tokens, t)) {
        if (typeof name !== "string") throw typeError(where, "features", "a function whose attributes are strings", describe(name));
        names.push(name);
        this.#text += name;
      }
      counts.push(names.length - before);
      if (this.#text.length < TEXT && t < tokens.length - 1) continue;
      this.#answer();
      this.#add(emissions, at + first * this.#row.length);
      first = t + 1;
      names.length = counts.length = 0;
      this.#text = "";
    }
  }

  /** Finds the attributes at hand. */
  #answer(): void {
    const names = this.#names, text = this.#text, count = names.length;
    if (count > this.#ends.length) [this.#ends, this.#hashes, this.#found, this.#firstPairs, this.#endPairs] = Array.from({ length: 5 }, () => new Int32Array(2 * count));
    if (3 * text.length > this.#bytes.length) this.#bytes = new Uint8Array(6 * text.length);
    const file = this.#file, bytes = this.#bytes, ends = this.#ends, hashes = this.#hashes, found = this.#found;
    // Of letters of ASCII alone each is a byte; a call for each attribute would take longer than all the rest.
    const plain = ENCODER.encodeInto(text, bytes).written === text.length;
    for (let i = 0, from = 0; i < count; from = ends[i++]) {
      ends[i] = from + (plain ? names[i].length : ENCODER.encodeInto(names[i], bytes.subarray(from)).written);
      hashes[i] = hashed(bytes, from, ends[i], SEED);
    }
    file.candidates(hashes, count, found);
    const firstPairs = this.#firstPairs, endPairs = this.#endPairs, { pairStarts } = file;
    for (let i = 0, from = 0; i < count; from = ends[i++]) {
      const a = found[i] < 0 || file.is(found[i], bytes, from, ends[i]) ? found[i] : file.find(bytes, from, ends[i], hashes[i]);
      firstPairs[i] = a < 0 ? 0 : pairStarts[a];
      endPairs[i] = a < 0 ? 0 : pairStarts[a + 1];
    }
    file.fetch(firstPairs, count);
  }

  #add(emissions: Float32Array, at: number): void {
    const { pairLabels, weights } = this.#file, counts = this.#counts, row = this.#row, C = row.length, firstPairs = this.#firstPairs, endPairs = this.#endPairs;
    for (let t = 0, i = 0; t < counts.length; t++, at += C) {
      row.fill(0);
      for (const stop = i + counts[t]; i < stop; i++) for (let p = firstPairs[i], end = endPairs[i]; p < end; p++) row[pairLabels[p]] += weights[p];
      for (let c = 0; c < C; c++) emissions[at + c] = row[c];
    }
  }
}
