import { testRandom, type LossCase } from "@logits/testkit";

/** Rows of logits with labels among the first classes. */
export function labelCases(shapes: readonly (readonly [rows: number, classes: number])[], options: object = {}, scale = 2): LossCase[] {
  const random = testRandom(7);
  return shapes.map(([rows, classes]) => ({
    name: `${rows} x ${classes}${Object.keys(options).length > 0 ? ` ${JSON.stringify(options)}` : ""}`,
    arguments: [
      { dtype: "float32", shape: [rows, classes], data: Float32Array.from({ length: rows * classes }, () => scale * random.normal()) },
      { dtype: "int32", shape: [rows], data: Int32Array.from({ length: rows }, () => random.integer(classes)) },
    ],
    options,
  }));
}

type Row = ArrayLike<number>;

export function logSoftmaxRef(z: Row): number[] {
  const x = Array.from(z), max = Math.max(...x), log = Math.log(x.reduce((sum, v) => sum + Math.exp(v - max), 0));
  return x.map((v) => v - max - log);
}
export const softmaxRef = (z: Row): number[] => logSoftmaxRef(z).map(Math.exp);
export const dot = (a: Row, b: Row): number => Array.from(a).reduce((sum, v, i) => sum + (v === 0 || b[i] === 0 ? 0 : v * b[i]), 0);
export const entropyRef = (z: Row): number => -dot(softmaxRef(z), logSoftmaxRef(z));
export const pRef = (z: Row, y: number): number => softmaxRef(z)[y];
/** 1 - p[y] without a difference. */
export const qRef = (z: Row, y: number): number => softmaxRef(z).reduce((sum, p, c) => (c === y ? sum : sum + p), 0);
export const ceRef = (z: Row, y: number): number => -logSoftmaxRef(z)[y];

