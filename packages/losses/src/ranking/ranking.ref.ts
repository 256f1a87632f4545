// Definitions in float64, for the tests.
type List = ArrayLike<number>;

/** log softmax. */
export function logSoftmaxRef(s: List): number[] {
  const x = Array.from(s), max = Math.max(...x), log = Math.log(x.reduce((sum, v) => sum + Math.exp(v - max), 0)) + max;
  return x.map((v) => v - log);
}

/** Items from the best. */
export const orderRef = (y: List): number[] => Array.from(y, (_, i) => i).sort((a, b) => y[b] - y[a]);

/** -sum_k w(k) log P(the k-th | those before). */
export function plackettLuceRef(s: List, order: readonly number[], weight: (k: number) => number = () => 1): number {
  return order.reduce((sum, _, k) => sum - weight(k) * logSoftmaxRef(order.slice(k).map((i) => s[i]))[0], 0);
}

/** Sum over pairs with y[i] > y[j] of w(i, j) log(1 + e^(s[j] - s[i])), and their number. */
export function pairsRef(s: List, y: List, weight: (i: number, j: number) => number = () => 1): [sum: number, count: number] {
  let sum = 0, count = 0;
  for (let i = 0; i < s.length; i++) for (let j = 0; j < s.length; j++) if (y[i] > y[j]) {
    sum += weight(i, j) * (Math.max(0, s[j] - s[i]) + Math.log1p(Math.exp(-Math.abs(s[j] - s[i]))));
    count++;
  }
  return [sum, count];
}

/** sum of gains over log2(1 + place) for places up to k, over the best such sum. */
export function ndcgRef(s: List, y: List, k = Infinity): number {
  const dcg = (order: number[]): number => order.slice(0, k).reduce((sum, i, place) => sum + (2 ** y[i] - 1) / Math.log2(2 + place), 0), best = dcg(orderRef(y));
  return best === 0 ? 1 : dcg(orderRef(s)) / best;
}

/** LambdaLoss of a list. */
export function lambdaRef(s: List, y: List, { weighting = "lambdarank", sigma = 1, k = Infinity }: { weighting?: string; sigma?: number; k?: number }): number {
  const place = orderRef(s).reduce((out, i, r) => Object.assign(out, { [i]: r + 1 }), {} as Record<number, number>), inverse = (r: number): number => (r <= k ? 1 / Math.log2(1 + r) : 0);
  const best = orderRef(y).slice(0, k).reduce((sum, i, r) => sum + (2 ** y[i] - 1) / Math.log2(2 + r), 0) || 1;
  return pairsRef(Array.from(s, (x) => sigma * x), y, (i, j) => {
    const [a, b] = [place[i], place[j]], d = Math.abs(a - b);
    return ((2 ** y[i] - 2 ** y[j]) / best) * Math.abs(weighting === "lambdarank" ? inverse(a) - inverse(b) : 1 / Math.log2(1 + d) - 1 / Math.log2(2 + d));
  })[0];
}

/** 1 - NDCG with soft ranks. */
export function approxNdcgRef(s: List, y: List, temperature: number): number {
  const best = orderRef(y).reduce((sum, i, r) => sum + (2 ** y[i] - 1) / Math.log2(2 + r), 0);
  const rank = (i: number): number => Array.from(s, (x, j) => (j === i ? 1 : 1 / (1 + Math.exp((s[i] - x) / temperature)))).reduce((a, b) => a + b, 0);
  return best === 0 ? 0 : 1 - Array.from(y, (v, i) => (2 ** v - 1) / Math.log2(1 + rank(i))).reduce((a, b) => a + b, 0) / best;
}
