import type { Automaton } from "../automaton.ts";

/** Every sequence of T labels out of C. */
export const sequences = (T: number, C: number): number[][] => (T === 0 ? [[]] : sequences(T - 1, C).flatMap((y) => Array.from({ length: C }, (_, j) => [...y, j])));

/** Every sequence of at most T labels out of C. */
export const sequencesUpTo = (T: number, C: number): number[][] => Array.from({ length: T + 1 }, (_, t) => sequences(t, C)).flat();

/** Whether a language holds a sequence. */
export const holds = ({ start, labels, next, accepting }: Automaton, y: readonly number[]): boolean => accepting[y.reduce((q, label) => (q < 0 ? -1 : next[q * labels + label]), start)] === 1;