export function smoothedRef(z: Row, y: number, { labelSmoothing = 0, zLoss = 0, softCap }: { labelSmoothing?: number; zLoss?: number; softCap?: number }): number {
  const x = Array.from(z, (v) => (softCap ? softCap * Math.tanh(v / softCap) : v)), logP = logSoftmaxRef(x), logZ = x[0] - logP[0];
  return logP.reduce((sum, l, c) => sum - l * ((c === y ? 1 - labelSmoothing : 0) + labelSmoothing / x.length), zLoss * logZ ** 2);
}
export const focalRef = (z: Row, y: number, { gamma = 2, alpha }: { gamma?: number; alpha?: number[] }): number => (alpha?.[y] ?? 1) * qRef(z, y) ** gamma * ceRef(z, y);
export const compSumRef = (z: Row, y: number, { tau = 1 }: { tau?: number }): number => (tau === 1 ? ceRef(z, y) : Math.expm1((1 - tau) * ceRef(z, y)) / (1 - tau));
export const gceRef = (z: Row, y: number, { q = 0.7, threshold = 0 }: { q?: number; threshold?: number }): number => (q === 0 ? ceRef(z, y) : (1 - Math.max(pRef(z, y), threshold) ** q) / q);
export const sceRef = (z: Row, y: number, { alpha = 0.1, beta = 1, logZero = -4 }: { alpha?: number; beta?: number; logZero?: number }): number => alpha * ceRef(z, y) - beta * logZero * qRef(z, y);
export const taylorRef = (z: Row, y: number, { order = 2 }: { order?: number }): number => Array.from({ length: order }, (_, k) => qRef(z, y) ** (k + 1) / (k + 1)).reduce((a, b) => a + b);
export const nceRef = (z: Row, y: number, { alpha = 1, beta = 0 }: { alpha?: number; beta?: number }): number => (alpha * ceRef(z, y)) / Array.from(z, (_, k) => ceRef(z, k)).reduce((a, b) => a + b) + 4 * beta * qRef(z, y);
export function bootstrapRef(z: Row, y: number, { target = "soft", beta = target === "soft" ? 0.95 : 0.8 }: { target?: string; beta?: number }): number {
  return beta * ceRef(z, y) + (1 - beta) * (target === "soft" ? entropyRef(z) : -Math.max(...logSoftmaxRef(z)));
}
export const forwardRef = (z: Row, y: number, { noise }: { noise: number[][] }): number => -Math.log(dot(softmaxRef(z), noise.map((row) => row[y])));
export function ldrRef(z: Row, y: number, { lambda = 1, margin = 0 }: { lambda?: number; margin?: number }): number {
  const led = Array.from(z, (v, c) => (v - z[y] + (c === y ? 0 : margin)) / lambda);
  return lambda * (led[0] - logSoftmaxRef(led)[0] - Math.log(led.length));
}
export function aldrRef(z: Row, y: number, { lambda = 1, alpha = 2, margin = 0 }: { lambda?: number; alpha?: number; margin?: number }): number {
  const hold = (alpha * Math.log(z.length)) / lambda, led = Array.from(z, (v, c) => v + (c === y ? 0 : margin));
  let t = lambda;
  for (let i = 0; i < 60; i++) t = lambda - (Math.log(z.length) - entropyRef(led.map((v) => v / t))) / hold;
  return ldrRef(z, y, { lambda: t, margin }) - (hold / 2) * (t - lambda) ** 2;
}
export const adjustedRef = (z: Row, y: number, { prior, tau = 1 }: { prior: number[]; tau?: number }): number => ceRef(prior.map((n, c) => z[c] + tau * Math.log(n)), y);
export const ldamRef = (z: Row, y: number, { margins, scale = 30 }: { margins: number[]; scale?: number }): number => ceRef(Array.from(z, (v, c) => scale * (v - (c === y ? margins[c] : 0))), y);
export function seesawRef(z: Row, y: number, { counts, p = 0.8, q = 2 }: { counts: number[]; p?: number; q?: number }, frozen: Row = z): number {
  return ceRef(Array.from(z, (v, c) => v + (c === y ? 0 : p * Math.min(0, Math.log(counts[c] / counts[y])) + q * Math.max(0, frozen[c] - frozen[y]))), y);
}
export const brierRef = (z: Row, t: Row): number => softmaxRef(z).reduce((sum, p, c) => sum + (p - t[c]) ** 2, 0);
export const setRef = (z: Row, set: Row): number => -Math.log(dot(softmaxRef(z), set));
export function hierarchicalRef(z: Row, y: number, { parents, alpha = 0 }: { parents: number[]; alpha?: number }): number {
  const under = (node: number, leaf: number): boolean => leaf === node || (leaf !== -1 && under(node, parents[leaf])), height = (node: number): number => Math.max(0, ...parents.flatMap((p, n) => (p === node ? [1 + height(n)] : [])));
  const log = (node: number): number => -setRef(z, Array.from(z, (_, leaf) => Number(under(node, leaf))));
  let loss = 0;
  for (let n = y; parents[n] !== -1; n = parents[n]) loss += Math.exp(-alpha * height(n)) * (log(parents[n]) - log(n));
  return loss;
}
export function jensenShannonRef(views: Row, classes: number): number {
  const rows = Array.from({ length: views.length / classes }, (_, k) => softmaxRef(Array.from(views).slice(k * classes, (k + 1) * classes))), m = rows[0].map((_, c) => rows.reduce((sum, p) => sum + p[c] / rows.length, 0));
  return rows.reduce((sum, p) => sum + p.reduce((s, v, c) => (v === 0 ? s : s + v * Math.log(v / m[c])), 0) / rows.length, 0);
}
export function elrRef(z: Row, y: number, t: Row, { lambda = 3 }: { lambda?: number }): number {
  return ceRef(z, y) + lambda * Math.log(1 - dot(softmaxRef(z).map((p) => Math.min(Math.max(p, 1e-4), 1 - 1e-4)), t));
}
/** Entmax by bisection of tau. */
export function entmaxRef(z: Row, y: number, { alpha = 1.5 }: { alpha?: number }): number {
  const x = Array.from(z, (v) => (alpha - 1) * (v - Math.max(...Array.from(z)))), of = (tau: number): number[] => x.map((v) => Math.max(0, v - tau) ** (1 / (alpha - 1)));
  let low = -1, high = 0;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (of(middle).reduce((a, b) => a + b) >= 1) low = middle;
    else high = middle;
  }
  const p = of(low);
  return (1 - p.reduce((sum, v) => sum + v ** alpha, 0)) / (alpha * (alpha - 1)) + dot(p, x) / (alpha - 1) - x[y] / (alpha - 1);
}
/** log Gamma by Stirling's series after ten steps. */
export function logGammaRef(x: number): number {
  if (x < 20) return logGammaRef(x + 1) - Math.log(x);
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5) - 1 / (1680 * x ** 7);
}
export const digammaRef = (x: number): number => (x < 20 ? digammaRef(x + 1) - 1 / x : Math.log(x) - 1 / (2 * x) - 1 / (12 * x ** 2) + 1 / (120 * x ** 4) - 1 / (252 * x ** 6));
export function evidentialRef(z: Row, y: number, { form = "squared", kl = 0 }: { form?: string; kl?: number }): number {
  const a = Array.from(z, (v) => 1 + Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)))), s = a.reduce((x, v) => x + v), b = a.map((v, c) => (c === y ? 1 : v)), t = b.reduce((x, v) => x + v);
  const main = form === "log" ? Math.log(s / a[y]) : form === "digamma" ? digammaRef(s) - digammaRef(a[y]) : a.reduce((x, v, c) => x + (Number(c === y) - v / s) ** 2 + ((v / s) * (1 - v / s)) / (s + 1), 0);
  return main + kl * (logGammaRef(t) - logGammaRef(b.length) + b.reduce((x, v) => x - logGammaRef(v) + (v - 1) * (digammaRef(v) - digammaRef(t)), 0));
}
const above = (x: number, yes: boolean): number => Math.max(0, yes ? -x : x) + Math.log1p(Math.exp(-Math.abs(x)));
export const coralRef = (z: Row, y: number): number => Array.from(z).reduce((sum, x, k) => sum + above(x, y > k), 0);
export const cornRef = (z: Row, y: number): number => Array.from(z).reduce((sum, x, k) => (k <= y ? sum + above(x, y > k) : sum), 0);
export function cumulativeRef(s: number, t: Row, y: number): number {
  const below = (k: number): number => (k < 0 ? 0 : k >= t.length ? 1 : 1 / (1 + Math.exp(s - t[k]))), beyond = (k: number): number => (k < 0 ? 1 : k >= t.length ? 0 : 1 / (1 + Math.exp(t[k] - s)));
  return -Math.log(s > 0 ? below(y) - below(y - 1) : beyond(y - 1) - beyond(y));
}
export function earthRef(z: Row, y: number): number {
  return softmaxRef(z).reduce(({ sum, below }, p, c) => ({ below: below + p, sum: sum + (below + p - Number(c >= y)) ** 2 }), { sum: 0, below: 0 }).sum;
}
