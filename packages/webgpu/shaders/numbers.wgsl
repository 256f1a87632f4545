// Numbers as bits, and elementary functions. Every kernel includes this file.
// Storage holds bits (u32): WGSL lets a compiler assume that no float is NaN or infinite, so these are recognised and written as integers, and only finite
// bits become f32.

const NAN = 0x7fc00000u;
const INFINITE = 0x7f800000u;
const MINUS_INFINITE = 0xff800000u;
// Keys of them: order(bits) is ordered as the numbers are, -0 directly below 0, every NaN above +Infinity.
const KEY_NAN = 0xffffffffu;
const KEY_INFINITE = 0xff800000u;
const KEY_MINUS_INFINITE = 0x007fffffu;

fn finite(bits: u32) -> bool {
  return (bits & INFINITE) != INFINITE;
}

// The float32 of the float16 in the lower half of a word, exact, infinities and NaN too. m 2^-24 of a subnormal is a normal float32.
fn widened(word: u32) -> u32 {
  let k = (word >> 10u) & 31u;
  let m = word & 1023u;
  let normal = ((k + select(112u, 224u, k == 31u)) << 23u) | (m << 13u);
  return ((word & 0x8000u) << 16u) | select(normal, bitcast<u32>(f32(m) * 5.9604644775390625e-8), k == 0u);
}

fn order(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > INFINITE) { return KEY_NAN; }
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

// The same with -0 = 0.
fn rank(bits: u32) -> u32 {
  return order(select(bits, 0u, bits == 0x80000000u));
}

// The bits of a key; NaN comes back as one NaN.
fn unorder(key: u32) -> u32 {
  if (key == KEY_NAN) { return NAN; }
  return select(~key, key & 0x7fffffffu, (key >> 31u) == 1u);
}

// exp(z) of z in [-150, 0]; 0 below 2^-126. z = k ln 2 + r, exp(r) = 1 + r + r^2 E(r), E minimax of degree 4 to 4e-9 on |r| <= ln 2 / 2.
fn expBelow(z: f32) -> f32 {
  if (z < -87.33654) { return 0.0; }
  let k = floor(fma(z, 1.4426950408889634, 0.5));
  // ln 2 in two parts: k times the upper one is exact.
  let r = fma(k, -1.428606765330187e-6, fma(k, -0.693145751953125, z));
  let e = fma(fma(fma(fma(0.0013814560370519757, r, 0.008368735201656818), r, 0.04166838899254799), r, 0.1666652113199234), r, 0.4999999403953552);
  return (1.0 + fma(r * r, e, r)) * bitcast<f32>(u32(i32(k) + 127) << 23u);
}

// log(1 + d) of finite d >= 0. 1 + d = 2^k (1 + f), log(1 + f) = f - f^2 / 2 + f^3 L(f), L minimax of degree 7 to 7e-9 on [sqrt(1/2) - 1, sqrt(2) - 1].
fn log1pAbove(d: f32) -> f32 {
  var f = d;
  var k = 0.0;
  if (d > 0.41421356) {
    let bits = bitcast<u32>(1.0 + d) - 0x3f3504f3u;
    k = f32(bits >> 23u);
    f = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0;
  }
  var l = fma(-0.07635743170976639, f, 0.12762784957885742);
  l = fma(fma(fma(l, f, -0.13160300254821777), f, 0.14201606810092926), f, -0.16623330116271973);
  l = fma(fma(fma(l, f, 0.20001232624053955), f, -0.250008225440979), f, 0.3333333134651184);
  return fma(k, 0.6931471805599453, f + f * f * fma(f, l, -0.5));
}
