import { asInt32, checkInteger, checkShape, type TensorLike } from "@logits/tensor";
import type { Automaton } from "../automaton.ts";

/**
 * Whether a language holds a sequence of labels.
 *
 * @param language - over C labels
 * @param labels - int32 [T]; T = 0 asks for the empty sequence
 * @throws RangeError for a label outside [0, C)
 * @example accepts(tagScheme(["O", "B-X", "I-X"], "BIO"), [0, 2]); // false
 * Source: folklore.
 */
export function accepts(language: Automaton, labels: TensorLike): boolean {
  const { data, shape } = asInt32("accepts", "labels", labels);
  checkShape("accepts", "labels", { shape }, ["T"]);
  let q = language.start;
  for (let t = 0; t < data.length; t++) {
    checkInteger("accepts", `labels[${t}]`, data[t], 0, language.labels - 1);
    if (q >= 0) q = language.next[q * language.labels + data[t]];
  }
  return q >= 0 && language.accepting[q] === 1;
}

/**
 * The number of sequences of T labels that a language holds, exactly.
 *
 * @param language - over C labels
 * @param length - T, at least 0
 * @returns a bigint: C^T outgrows float64 soon
 * @throws RangeError for a length that is not an integer
 * @example countAccepted(tagScheme(["O", "B-X", "I-X"], "BIO"), 2); // 7n of 9
 * Source: the transfer matrix method; Stanley, "Enumerative Combinatorics" 1, section 4.7.
 */
export function countAccepted(language: Automaton, length: number): bigint {
  checkInteger("countAccepted", "length", length, 0, 0x7fffffff);
  const { labels, states, start, accepting, next } = language;
  let counts = new Array<bigint>(states).fill(0n);
  if (start >= 0) counts[start] = 1n;
  for (let t = 0; t < length; t++) {
    const after = new Array<bigint>(states).fill(0n);
    for (let q = 0; q < states; q++) {
      if (counts[q] === 0n) continue;
      for (let y = 0; y < labels; y++) {
        const to = next[q * labels + y];
        if (to >= 0) after[to] += counts[q];
      }
    }
    counts = after;
  }
  return counts.reduce((sum, n, q) => (accepting[q] === 1 ? sum + n : sum), 0n);
}
