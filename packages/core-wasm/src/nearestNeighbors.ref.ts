/** Rows of the bank by squared distance to one query, then by index, without those that are not at a finite distance; float64. */
export function nearestNeighborsRef(query: ArrayLike<number>, bank: ArrayLike<number>): { index: number; distance: number }[] {
  const f = query.length;
  return Array.from({ length: bank.length / f }, (_, index) => {
    let distance = 0;
    for (let j = 0; j < f; j++) distance += (query[j] - bank[index * f + j]) ** 2;
    return { index, distance };
  }).filter(({ distance }) => distance < Infinity).sort((a, b) => a.distance - b.distance || a.index - b.index);
}
