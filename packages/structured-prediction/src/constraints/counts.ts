import type { Automaton } from "../automaton.ts";
import { checkedBounds, type Bounds } from "./bounds.ts";
import { fromSteps } from "./fromSteps.ts";
import { indicesOf, labelIndex } from "./labelNames.ts";

/** Which labels are counted, and how many there may be. */
export interface CardinalityOptions extends Bounds {
  /** Names of the labels that count. */
  readonly of: readonly string[];
}

/**
 * Sequences in which some labels stand at least so often and at most so often, taken together.
 *
 * Counts labels, not spans: `spanCount` counts those.
 *
 * @param labels - name of each label, C different ones
 * @param options - `of`: the labels that count; `atLeast` (default 0), `atMost` (default Infinity)
 * @throws RangeError for a name that is no label, bounds that cross, more than 65,536 states
 * @example cardinality(["O", "SUBJECT", "OBJECT"], { of: ["SUBJECT"], atLeast: 1, atMost: 1 });
 * Source: folklore; as a constraint of a chain: Papay, Klinger, Pado 2022.
 */
export function cardinality(labels: readonly string[], options: CardinalityOptions): Automaton {
  const where = "cardinality", index = labelIndex(where, labels), { atLeast, atMost } = checkedBounds(where, options);
  const counted = new Set(indicesOf(where, "of", options.of, index)), cap = atMost === Infinity ? atLeast : atMost;
  return fromSteps<number>(where, "atMost", labels.length, {
    start: 0,
    step: (n, y) => (!counted.has(y) ? n : n < cap ? n + 1 : atMost === Infinity ? n : undefined),
    accepts: (n) => n >= atLeast,
    key: (n) => n,
  });
}

/**
 * Sequences of a bounded length.
 *
 * @param labels - name of each label, C different ones
 * @param options - `atLeast` (default 0), `atMost` (default Infinity) labels. Without either: all sequences
 * @throws RangeError for bounds that cross, more than 65,536 states
 * @example lengthBetween(["A", "B"], { atMost: 3 });
 * Source: folklore.
 */
export function lengthBetween(labels: readonly string[], options: Bounds = {}): Automaton {
  const where = "lengthBetween", { atLeast, atMost } = checkedBounds(where, options), C = labelIndex(where, labels).size;
  const cap = atMost === Infinity ? atLeast : atMost;
  return fromSteps<number>(where, "atMost", C, {
    start: 0, step: (n) => (n < cap ? n + 1 : atMost === Infinity ? n : undefined), accepts: (n) => n >= atLeast, key: (n) => n,
  });
}
