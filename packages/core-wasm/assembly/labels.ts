import { EXP, halfExp } from "./lib/exp";
import { loadTail, maxLanes, storeTail, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Rows of scores with one label each: everything that a loss of log p[label] needs, and its gradient a (p - onehot) + b p, without a second exponential.

// In place: z[r, c] becomes exp(z[r, c] - max) / 2, and 0 at the label. out[r] = (max, z[r, label] - max, sum over c != label of exp(z[r, c] - max)).
// z: f32[rows, cols], labels: i32[rows] in [0, cols), out: f64[rows, 3]. NaN, +Infinity in a row or a row of -Infinity make its second or third number NaN.
export function f32_label_sums(z: usize, labels: usize, out: usize, rows: i32, cols: i32): void {
  const bytes = (<usize>cols & ~3) << 2, rest = <usize>cols & 3, stride = <usize>cols << 2;
  const impossible = v128.load32_splat(EXP, 36);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  for (; rows > 0; rows--, labels += 4, out += 24, z += stride) {
    const end = z + bytes;
    // pmax(m, v) keeps m where v is NaN: NaN comes back through the sum of exponentials, or through the label's score.
    let m = impossible, m1 = impossible, m2 = impossible, m3 = impossible, p = z;
    for (const stop = z + (bytes & ~63); p < stop; p += 64) {
      m = f32x4.pmax(m, v128.load(p));
      m1 = f32x4.pmax(m1, v128.load(p, 16));
      m2 = f32x4.pmax(m2, v128.load(p, 32));
      m3 = f32x4.pmax(m3, v128.load(p, 48));
    }
    for (; p < end; p += 16) m = f32x4.pmax(m, v128.load(p));
    if (rest) m1 = f32x4.pmax(m1, loadTail(end, rest, impossible));
    const top = maxLanes(f32x4.pmax(f32x4.pmax(m, m1), f32x4.pmax(m2, m3)));
    m = f32x4.splat(top);
    const label = z + (<usize>load<i32>(labels) << 2), score = load<f32>(label);
    store<f32>(label, -Infinity);
    // float32 lanes over at most 4096 bytes, blocks added in float64.
    let half: f64 = 0;
    p = z;
    while (p < end) {
      let s = f32x4.splat(0);
      for (const stop = min(p + 4096, end); p < stop; p += 16) {
        const e = halfExp(f32x4.sub(m, v128.load(p)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
        v128.store(p, e);
        s = f32x4.add(s, e);
      }
      half += sumLanes(s);
    }
    if (rest) {
      const e = halfExp(f32x4.sub(m, loadTail(end, rest, impossible)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      storeTail(end, rest, e);
      half += sumLanes(e);
    }
    store<f64>(out, <f64>top);
    store<f64>(out, <f64>score - <f64>top, 8);
    store<f64>(out, 2 * half, 16);
  }
}

// In place: z[r, c] *= scales[r, 0], and z[r, labels[r]] = scales[r, 1]. z as f32_label_sums leaves it; scales: f32[rows, 2].
export function f32_label_gradient(z: usize, labels: usize, scales: usize, rows: i32, cols: i32): void {
  const bytes = (<usize>cols & ~3) << 2, rest = <usize>cols & 3, stride = <usize>cols << 2;
  const zero = f32x4.splat(0);
  for (; rows > 0; rows--, labels += 4, scales += 8, z += stride) {
    const scale = v128.load32_splat(scales);
    let p = z;
    for (const end = z + bytes; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), scale));
    if (rest) storeTail(p, rest, f32x4.mul(loadTail(p, rest, zero), scale));
    store<f32>(z + (<usize>load<i32>(labels) << 2), load<f32>(scales, 4));
  }
}
