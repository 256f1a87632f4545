/** Weights [T, S] of one head in float64 from features [T][F] and [S][F]: the quadratic form. `logGates[j][f]`, `see(i, j)`; `at(i)` is where query i stands; `scale` is in the features of the query. */
export function linearWeightsRef(q: number[][], k: number[][], logGates: number[][] | undefined, see: (i: number, j: number) => boolean, at: (i: number) => number, normalize: string, power: number): number[][] {
  const gates = logGates?.map((row) => row.map(Math.exp));
  return q.map((row, i) => {
    let w = row;
    const a = k.map(() => 0), n = k.filter((_, j) => see(i, j)).length;
    for (let j = k.length - 1; j >= 0; j--) {
      if (see(i, j)) a[j] = w.reduce((sum, x, f) => sum + x * k[j][f], 0);
      if (gates && j <= at(i) && j < gates.length) w = w.map((x, f) => x * gates[j][f]);
    }
    const Z = a.reduce((x, y) => x + y, 0);
    const divides = normalize === "sum" || normalize === "magnitude", dead = n === 0 || (divides && Z === 0), beta = normalize === "sum" ? 1 / Z : normalize === "none" ? 1 : normalize === "count" ? n ** -power : 1 / n + 1 / Z, gamma = normalize === "magnitude" ? Z / (n * n) : 0;
    return a.map((x, j) => (dead || !see(i, j) ? 0 : beta * x - gamma));
  });
}
