/** Loss, gradient and diagonal of the Hessian in float64; an element of -Infinity is impossible. */
export function vectorScalingRef(x: number[][], labels: number[], weights: number[], bias: number[]): { loss: number; gradient: number[]; curvature: number[] } {
  const classes = weights.length, gradient = new Array<number>(2 * classes).fill(0), curvature = gradient.slice();
  let loss = 0;
  x.forEach((row, n) => {
    const z = row.map((v, c) => (v === -Infinity ? v : weights[c] * v + bias[c])), top = Math.max(...z), sum = z.reduce((s, v) => s + Math.exp(v - top), 0);
    loss += top + Math.log(sum) - z[labels[n]];
    row.forEach((value, c) => {
      const p = Math.exp(z[c] - top) / sum, v = value === -Infinity ? 0 : value, d = p - (c === labels[n] ? 1 : 0);
      [d * v, d].forEach((term, i) => (gradient[i * classes + c] += term));
      [p * (1 - p) * v * v, p * (1 - p)].forEach((term, i) => (curvature[i * classes + c] += term));
    });
  });
  return { loss, gradient, curvature };
}
