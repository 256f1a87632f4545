import { intervalNotes, matchedNotes, noisyRoll, thresholdNotes, weightsFor, type Excerpt, type Note } from "../data/pianoRoll.ts";
import carried from "../data/pianoRoll.json";

/** Melodies that the page carries. */
export const EXCERPTS: readonly Excerpt[] = carried.excerpts;

/** Notes found in a noisy roll. */
export interface Found {
  readonly notes: readonly Note[];
  /** With the right pitch, onset and end. */
  readonly right: number;
  readonly f1: number;
}

/** A noisy roll, read in two ways. */
export interface Heard {
  readonly excerpt: Excerpt;
  readonly threshold: Found;
  readonly intervals: Found;
}

const found = (notes: readonly Note[], excerpt: Excerpt): Found => {
  const { right, given } = matchedNotes(notes, excerpt.notes, true);
  return { notes, right, f1: notes.length + given === 0 ? 1 : (2 * right) / (notes.length + given) };
};

/** Adds noise to a melody and finds the notes again. */
export function listen({ melody, level, threshold, seed }: { readonly melody: number; readonly level: number; readonly threshold: number; readonly seed: number }): Heard {
  const excerpt = EXCERPTS[melody], roll = noisyRoll(excerpt, level, seed);
  return { excerpt, threshold: found(thresholdNotes(roll, excerpt.tracks, threshold), excerpt), intervals: found(intervalNotes(roll, excerpt.tracks, weightsFor(level, carried.weights)), excerpt) };
}
