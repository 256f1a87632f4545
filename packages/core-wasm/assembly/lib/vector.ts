// a * b + c. One fused operation in the relaxed build (rounded once), two in the baseline build.
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

// Sum of the four lanes, in float64.
export function sumLanes(v: v128): f64 {
  const pairs = f64x2.add(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 0, 1)));
  return f64x2.extract_lane(pairs, 0) + f64x2.extract_lane(pairs, 1);
}

// Maximum of the four lanes; no lane is NaN.
// @ts-ignore: decorator
@inline
export function maxLanes(v: v128): f32 {
  const pairs = f32x4.pmax(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmax(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

// The `count` (1 to 3) elements at p, the other lanes hold `fill`. Reads nothing beyond them.
export function loadTail(p: usize, count: usize, fill: v128): v128 {
  let v = v128.load_lane<f32>(p, fill, 0);
  if (count > 1) v = v128.load_lane<f32>(p, v, 1, 4);
  if (count > 2) v = v128.load_lane<f32>(p, v, 2, 8);
  return v;
}

// Writes the first `count` (1 to 3) lanes to p.
export function storeTail(p: usize, count: usize, v: v128): void {
  v128.store_lane<f32>(p, v, 0);
  if (count > 1) v128.store_lane<f32>(p, v, 1, 4);
  if (count > 2) v128.store_lane<f32>(p, v, 2, 8);
}

// Whether one of `cols` elements is NaN.
export function anyNaN(x: usize, cols: i32): bool {
  const stop = x + ((<usize>cols & ~3) << 2), end = x + (<usize>cols << 2);
  let nan = i32x4.splat(0);
  for (; x < stop; x += 16) {
    const v = v128.load(x);
    nan = v128.or(nan, f32x4.ne(v, v));
  }
  let found = v128.any_true(nan);
  for (; x < end; x += 4) {
    const v = load<f32>(x);
    if (v != v) found = true;
  }
  return found;
}
