/** Greedy k-centre by measuring all rows each time, in float64; the index of the next row after `count` comes last. */
export function farthestPointsRef(rows: readonly (readonly number[])[], count: number): { indices: number[]; radius: number } {
  const square = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, j) => sum + (v - b[j]) ** 2, 0);
  const mean = rows[0].map((_, j) => rows.reduce((sum, row) => sum + row[j], 0) / rows.length), toMean = rows.map((row) => square(row, mean));
  const indices = [toMean.indexOf(Math.min(...toMean))];
  for (;;) {
    const nearest = rows.map((row, i) => (indices.includes(i) ? -1 : Math.min(...indices.map((c) => square(row, rows[c]))))), far = Math.max(...nearest);
    if (indices.length === count) return { indices, radius: Math.sqrt(Math.max(0, far)) };
    indices.push(nearest.indexOf(far));
  }
}
