import { exp, log } from "@logits/statistics";

/**
 * P(sum_j v_j W_j^2 > x) where W is standard normal at each of the nodes with correlation exp(-|x_i - x_j| / h): the law of a kernel statistic under a perfect model.
 *
 * E exp(s Q) is a product over the nodes from the last to the first (W is a Markov chain, an Ornstein-Uhlenbeck process), so the inversion integral
 * (1 / 2 pi i) int E exp(s Q) exp(-s x) ds / s costs O(nodes) a point. The path crosses the real axis where the integrand is smallest and bends to the right: nothing
 * cancels, so that small probabilities keep their digits: within 1e-11 of the value (relative) for x above 1e-3, within 1e-4 below.
 *
 * @param variances - v_j > 0, their sum 1
 * @param decays - exp(-(x_{j+1} - x_j) / h), one fewer
 * Source: Imhof, Biometrika 48 (1961); Rice, SIAM Journal on Scientific and Statistical Computing 1 (1980), for the path.
 */
export function ornsteinUhlenbeckTail(x: number, variances: Float64Array, decays: Float64Array): number {
  if (!(x > 0)) return 1;
  if (x === Infinity) return 0;
  const last = variances.length - 1, squared = decays.map((e) => e * e);
  /** E exp(s Q) to the power -2 for real s; 0 where it does not exist. */
  const determinant = (s: number): number => {
    let a = s * variances[last], product = 1;
    for (let j = last - 1; j >= 0; j--) {
      const factor = 1 - 2 * a * (1 - squared[j]);
      if (!(factor > 0)) return 0;
      product *= factor;
      a = s * variances[j] + (a * squared[j]) / factor;
    }
    return Math.max(0, product * (1 - 2 * a));
  };
  /** Logarithm of the integrand on the real axis. */
  const height = (s: number): number => {
    const d = determinant(s);
    return d > 0 ? -0.5 * log(d) - s * x - log(s) : Infinity;
  };
  let high = 0.5;
  while (determinant(high) > 0 && high < 1e6) high *= 2;
  let low = 0;
  for (let bound = high, i = 0; i < 40; i++) {
    const middle = (low + bound) / 2;
    if (determinant(middle) > 0) low = middle;
    else bound = middle;
    high = bound;
  }
  // Golden section: the height is convex.
  const end = high;
  low = 0;
  const GOLDEN = 0.6180339887498949;
  for (let i = 0; i < 40; i++) {
    const first = high - GOLDEN * (high - low), second = low + GOLDEN * (high - low);
    if (height(first) <= height(second)) high = second;
    else low = first;
  }
  const s0 = (low + high) / 2, near = 0.05 * Math.min(s0, end - s0), top = height(s0);
  const bend = (height(s0 + near) + height(s0 - near) - 2 * top) / (near * near);
  const step = Math.min(1 / Math.sqrt(bend), s0, end - s0) / 6, curve = 0.5 / (end - s0);
  // e^(-i y x) turns by the same angle from point to point.
  const [stepCosine, stepSine] = unit(step * x);
  let total = 0, cosine = 1, sine = 0;
  for (let i = 0; i < 20000; i++) {
    const y = i * step, u = s0 + curve * y * y;
    // E exp(s Q) at s = u + i y; every factor below the real axis, so that principal roots are the right ones.
    let a = u * variances[last], b = y * variances[last], re = 1, im = 0;
    for (let j = last; j >= 0; j--) {
      const spread = j > 0 ? 1 - squared[j - 1] : 1, fr = 1 - 2 * a * spread, fi = -2 * b * spread;
      const size = Math.sqrt(fr * fr + fi * fi), rootRe = Math.sqrt(Math.max(0, (size + fr) / 2)), rootIm = fr > 0 && rootRe > 0 ? fi / (2 * rootRe) : -Math.sqrt(Math.max(0, (size - fr) / 2));
      const r = re * rootRe - im * rootIm;
      im = re * rootIm + im * rootRe;
      re = r;
      if (j > 0) {
        const shrink = squared[j - 1] / (size * size), next = (a * fr + b * fi) * shrink;
        b = y * variances[j - 1] + (b * fr - a * fi) * shrink;
        a = u * variances[j - 1] + next;
      }
    }
    // exp(-(s - s0) x) / s times ds / (i dy) = 1 - 2 i curve y, over the root of the determinant.
    const power = exp((s0 - u) * x), slope = -2 * curve * y;
    const nr = power * (cosine + sine * slope), ni = power * (cosine * slope - sine), qr = re * u - im * y, qi = re * y + im * u, size = qr * qr + qi * qi;
    const value = (nr * qr + ni * qi) / size;
    total += i === 0 ? value / 2 : value;
    if (i > 20 && Math.sqrt((nr * nr + ni * ni) / size) < 1e-14 * Math.abs(total)) break;
    const turned = cosine * stepCosine - sine * stepSine;
    sine = cosine * stepSine + sine * stepCosine;
    cosine = turned;
  }
  return Math.max(0, Math.min(1, (total * step * exp(-s0 * x)) / Math.PI));
}

/** Cosine and sine of an angle >= 0: Taylor series of the angle divided by a power of two, then doubled back. */
function unit(angle: number): readonly [cosine: number, sine: number] {
  let doublings = 0, t = angle;
  for (; t > 0.1; t /= 2) doublings++;
  const t2 = t * t;
  // Versine and sine, so that doubling keeps the digits of small angles.
  let versine = (t2 / 2) * (1 - (t2 / 12) * (1 - (t2 / 30) * (1 - t2 / 56))), sine = t * (1 - (t2 / 6) * (1 - (t2 / 20) * (1 - t2 / 42)));
  for (; doublings > 0; doublings--) {
    const cosine = 1 - versine;
    versine = 2 * sine * sine;
    sine *= 2 * cosine;
  }
  return [1 - versine, sine];
}
