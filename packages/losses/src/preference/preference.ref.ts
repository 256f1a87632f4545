// Definitions in float64, for the tests.

/** log sigma(x). */
export const ls = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
/** sigma(x). */
export const sg = (x: number): number => Math.exp(ls(x));

type Options = Readonly<Record<string, any>>;
/** A loss of a pair: log-ratios of the chosen and the rejected answer. */
type Pair = (a: number, b: number, options: Options) => number;

const smoothed = (m: number, e = 0): number => -(1 - e) * ls(m) - e * ls(-m);
const reward = (x: number, divergence: unknown): number => {
  if (divergence === "jensen-shannon") return ls(x);
  const k = divergence === undefined || divergence === "reverse-kl" ? 0 : divergence === "forward-kl" ? -1 : (divergence as number) - 1;
  return k === 0 ? x : Math.exp(k * x) / k;
};

/** Losses of pairs against a reference. */
export const referencePairs: Readonly<Record<string, Pair>> = {
  dpoLoss: (a, b, { beta = 0.1, labelSmoothing: e, divergence }) => smoothed(beta * (reward(a, divergence) - reward(b, divergence)), e),
  robustDpoLoss: (a, b, { beta = 0.1, labelSmoothing: e = 0 }) => (-(1 - e) * ls(beta * (a - b)) + e * ls(-beta * (a - b))) / (1 - 2 * e),
  ipoLoss: (a, b, { beta = 0.1 }) => (a - b - 1 / (2 * beta)) ** 2,
  slicLoss: (a, b, { beta = 0.1 }) => Math.max(0, 1 - beta * (a - b)),
  exoLoss: (a, b, { beta = 0.1, labelSmoothing: e = 1e-3 }) => sg(beta * (a - b)) * (ls(beta * (a - b)) - Math.log(1 - e)) + sg(-beta * (a - b)) * (ls(-beta * (a - b)) - Math.log(e)),
  noiseContrastiveAlignmentLoss: (a, b, { beta = 0.1 }) => -ls(beta * a) - ls(-beta * a) / 2 - ls(-beta * b) / 2,
  sppoLoss: (a, b, { beta = 0.1 }) => (a - 0.5 / beta) ** 2 + (b + 0.5 / beta) ** 2,
  apoZeroLoss: (a, b, { beta = 0.1 }) => 1 - sg(beta * a) + sg(beta * b),
  apoDownLoss: (a, b, { beta = 0.1 }) => sg(beta * a) + 1 - sg(beta * (a - b)),
  discopopLoss: (a, b, { beta = 0.1, tau = 0.05 }) => -ls(beta * (a - b)) * sg((-beta * (a - b)) / tau) + Math.exp(-beta * (a - b) + ls((beta * (a - b)) / tau)),
};

/** Losses of pairs without one. */
export const plainPairs: Readonly<Record<string, Pair>> = {
  cpoLoss: (a, b, { beta = 0.1, labelSmoothing: e }) => smoothed(beta * (a - b), e),
  simpoLoss: (a, b, { beta = 2, gamma = 1, labelSmoothing: e, alpha = 0 }) => smoothed(beta * (reward(a, 1 - alpha) - reward(b, 1 - alpha)) - gamma, e),
  orpoLoss: (a, b, { beta = 0.1 }) => -beta * ls(Math.log(Math.exp(a) / -Math.expm1(a)) - Math.log(Math.exp(b) / -Math.expm1(b))),
  rewardModelLoss: (a, b, { centering = 0 }) => -ls(a - b) + centering * (a + b) ** 2,
};

/** Losses of single answers. */
export const answers: Readonly<Record<string, (x: number, good: number, options: Options) => number>> = {
  ktoLoss: (x, good, { beta = 0.1, kl = 0, desirableWeight = 1, undesirableWeight = 1 }) => good * desirableWeight * (1 - sg(beta * (x - kl))) + (1 - good) * undesirableWeight * (1 - sg(beta * (kl - x))),
  bcoLoss: (x, good, { beta = 0.1, delta = 0 }) => -good * ls(beta * x - delta) - (1 - good) * ls(delta - beta * x),
};

/** -log(1 - (1 - p)^n). */
export function coverageRef(logP: number, n: number): number {
  return -Math.log(-Math.expm1(n * Math.log1p(-Math.exp(logP))));
}

/** -min(r A, clip(r) A) + beta (e^d - d - 1). */
export function grpoRef(x: number, old: number, a: number, low: number, high: number, max: number, beta: number, reference: number): number {
  const r = Math.exp(x - old), d = reference - x;
  return -Math.min(Math.min(r, max) * a, Math.min(Math.max(r, 1 - low), 1 + high) * a) + beta * (Math.exp(d) - d - 1);
}

/** -(4 / g) sigma(g (r - 1)) A. */
export function sapoRef(x: number, old: number, a: number, [positive, negative]: readonly [number, number]): number {
  const g = a > 0 ? positive : negative;
  return (-4 / g) * sg(g * (Math.exp(x - old) - 1)) * a;
}
