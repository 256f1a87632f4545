import { rangeError } from "@logits/tensor";
import type { Automaton } from "../automaton.ts";
import { checkedBounds, type Bounds } from "./bounds.ts";
import { fromSteps } from "./fromSteps.ts";
import { Nondeterministic } from "./nondeterministic.ts";
import { STATE_LIMIT } from "./stateLimit.ts";

function checkSame(where: string, [first, ...others]: readonly Automaton[]): void {
  for (const [k, other] of others.entries()) if (other.labels !== first.labels) throw rangeError(where, "languages", `over ${first.labels} labels, as the first`, `${other.labels} labels in language ${k + 1}`);
}

/** Both at once: a pair of states, -1 = that language holds no such sequence any more. */
function product(where: string, a: Automaton, b: Automaton, both: boolean): Automaton {
  const accepted = (language: Automaton, q: number): boolean => q >= 0 && language.accepting[q] === 1;
  const after = (language: Automaton, q: number, y: number): number => (q < 0 ? -1 : language.next[q * language.labels + y]);
  return fromSteps<readonly [number, number]>(where, "languages", a.labels, {
    start: [a.start, b.start],
    step: ([p, q], y) => {
      const to = [after(a, p, y), after(b, q, y)] as const;
      return (both ? to[0] < 0 || to[1] < 0 : to[0] < 0 && to[1] < 0) ? undefined : to;
    },
    accepts: ([p, q]) => (both ? accepted(a, p) && accepted(b, q) : accepted(a, p) || accepted(b, q)),
    key: ([p, q]) => (p + 1) * (b.states + 1) + q + 1,
  });
}

/**
 * The sequences that are in every one of the languages.
 *
 * @param language - over C labels; `others` likewise
 * @throws RangeError for languages over different numbers of labels, more than 65,536 pairs of states
 * @example intersect(tagScheme(labels, "BIO"), cardinality(labels, { of: ["B-DATE"], atMost: 1 }));
 * Source: Rabin and Scott, "Finite automata and their decision problems", IBM Journal 3 (1959).
 */
export function intersect(language: Automaton, ...others: readonly Automaton[]): Automaton {
  checkSame("intersect", [language, ...others]);
  return others.reduce((a, b) => product("intersect", a, b, true), language);
}

/**
 * The sequences that are in at least one of the languages; one that is in several counts once.
 *
 * @param language - over C labels; `others` likewise
 * @throws RangeError for languages over different numbers of labels, more than 65,536 pairs of states
 * @example union(regularLanguage("A*", labels), regularLanguage("B*", labels));
 * Source: Rabin and Scott 1959.
 */
export function union(language: Automaton, ...others: readonly Automaton[]): Automaton {
  checkSame("union", [language, ...others]);
  return others.reduce((a, b) => product("union", a, b, false), language);
}

/**
 * All sequences of labels that are not in a language; the empty one too, unless the language has it.
 *
 * @param language - over C labels
 * @example complement(regularLanguage(".* A B .*", labels)); // never A before B
 * Source: Rabin and Scott 1959.
 */
export function complement(language: Automaton): Automaton {
  const { labels, start, accepting, next } = language;
  return fromSteps<number>("complement", "language", labels, {
    start, step: (q, y) => (q < 0 ? -1 : next[q * labels + y]), accepts: (q) => q < 0 || accepting[q] === 0, key: (q) => q,
  });
}

/**
 * A sequence of the first language, then one of the second, and so on. Where the border can lie in several places, the sequence counts once.
 *
 * @param language - over C labels; `others` likewise
 * @throws RangeError for languages over different numbers of labels, more than 65,536 states before minimising
 * @example concatenate(header, body);
 * Source: Rabin and Scott 1959, theorem 11 (sets of states).
 */
export function concatenate(language: Automaton, ...others: readonly Automaton[]): Automaton {
  const all = [language, ...others];
  checkSame("concatenate", all);
  const nfa = new Nondeterministic("concatenate", "languages", STATE_LIMIT);
  return nfa.determinised(language.labels, nfa.sequence(all.map((one) => nfa.language(one))));
}

/**
 * Sequences of a language, one after another, as many as the bounds say.
 *
 * @param language - over C labels
 * @param options - `atLeast` (default 0), `atMost` (default Infinity)
 * @throws RangeError for bounds that cross, more than 65,536 states before minimising
 * @example repeat(regularLanguage("B I*", labels), { atLeast: 2, atMost: 3 });
 * Source: Kleene, "Representation of events in nerve nets and finite automata", 1956.
 */
export function repeat(language: Automaton, options: Bounds = {}): Automaton {
  const { atLeast, atMost } = checkedBounds("repeat", options);
  const nfa = new Nondeterministic("repeat", "language", STATE_LIMIT);
  return nfa.determinised(language.labels, nfa.repeated(() => nfa.language(language), atLeast, atMost));
}
