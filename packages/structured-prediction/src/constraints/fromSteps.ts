import type { Automaton } from "../automaton.ts";
import { minimised } from "./minimised.ts";
import { STATE_LIMIT, tooManyStates } from "./stateLimit.ts";

/** A language by what happens at each label. */
export interface Steps<State> {
  readonly start: State;
  /** The state after a label, undefined = the label is not allowed there. */
  step(state: State, label: number): State | undefined;
  accepts(state: State): boolean;
  /** Equal for equal states. */
  key(state: State): number | string;
}

/** The automaton of all states that are reached. */
export function fromSteps<State>(where: string, argument: string, labels: number, { start, step, accepts, key }: Steps<State>): Automaton {
  const states = [start], index = new Map([[key(start), 0]]), next: number[] = [];
  for (let q = 0; q < states.length; q++) {
    for (let y = 0; y < labels; y++) {
      const to = step(states[q], y);
      if (to === undefined) {
        next.push(-1);
        continue;
      }
      const known = index.get(key(to));
      if (known === undefined) {
        if (states.length === STATE_LIMIT) throw tooManyStates(where, argument, STATE_LIMIT);
        index.set(key(to), states.length);
      }
      next.push(known ?? states.length);
      if (known === undefined) states.push(to);
    }
  }
  return minimised(labels, next, states.map((q) => (accepts(q) ? 1 : 0)), 0);
}
