import { checkInteger, rangeError } from "@logits/tensor";
import { minimised } from "./constraints/minimised.ts";

/**
 * A language over labels: a deterministic automaton, so that every sequence has one path and is counted once.
 *
 * What the builders give is trimmed (some accepted sequence visits every state), minimal (no two states accept the same) and numbered in the order in which
 * states are reached, label by label: two automata of the same language are equal field by field.
 */
export interface Automaton {
  /** C. */
  readonly labels: number;
  readonly states: number;
  /** The state before the first label. -1: the empty language, which has no states. */
  readonly start: number;
  /** uint8 [states], 1 = a sequence may end here. */
  readonly accepting: Uint8Array;
  /** int32 [states, labels]: the state after a label, -1 = the label is not allowed there. */
  readonly next: Int32Array;
}

/**
 * A language from the table of a deterministic automaton, trimmed and minimised.
 *
 * @param labels - C, at least 1
 * @param next - int32 [states * labels]: the state after a label, -1 = not allowed
 * @param accepting - [states], 1 = a sequence may end here
 * @param start - state before the first label. Default 0
 * @throws RangeError for sizes that do not fit or a state outside [0, states)
 * @example automaton(2, [0, 1, 1, 0], [1, 0]); // an even number of labels 1
 * Source: Valmari, "Fast brief practical DFA minimization", Information Processing Letters 112 (2012), after Hopcroft 1971.
 */
export function automaton(labels: number, next: ArrayLike<number>, accepting: ArrayLike<number>, start = 0): Automaton {
  const where = "automaton";
  checkInteger(where, "labels", labels, 1, 0x7fffffff);
  const states = accepting.length;
  if (next.length !== states * labels) throw rangeError(where, "next", `of ${states} * ${labels} states`, `${next.length}`);
  checkInteger(where, "start", start, 0, states - 1);
  for (let k = 0; k < next.length; k++) {
    if (!Number.isInteger(next[k]) || next[k] < -1 || next[k] >= states) checkInteger(where, `next[${Math.floor(k / labels)}, ${k % labels}]`, next[k], -1, states - 1);
  }
  return minimised(labels, next, accepting, start);
}

/** Whether the sequence without labels is possible: it is where there is no constraint. */
export function acceptsNothing(constraint: Automaton | undefined): boolean {
  return constraint === undefined || (constraint.start >= 0 && constraint.accepting[constraint.start] === 1);
}
