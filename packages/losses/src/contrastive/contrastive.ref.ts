/** Definitions in float64. Matrices are flat and row-major, `f` features a row. */
export type Values = { values: number[]; counts: number[] };

export const rowsOf = (x: ArrayLike<number>, f: number): number[][] => {
  const all = Array.from(x);
  return Array.from({ length: all.length / f }, (_, i) => all.slice(i * f, (i + 1) * f));
};
const sum = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0);
const mean = (x: readonly number[]): number => sum(x) / x.length;
const dot = (a: readonly number[], b: readonly number[]): number => sum(a.map((v, k) => v * b[k]));
const unit = (a: readonly number[]): number[] => a.map((v) => (dot(a, a) === 0 ? 0 : v / Math.sqrt(dot(a, a))));
const square = (a: readonly number[], b: readonly number[]): number => sum(a.map((v, k) => (v - b[k]) ** 2));
const logSumExp = (x: readonly number[]): number => {
  const top = Math.max(...x);
  return top === -Infinity ? -Infinity : top + Math.log(sum(x.map((v) => Math.exp(v - top))));
};
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export const cosines = (a: ArrayLike<number>, b: ArrayLike<number>, f: number): number[][] => {
  const right = rowsOf(b, f).map(unit);
  return rowsOf(a, f).map((row) => right.map((other) => dot(unit(row), other)));
};

/** Positives and negatives of each row of a batch with labels, or of references. */
const partners = (y: ArrayLike<number>, references: ArrayLike<number> | undefined): { positive: number[]; negative: number[] }[] => {
  const columns = Array.from(references ?? y);
  return Array.from(y, (label, i) => {
    const all = columns.map((_, j) => j).filter((j) => references !== undefined || i !== j);
    return { positive: all.filter((j) => columns[j] === label), negative: all.filter((j) => columns[j] !== label) };
  });
};

type Row = (own: number[], others: number[], all: number[]) => number;
const labelled = (z: ArrayLike<number>, y: ArrayLike<number>, f: number, options: any, both: boolean, row: Row): Values => {
  const s = cosines(z, options.references?.data ?? z, f), sets = partners(y, options.referenceLabels?.data);
  const groups: ArrayLike<number> | undefined = options.groups;
  const found = sets.map(({ positive, negative }, i) => ({ own: positive.map((j) => s[i][j]), others: negative.filter((j) => groups?.[i] === undefined || groups[i] !== groups[j]).map((j) => s[i][j]) }));
  const counts = found.map(({ own, others }) => (own.length > 0 && (!both || others.length > 0) ? 1 : 0));
  return { values: found.map(({ own, others }, i) => (counts[i] ? row(own, others, [...own, ...others]) : 0)), counts };
};

export const supConRef = (z: ArrayLike<number>, y: ArrayLike<number>, f: number, options: any): Values =>
  labelled(z, y, f, options, false, (own, _, all) => logSumExp(all.map((v) => v / (options.temperature ?? 0.1))) - mean(own) / (options.temperature ?? 0.1));

export const ntXentRef = (z: ArrayLike<number>, y: ArrayLike<number>, f: number, options: any): Values =>
  labelled(z, y, f, options, false, (own, others) => mean(own.map((p) => logSumExp([p, ...others].map((v) => v / (options.temperature ?? 0.1))) - p / (options.temperature ?? 0.1))));

export const decoupledContrastiveRef = (z: ArrayLike<number>, y: ArrayLike<number>, f: number, options: any): Values =>
  labelled(z, y, f, options, true, (own, others) => logSumExp(others.map((v) => v / (options.temperature ?? 0.1))) - mean(own) / (options.temperature ?? 0.1));

export const hardNegativeRef = (z: ArrayLike<number>, y: ArrayLike<number>, f: number, options: any): Values =>
  labelled(z, y, f, options, true, (own, others) => {
    const { temperature: t = 0.5, beta = 1, tauPlus = 0.1 } = options, e = others.map((v) => Math.exp(v / t)), n = others.length;
    const hard = (n * sum(e.map((v) => v ** (1 + beta)))) / sum(e.map((v) => v ** beta));
    return mean(own.map((p) => Math.log1p(Math.max((hard - tauPlus * n * Math.exp(p / t)) / (1 - tauPlus), n * Math.exp(-1 / t)) / Math.exp(p / t))));
  });

export const cacrRef = (z: ArrayLike<number>, y: ArrayLike<number>, f: number, options: any): Values =>
  labelled(z, y, f, options, true, (own, others) => {
    const { positiveSharpness: a = 1, negativeSharpness: b = 1 } = options, weighed = (costs: number[], t: number, all = logSumExp(costs.map((v) => t * v))): number => sum(costs.map((c) => c * Math.exp(t * c - all)));
    return weighed(own.map((v) => 2 - 2 * v), a) - weighed(others.map((v) => 2 - 2 * v), -b);
  });

export const weightedContrastiveRef = (z: ArrayLike<number>, a: readonly (readonly number[])[], f: number, { temperature: t = 0.1 }: any, allowed: (i: number, j: number) => boolean = () => true): Values => {
  const s = cosines(z, z, f), others = s.map((_, i) => s.map((__, j) => j).filter((j) => i !== j));
  const mass = others.map((list, i) => sum(list.map((j) => a[i][j]))), open = others.map((list, i) => list.filter((j) => allowed(i, j)));
  const counts = mass.map((v, i) => (v > 0 && open[i].length > 0 ? 1 : 0));
  return { values: counts.map((c, i) => (c ? logSumExp(open[i].map((j) => s[i][j] / t)) - sum(others[i].map((j) => (a[i][j] * s[i][j]) / t)) / mass[i] : 0)), counts };
};

