import { loadTail, maxLanes } from "./vector";

// The largest of the `cols` elements at x; NaN where there is no finite largest: with NaN or +Infinity, or of -Infinity only.
export function finiteMax(x: usize, cols: i32): f32 {
  const end = x + ((<usize>cols & ~3) << 2);
  const rest = cols & 3;
  const impossible = f32x4.splat(-Infinity);
  let m = impossible, m1 = impossible, nan = i32x4.splat(0), p = x;
  for (const stop = x + ((<usize>cols & ~7) << 2); p < stop; p += 32) {
    const v = v128.load(p), w = v128.load(p, 16);
    m = f32x4.pmax(m, v);
    m1 = f32x4.pmax(m1, w);
    nan = v128.or(nan, v128.or(f32x4.ne(v, v), f32x4.ne(w, w)));
  }
  if (p < end) {
    const v = v128.load(p);
    m = f32x4.pmax(m, v);
    nan = v128.or(nan, f32x4.ne(v, v));
  }
  if (rest) {
    const v = loadTail(end, rest, impossible);
    m1 = f32x4.pmax(m1, v);
    nan = v128.or(nan, f32x4.ne(v, v));
  }
  const top = maxLanes(f32x4.pmax(m, m1));
  return v128.any_true(nan) || top - top != 0 ? NaN : top;
}
