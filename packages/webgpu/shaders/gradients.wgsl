// Vector-Jacobian products of softmax and log-softmax. p: softmax or its logarithm, u: upstream, y: all bits of f32, rows of `cols` >= 1 elements `inner` apart.
//   SOFTMAX       y[r, c] = p[r, c] (u[r, c] - sum_k u[r, k] p[r, k]) / T          a NaN in p or u, or an infinity: NaN in the row
//   LOG_SOFTMAX   y[r, c] = (u[r, c] - exp(p[r, c]) sum_k u[r, k]) / T             u not finite: NaN in the row; p = NaN or +Infinity: NaN there; p = -Infinity: exp(p) = 0

const SOFTMAX = 0u;
override MODE: u32 = 0u;

struct Params {
  shiftP: u32, shiftU: u32, shiftY: u32,
  rows: u32, cols: u32, inner: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> p: array<u32>;
@group(0) @binding(1) var<storage, read> u: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  let inner = params.inner;
  let cols = select(0u, params.cols, row < params.rows);
  let start = (row / inner) * params.cols * inner + row % inner;

  // The sum, and in the second place how many elements are not finite.
  var total = vec4f();
  for (var c = lane; c < cols; ) {
    var part = vec4f();
    for (var i = 0u; i < 16u && c < cols; i++) {
      let at = start + c * inner;
      let above = u[params.shiftU + at];
      let weight = select(0x3f800000u, p[params.shiftP + at], MODE == SOFTMAX);
      if (finite(above) && finite(weight)) { part.x += bitcast<f32>(above) * bitcast<f32>(weight); } else { part.y += 1.0; }
      c += LANES;
    }
    total += part;
  }
  total = sumOf(total, local);

  for (var c = lane; c < cols; c += LANES) {
    let at = start + c * inner;
    let bits = p[params.shiftP + at];
    var result = NAN;
    if (total.y == 0.0) {
      let above = bitcast<f32>(u[params.shiftU + at]);
      if (MODE == SOFTMAX) {
        result = bitcast<u32>(params.scale * (bitcast<f32>(bits) * (above - total.x)));
      } else if (bits == MINUS_INFINITE) {
        result = bitcast<u32>(params.scale * above);
      } else if (finite(bits)) {
        // A logarithm of a probability is at most 0; rounding may leave it just above.
        result = bitcast<u32>(params.scale * (above - expOf(bitcast<f32>(bits)) * total.x));
      }
    }
    y[params.shiftY + at] = result;
  }
}

// exp of any finite number: above 0 as the inverse, whose overflow is that of the result.
fn expOf(v: f32) -> f32 {
  if (v <= 0.0) { return expBelow(max(v, -150.0)); }
  return 1.0 / expBelow(max(-v, -87.0));
}
