import * as core from "@logits/core-wasm";
import { expectClose, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import type { Automaton } from "../automaton.ts";
import * as structured from "../index.ts";

interface Derivation { readonly actions: number[]; readonly logProb: number }
const { grammar, legal, search } = recipe<{
  grammar(actions: string[], words: number): Automaton;
  legal(language: Automaton, state: number, logits: ArrayLike<number>): Float32Array;
  search(language: Automaton, logits: (actions: readonly number[]) => ArrayLike<number>, width: number): Derivation[];
}>("shift-reduce-tagger", ["grammar", "legal", "search"], { "@logits/core-wasm": core, "@logits/structured-prediction": structured });

const ACTIONS = ["OUT", "SHIFT", "REDUCE-PER", "REDUCE-LOC"];
/** Scores that depend on all that was done. */
const scores = (seed: number) => (actions: readonly number[]): number[] => { const random = testRandom(actions.reduce((h, a) => h * 5 + a + 1, seed)); return ACTIONS.map(() => random.normal()); };

describe("spans by actions", () => {
  it("[paper:neural-architectures-for-named-entity-recognition] gives illegal actions probability 0, and derivations that sum to 1, one for each set of spans", () => {
    // Ways to lay spans of 2 types over n words: a(n) = a(n - 1) + 2 (a(0) + ... + a(n - 1)).
    for (const [words, count] of [[0, 1], [1, 3], [2, 11], [3, 41], [4, 153]] as const) {
      const language = grammar(ACTIONS, words), all = search(language, scores(words), 1e6);
      expect(all.length).toBe(count);
      expectClose(all.reduce((sum, { logProb }) => sum + Math.exp(logProb), 0), 1, { atol: 1e-5 });
      expect(new Set(all.map(({ actions }) => actions.join())).size).toBe(count);
      for (const { actions } of all) expect(actions.map((a) => ACTIONS[a][0]).join("")).toMatch(/^(O|S+R)*$/);
      // Greedy is a beam of 1: the best action at each step.
      const [greedy] = search(language, scores(words), 1);
      let state = language.start;
      for (const [k, a] of greedy.actions.entries()) {
        const masked = legal(language, state, scores(words)(greedy.actions.slice(0, k)));
        expect(masked[a]).toBe(Math.max(...masked));
        core.softmax(masked).data.forEach((p, b) => expect(p === 0).toBe(language.next[state * 4 + b] < 0));
        state = language.next[state * 4 + a];
      }
      expect(all[0].logProb).toBeGreaterThanOrEqual(greedy.logProb);
    }
  });
});
