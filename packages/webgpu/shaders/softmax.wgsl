// Softmax and what shares its sums. x: bits of f32, rows of `cols` >= 1 elements `inner` apart; s = x / T; p = softmax(s); z = s - max s.
//   SOFTMAX         y[r, c] = p[r, c]                                      y as x
//   LOG_SOFTMAX     y[r, c] = s[r, c] - log Z[r]                           y as x
//   LOG_SUM_EXP     y[r] = log Z[r]                                        y[rows]
//   ENTROPY         y[r] = log Z[r] - E s                                  y[rows]
//   LOG_SUM_EXP_GRAD  y[r, c] = u[r] p[r, c] / T                           u[rows], y as x
//   ENTROPY_GRAD    y[r, c] = -u[r] p[r, c] (z[r, c] - E z[r]) / T         u[rows], y as x
// A row with NaN, with +Infinity, or of -Infinity only: NaN; LOG_SUM_EXP: NaN, +Infinity, -Infinity. u[r] not finite: NaN. Scores further apart than 3.4e38 are
// infinitely far apart; weights below 2^-126 of the largest are 0.

const SOFTMAX = 0u;
const LOG_SOFTMAX = 1u;
const LOG_SUM_EXP = 2u;
const ENTROPY = 3u;
const LOG_SUM_EXP_GRAD = 4u;
const ENTROPY_GRAD = 5u;
override MODE: u32 = 0u;

struct Params {
  shiftX: u32, shiftU: u32, shiftY: u32,
  rows: u32, cols: u32, inner: u32,
  // 2 / T, and what half a distance may be: beyond `limit` its weight is 0, beyond `most` the quotient is infinite.
  twice: f32, limit: f32, most: f32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> u: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// z in [-150, 0], from halves: the difference itself could overflow.
fn below(bits: u32, halfTop: f32) -> f32 {
  if (bits == MINUS_INFINITE) { return -150.0; }
  return max(max(fma(bitcast<f32>(bits), 0.5, -halfTop), -params.limit) * params.twice, -150.0);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  let inner = params.inner;
  let cols = select(0u, params.cols, row < params.rows);
  let start = (row / inner) * params.cols * inner + row % inner;
  let origin = params.shiftX + start;

  var key = 0u;
  for (var c = lane; c < cols; c += LANES) { key = max(key, rank(x[origin + c * inner])); }
  let top = maxOf(key, local);
  let regular = top > KEY_MINUS_INFINITE && top < KEY_INFINITE;
  let halfTop = 0.5 * bitcast<f32>(select(0u, unorder(top), regular));

  // others, moment, ties: sum exp(z) = 1 + others, where the 1 is the largest element, so that nothing is lost where it dominates.
  var total = vec4f();
  if (regular) {
    for (var c = lane; c < cols; ) {
      var part = vec4f();
      for (var i = 0u; i < 16u && c < cols; i++) {
        let z = below(x[origin + c * inner], halfTop);
        let e = expBelow(z);
        part += select(vec4f(e, z * e, 0.0, 0.0), vec4f(0.0, 0.0, 1.0, 0.0), z == 0.0);
        c += LANES;
      }
      total += part;
    }
  }
  total = sumOf(total, local);
  let others = total.x + max(total.z - 1.0, 0.0);
  let z0 = 1.0 + others;

  if (MODE == LOG_SUM_EXP || MODE == ENTROPY) {
    if (lane != 0u || row >= params.rows) { return; }
    var result = NAN;
    if (MODE == ENTROPY) {
      if (regular) { result = bitcast<u32>(log1pAbove(others) - total.y / z0); }
    } else if (!regular) {
      result = unorder(top);
    } else if (abs(halfTop) > params.most) {
      result = INFINITE | (unorder(top) & 0x80000000u);
    } else {
      result = bitcast<u32>(fma(halfTop, params.twice, log1pAbove(others)));
    }
    y[params.shiftY + row] = result;
    return;
  }

  let to = params.shiftY + start;
  var upstream = 0u;
  if (MODE == LOG_SUM_EXP_GRAD || MODE == ENTROPY_GRAD) { if (row < params.rows) { upstream = u[params.shiftU + row]; } }
  let good = regular && finite(upstream);
  let factor = 0.5 * params.twice * bitcast<f32>(select(0u, upstream, good)) / z0;
  let scale = 1.0 / z0;
  let logZ = log1pAbove(others);
  let center = total.y / z0;
  for (var c = lane; c < cols; c += LANES) {
    let bits = x[origin + c * inner];
    var result = NAN;
    if (good) {
      let z = below(bits, halfTop);
      if (MODE == SOFTMAX) {
        result = bitcast<u32>(expBelow(z) * scale);
      } else if (MODE == LOG_SUM_EXP_GRAD) {
        result = bitcast<u32>(expBelow(z) * factor);
      } else if (MODE == ENTROPY_GRAD) {
        result = bitcast<u32>(expBelow(z) * factor * (center - z));
      } else {
        result = MINUS_INFINITE;
        if (bits != MINUS_INFINITE) {
          let half = fma(bitcast<f32>(bits), 0.5, -halfTop);
          if (half >= -params.most) { result = bitcast<u32>(fma(half, params.twice, -logZ)); }
        }
      }
    }
    y[to + c * inner] = result;
  }
}
