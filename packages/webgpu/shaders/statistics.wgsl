// Statistics of rows of logits in one read for the maximum and one for the rest. x: bits of f32[rows, cols], cols >= 1; p = softmax(x / T).
// y: seven sections of `stride` elements, in order
//   maxProbability 1 / (1 + o), otherProbability o / (1 + o), o = the weights of the others over that of the largest
//   maxLogit, energy = -(max + T log(1 + o)), entropy, margin = largest - second largest (+Infinity where no second is possible), argmax (i32)
// A row with NaN: NaN, argmax -1. With +Infinity, or of -Infinity only: probabilities and entropy NaN, energy -max, margin the difference (NaN between equal infinities).

struct Params {
  shiftX: u32, shiftY: u32,
  rows: u32, cols: u32, stride: u32, first: u32,
  twice: f32, limit: f32, temperature: f32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

fn below(bits: u32, halfTop: f32) -> f32 {
  if (bits == MINUS_INFINITE) { return -150.0; }
  return max(max(fma(bitcast<f32>(bits), 0.5, -halfTop), -params.limit) * params.twice, -150.0);
}

// a - b of keys with a >= b, as bits.
fn difference(a: u32, b: u32) -> u32 {
  if (a == KEY_NAN || (a == b && (a == KEY_INFINITE || a == KEY_MINUS_INFINITE))) { return NAN; }
  if (a == KEY_INFINITE || b == KEY_MINUS_INFINITE || b == 0u) { return INFINITE; }
  let v = bitcast<f32>(unorder(a));
  let w = bitcast<f32>(unorder(b));
  // Half the largest float32: what is beyond it overflows.
  if (fma(v, 0.5, -0.5 * w) >= 1.7014118e38) { return INFINITE; }
  return bitcast<u32>(v - w);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  let cols = select(0u, params.cols, row < params.rows);
  let origin = params.shiftX + row * params.cols;

  var key = 0u;
  for (var c = lane; c < cols; c += LANES) { key = max(key, rank(x[origin + c])); }
  let top = maxOf(key, local);
  let regular = top > KEY_MINUS_INFINITE && top < KEY_INFINITE;
  let halfTop = 0.5 * bitcast<f32>(select(0u, unorder(top), regular));

  var total = vec4f();
  var second = 0u;
  var first = 0u;
  for (var c = lane; c < cols; ) {
    var part = vec4f();
    for (var i = 0u; i < 16u && c < cols; i++) {
      let bits = x[origin + c];
      let k = rank(bits);
      if (k == top) {
        // The smallest column is the largest complement.
        first = max(first, ~c);
        part.w += 1.0;
      } else {
        second = max(second, k);
      }
      if (regular) {
        let z = below(bits, halfTop);
        let e = expBelow(z);
        part += select(vec4f(e, z * e, 0.0, 0.0), vec4f(0.0, 0.0, 1.0, 0.0), z == 0.0);
      }
      c += LANES;
    }
    total += part;
  }
  total = sumOf(total, local);
  second = maxOf(second, local);
  first = maxOf(first, local);
  if (lane != 0u || row >= params.rows) { return; }

  let others = total.x + max(total.z - 1.0, 0.0);
  let z0 = 1.0 + others;
  let topBits = unorder(top);
  var values = array<u32, 7>(NAN, NAN, topBits, topBits ^ 0x80000000u, NAN, difference(top, select(second, top, total.w > 1.0)), ~first);
  if (top == KEY_NAN) {
    values[3] = NAN;
    values[6] = 0xffffffffu;
  }
  if (regular) {
    values[0] = bitcast<u32>(1.0 / z0);
    values[1] = bitcast<u32>(others / z0);
    let energy = bitcast<u32>(-fma(params.temperature, log1pAbove(others), 2.0 * halfTop));
    values[3] = select(energy, 0u, energy == 0x80000000u);
    values[4] = bitcast<u32>(log1pAbove(others) - total.y / z0);
  }
  for (var i = 0u; i < 7u; i++) { y[params.shiftY + i * params.stride + params.first + row] = values[i]; }
}
