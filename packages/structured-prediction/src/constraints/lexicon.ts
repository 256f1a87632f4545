import { rangeError } from "@logits/tensor";
import type { Automaton } from "../automaton.ts";
import { indicesOf, labelIndex } from "./labelNames.ts";
import { minimised } from "./minimised.ts";

/**
 * The language of these sequences of labels and no others: a trie, minimised.
 *
 * @param sequences - names of labels; a sequence that is given twice counts once
 * @param labels - name of each label, C different ones
 * @throws RangeError that names what is no label
 * @example lexicon([["A", "B"], ["A", "C", "B"]], ["A", "B", "C"]);
 * Source: Fredkin, "Trie memory", Communications of the ACM 3 (1960).
 */
export function lexicon(sequences: readonly (readonly string[])[], labels: readonly string[]): Automaton {
  const where = "lexicon", index = labelIndex(where, labels), C = labels.length;
  const next: number[] = new Array<number>(C).fill(-1), accepting = [0];
  for (const [k, names] of sequences.entries()) {
    let q = 0;
    for (const y of indicesOf(where, `sequences[${k}]`, names, index)) {
      if (next[q * C + y] < 0) {
        if ((accepting.length + 1) * C > 0x4000000) throw rangeError(where, "sequences", `with at most ${Math.floor(0x4000000 / C)} different beginnings`, "more");
        next[q * C + y] = accepting.push(0) - 1;
        for (let z = 0; z < C; z++) next.push(-1);
      }
      q = next[q * C + y];
    }
    accepting[q] = 1;
  }
  return minimised(C, next, accepting, 0);
}
