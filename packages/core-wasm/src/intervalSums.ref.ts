/** Every set of intervals [i, j] of T frames that do not overlap; with `shared` they may touch, and a frame may be an interval of its own between two that touch. */
export function intervalSetsRef(T: number, shared: boolean, from = 0): [number, number][][] {
  const sets: [number, number][][] = [[]], all = Array.from({ length: T * T }, (_, k): [number, number] => [Math.floor(k / T), k % T]).filter(([i, j]) => from <= i && i <= j);
  // In the order of frames: [a, b] before [c, d] where b < c, or, shared, b = c with one of the two longer than a frame.
  const before = ([a, b]: [number, number], [c, d]: [number, number]): boolean => b < c || (shared && b === c && (a < b || c < d));
  for (let size = 1; size <= 2 * T; size++) sets.push(...sets.filter((set) => set.length === size - 1).flatMap((set) => all.filter((next) => set.length === 0 || before(set.at(-1)!, next)).map((next) => [...set, next])));
  return sets;
}
