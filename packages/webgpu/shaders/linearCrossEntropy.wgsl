// Cross-entropy over a vocabulary, a tile z: f32[rows, cols] of its logits at a time; the word of column c is first + c.
// labels: i32[rows], bias: f32[cols] (hasBias = 1), factors: f32[rows]; all floats as bits. A logit is cap tanh((z + bias) / cap) (cap 0: z + bias); a bias of -Infinity makes a word impossible.
//   STATE     z: the logits, state: f32[rows, 5]: the largest logit m so far (NaN where one is NaN or +Infinity), others: the sum of exp(logit - m) but for m's own 1, the label's logit, and sum times 2^-24
//             and number of the possible logits. With last = 1: logs[r] = L = m + log(1 + others), values[r] = factors[r] (L - (1 - smoothing) the label's logit - smoothing their mean + zLoss L^2)
//   GRADIENT  z[r, c] = factors[r] ((1 + 2 zLoss L) exp(logit - L) - (1 - smoothing) [first + c is the label] - smoothing / number, if possible) (1 - (logit / cap)^2), with a cap 0 for -Infinity;
//             ready = 1: z holds the logits
// A row with NaN or +Infinity, or without a possible word: NaN; an impossible label: +Infinity.

override MODE: u32 = 0u;

struct Params {
  shiftLabels: u32, shiftBias: u32, shiftFactors: u32, shiftZ: u32, shiftState: u32, shiftValues: u32, shiftLogs: u32,
  rows: u32, cols: u32, first: u32, last: u32, hasBias: u32, ready: u32,
  zLoss: f32, cap: f32, smoothing: f32,
}

@group(0) @binding(0) var<storage, read> labels: array<u32>;
@group(0) @binding(1) var<storage, read> bias: array<u32>;
@group(0) @binding(2) var<storage, read> factors: array<u32>;
@group(0) @binding(3) var<storage, read_write> z: array<u32>;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;
@group(0) @binding(5) var<storage, read_write> values: array<u32>;
@group(0) @binding(6) var<storage, read_write> logs: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

fn logit(bits: u32, c: u32) -> u32 {
  var sum = bits;
  if (params.hasBias == 1u) {
    let b = bias[params.shiftBias + c];
    if (b == MINUS_INFINITE) { return b; }
    if (finite(bits) && finite(b)) {
      sum = bitcast<u32>(bitcast<f32>(bits) + bitcast<f32>(b));
    } else if (finite(bits)) {
      sum = b;
    } else if (!finite(b) && bits != b) {
      sum = NAN;
    }
  }
  if (params.cap > 0.0 && sum != MINUS_INFINITE) { sum = softCapped(sum, params.cap); }
  return sum;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  let cols = select(0u, params.cols, row < params.rows);
  let origin = params.shiftZ + row * params.cols;
  let at = params.shiftState + row * 5u;
  let label = labels[params.shiftLabels + row] - params.first;

  if (MODE == 0u) {
    var key = 0u;
    for (var c = lane; c < cols; c += LANES) {
      let bits = logit(z[origin + c], c);
      z[origin + c] = bits;
      key = max(key, rank(bits));
    }
    storageBarrier();
    let top = maxOf(key, local);
    let regular = top > KEY_MINUS_INFINITE && top < KEY_INFINITE;
    var m = select(unorder(top), NAN, top >= KEY_INFINITE);
    let here = bitcast<f32>(select(0u, m, regular));
    var total = vec4f();
    if (regular) {
      for (var c = lane; c < cols; ) {
        var part = vec4f();
        for (var i = 0u; i < 16u && c < cols; i++) {
          let bits = z[origin + c];
          // The largest count, as 1 each.
          if (rank(bits) == top) { part.y += 1.0; } else { part.x += ratio(bits, here); }
          // Times 2^-24: many of the largest float32 have a sum.
          if (bits != MINUS_INFINITE) { part += vec4f(0.0, 0.0, 5.9604644775390625e-8 * bitcast<f32>(bits), 1.0); }
          c += LANES;
        }
        total += part;
      }
    }
    total = sumOf(total, local);
    if (lane != 0u || row >= params.rows) { return; }
    var others = total.x + max(total.y - 1.0, 0.0);
    let before = state[at];
    if (params.first > 0u) { total += vec4f(0.0, 0.0, bitcast<f32>(state[at + 3u]), bitcast<f32>(state[at + 4u])); }
    if (params.first > 0u && before != MINUS_INFINITE) {
      let earlier = bitcast<f32>(state[at + 1u]);
      if (!finite(before) || order(m) == KEY_NAN) {
        m = NAN;
      } else if (m == MINUS_INFINITE) {
        m = before;
        others = earlier;
      } else if (here > bitcast<f32>(before)) {
        others += (1.0 + earlier) * ratio(before, here);
      } else {
        others = earlier + (1.0 + others) * ratio(m, bitcast<f32>(before));
        m = before;
      }
    }
    state[at] = m;
    state[at + 1u] = bitcast<u32>(others);
    state[at + 3u] = bitcast<u32>(total.z);
    state[at + 4u] = bitcast<u32>(total.w);
    if (label < params.cols) { state[at + 2u] = z[origin + label]; }
    if (params.last == 0u) { return; }
    var value = NAN;
    var log = m;
    let factor = factors[params.shiftFactors + row];
    if (finite(m)) {
      let l = log1pAbove(others);
      let L = bitcast<f32>(m) + l;
      log = bitcast<u32>(L);
      value = INFINITE;
      let own = state[at + 2u];
      let top = bitcast<f32>(m);
      if (finite(own)) { value = bitcast<u32>(bitcast<f32>(factor) * ((1.0 - params.smoothing) * (top - bitcast<f32>(own)) + select(0.0, params.smoothing * (top - 16777216.0 * (total.z / total.w)), params.smoothing > 0.0) + l + params.zLoss * L * L)); }
    }
    values[params.shiftValues + row] = value;
    logs[params.shiftLogs + row] = log;
    return;
  }

  let m = state[at];
  let factor = factors[params.shiftFactors + row];
  let good = finite(m) && finite(factor);
  let top = bitcast<f32>(select(0u, m, good));
  let by = bitcast<f32>(select(0u, factor, good));
  let others = bitcast<f32>(state[at + 1u]);
  let share = (1.0 + 2.0 * params.zLoss * (top + log1pAbove(others))) / (1.0 + others);
  let even = params.smoothing / bitcast<f32>(state[at + 4u]);
  for (var c = lane; c < cols; c += LANES) {
    var bits = z[origin + c];
    if (params.ready == 0u) { bits = logit(bits, c); }
    var result = NAN;
    if (good) {
      var slope = by;
      let bent = bitcast<f32>(bits) / params.cap;
      if (params.cap > 0.0) { slope *= select(0.0, 1.0 - bent * bent, finite(bits)); }
      result = bitcast<u32>(slope * (share * ratio(bits, top) - select(0.0, 1.0 - params.smoothing, c == label) - select(even, 0.0, bits == MINUS_INFINITE)));
    }
    z[origin + c] = result;
  }
}
