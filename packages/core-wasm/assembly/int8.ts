export { ABI_VERSION } from "./lib/abi";

// At least the products of a query with rows that are kept as bytes: y[r] = scale * scales[r] * sum_i a[i] codes[r, i] + length * errors[r] + error * norms[r].
// codes: i8[rows, width], a: i16[width], width a multiple of 8; scales, errors, norms, y: f32[rows]. The integer sum is exact where |a| width 127 < 2^31.
// What is rounded after it is at most 5 2^-24 of the sum of the three terms' sizes.
export function i8_products(
  a: usize, codes: usize, rows: i32, width: i32, scale: f32, length: f32, error: f32, scales: usize, errors: usize, norms: usize, y: usize,
): void {
  const row = <usize>width, stop = a + (row << 1);
  const by = f32x4.splat(scale), q = f32x4.splat(length), e = f32x4.splat(error);
  for (; rows >= 4; rows -= 4) {
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    let p0 = codes, p1 = codes + row, p2 = p1 + row, p3 = p2 + row;
    for (let p = a; p < stop; p += 16) {
      const v = v128.load(p);
      s0 = i32x4.add(s0, i32x4.dot_i16x8_s(v128.load_ext<i8>(p0), v));
      s1 = i32x4.add(s1, i32x4.dot_i16x8_s(v128.load_ext<i8>(p1), v));
      s2 = i32x4.add(s2, i32x4.dot_i16x8_s(v128.load_ext<i8>(p2), v));
      s3 = i32x4.add(s3, i32x4.dot_i16x8_s(v128.load_ext<i8>(p3), v));
      p0 += 8;
      p1 += 8;
      p2 += 8;
      p3 += 8;
    }
    codes = p3;
    // The four sums of four lanes in one vector.
    const a01 = i32x4.add(v128.shuffle<i32>(s0, s1, 0, 4, 1, 5), v128.shuffle<i32>(s0, s1, 2, 6, 3, 7));
    const a23 = i32x4.add(v128.shuffle<i32>(s2, s3, 0, 4, 1, 5), v128.shuffle<i32>(s2, s3, 2, 6, 3, 7));
    const sums = i32x4.add(v128.shuffle<i64>(a01, a23, 0, 2), v128.shuffle<i64>(a01, a23, 1, 3));
    const product = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sums), by), v128.load(scales));
    v128.store(y, f32x4.add(f32x4.add(product, f32x4.mul(q, v128.load(errors))), f32x4.mul(e, v128.load(norms))));
    scales += 16;
    errors += 16;
    norms += 16;
    y += 16;
  }
  for (; rows > 0; rows--) {
    let s = i32x4.splat(0);
    for (let p = a; p < stop; p += 16, codes += 8) s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load_ext<i8>(codes), v128.load(p)));
    const sum = i32x4.extract_lane(s, 0) + i32x4.extract_lane(s, 1) + (i32x4.extract_lane(s, 2) + i32x4.extract_lane(s, 3));
    store<f32>(y, <f32>sum * scale * load<f32>(scales) + length * load<f32>(errors) + error * load<f32>(norms));
    scales += 4;
    errors += 4;
    norms += 4;
    y += 4;
  }
}
