import { exp, sigmoid, softplus } from "./lib/elementary";
import { loadTail, madd, storeTail, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Elements whose exponentials are summed in float32 lanes before they are added in float64.
const BLOCK: usize = 256;

const IMPOSSIBLE: usize = memory.data<f32>([-Infinity]);

// exp(scale (x - top)); 0 where x is -Infinity, whatever the scale.
// @ts-ignore: decorator
@inline
function weight(x: v128, scale: v128, top: v128, impossible: v128): v128 {
  return v128.andnot(exp(f32x4.mul(scale, f32x4.sub(x, top))), f32x4.eq(x, impossible));
}

// x[j] = exp(scale (x[j] - top)) in place; returns their sum   x: f32[length], scale >= 0. -Infinity gives 0; NaN stays NaN.
export function f32_exp_row(x: usize, length: i32, scale: f32, top: f32): f64 {
  const s = f32x4.splat(scale), t = f32x4.splat(top), impossible = v128.load32_splat(IMPOSSIBLE), rest = <usize>length & 3;
  let total: f64 = 0;
  for (const end = x + ((<usize>length & ~3) << 2); x < end; ) {
    let sum = f32x4.splat(0);
    for (const stop = min(x + (BLOCK << 2), end); x < stop; x += 16) {
      const e = weight(v128.load(x), s, t, impossible);
      v128.store(x, e);
      sum = f32x4.add(sum, e);
    }
    total += sumLanes(sum);
  }
  if (rest) {
    const e = weight(loadTail(x, rest, impossible), s, t, impossible);
    storeTail(x, rest, e);
    total += sumLanes(e);
  }
  return total;
}

// x[j] = sigmoid(scale x[j] + bias) in place; returns the sum of log(1 + exp(scale x[j] + bias))   x: f32[length], scale > 0. -Infinity gives 0 and adds nothing; NaN stays NaN.
export function f32_sigmoid_row(x: usize, length: i32, scale: f32, bias: f32): f64 {
  const s = f32x4.splat(scale), b = f32x4.splat(bias), rest = <usize>length & 3;
  let total: f64 = 0;
  for (const end = x + ((<usize>length & ~3) << 2); x < end; ) {
    let sum = f32x4.splat(0);
    for (const stop = min(x + (BLOCK << 2), end); x < stop; x += 16) {
      const v = f32x4.add(f32x4.mul(s, v128.load(x)), b);
      v128.store(x, sigmoid(v));
      sum = f32x4.add(sum, softplus(v));
    }
    total += sumLanes(sum);
  }
  if (rest) {
    const v = f32x4.add(f32x4.mul(s, loadTail(x, rest, f32x4.splat(-Infinity))), b);
    storeTail(x, rest, sigmoid(v));
    total += sumLanes(softplus(v));
  }
  return total;
}

// s[j] = |z - r_j|^2 from s[j] = z . r_j, own = |z|^2, squares[j] = |r_j|^2; its root where `root`   s, squares: f32[n], z: f32[d], r: f32[n, d].
// Where less than a quarter of |z|^2 + |r_j|^2 would be left, the squared differences are summed instead: the difference of nearly equal numbers has no digits.
export function f32_distances(s: usize, n: i32, z: usize, r: usize, d: i32, own: f32, squares: usize, root: i32): void {
  const row = <usize>d << 2;
  for (let j: i32 = 0; j < n; j++, s += 4, squares += 4, r += row) {
    const both = own + load<f32>(squares);
    let v = both - 2 * load<f32>(s);
    if (!(v >= 0.25 * both)) v = direct(z, r, d);
    store<f32>(s, root ? sqrt<f32>(v) : v);
  }
}

function direct(z: usize, r: usize, d: i32): f32 {
  const rest = <usize>d & 3, zero = f32x4.splat(0);
  let sum = zero;
  for (const end = z + ((<usize>d & ~3) << 2); z < end; z += 16, r += 16) {
    const v = f32x4.sub(v128.load(z), v128.load(r));
    sum = madd(v, v, sum);
  }
  if (rest) {
    const v = f32x4.sub(loadTail(z, rest, zero), loadTail(r, rest, zero));
    sum = madd(v, v, sum);
  }
  return <f32>sumLanes(sum);
}
