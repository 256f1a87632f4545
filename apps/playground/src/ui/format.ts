/** A number with a fixed count of decimals, with a real minus sign. */
export function fixed(value: number, digits = 3): string {
  return value.toFixed(digits).replace("-", "−");
}

/** A share in per cent. */
export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)}\u00a0%`;
}

/** A count with thin groups. */
export function count(value: number): string {
  return value.toLocaleString("en-GB");
}

/** A p-value: small ones as a bound, never 0. */
export function pValue(value: number): string {
  return value < 0.001 ? "below 0.001" : value.toFixed(3);
}

/** An interval of shares. */
export function between([low, high]: readonly [number, number], digits = 1): string {
  return `${(100 * low).toFixed(digits)} to ${percent(high, digits)}`;
}

/** A probability in per cent that never claims certainty. */
export function probability(value: number): string {
  return value > 0.9995 ? "> 99.9\u00a0%" : value < 0.0005 ? "< 0.1\u00a0%" : percent(value);
}

/** Milliseconds with three digits, in the unit that suits. */
export function time(ms: number): string {
  return ms < 1 ? `${+(1000 * ms).toPrecision(3)}\u00a0µs` : `${+ms.toPrecision(3)}\u00a0ms`;
}
