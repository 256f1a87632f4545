// One token for each row, under rules. x: bits of f32[rows, cols], cols >= 1; raw: as x, what `score` is taken from; u: f32[rows, 3]: a number in [0, 1), epsilon, and 0 where tokens that are
// impossible count while no rule is in force; e = exp((x - max) / T), p = e / sum e.
// Rules, in this order, each on what the one before has left: the k largest; the most probable until their mass reaches topP; e >= minP; the nearest to the mean of log p until their mass reaches
// typicalP; p >= epsilon and p >= min(eta, sqrt(eta) exp(-entropy)), or the largest alone. Equal scores: the smaller column first.
// y: five sections of `stride` elements
//   token (i32), its score, log of the probability that it was drawn with, number of tokens left (i32), minus the log of its probability before epsilon and eta
// A row with NaN: token -1; with +Infinity: -2; of -Infinity only: -3.
//
// Nothing is sorted: a threshold is found by its digits, two bits a round, from the mass of what lies above. Sums of float32 in one order are monotone, so that the digits agree.

const ALL = 0xffffffffu;

struct Params {
  shiftX: u32, shiftRaw: u32, shiftU: u32, shiftY: u32,
  rows: u32, cols: u32, stride: u32, first: u32, k: u32,
  twice: f32, limit: f32, topP: f32, minP: f32, typicalP: f32, eta: f32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read> u: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

var<private> me: u32;
var<private> lane: u32;
var<private> origin: u32;
var<private> cols: u32;
var<private> halfTop: f32;
// The keys from which tokens are left, by score and by nearness to `centre`; the last columns of those that have them; their smallest weight.
var<private> edges: vec2u = vec2u();
var<private> lasts: vec2u = vec2u(ALL);
var<private> centre: f32 = 0.0;
var<private> least: f32 = 0.0;

fn below(bits: u32) -> f32 {
  if (bits == MINUS_INFINITE) { return -150.0; }
  return max(max(fma(bitcast<f32>(bits), 0.5, -halfTop), -params.limit) * params.twice, -150.0);
}

// log v of a normal v > 0.
fn logOf(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return fma(f32(bits >> 23u) - 127.0, 0.6931471805599453, log1pAbove(bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u) - 1.0));
}

