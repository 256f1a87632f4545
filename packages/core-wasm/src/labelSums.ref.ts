/** max, z[label] - max, sum over c != label of exp(z[c] - max). */
export function labelSumsRef(z: ArrayLike<number>, label: number): { max: number; gap: number; others: number } {
  const scores = Array.from(z), max = Math.max(...scores);
  return { max, gap: z[label] - max, others: scores.reduce((sum, s, c) => (c === label ? sum : sum + Math.exp(s - max)), 0) };
}
