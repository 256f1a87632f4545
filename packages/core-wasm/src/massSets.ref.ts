/** Scores of all classes of a row, ranked by (p descending, index ascending). */
export function massScoresRef(p: ArrayLike<number>, u: number, penalty: number, freeRanks: number): number[] {
  const order = Array.from(p, (_, c) => c).sort((a, b) => p[b] - p[a] || a - b), scores = new Array<number>(p.length);
  let before = 0;
  order.forEach((c, i) => {
    const q = p[c] + 1 - 1; // a multiple of 2^-52
    scores[c] = Math.fround((q > 0 ? before + (1 - u) * q : before + 1) + penalty * Math.max(0, i + 1 - freeRanks));
    before += q;
  });
  return scores;
}
