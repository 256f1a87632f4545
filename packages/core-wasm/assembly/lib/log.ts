// ln(x) in float64 for a normal x > 0, to 1e-12 relative to max(1, |ln x|); NaN stays NaN.
//
// x = 2^k m, m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716, series to s^15.
export function log64(x: f64): f64 {
  if (x != x) return x;
  const bits = reinterpret<i64>(x) - 0x3fe6a09e667f3bcd;
  const k = <f64>(<i32>(bits >> 52));
  const m = reinterpret<f64>((bits & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd);
  const s = (m - 1) / (m + 1);
  const z = s * s;
  const series = ((((((z / 15 + 1.0 / 13) * z + 1.0 / 11) * z + 1.0 / 9) * z + 1.0 / 7) * z + 1.0 / 5) * z + 1.0 / 3) * z;
  return k * 0.6931471805599453 + 2 * (s + s * series);
}
