import { checkInteger, rangeError } from "@logits/tensor";

/**
 * A language over labels: a deterministic automaton, so that every sequence has one path and is counted once.
 *
 * States that no accepted sequence visits are not there: `automaton` removes them.
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
 * Checks an automaton, and removes states that no accepted sequence visits.
 *
 * @param labels - C, at least 1
 * @param next - int32 [states * labels], -1 = not allowed
 * @param accepting - [states], 1 = a sequence may end here
 * @param start - state before the first label. Default 0
 * @throws RangeError for sizes that do not fit or a state outside [0, states)
 */
export function automaton(labels: number, next: ArrayLike<number>, accepting: ArrayLike<number>, start = 0): Automaton {
  const where = "automaton";
  checkInteger(where, "labels", labels, 1, 0x7fffffff);
  const states = accepting.length;
  if (next.length !== states * labels) throw rangeError(where, "next", `of ${states} * ${labels} states`, `${next.length}`);
  checkInteger(where, "start", start, 0, states - 1);
  const back: number[][] = Array.from({ length: states }, () => []);
  for (let q = 0; q < states; q++) {
    for (let y = 0; y < labels; y++) {
      const to = next[q * labels + y];
      checkInteger(where, `next[${q}, ${y}]`, to, -1, states - 1);
      if (to >= 0) back[to].push(q);
    }
  }
  const reached = closure([start], (q) => Array.from({ length: labels }, (_, y) => next[q * labels + y]).filter((to) => to >= 0));
  const useful = closure(Array.from({ length: states }, (_, q) => q).filter((q) => accepting[q] === 1 && reached.has(q)), (q) => back[q].filter((from) => reached.has(from)));
  const kept = Array.from({ length: states }, (_, q) => q).filter((q) => useful.has(q));
  const index = new Map(kept.map((q, k) => [q, k]));
  return Object.freeze({
    labels,
    states: kept.length,
    start: index.get(start) ?? -1,
    accepting: Uint8Array.from(kept, (q) => (accepting[q] === 1 ? 1 : 0)),
    next: Int32Array.from({ length: kept.length * labels }, (_, k) => index.get(next[kept[Math.floor(k / labels)] * labels + (k % labels)]) ?? -1),
  });
}

/** All that is reached from `from`. */
function closure(from: readonly number[], step: (q: number) => readonly number[]): Set<number> {
  const seen = new Set(from), stack = [...from];
  while (stack.length > 0) {
    for (const q of step(stack.pop()!)) {
      if (seen.has(q)) continue;
      seen.add(q);
      stack.push(q);
    }
  }
  return seen;
}