// Of what is left, or of its ties at edges[by]: sums of e (of 1 where not weighted) over keys >= each of `at`, keys those of `by`, or by column where `columns`; and the sum of e z.
fn masses(columns: bool, by: u32, ties: bool, weighted: bool, at: vec3u) -> vec4f {
  var total = vec4f();
  var middle = vec4f();
  var part = vec4f();
  var i = 1u;
  for (var c = lane; c < cols; c += LANES) {
    let bits = x[origin + c];
    let z = below(bits);
    let e = expBelow(z);
    let keys = vec2u(rank(bits), ~bitcast<u32>(abs(z - centre)));
    if (bits != MINUS_INFINITE && e >= least && all(keys >= edges) && all((keys > edges) | (vec2u(c) <= lasts)) && !(ties && keys[by] > edges[by])) {
      part += vec4f(select(vec3f(), vec3f(select(1.0, e, weighted)), vec3u(select(keys[by], ~c, columns)) >= at), e * z);
    }
    if ((i & 7u) == 0u) {
      middle += part;
      part = vec4f();
    }
    if ((i & 63u) == 0u) {
      total += middle;
      middle = vec4f();
    }
    i++;
  }
  return sumOf(total + middle + part, me);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  me = local;
  lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  cols = select(0u, params.cols, row < params.rows);
  origin = params.shiftX + row * params.cols;
  var chance = 0.0;
  var epsilon = 0.0;
  var possible = 0u;
  if (row < params.rows) {
    let at = params.shiftU + 3u * row;
    chance = bitcast<f32>(u[at]);
    epsilon = bitcast<f32>(u[at + 1u]);
    possible = u[at + 2u];
  }

  var key = 0u;
  for (var c = lane; c < cols; c += LANES) { key = max(key, rank(x[origin + c])); }
  let top = maxOf(key, local);
  let regular = top > KEY_MINUS_INFINITE && top < KEY_INFINITE;
  cols = select(0u, cols, regular);
  halfTop = 0.5 * bitcast<f32>(select(0u, unorder(top), regular));

  var token = 0u;
  var left = 1.0;
  var mass = 1.0;
  var whole = 0.0;
  let rounds = (33u - countLeadingZeros(params.cols)) / 2u;
  let everything = select(~((1u << (2u * rounds)) - 1u), 0u, rounds == 16u);
  // topK, topP, typicalP, the first of the largest for epsilon and eta, the number of what is left, and the draw, with one place that sums.
  for (var stage = 0u; stage < 6u; stage++) {
    if (stage == 2u) { least = params.minP; }
    if ((stage == 0u && params.k >= params.cols) || (stage == 1u && params.topP >= 1.0) || (stage == 2u && params.typicalP >= 1.0) || (stage == 3u && params.eta < 0.0)) { continue; }
    let by = select(0u, 1u, stage == 2u);
    let before = vec2u(edges.x, lasts.x);
    var wanted = 0.0;
    var found = 0u;
    var share = 0.0;
    // Sums, 16 rounds for the digits of the limit, what lies above it, and the digits of the last column.
    for (var i = 0u; i < 18u + rounds; i++) {
      var at = vec3u();
      var step = 0u;
      if (i > 17u) {
        step = 1u << (2u * (rounds + 17u - i));
      } else if (i == 17u) {
        at = vec3u(select(found + 1u, ALL, found == ALL));
      } else if (i > 0u) {
        step = 1u << (32u - 2u * i);
      }
      if (step > 0u) { at = vec3u(found) + step * vec3u(1u, 2u, 3u); }
      let weighted = stage == 1u || stage == 2u || stage == 5u || (stage == 3u && i == 0u);
      let sums = masses(i > 17u, by, i > 17u && stage < 5u, weighted, at);
      if (i == 0u) {
        // The mean of log p + log Z.
        let mean = sums.w / sums.x;
        wanted = select(min(f32(params.k), sums.x), sums.x * select(params.topP, params.typicalP, stage == 2u), weighted);
        if (stage == 2u) { centre = mean; }
        if (stage == 3u) {
          share = max(epsilon * sums.x, min(params.eta * sums.x, sqrt(params.eta) * expBelow(max(mean, -150.0))));
          wanted = 1.0;
          whole = sums.x;
        }
        if (stage == 4u) {
          // Without a rule all tokens count, as on the processor.
          left = select(sums.x, f32(params.cols), all(edges == vec2u()) && least == 0.0 && possible == 0u);
          break;
        }
        if (stage == 5u) {
          mass = sums.x;
          wanted = bitcast<f32>(max(0x00800000u, min(bitcast<u32>(chance * mass) + 1u, bitcast<u32>(mass))));
          found = everything;
          i = 17u;
        }
      } else if (i == 17u) {
        wanted -= select(sums.x, 0.0, found == ALL);
        if (found > edges[by]) { lasts[by] = ALL; }
        edges[by] = found;
        found = everything;
      } else {
        found += step * dot(select(vec3u(), vec3u(1u), sums.xyz >= vec3f(wanted)), vec3u(1u));
      }
    }
    if (stage < 4u) { lasts[by] = ~found; }
    if (stage == 3u && expBelow(below(unorder(edges.x))) >= share) {
      edges.x = before.x;
      lasts.x = before.y;
      least = max(least, share);
    }
    token = ~found;
  }
  if (lane != 0u || row >= params.rows) { return; }

  var values = array<u32, 5>(select(select(0xfffffffdu, 0xfffffffeu, top == KEY_INFINITE), ALL, top == KEY_NAN), NAN, NAN, 0u, NAN);
  if (regular) {
    let z = below(x[origin + token]);
    values = array<u32, 5>(token, raw[params.shiftRaw + row * params.cols + token], bitcast<u32>(min(0.0, z - logOf(mass))), u32(left), bitcast<u32>(max(0.0, logOf(max(whole, mass)) - z)));
  }
  for (var i = 0u; i < 5u; i++) { y[params.shiftY + i * params.stride + params.first + row] = values[i]; }
}
