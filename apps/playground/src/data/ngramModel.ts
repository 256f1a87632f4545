import { log } from "@logits/statistics";

/** A language model that anyone can read: a trigram model with interpolated Kneser-Ney smoothing, counted from sentences in a moment. Source: R. Kneser and H. Ney, 1995; S. Chen and J. Goodman, 1998. */
export interface NgramModel {
  /** Words; the first one stands for the end of a sentence. */
  readonly words: readonly string[];
  /** The number of a word; undefined: never seen. */
  readonly idOf: (word: string) => number | undefined;
  /** log p(w | the last two words of `prefix`) for every word w, float32 [V]. An unknown word (-1) tells nothing. */
  readonly logits: (prefix: readonly number[]) => Float32Array;
}

/** What is written for the end of a sentence. */
export const END = "⏎";
const DISCOUNT = 0.75;

/** What follows a context: how often, or behind how many different words. */
class Followers {
  readonly #counts = new Map<number, number>();
  #total = 0;

  add(word: number): number {
    const count = (this.#counts.get(word) ?? 0) + 1;
    this.#counts.set(word, count);
    this.#total++;
    return count;
  }

  /** Mixes what follows here into what a shorter context says; each count gives a share of one occurrence up. */
  mix(p: Float64Array): void {
    const spare = (DISCOUNT * this.#counts.size) / this.#total;
    for (let word = 0; word < p.length; word++) p[word] *= spare;
    for (const [word, count] of this.#counts) p[word] += (count - DISCOUNT) / this.#total;
  }
}

/** Words of a sentence, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter((word) => word !== "");
}

/** Counts a model from sentences. */
export function ngramModel(sentences: readonly string[]): NgramModel {
  const ids = new Map([[END, 0]]), ONCE = -2;
  const texts = sentences.map((sentence) => [...wordsOf(sentence).map((word) => {
    if (!ids.has(word)) ids.set(word, ids.size);
    return ids.get(word)!;
  }), 0]);
  const pairs = new Map<number, Map<number, Followers>>(), singles = new Map<number, Followers>(), none = new Followers();
  for (const text of texts) {
    text.forEach((word, i) => {
      const last = text[i - 1] ?? ONCE, before = text[i - 2] ?? ONCE;
      if (!pairs.has(before)) pairs.set(before, new Map());
      const behind = pairs.get(before)!;
      if (!behind.has(last)) behind.set(last, new Followers());
      // A shorter context counts the different words before it, not how often: "francisco" follows one word only.
      if (behind.get(last)!.add(word) > 1) return;
      if (!singles.has(last)) singles.set(last, new Followers());
      if (singles.get(last)!.add(word) === 1) none.add(word);
    });
  }
  const words = [...ids.keys()];
  return {
    words,
    idOf: (word) => ids.get(word),
    logits: (prefix) => {
      const last = prefix.at(-1) ?? ONCE, p = new Float64Array(words.length).fill(1 / words.length);
      none.mix(p);
      singles.get(last)?.mix(p);
      pairs.get(prefix.at(-2) ?? ONCE)?.get(last)?.mix(p);
      // The same bits in every engine, as Math.log is not.
      return Float32Array.from(p, log);
    },
  };
}
