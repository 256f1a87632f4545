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
