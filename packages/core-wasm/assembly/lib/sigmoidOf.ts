import { madd } from "./vector";

// sigmoid(x) with one division: exp(-|x|) = 2^k (1 - 2 r / (2 + u)) as in ./exp, so that 1 / (1 + exp(-|x|)) = (2 + u) / ((2 + u) + 2^k (2 + u - 2 r)).
// @ts-ignore: decorator
@inline
export function sigmoidOf(x: v128, log2e: v128, magic: v128, ln2hi: v128, ln2lo: v128, w2: v128, w1: v128, two: v128, highest: v128): v128 {
  const z = f32x4.pmin(f32x4.abs(x), highest);
  const t = madd(z, log2e, magic);
  const k = f32x4.sub(t, magic);
  const r = madd(k, ln2lo, madd(k, ln2hi, z));
  const y = f32x4.mul(r, r);
  const d = f32x4.add(madd(madd(w2, y, w1), y, r), two);
  const e = f32x4.mul(f32x4.sub(d, f32x4.add(r, r)), i32x4.shl(t, 23));
  return f32x4.div(v128.bitselect(e, d, f32x4.lt(x, f32x4.splat(0))), f32x4.add(d, e));
}
