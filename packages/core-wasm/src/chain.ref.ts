/** log of the sum, over all sequences of states, of exp(score): the definition, by enumeration. `visit` sees each sequence with its score. */
export function everyPath(e: readonly (readonly number[])[], A: (t: number) => readonly (readonly number[])[], start: readonly number[], end: readonly number[], visit: (path: readonly number[], score: number) => void): void {
  const go = (path: number[], score: number): void => {
    if (path.length === e.length) return visit(path, score + end[path.at(-1)!]);
    for (let j = 0; j < start.length; j++) go([...path, j], score + e[path.length][j] + (path.length === 0 ? start[j] : A(path.length)[path.at(-1)!][j]));
  };
  go([], 0);
}