export const similarities = (a: ArrayLike<number>, b: ArrayLike<number>, f: number, kind = "cosine"): number[][] => (kind === "cosine" ? cosines(a, b, f) : rowsOf(a, f).map((x) => rowsOf(b, f).map((y) => dot(x, y))));

export const infoNceRef = (a: ArrayLike<number>, b: ArrayLike<number>, f: number, { temperature: t = 0.07, inBatch = true, similarity, targets }: any): number[] =>
  similarities(a, b, f, similarity).map((s, i, all) => {
    const weights = s.map((_, j) => (targets ? targets[i][j] : i === j ? 1 : 0));
    return sum(weights) * logSumExp(s.filter((_, j) => inBatch || j === i || j >= all.length).map((v) => v / t)) - dot(weights, s) / t;
  });

export const clipRef = (a: ArrayLike<number>, b: ArrayLike<number>, f: number, logScale = Math.log(1 / 0.07)): number[] => {
  const s = cosines(a, b, f).map((row) => row.map((v) => v * Math.exp(logScale)));
  return s.map((row, i) => (logSumExp(row) + logSumExp(s.map((other) => other[i]))) / 2 - row[i]);
};

export const sigLipRef = (a: ArrayLike<number>, b: ArrayLike<number>, f: number, logScale = Math.log(10), bias = -10): number[] =>
  cosines(a, b, f).map((row, i) => sum(row.map((v, j) => softplus((i === j ? -1 : 1) * (v * Math.exp(logScale) + bias)))));

export const pairedSquares = (a: ArrayLike<number>, b: ArrayLike<number>, f: number): number[] => rowsOf(a, f).map((x, i) => square(unit(x), unit(rowsOf(b, f)[i])));

export const uniformityRef = (z: ArrayLike<number>, f: number, t = 2): number => {
  const x = rowsOf(z, f).map(unit);
  return Math.log(mean(x.flatMap((a, i) => x.filter((_, j) => i !== j).map((b) => Math.exp(-t * square(a, b))))));
};

export const cosentRef = (a: ArrayLike<number>, b: ArrayLike<number>, y: ArrayLike<number>, f: number, scale = 20): number => {
  const s = pairedSquares(a, b, f).map((v) => scale * (1 - v / 2));
  return logSumExp([0, ...s.flatMap((u, i) => s.filter((_, j) => y[i] < y[j]).map((v) => u - v))]);
};

const centre = (x: readonly number[][]): number[][] => x.map((row) => row.map((v, f) => v - mean(x.map((other) => other[f]))));
const columns = (x: readonly number[][]): number[][] => x[0].map((_, f) => x.map((row) => row[f]));

export const vicRegRef = (a: ArrayLike<number>, b: ArrayLike<number>, f: number, { invariance = 25, variance = 25, covariance = 1 }: any): number => {
  const [x, y] = [rowsOf(a, f), rowsOf(b, f)], n = x.length;
  const part = (z: number[][]): number => {
    const c = columns(centre(z)), cov = c.map((u) => c.map((v) => dot(u, v) / (n - 1)));
    return (variance * mean(cov.map((row, k) => Math.max(0, 1 - Math.sqrt(row[k] + 1e-4))))) / 2 + (covariance * sum(cov.flatMap((row, k) => row.filter((_, l) => k !== l).map((v) => v * v)))) / f;
  };
  return invariance * mean(x.flatMap((row, i) => row.map((v, k) => (v - y[i][k]) ** 2))) + part(x) + part(y);
};

export const barlowTwinsRef = (a: ArrayLike<number>, b: ArrayLike<number>, f: number, { redundancy = 0.0051 }: any): number => {
  const normal = (x: number[][]): number[][] => columns(centre(x)).map((c) => c.map((v) => v / Math.sqrt(mean(c.map((w) => w * w)) + 1e-5)));
  const [x, y] = [normal(rowsOf(a, f)), normal(rowsOf(b, f))];
  return sum(x.flatMap((u, i) => y.map((v, j) => (i === j ? (1 - dot(u, v) / u.length) ** 2 : redundancy * (dot(u, v) / u.length) ** 2))));
};

export const decoupledSoftmaxRef = (z: ArrayLike<number>, set: ArrayLike<number>): number => {
  const all = Array.from(z), negatives = all.filter((_, j) => set[j] === 0);
  return mean(all.filter((_, j) => set[j] === 1).map((p) => logSumExp([p, ...negatives]) - p));
};

/** By bisection. */
export const softTopKRef = (z: ArrayLike<number>, k: number, alpha = 1): number[] => {
  const y = (t: number): number[] => Array.from(z, (v) => 1 / (1 + Math.exp(-alpha * (v + t))));
  let [from, to] = [-1e3, 1e3];
  for (let step = 0; step < 100; step++) {
    const middle = (from + to) / 2;
    if (sum(y(middle)) < k) from = middle;
    else to = middle;
  }
  return y((from + to) / 2);
};
