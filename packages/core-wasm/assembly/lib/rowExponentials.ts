import { EXP, halfExp } from "./exp";
import { loadTail, maxLanes, storeTail, sumLanes } from "./vector";

// The largest of the `cols` elements at x. pmax(m, v) keeps m where v is NaN: NaN comes back through the sum of exponentials.
export function rowMax(x: usize, cols: i32): f32 {
  const bytes = (<usize>cols & ~3) << 2;
  const impossible = v128.load32_splat(EXP, 36);
  let m = impossible, m1 = impossible, m2 = impossible, m3 = impossible, p = x;
  const end = x + bytes;
  for (const stop = x + (bytes & ~63); p < stop; p += 64) {
    m = f32x4.pmax(m, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
    m2 = f32x4.pmax(m2, v128.load(p, 32));
    m3 = f32x4.pmax(m3, v128.load(p, 48));
  }
  for (; p < end; p += 16) m = f32x4.pmax(m, v128.load(p));
  if (cols & 3) m1 = f32x4.pmax(m1, loadTail(end, cols & 3, impossible));
  return maxLanes(f32x4.pmax(f32x4.pmax(m, m1), f32x4.pmax(m2, m3)));
}

// y[c] = exp(x[c] - top) / 2 of the `cols` elements at x, and their sum: float32 lanes over at most 4096 bytes, blocks added in float64. y may be x.
export function halfExponentials(x: usize, y: usize, cols: i32, top: f32): f64 {
  const end = x + ((<usize>cols & ~3) << 2), rest = <usize>cols & 3, m = f32x4.splat(top);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  let half: f64 = 0;
  while (x < end) {
    let s = f32x4.splat(0);
    for (const stop = min(x + 4096, end); x < stop; x += 16, y += 16) {
      const e = halfExp(f32x4.sub(m, v128.load(x)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      v128.store(y, e);
      s = f32x4.add(s, e);
    }
    half += sumLanes(s);
  }
  if (rest) {
    const e = halfExp(f32x4.sub(m, loadTail(x, rest, v128.load32_splat(EXP, 36))), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
    storeTail(y, rest, e);
    half += sumLanes(e);
  }
  return half;
}
