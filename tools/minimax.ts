// The polynomials of packages/core-wasm/assembly/lib/elementary.ts: minimax fits by Remez exchange on a dense grid, in float64.
// Prints the coefficients from the highest degree down, rounded to float32, and the largest weighted error of the rounded polynomial.
//   node tools/minimax.ts

/** Coefficients c[0..degree] of P that minimise max |P(x) - f(x)| * weight(x) on [low, high]. */
export function minimax(f: (x: number) => number, weight: (x: number) => number, degree: number, low: number, high: number): { coefficients: number[]; error: number } {
  const grid = Array.from({ length: 4001 }, (_, i) => (low + high) / 2 - ((high - low) / 2) * Math.cos((Math.PI * i) / 4000));
  let nodes = Array.from({ length: degree + 2 }, (_, i) => Math.round((i * 4000) / (degree + 1)));
  let coefficients: number[] = [];
  for (let round = 0; round < 50; round++) {
    const system = nodes.map((g, i) => [...Array.from({ length: degree + 1 }, (_, d) => grid[g] ** d), (-1) ** i / weight(grid[g]), f(grid[g])]);
    coefficients = solve(system).slice(0, degree + 1);
    const errors = grid.map((x) => (horner(coefficients, x) - f(x)) * weight(x));
    const extremes: number[] = [];
    errors.forEach((e, i) => {
      const last = extremes.at(-1);
      if (last === undefined || Math.sign(errors[last]) !== Math.sign(e)) extremes.push(i);
      else if (Math.abs(e) > Math.abs(errors[last])) extremes[extremes.length - 1] = i;
    });
    while (extremes.length > degree + 2) extremes.splice(Math.abs(errors[extremes[0]]) < Math.abs(errors[extremes.at(-1)!]) ? 0 : extremes.length - 1, 1);
    if (extremes.length < degree + 2 || `${extremes}` === `${nodes}`) break;
    nodes = extremes;
  }
  const rounded = coefficients.map(Math.fround);
  return { coefficients: rounded, error: Math.max(...grid.map((x) => Math.abs(horner(rounded, x) - f(x)) * weight(x))) };
}

export function horner(coefficients: readonly number[], x: number): number {
  return coefficients.reduceRight((sum, c) => sum * x + c, 0);
}

function solve(rows: number[][]): number[] {
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    const pivot = rows.slice(i).reduce((best, row, j) => (Math.abs(row[i]) > Math.abs(rows[best][i]) ? i + j : best), i);
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let j = 0; j < n; j++) {
      if (j === i) continue;
      const factor = rows[j][i] / rows[i][i];
      for (let k = i; k <= n; k++) rows[j][k] -= factor * rows[i][k];
    }
  }
  return rows.map((row, i) => row[n] / row[i]);
}

/** erfc(x) for 0 <= x <= 6 in float64: the series of erf below 2, beyond it the continued fraction. */
function erfc(x: number): number {
  if (x < 2) {
    let [term, sum] = [x, x];
    for (let k = 1; k < 80; k++) sum += (term *= (-x * x) / k) / (2 * k + 1);
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let tail = 0;
  for (let k = 120; k > 0; k--) tail = k / 2 / (x + tail);
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * (x + tail));
}

/** sqrt(y) coth(sqrt(y) / 2) = 2 + y/6 - y^2/360 + ..., minus 2, over y. */
const coth = (y: number): number => (y < 1e-3 ? 1 / 6 - y / 360 + (y * y) / 15120 : (Math.sqrt(y) / Math.tanh(Math.sqrt(y) / 2) - 2) / y);
/** (log((1 + s) / (1 - s)) / s - 2) / s^2 at z = s^2. */
const logSeries = (z: number): number => Array.from({ length: 20 }, (_, k) => (2 * z ** k) / (2 * k + 3)).reduce((a, b) => a + b);
const tanhSeries = (z: number): number => (z < 1e-3 ? -1 / 3 + (2 * z) / 15 - (17 * z * z) / 315 + (62 * z ** 3) / 2835 : (Math.tanh(Math.sqrt(z)) / Math.sqrt(z) - 1) / z);
const erfSeries = (z: number): number => {
  let [term, sum] = [1, 1];
  for (let k = 1; k < 60; k++) sum += (term *= -z / k) / (2 * k + 1);
  return (2 / Math.sqrt(Math.PI)) * sum - 1;
};

if (import.meta.main) {
  const show = (name: string, { coefficients, error }: ReturnType<typeof minimax>): void => console.log(`${name}: ${[...coefficients].reverse().join(", ")}   error ${error.toExponential(2)}`);
  // The weight makes the error that of the result relative to it.
  show("expm1, C(y) = 2 + y Q(y), |r| <= 0.7", minimax(coth, (y) => y / 2, 2, 1e-9, 0.49));
  show("exp, C(y) = 2 + y Q(y), |r| <= ln 2 / 2", minimax(coth, (y) => (y / 2) * Math.sqrt(y), 1, 1e-9, 0.1205));
  show("log, s^2 <= 0.02944", minimax(logSeries, (z) => z / 2, 3, 1e-7, 0.02945));
  show("tanh, |x| <= 0.625", minimax(tanhSeries, (z) => z, 4, 1e-9, 0.391));
  show("erf, |x| <= 0.92", minimax(erfSeries, () => 1 / 1.1, 5, 0, 0.8465));
  show("erf, -log erfc(t) / t, 0.92 <= t <= 4", minimax((t) => -Math.log(erfc(t)) / t, (t) => t * erfc(t), 6, 0.92, 4));
}
