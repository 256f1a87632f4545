// One token for each row, under rules. x: bits of f32[rows, cols], cols >= 1; u: f32[rows] in (0, 1); e = exp((x - max) / T), d = (max - x) / T.
// Rules, in this order, each on what the one before has left: the k largest; the most probable until their mass reaches topP; d <= near; the nearest to the entropy until
// their mass reaches typicalP; those with a probability of at least min(eta, sqrt(eta) exp(-entropy)). Equal scores: the smaller column first.
// y: six sections of `stride` elements
//   token (i32), log softmax(x)[token], log of the probability that it was drawn with, entropy and margin of softmax(x), number of tokens left (i32)
// A row with NaN: token -1; with +Infinity: -2; of -Infinity only: -3.
//
// Nothing is sorted: a threshold is found by its digits, two bits a round, from the mass of what lies above. Sums of float32 in one order are monotone, so that the digits agree.

const ALL = 0xffffffffu;

struct Params {
  shiftX: u32, shiftU: u32, shiftY: u32,
  rows: u32, cols: u32, stride: u32, first: u32,
  // 0: greedy.
  k: u32,
  twice: f32, limit: f32, topP: f32, near: f32, typicalP: f32,
  // log eta; positive: no rule.
  logEta: f32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> u: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

var<private> me: u32;
var<private> lane: u32;
var<private> origin: u32;
var<private> cols: u32;
var<private> halfTop: f32;
// Keys of RANK and TYPICAL from which tokens are left, and the last column of those that have this key.
var<private> limits: vec2u = vec2u();
var<private> lasts: vec2u = vec2u(ALL);
var<private> near: f32 = 1e30;
var<private> center: f32 = 0.0;

fn below(bits: u32) -> f32 {
  if (bits == MINUS_INFINITE) { return -150.0; }
  return max(max(fma(bitcast<f32>(bits), 0.5, -halfTop), -params.limit) * params.twice, -150.0);
}

// Of what is left, or of its ties: sums of e (of 1 where not weighted) over keys >= each of `at`, keys by rank, by distance to the center, or by column (0, 1, 2); kind 3: of e, z e and 1.
fn masses(kind: u32, ties: bool, order: u32, weighted: bool, at: vec3u) -> vec3f {
  var total = vec3f();
  var middle = vec3f();
  var part = vec3f();
  var i = 1u;
  for (var c = lane; c < cols; c += LANES) {
    let bits = x[origin + c];
    let z = below(bits);
    let keys = vec2u(rank(bits), ~bitcast<u32>(abs(z + center)));
    if (bits != MINUS_INFINITE && all((keys > limits) | ((keys == limits) & (vec2u(c) <= lasts))) && -z <= near && (!ties || keys[order] == limits[order])) {
      let e = expBelow(z);
      var weights = vec3f(1.0);
      if (weighted) { weights = vec3f(e); }
      if (kind == 3u) { weights = vec3f(e, z * e, 1.0); }
      let key = select(keys[order], ~c, kind == 2u);
      part += select(vec3f(), weights, vec3u(key) >= at);
    }
    if ((i & 7u) == 0u) {
      middle += part;
      part = vec3f();
    }
    if ((i & 63u) == 0u) {
      total += middle;
      middle = vec3f();
    }
    i++;
  }
  return sumOf(vec4f(total + middle + part, 0.0), me).xyz;
}

// log of normal v > 0.
fn logOf(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return fma(f32(i32(bits >> 23u) - 127), 0.6931471805599453, log1pAbove(bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u) - 1.0));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  me = local;
  lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  cols = select(0u, params.cols, row < params.rows);
  origin = params.shiftX + row * params.cols;

  var key = 0u;
  for (var c = lane; c < cols; c += LANES) { key = max(key, rank(x[origin + c])); }
  let top = maxOf(key, local);
  let regular = top > KEY_MINUS_INFINITE && top < KEY_INFINITE;
  cols = select(0u, cols, regular);
  halfTop = 0.5 * bitcast<f32>(select(0u, unorder(top), regular));

  // Statistics at temperature 1: the others' weights, their moment, the ties with the largest; the second key; the first column of the largest.
  var sums = vec4f();
  var second = 0u;
  var best = 0u;
  for (var c = lane; c < cols; ) {
    var part = vec4f();
    for (var i = 0u; i < 16u && c < cols; i++) {
      let bits = x[origin + c];
      let k = rank(bits);
      if (k == top) {
        best = max(best, ~c);
        part.z += 1.0;
      } else {
        second = max(second, k);
        var z = -150.0;
        if (bits != MINUS_INFINITE) { z = max(2.0 * max(fma(bitcast<f32>(bits), 0.5, -halfTop), -75.0), -150.0); }
        let e = expBelow(z);
        part += vec4f(e, z * e, 0.0, 0.0);
      }
      c += LANES;
    }
    sums += part;
  }
  sums = sumOf(sums, local);
  second = maxOf(second, local);
  var token = ~maxOf(best, local);

