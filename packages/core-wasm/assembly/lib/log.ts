// ln(x) in float64 for a normal x > 0, to 2e-10; NaN stays NaN.
//
// x = 2^k m, m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716; atanh(s) = s + s^3 Q(s^2), Q minimax of degree 2.
export function log64(x: f64): f64 {
  if (x != x) return x;
  const bits = reinterpret<i64>(x) - 0x3fe6a09e667f3bcd;
  const s = 1 - 2 / (reinterpret<f64>((bits & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd) + 1);
  const z = s * s;
  const q = (0.14980633 * z + 0.199868017) * z + 0.3333340835;
  return <f64>(<i32>(bits >> 52)) * 0.6931471805599453 + 2 * (s + s * z * q);
}

// log(1 + d) in float64 for d >= 0 or NaN, to 2e-10 relative.
export function log1p64(d: f64): f64 {
  return d < 1e-3 ? d * (1 - d * (0.5 - d * (1.0 / 3 - d * 0.25))) : log64(1 + d);
}
