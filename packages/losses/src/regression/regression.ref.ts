const logCosh = (d: number): number => Math.abs(d) + Math.log1p(Math.exp(-2 * Math.abs(d))) - Math.LN2;

/** Definitions of one element: the arguments, targets last, and the options. */
export const elementRefs: Record<string, (row: readonly number[], options: any) => number> = {
  squaredErrorLoss: ([x, t]) => (x - t) ** 2,
  absoluteErrorLoss: ([x, t]) => Math.abs(x - t),
  huberLoss: ([x, t], { delta = 1 }) => (Math.abs(x - t) <= delta ? (x - t) ** 2 / 2 : delta * (Math.abs(x - t) - delta / 2)),
  smoothL1Loss: ([x, t], { beta = 1 }) => (Math.abs(x - t) <= beta ? (x - t) ** 2 / (2 * beta) : Math.abs(x - t) - beta / 2),
  logCoshLoss: ([x, t]) => logCosh(x - t),
  quantileLoss: ([x, t], { quantile = 0.5 }) => Math.max(quantile * (t - x), (1 - quantile) * (x - t)),
  wingLoss: ([x, t], { width = 10, curvature = 2 }) => (Math.abs(x - t) < width ? width * Math.log(1 + Math.abs(x - t) / curvature) : Math.abs(x - t) - width + width * Math.log(1 + width / curvature)),
  gaussianLoss: ([m, s, t], { full = false }) => (s + (t - m) ** 2 / Math.exp(s)) / 2 + (full ? Math.log(2 * Math.PI) / 2 : 0),
  laplaceLoss: ([m, s, t], { full = false }) => s + Math.abs(t - m) / Math.exp(s) + (full ? Math.log(2) : 0),
  poissonLoss: ([x, t], { full = false }) => Math.exp(x) - t * x + (full ? Array.from({ length: t }, (_, k) => Math.log(k + 1)).reduce((a, b) => a + b, 0) : 0),
  tweedieLoss: ([x, t], { power = 1.5 }) => (power === 2 ? x + t * Math.exp(-x) : Math.exp((2 - power) * x) / (2 - power) - (t * Math.exp((1 - power) * x)) / (1 - power)),
  intervalLoss: ([l, u, t], { alpha = 0.1 }) => u - l + (2 / alpha) * (Math.max(0, l - t) + Math.max(0, t - u)),
};

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0);
const mean = (a: readonly number[]): number => a.reduce((x, y) => x + y, 0) / a.length;

/** 1 - x . t / (|x| |t|). */
export function cosineDistanceRef(x: Float64Array, t: Float64Array): number {
  return 1 - dot(x, t) / Math.sqrt(dot(x, x) * dot(t, t));
}

/** -10 log10 of the energy of the projection over that of the rest. */
export function scaleInvariantSnrRef(x: Float64Array, t: Float64Array, { zeroMean = false, epsilon = 1e-8 }: { zeroMean?: boolean; epsilon?: number }): number {
  const [a, b] = [x, t].map((v) => Array.from(v, (y) => y - (zeroMean ? mean(Array.from(v)) : 0))), scale = (dot(a, b) + epsilon) / (dot(b, b) + epsilon), s = b.map((y) => scale * y), e = a.map((y, i) => y - s[i]);
  return -10 * Math.log10((dot(s, s) + epsilon) / (dot(e, e) + epsilon));
}

/** 1 - 2 cov / (var + var + squared difference of the means). */
export function concordanceRef(x: readonly number[], t: readonly number[]): number {
  const [mx, mt] = [mean(x), mean(t)], spread = mean(x.map((v) => (v - mx) ** 2)) + mean(t.map((v) => (v - mt) ** 2)) + (mx - mt) ** 2;
  return 1 - (2 * mean(x.map((v, i) => (v - mx) * (t[i] - mt)))) / spread;
}
