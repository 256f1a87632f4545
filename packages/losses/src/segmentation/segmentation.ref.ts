/** Softmax of one row, in float64. */
export function softmaxRef(z: ArrayLike<number>): number[] {
  const e = Array.from(z, (x) => Math.exp(x - Math.max(...Array.from(z)))), total = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / total);
}

export const sigmoidRef = (x: number): number => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Definitions of one class from its probabilities and targets. */
export const classRefs: Record<string, (p: readonly number[], t: readonly number[], options: any) => number> = {
  diceLoss(p, t, { smooth = 0, squared = false, logarithm = false }) {
    const score = (2 * sum(p.map((v, i) => v * t[i])) + smooth) / (sum(p.map((v) => (squared ? v * v : v))) + sum(t.map((v) => (squared ? v * v : v))) + smooth);
    return logarithm ? -Math.log(score) : 1 - score;
  },
  tverskyLoss(p, t, { alpha = 0.3, beta = 0.7, smooth = 0, logarithm = false }) {
    const tp = sum(p.map((v, i) => v * t[i])), fp = sum(p.map((v, i) => v * (1 - t[i]))), fn = sum(p.map((v, i) => (1 - v) * t[i])), score = (tp + smooth) / (tp + alpha * fp + beta * fn + smooth);
    return logarithm ? -Math.log(score) : 1 - score;
  },
  jaccardLoss: (p, t, options) => classRefs.tverskyLoss(p, t, { ...options, alpha: 1, beta: 1 }),
  focalTverskyLoss: (p, t, options) => classRefs.tverskyLoss(p, t, options) ** (options.gamma ?? 0.75),
  logCoshDiceLoss: (p, t, options) => Math.log(Math.cosh(classRefs.diceLoss(p, t, options))),
  matthewsLoss(p, t, { epsilon = 1e-5 }) {
    const count = (f: (a: number, b: number) => number): number => sum(p.map((v, i) => f(v, t[i]))) + epsilon;
    const [tp, tn, fp, fn] = [count((a, b) => a * b), count((a, b) => (1 - a) * (1 - b)), count((a, b) => a * (1 - b)), count((a, b) => (1 - a) * b)];
    return 1 - (tp * tn - fp * fn) / Math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn));
  },
  lovaszSoftmaxLoss: (p, t) => lovaszRef(p.map((v, i) => Math.abs(v - t[i])), t),
};

/** sum of errors in falling order, each by how much the Jaccard loss of the wrong set grows with it. */
export function lovaszRef(errors: readonly number[], t: readonly number[]): number {
  const order = errors.map((_, i) => i).sort((a, b) => errors[b] - errors[a]), jaccard = (k: number): number => {
    const wrong = order.slice(0, k), missed = sum(wrong.map((i) => t[i])), extra = sum(wrong.map((i) => 1 - t[i]));
    return k === 0 ? 0 : 1 - (sum([...t]) - missed) / (sum([...t]) + extra);
  };
  return sum(order.map((i, k) => errors[i] * (jaccard(k + 1) - jaccard(k))));
}

/** One ratio over all classes [classes][pixels], each scaled by the inverse square of its targets. */
export function generalizedDiceRef(p: readonly number[][], t: readonly number[][], { smooth = 0 }: { smooth?: number }): number {
  const g = t.map((row) => (sum(row) === 0 ? 0 : sum(row) ** -2));
  return 1 - (2 * sum(p.map((row, c) => g[c] * sum(row.map((v, i) => v * t[c][i])))) + smooth) / (sum(p.map((row, c) => g[c] * (sum(row) + sum(t[c])))) + smooth);
}

/** 1 - mean SSIM with an n x n Gaussian window, zeros beyond the border. */
export function structuralSimilarityRef(x: ArrayLike<number>, t: ArrayLike<number>, height: number, width: number, { window = 11, sigma = 1.5 }: { window?: number; sigma?: number }): number {
  const half = (window - 1) / 2, g = (d: number): number => Math.exp(-(d * d) / (2 * sigma * sigma)), total = sum(Array.from({ length: window }, (_, k) => g(k - half))) ** 2;
  const blur = (f: (i: number) => number, y: number, u: number): number => {
    let s = 0;
    for (let v = Math.max(0, y - half); v <= Math.min(height - 1, y + half); v++) for (let w = Math.max(0, u - half); w <= Math.min(width - 1, u + half); w++) s += (g(v - y) * g(w - u) * f(v * width + w)) / total;
    return s;
  };
  return 1 - sum(Array.from({ length: height * width }, (_, i) => {
    const [mx, mt, xx, tt, xt] = [(j: number) => x[j], (j: number) => t[j], (j: number) => x[j] ** 2, (j: number) => t[j] ** 2, (j: number) => x[j] * t[j]].map((f) => blur(f, Math.floor(i / width), i % width));
    return ((2 * mx * mt + 1e-4) * (2 * (xt - mx * mt) + 9e-4)) / ((mx ** 2 + mt ** 2 + 1e-4) * (xx - mx ** 2 + tt - mt ** 2 + 9e-4));
  })) / (height * width);
}

/** The soft skeleton, from minima over a cross and maxima over a square. */
export function softSkeletonRef(f: readonly number[], width: number, iterations: number): number[] {
  const pool = (g: readonly number[], best: (...v: number[]) => number, square: boolean): number[] => g.map((_, i) => {
    const y = Math.floor(i / width), x = i % width;
    return best(...g.filter((_v, j) => Math.abs(Math.floor(j / width) - y) <= 1 && Math.abs((j % width) - x) <= 1 && (square || Math.floor(j / width) === y || j % width === x)));
  });
  let plane = [...f], skeleton = f.map(() => 0);
  for (let k = 0; k <= iterations; k++) {
    const eroded = pool(plane, Math.min, false), opened = pool(eroded, Math.max, true), left = plane.map((v, i) => Math.max(0, v - opened[i]));
    skeleton = skeleton.map((s, i) => s + Math.max(0, left[i] - s * left[i]));
    plane = eroded;
  }
  return skeleton;
}

/** 1 - the harmonic mean of how much of each skeleton lies in the other mask. */
export function clDiceRef(p: readonly number[], t: readonly number[], width: number, { iterations = 3, smooth = 1 }: { iterations?: number; smooth?: number }): number {
  const [a, b] = [p, t].map((f) => softSkeletonRef(f, width, iterations)), ratio = (s: number[], m: readonly number[]): number => (sum(s.map((v, i) => v * m[i])) + smooth) / (sum(s) + smooth);
  return 1 - (2 * ratio(a, t) * ratio(b, p)) / (ratio(a, t) + ratio(b, p));
}
