/** log sum_c exp(z[c]) - z[label]. */
export function crossEntropyRef(z: ArrayLike<number>, label: number): number {
  const scores = Array.from(z), max = Math.max(...scores);
  return Math.log(scores.reduce((sum, s) => sum + Math.exp(s - max), 0)) + max - z[label];
}
