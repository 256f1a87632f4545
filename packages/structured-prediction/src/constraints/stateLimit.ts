import { rangeError } from "@logits/tensor";

/** Most states of an automaton while it is built: beyond it, a language is too much for a chain in any case. */
export const STATE_LIMIT = 65536;

/** The error of a language that needs more. */
export function tooManyStates(where: string, argument: string, limit: number): RangeError {
  return rangeError(where, argument, `with at most ${limit} states`, "more", "Smaller counts, or fewer of them at once, need fewer states");
}
