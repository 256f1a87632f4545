/** Weights [T, S] of one head in float64 from features [T][F] and [S][F]: the quadratic form. `logGates[j][f]`, `see(i, j)`, `scale` in the features of the query. */
export function linearWeightsRef(q: number[][], k: number[][], logGates: number[][] | undefined, see: (i: number, j: number) => boolean, at: (i: number) => number, normalize: string, power: number): number[][] {
  const gate = (i: number, j: number, f: number): number => (logGates ? Math.exp(logGates.slice(j + 1, Math.max(0, at(i)) + 1).reduce((sum, g) => sum + g[f], 0)) : 1);
  return q.map((row, i) => {
    const a = k.map((other, j) => (see(i, j) ? row.reduce((sum, x, f) => sum + x * other[f] * gate(i, j, f), 0) : 0)), n = k.filter((_, j) => see(i, j)).length, Z = a.reduce((x, y) => x + y, 0);
    const divides = normalize === "sum" || normalize === "magnitude", dead = n === 0 || (divides && Z === 0), beta = normalize === "sum" ? 1 / Z : normalize === "none" ? 1 : normalize === "count" ? n ** -power : 1 / n + 1 / Z, gamma = normalize === "magnitude" ? Z / (n * n) : 0;
    return a.map((x, j) => (dead || !see(i, j) ? 0 : beta * x - gamma));
  });
}
