/** The definitions in float64: `Math`, except where it has none. */
export const mathRef: Readonly<Record<"exp" | "log" | "log1p" | "expm1" | "tanh" | "erf" | "sigmoid" | "softplus", (x: number) => number>> = {
  exp: Math.exp,
  log: Math.log,
  log1p: Math.log1p,
  expm1: Math.expm1,
  tanh: Math.tanh,
  erf: (x) => (Math.abs(x) < 2 ? series(x) : Math.sign(x) * (1 - tail(Math.abs(x)))),
  sigmoid: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))),
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
};

/** erf(x) = 2 / sqrt(pi) sum_k (-1)^k x^(2k+1) / (k! (2k+1)). */
function series(x: number): number {
  let [term, sum] = [x, x];
  for (let k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k++) sum += (term *= (-x * x) / k) / (2 * k + 1);
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** erfc(x) for x >= 2 by its continued fraction. */
function tail(x: number): number {
  if (!(x < 6)) return x === x ? 0 : NaN;
  let below = 0;
  for (let k = 60; k > 0; k--) below = k / 2 / (x + below);
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * (x + below));
}
