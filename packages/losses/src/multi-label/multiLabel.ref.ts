const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const p = (x: number): number => Math.exp(-softplus(-x));
const power = (base: number, exponent: number): number => (exponent === 0 ? 1 : base ** exponent);
const hinge = (d: number, exponent = 1): number => Math.max(0, d) ** exponent;
const bce = (x: number, t: number): number => (t === 0 ? 0 : t * softplus(-x)) + (t === 1 ? 0 : (1 - t) * softplus(x));

/** Definitions of one element: score, target, options. */
export const elementRefs: Record<string, (x: number, t: number, options: any) => number> = {
  binaryCrossEntropy(x, t, { posWeight = 1, labelSmoothing = 0, margin = 0 }) {
    const z = x - margin * (2 * t - 1), s = t + labelSmoothing * (0.5 - t);
    return (s === 0 ? 0 : posWeight * s * softplus(-z)) + (s === 1 ? 0 : (1 - s) * softplus(z));
  },
  sigmoidFocalLoss: (x, t, { gamma = 2, alpha = 0.25 }) => (alpha === null ? 1 : alpha * t + (1 - alpha) * (1 - t)) * power(t * p(-x) + (1 - t) * p(x), gamma) * bce(x, t),
  qualityFocalLoss: (x, t, { beta = 2 }) => power(Math.abs(t * p(-x) - (1 - t) * p(x)), beta) * bce(x, t),
  varifocalLoss: (x, q, { alpha = 0.75, gamma = 2 }) => (q > 0 ? q * bce(x, q) : alpha * power(p(x), gamma) * softplus(x)),
  asymmetricLoss(x, t, { gammaNegative = 4, gammaPositive = 0, clip = 0.05 }) {
    const over = Math.max(0, p(x) - clip), base = (t === 0 ? 0 : t * softplus(-x)) + (t === 1 ? 0 : (1 - t) * (clip === 0 ? softplus(x) : -Math.log1p(-over)));
    return power(t * p(-x) + (1 - t) * over, gammaPositive * t + gammaNegative * (1 - t)) * base;
  },
  entropyMaximizationLoss: (x, t, { alpha = 0.2, beta = 0.02 }) => (t > 0 ? t * softplus(-x) : t < 0 ? beta * bce(x, -t) : -alpha * bce(x, p(x))),
  hingeLoss: (x, t, { margin = 1, power: exponent = 1 }) => hinge(margin - (2 * t - 1) * x, exponent),
  modifiedHuberLoss(x, t) {
    const m = (2 * t - 1) * x;
    return m < -1 ? -4 * m : hinge(1 - m, 2);
  },
  perceptronLoss: (x, t) => hinge(-(2 * t - 1) * x),
  hingeEmbeddingLoss: (x, t, { margin = 1, power: exponent = 1 }) => t * x + (1 - t) * hinge(margin - x, exponent),
};

/** Definitions of one row: scores, label or targets, options. */
export const rowRefs: Record<string, (z: Float64Array, t: Float64Array, options: any) => number> = {
  crammerSingerLoss: (z, [y], { margin = 1, power: exponent = 1 }) => hinge(margin + Math.max(...z.filter((_, j) => j !== y)) - z[y], exponent),
  westonWatkinsLoss: (z, [y], { margin = 1, power: exponent = 1 }) => z.reduce((sum, x, j) => sum + (j === y ? 0 : hinge(margin + x - z[y], exponent)), 0),
  multilabelMarginLoss: (z, t, { margin = 1, power: exponent = 1 }) => z.reduce((sum, a, j) => sum + z.reduce((s, b, i) => s + (t[j] * (1 - t[i]) * hinge(margin - a + b, exponent)) / z.length, 0), 0),
};
