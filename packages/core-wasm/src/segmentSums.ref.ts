/** log Z by the recursion over the segments that end at each boundary, in log space. */
export function segmentLogPartitionRef(T: number, C: number, D: number, scoreOf: (end: number, length: number, label: number) => number, A: (from: number, to: number) => number, start: (c: number) => number, end: (c: number) => number): number {
  const add = (x: number[]): number => { const top = Math.max(...x, -Infinity); return top === -Infinity ? top : top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0)); };
  const labels = Array.from({ length: C }, (_, c) => c), alpha: number[][] = [[]];
  const before = (s: number, c: number): number => (s === 0 ? start(c) : add(labels.map((b) => alpha[s][b] + A(b, c))));
  for (let t = 1; t <= T; t++) alpha.push(labels.map((c) => add(Array.from({ length: Math.min(D, t) }, (_, d) => before(t - d - 1, c) + scoreOf(t - 1, d + 1, c)))));
  return T === 0 ? 0 : add(labels.map((c) => alpha[T][c] + end(c)));
}
