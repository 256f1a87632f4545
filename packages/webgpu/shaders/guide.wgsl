// Scores of several models in one. x, a, b, y: bits of f32[rows, cols]; tops: f32[rows, k], the k largest of each row of x; a row takes a workgroup.
//   y = w0 x + w1 a + w2 b   where x is at most `margin` below the k-th largest of its row (k = 0: anywhere), else -Infinity
// x = NaN, +Infinity or -Infinity stays; a or b not finite beside a score that counts: NaN.

struct Params {
  shiftX: u32, shiftA: u32, shiftB: u32, shiftTops: u32, shiftY: u32,
  rows: u32, cols: u32, k: u32,
  w0: f32, w1: f32, w2: f32, margin: f32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> tops: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  var edge = MINUS_INFINITE;
  if (params.k > 0u) { edge = tops[params.shiftTops + (row + 1u) * params.k - 1u]; }
  for (var c = local; c < params.cols; c += 256u) {
    let at = row * params.cols + c;
    var result = x[params.shiftX + at];
    if (finite(result)) {
      let p = a[params.shiftA + at];
      let q = b[params.shiftB + at];
      let v = bitcast<f32>(result);
      // Halves: the difference could overflow.
      if (finite(edge) && 0.5 * v < fma(-0.5, params.margin, 0.5 * bitcast<f32>(edge))) {
        result = MINUS_INFINITE;
      } else if (finite(p) && finite(q)) {
        result = bitcast<u32>(fma(params.w0, v, fma(params.w1, bitcast<f32>(p), params.w2 * bitcast<f32>(q))));
      } else {
        result = NAN;
      }
    }
    y[params.shiftY + at] = result;
  }
}
