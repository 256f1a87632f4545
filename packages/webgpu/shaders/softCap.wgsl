// What kernels of scores share: soft caps, and ratios of exponentials.

// cap tanh(v / cap): infinities become +cap and -cap, NaN stays.
// tanh(x) = x + x^3 P(x^2) below 0.625, P minimax (that of core-wasm), beyond it from exp(-2 x).
fn softCapped(bits: u32, cap: f32) -> u32 {
  if (order(bits) == KEY_NAN) { return NAN; }
  var x = 75.0;
  if (finite(bits)) { x = min(abs(bitcast<f32>(bits)) / cap, x); }
  let e = expBelow(-2.0 * x);
  let z = x * x;
  let p = fma(fma(fma(fma(-0.005714781582355499, z, 0.02064865455031395), z, -0.05374293774366379), z, 0.133314847946167), z, -0.3333328366279602);
  return bitcast<u32>(cap * select((1.0 - e) / (1.0 + e), fma(p * z, x, x), x < 0.625)) | (bits & 0x80000000u);
}

// exp(a - b), a <= b, from halves: the difference itself could overflow; 0 of an infinity.
fn ratio(bits: u32, b: f32) -> f32 {
  if (!finite(bits)) { return 0.0; }
  return expBelow(2.0 * max(fma(bitcast<f32>(bits), 0.5, -0.5 * b), -75.0));
}
