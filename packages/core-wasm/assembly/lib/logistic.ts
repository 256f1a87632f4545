// exp(-x) = 2^k exp(r), r = -x - k ln 2, |r| <= ln 2 / 2; exp(r) = 1 + (r - r c / (c - 2)), c = r - r^2 P(r^2): Remez, as e_exp.c of fdlibm, below 1 ULP. Constants from memory.
const EXP: usize = memory.data<f64>([
  1.4426950408889634, 6755399441055744, // 1.5 * 2^52: adding it rounds to an integer, which the low bits then hold
  0.6931471803691238, 1.9082149292705877e-10, // ln 2 in two parts
  4.1381367970572385e-8, -1.6533902205465252e-6, 6.613756321437934e-5, -2.7777777777015593e-3, 1.6666666666666602e-1,
  1, 2,
  -708, // exp of it is normal; what lies below counts as it
]);
const BIAS: usize = memory.data<i64>([1023]);

// Rows of a mantissa: the product of as many numbers in [1, 2] stays finite.
const RUN: usize = 512;

// @ts-ignore: decorator
@inline
function constant(i: usize): v128 {
  return v128.load64_splat(EXP + (i << 3));
}

// @ts-ignore: decorator
@inline
function sum(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

// Sums over an even number of rows: sigmoid(z) of z = a x + b y + c against targets t, r = sigmoid(z) - t, w = sigmoid(z) (1 - sigmoid(z)):
//   sums = (sum r x, r y, r; w x x, w y x, w y y, w x, w y, w; sum max(z, 0) - t z; then m, k with product of 1 + exp(-|z|) = m 2^k)
// x, y: f64[rows] (y only where `two`), mask: u8[rows] of 0 and 1, targets: f64[4, 2], of the pairs (0, 0), (1, 0), (0, 1), (1, 1); sums: f64[12].
// @ts-ignore: decorator
@inline
function logistic(x: usize, y: usize, two: bool, mask: usize, rows: i32, a: f64, b: f64, c: f64, targets: usize, sums: usize): void {
  const log2e = constant(0), magic = constant(1), high = constant(2), low = constant(3), one = constant(9), twos = constant(10), bottom = constant(11), bias = v128.load64_splat(BIAS);
  const p5 = constant(4), p4 = constant(5), p3 = constant(6), p2 = constant(7), p1 = constant(8);
  const slope = f64x2.splat(a), other = f64x2.splat(b), intercept = f64x2.splat(c), zero = f64x2.splat(0);
  let g0 = zero, g1 = zero, g2 = zero, h00 = zero, h10 = zero, h11 = zero, h20 = zero, h21 = zero, h22 = zero, loss = zero;
  let mantissa: f64 = 1, exponent: i64 = 0;
  for (const end = x + (<usize>rows << 3); x < end; ) {
    let product = one;
    for (const stop = min(end, x + (RUN << 3)); x < stop; x += 16, mask += 2) {
      const u = v128.load(x);
      let z = f64x2.add(f64x2.mul(slope, u), intercept), v = zero;
      if (two) {
        v = v128.load(y);
        y += 16;
        z = f64x2.add(f64x2.mul(other, v), z);
      }
      const bits = <usize>load<u16>(mask), target = v128.load(targets + (((bits | (bits >> 7)) & 3) << 4));
      const s = f64x2.pmax(f64x2.neg(f64x2.abs(z)), bottom);
      const t = f64x2.add(f64x2.mul(s, log2e), magic), k = f64x2.sub(t, magic);
      const r = f64x2.sub(f64x2.sub(s, f64x2.mul(k, high)), f64x2.mul(k, low)), q = f64x2.mul(r, r);
      let p = f64x2.add(f64x2.mul(p5, q), p4);
      p = f64x2.add(f64x2.mul(p, q), p3);
      p = f64x2.add(f64x2.mul(p, q), p2);
      p = f64x2.add(f64x2.mul(p, q), p1);
      const d = f64x2.sub(r, f64x2.mul(q, p));
      const e = f64x2.mul(f64x2.sub(one, f64x2.sub(f64x2.div(f64x2.mul(r, d), f64x2.sub(d, twos)), r)), i64x2.shl(i64x2.add(t, bias), 52));
      const more = f64x2.add(one, e), near = f64x2.div(one, more), far = f64x2.mul(e, near), w = f64x2.mul(far, near);
      product = f64x2.mul(product, more);
      loss = f64x2.add(loss, f64x2.sub(f64x2.pmax(zero, z), f64x2.mul(target, z)));
      const residual = f64x2.sub(v128.bitselect(far, near, f64x2.lt(z, zero)), target), wx = f64x2.mul(w, u);
      g0 = f64x2.add(g0, f64x2.mul(residual, u));
      g2 = f64x2.add(g2, residual);
      h00 = f64x2.add(h00, f64x2.mul(wx, u));
      h20 = f64x2.add(h20, wx);
      h22 = f64x2.add(h22, w);
      if (two) {
        const wy = f64x2.mul(w, v);
        g1 = f64x2.add(g1, f64x2.mul(residual, v));
        h10 = f64x2.add(h10, f64x2.mul(wx, v));
        h11 = f64x2.add(h11, f64x2.mul(wy, v));
        h21 = f64x2.add(h21, wy);
      }
    }
    const part = reinterpret<i64>(mantissa * f64x2.extract_lane(product, 0) * f64x2.extract_lane(product, 1));
    exponent += (part >> 52) - 1023;
    mantissa = reinterpret<f64>((part & 0xfffffffffffff) | 0x3ff0000000000000);
  }
  store<f64>(sums, sum(g0));
  store<f64>(sums, sum(g1), 8);
  store<f64>(sums, sum(g2), 16);
  store<f64>(sums, sum(h00), 24);
  store<f64>(sums, sum(h10), 32);
  store<f64>(sums, sum(h11), 40);
  store<f64>(sums, sum(h20), 48);
  store<f64>(sums, sum(h21), 56);
  store<f64>(sums, sum(h22), 64);
  store<f64>(sums, sum(loss), 72);
  store<f64>(sums, mantissa, 80);
  store<f64>(sums, <f64>exponent, 88);
}

export function f64_logistic_one(x: usize, mask: usize, rows: i32, a: f64, c: f64, targets: usize, sums: usize): void {
  logistic(x, 0, false, mask, rows, a, 0, c, targets, sums);
}

export function f64_logistic_two(x: usize, y: usize, mask: usize, rows: i32, a: f64, b: f64, c: f64, targets: usize, sums: usize): void {
  logistic(x, y, true, mask, rows, a, b, c, targets, sums);
}