  var draw = 0.0;
  var left = 1.0;
  var mass = 1.0;
  // Without a rule all tokens count, as on the processor.
  var ruled = false;
  let rounds = (33u - countLeadingZeros(params.cols)) / 2u;
  let everything = select(~((1u << (2u * rounds)) - 1u), 0u, rounds == 16u);
  // The rules and the draw, with one place that sums.
  for (var stage = select(5u, 0u, params.k > 0u); stage < 5u; stage++) {
    if (stage == 2u) { near = params.near; }
    if ((stage == 0u && params.k >= params.cols) || (stage == 1u && params.topP >= 1.0) || (stage == 2u && params.typicalP >= 1.0) || (stage == 3u && params.logEta > 0.0)) { continue; }
    let order = select(0u, 1u, stage == 2u);
    ruled = ruled || stage < 4u || near < 1e30;
    let weighted = stage > 0u;
    var wanted = 0.0;
    var found = 0u;
    // Sums, 16 rounds for the digits of the limit, what lies above it, and the digits of the last column.
    for (var i = 0u; i < 18u + rounds; i++) {
      var at = vec3u();
      var step = 0u;
      var kind = 3u;
      if (i > 0u && i < 17u) {
        step = 1u << (32u - 2u * i);
        kind = order;
      } else if (i == 17u) {
        at = vec3u(select(found + 1u, ALL, found == ALL));
        kind = order;
      } else if (i > 17u) {
        step = 1u << (2u * (rounds + 17u - i));
        kind = 2u;
      }
      if (step > 0u) { at = vec3u(found) + step * vec3u(1u, 2u, 3u); }
      let sums = masses(kind, i > 17u && stage < 4u, order, weighted, at);
      if (i == 0u) {
        left = select(sums.z, f32(params.cols), stage == 4u && !ruled);
        wanted = sums.x * params.topP;
        if (stage == 0u) { wanted = min(f32(params.k), sums.z); }
        if (stage == 2u) {
          center = -sums.y / sums.x;
          wanted = sums.x * params.typicalP;
        }
        if (stage == 3u) {
          // The largest probability is always at least exp(-entropy); the slack is for rounding.
          let logSum = logOf(max(sums.x, 1e-37));
          let bound = max(-params.logEta, logSum - sums.y / sums.x - 0.5 * params.logEta) - logSum;
          near = min(near, bound + 1e-6 * (1.0 + abs(bound)));
          break;
        }
        if (stage == 4u) {
          mass = sums.x;
          var goal = 0u;
          if (row < params.rows) { goal = bitcast<u32>(bitcast<f32>(u[params.shiftU + row]) * mass) + 1u; }
          wanted = bitcast<f32>(max(0x00800000u, min(goal, bitcast<u32>(mass))));
          found = everything;
          i = 17u;
        }
      } else if (i == 17u) {
        wanted -= select(sums.x, 0.0, found == ALL);
        if (found > limits[order]) { lasts[order] = ALL; }
        limits[order] = found;
        found = everything;
      } else {
        found += step * dot(select(vec3u(), vec3u(1u), sums >= vec3f(wanted)), vec3u(1u));
      }
    }
    if (stage < 3u) { lasts[order] = ~found; }
    if (stage == 4u) { token = ~found; }
  }
  if (regular && lane == 0u && params.k > 0u) { draw = min(0.0, below(x[origin + min(token, params.cols - 1u)]) - logOf(max(mass, 1e-37))); }
  if (lane != 0u || row >= params.rows) { return; }

  var values = array<u32, 6>(select(select(0xfffffffdu, 0xfffffffeu, top == KEY_INFINITE), ALL, top == KEY_NAN), NAN, NAN, NAN, NAN, 0u);
  if (regular) {
    let others = sums.x + max(sums.z - 1.0, 0.0);
    let logSum = log1pAbove(others);
    values[0] = token;
    values[1] = bitcast<u32>(2.0 * fma(bitcast<f32>(x[origin + token]), 0.5, -halfTop) - logSum);
    values[2] = bitcast<u32>(draw);
    values[3] = bitcast<u32>(logSum - sums.y / (1.0 + others));
    values[4] = INFINITE;
    if (sums.z > 1.0) {
      values[4] = 0u;
    } else if (second > KEY_MINUS_INFINITE) {
      let half = fma(bitcast<f32>(unorder(second)), -0.5, halfTop);
      if (half < 1.7014118e38) { values[4] = bitcast<u32>(2.0 * half); }
    }
    values[5] = u32(left);
  }
  for (var i = 0u; i < 6u; i++) { y[params.shiftY + i * params.stride + params.first + row] = values[i]; }
}
