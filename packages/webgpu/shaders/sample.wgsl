// One token for each row, under rules. x: bits of f32[rows, cols], cols >= 1; u: f32[rows] in (0, 1); e = exp((x - max) / T).
// Rules, in this order, each on what the one before has left: the k largest; the most probable until their mass reaches topP; e >= minP. Equal scores: the smaller column first.
// y: four sections of `stride` elements
//   token (i32), its score, log of the probability that it was drawn with, number of tokens left (i32)
// A row with NaN: token -1; with +Infinity: -2; of -Infinity only: -3.
//
// Nothing is sorted: a threshold is found by its digits, two bits a round, from the mass of what lies above. Sums of float32 in one order are monotone, so that the digits agree.

const ALL = 0xffffffffu;

struct Params {
  shiftX: u32, shiftU: u32, shiftY: u32,
  rows: u32, cols: u32, stride: u32, first: u32, k: u32,
  twice: f32, limit: f32, topP: f32, minP: f32,
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
// The key from which tokens are left, the last column of those that have it, and their smallest weight.
var<private> edge: u32 = 0u;
var<private> last: u32 = ALL;
var<private> least: f32 = 0.0;

fn below(bits: u32) -> f32 {
  if (bits == MINUS_INFINITE) { return -150.0; }
  return max(max(fma(bitcast<f32>(bits), 0.5, -halfTop), -params.limit) * params.twice, -150.0);
}

// Of what is left, or of its ties: sums of e (of 1 where not weighted) over keys >= each of `at`, keys by rank, or by column where `columns`.
fn masses(columns: bool, ties: bool, weighted: bool, at: vec3u) -> vec3f {
  var total = vec3f();
  var middle = vec3f();
  var part = vec3f();
  var i = 1u;
  for (var c = lane; c < cols; c += LANES) {
    let bits = x[origin + c];
    let e = expBelow(below(bits));
    let key = rank(bits);
    if (bits != MINUS_INFINITE && ((key == edge && c <= last) || (key > edge && !ties)) && e >= least) {
      part += select(vec3f(), vec3f(select(1.0, e, weighted)), vec3u(select(key, ~c, columns)) >= at);
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

  var token = 0u;
  var left = 1.0;
  var mass = 1.0;
  let rounds = (33u - countLeadingZeros(params.cols)) / 2u;
  let everything = select(~((1u << (2u * rounds)) - 1u), 0u, rounds == 16u);
  // The rules, the number of what they left, and the draw, with one place that sums.
  for (var stage = 0u; stage < 4u; stage++) {
    if (stage == 2u) { least = params.minP; }
    if ((stage == 0u && params.k >= params.cols) || (stage == 1u && params.topP >= 1.0)) { continue; }
    let weighted = (stage & 1u) == 1u;
    var wanted = 0.0;
    var found = 0u;
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
      let sums = masses(i > 17u, i > 17u && stage < 2u, weighted, at);
      if (i == 0u) {
        wanted = select(min(f32(params.k), sums.x), sums.x * params.topP, weighted);
        if (stage == 2u) {
          // Without a rule all tokens count, as on the processor.
          left = select(sums.x, f32(params.cols), edge == 0u && least == 0.0);
          break;
        }
        if (stage == 3u) {
          mass = sums.x;
          var goal = 0u;
          if (row < params.rows) { goal = bitcast<u32>(bitcast<f32>(u[params.shiftU + row]) * mass) + 1u; }
          wanted = bitcast<f32>(max(0x00800000u, min(goal, bitcast<u32>(mass))));
          found = everything;
          i = 17u;
        }
      } else if (i == 17u) {
        wanted -= select(sums.x, 0.0, found == ALL);
        if (found > edge) { last = ALL; }
        edge = found;
        found = everything;
      } else {
        found += step * dot(select(vec3u(), vec3u(1u), sums >= vec3f(wanted)), vec3u(1u));
      }
    }
    if (stage < 2u) { last = ~found; }
    token = ~found;
  }
  if (lane != 0u || row >= params.rows) { return; }

  var values = vec4u(select(select(0xfffffffdu, 0xfffffffeu, top == KEY_INFINITE), ALL, top == KEY_NAN), NAN, NAN, 0u);
  if (regular) {
    let bits = x[origin + token];
    values = vec4u(token, bits, bitcast<u32>(min(0.0, below(bits) - log1pAbove(mass - 1.0))), u32(left));
  }
  for (var i = 0u; i < 4u; i++) { y[params.shiftY + i * params.stride + params.first + row] = values[i]; }
}
