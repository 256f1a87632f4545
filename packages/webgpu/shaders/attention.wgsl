// Weights of a block of queries over the keys [key, key + cols), from whole rows of products. Row r is row first + r of [B, H, T]; query t of batch item b sees the keys [from, to) of
// ranges: i32[B or 1, T, 2] (batchStep T or 0), bound from the block's first query. s = scale x, then cap tanh(s / cap) (cap 0: none); sinks: f32[H], the score of a key without a value, -Infinity: none.
//   FORWARD   x[r, c] = P[r, c] = exp(s[r, c] - L[r]), 0 where it is not seen;   logs[r] = L[r] = log(sum of exp(s) over what is seen + exp(sink))
//   BACKWARD  the same, and y[r, c] = P (y[r, c] - d[r]) scale (1 - (s / cap)^2), d[r] = sum_c P y[r, c] - total[r];   sinkSlopes[r] = -exp(sink - L) d.  BACKWARD_TOTAL: total is given, else 0
// x, y: f32[rows, cols], logs, total, sinkSlopes: f32[rows], as bits. No key seen and no sink: P = 0, L = -Infinity. NaN or +Infinity among the scores: NaN.

const BACKWARD = 1u;
const BACKWARD_TOTAL = 2u;
override MODE: u32 = 0u;

struct Params {
  shiftRanges: u32, shiftSinks: u32, shiftTotal: u32, shiftX: u32, shiftY: u32, shiftLogs: u32, shiftSlopes: u32,
  rows: u32, cols: u32, first: u32, key: u32, queries: u32, heads: u32, batchStep: u32,
  scale: f32, cap: f32,
}

@group(0) @binding(0) var<storage, read> ranges: array<u32>;
@group(0) @binding(1) var<storage, read> sinks: array<u32>;
@group(0) @binding(2) var<storage, read> above: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
@group(0) @binding(5) var<storage, read_write> logs: array<u32>;
@group(0) @binding(6) var<storage, read_write> sinkSlopes: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

fn score(bits: u32) -> u32 {
  var s = bits;
  if (finite(bits)) {
    s = bitcast<u32>(params.scale * bitcast<f32>(bits));
  } else if (params.scale == 0.0) {
    s = NAN;
  } else {
    s ^= bitcast<u32>(params.scale) & 0x80000000u;
  }
  if (params.cap > 0.0) { s = softCapped(s, params.cap); }
  return s;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  let live = row < params.rows;
  let at = params.first + row;
  let each = params.queries * params.heads;
  let query = 2u * (params.batchStep * (at / each - params.first / each) + at % params.queries - params.first % params.queries);
  var low = 0u;
  var high = 0u;
  if (live) {
    low = max(ranges[params.shiftRanges + query], params.key) - params.key;
    high = clamp(ranges[params.shiftRanges + query + 1u], params.key, params.key + params.cols) - params.key;
  }
  let origin = params.shiftX + row * params.cols;
  let other = params.shiftY + row * params.cols;
  let sink = sinks[params.shiftSinks + (at / params.queries) % params.heads];

  var key = rank(sink);
  // Each score is made once. An invocation meets the same columns again in every loop.
  for (var c = low + lane; c < high; c += LANES) {
    let s = score(x[origin + c]);
    x[origin + c] = s;
    key = max(key, rank(s));
  }
  let top = maxOf(key, local);
  let regular = top > KEY_MINUS_INFINITE && top < KEY_INFINITE;
  let m = bitcast<f32>(select(0u, unorder(top), regular));
  var total = vec4f();
  if (regular) {
    // The largest count, as 1 each.
    if (lane == 0u) { if (rank(sink) == top) { total.y = 1.0; } else { total.x = ratio(sink, m); } }
    for (var c = low + lane; c < high; ) {
      var part = vec4f();
      for (var i = 0u; i < 16u && c < high; i++) {
        let s = x[origin + c];
        if (rank(s) == top) { part.y += 1.0; } else { part.x += ratio(s, m); }
        c += LANES;
      }
      total += part;
    }
  }
  total = sumOf(total, local);
  let others = total.x + max(total.y - 1.0, 0.0);
  let by = 1.0 / (1.0 + others);
  let bad = top >= KEY_INFINITE;

  // The mean of what came from above, and how many of these are no finite numbers.
  var mean = vec4f();
  if (MODE != 0u) {
    for (var c = low + lane; c < high; c += LANES) {
      let u = y[other + c];
      if (finite(u)) { mean.x += by * ratio(x[origin + c], m) * bitcast<f32>(u); } else { mean.y += 1.0; }
    }
    mean = sumOf(mean, local);
    if (MODE == BACKWARD_TOTAL && live) {
      let u = above[params.shiftTotal + row];
      if (finite(u)) { mean.x -= bitcast<f32>(u); } else { mean.y += 1.0; }
    }
  }
  let lost = bad || mean.y > 0.0;

  for (var c = (low + lane) % LANES; live && c < params.cols; c += LANES) {
    var p = 0u;
    var g = 0u;
    if (c >= low && c < high) {
      let s = x[origin + c];
      var w = 0.0;
      if (regular) { w = by * ratio(s, m); }
      p = select(bitcast<u32>(w), NAN, bad);
      if (MODE != 0u) {
        g = NAN;
        if (!lost) {
          var slope = params.scale;
          let bent = bitcast<f32>(s) / params.cap;
          if (params.cap > 0.0 && finite(s)) { slope *= 1.0 - bent * bent; }
          g = bitcast<u32>(w * (bitcast<f32>(y[other + c]) - mean.x) * slope);
        }
      }
    }
    x[origin + c] = p;
    if (MODE != 0u) { y[other + c] = g; }
  }
  if (lane != 0u || !live) { return; }
  var log = select(MINUS_INFINITE, NAN, bad);
  if (regular) { log = bitcast<u32>(m + log1pAbove(others)); }
  logs[params.shiftLogs + row] = log;
  if (MODE != 0u) {
    var slope = 0u;
    if (regular) { slope = bitcast<u32>(-by * ratio(sink, m) * mean.x); }
    sinkSlopes[params.shiftSlopes + row] = select(slope, NAN, lost && sink != MINUS_INFINITE);
  }
}
