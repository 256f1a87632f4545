/** (max softmax(z) - [argmax z = label])^2 of one row, in float64. */
export function correctnessAwareLossRef(z: ArrayLike<number>, label: number): number {
  const row = Array.from(z), top = row.indexOf(Math.max(...row)), confidence = 1 / row.reduce((sum, x) => sum + Math.exp(x - row[top]), 0);
  return (confidence - Number(top === label)) ** 2;
}
