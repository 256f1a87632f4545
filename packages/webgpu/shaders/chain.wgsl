// Linear chains, one workgroup a sequence, in log space. x: bits of f32[rows, states], 1 <= states <= 1024, the rows of sequence b from offsets[b] to offsets[b + 1]; a: f32[states, states],
// [from, to]; edges: f32[2, states], of the first and the last state.
//   FORWARD   totals[b] = log Z; with keep = 1 also y[t] = log of the forward sums, each row less a number of its own
//   BACKWARD  y[t] += log of the backward sums, less a number: softmax(y[t]) are the marginals
//   BEST      totals[b] = the best score, states[t] = the state of row t on the best path, the one that is smallest read from its end among equals; y: sources
// No possible path: totals -Infinity, states -1, y -Infinity. NaN or +Infinity in a sequence, or in a or edges: totals NaN, y NaN, states -2 - row. An empty sequence: 0.
// Scores below -1e30 count as impossible. Each row is shifted by a whole number, so that nothing is lost where the total is large.

const FORWARD = 0u;
const BEST = 1u;
const BACKWARD = 2u;
const LOW = -1e37;
const POSSIBLE = -1e30;
override MODE: u32 = 0u;

struct Params {
  shiftX: u32, shiftA: u32, shiftE: u32, shiftO: u32, shiftY: u32, shiftS: u32, shiftT: u32,
  batch: u32, states: u32, base: u32, keep: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> edges: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
@group(0) @binding(5) var<storage, read_write> states: array<u32>;
@group(0) @binding(6) var<storage, read_write> totals: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

// The row before and the row that is made, in turn.
var<workgroup> line: array<f32, 2048>;
var<workgroup> worst: atomic<u32>;

fn score(bits: u32, row: u32) -> f32 {
  if (bits == MINUS_INFINITE) { return LOW; }
  if (!finite(bits)) {
    atomicMin(&worst, row);
    return LOW;
  }
  let v = bitcast<f32>(bits);
  return select(v, LOW, v < POSSIBLE);
}

fn move(i: u32, j: u32) -> f32 {
  let bits = a[params.shiftA + i * params.states + j];
  return select(bitcast<f32>(bits), LOW, bits == MINUS_INFINITE);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let b = group.y * groups.x + group.x;
  if (b >= params.batch) { return; }
  let from = offsets[params.shiftO + b] - params.base;
  let length = offsets[params.shiftO + b + 1u] - params.base - from;
  let n = params.states;
  if (length == 0u) {
    if (local == 0u && MODE != BACKWARD) { totals[params.shiftT + b] = 0u; }
    return;
  }
  if (local == 0u) { atomicStore(&worst, 0xffffffffu); }
  workgroupBarrier();
  for (var k = local; k < n * n; k += 256u) { _ = score(a[params.shiftA + k], from + params.base); }

  // BACKWARD goes from the last row to the first one.
  let backward = MODE == BACKWARD;
  for (var j = local; j < n; j += 256u) {
    let row = from + select(0u, length - 1u, backward);
    let e = score(x[params.shiftX + row * n + j], row + params.base);
    let edge = score(edges[params.shiftE + select(0u, n, backward) + j], row + params.base);
    line[j] = max(e + edge, LOW);
    let at = params.shiftY + row * n + j;
    if (params.keep == 1u) { y[at] = bitcast<u32>(select(line[j], max(bitcast<f32>(y[at]) + edge, LOW), backward)); }
  }
  workgroupBarrier();

  var whole = 0;
  var large = 0.0;
  for (var t = 1u; t < length; t++) {
    let before = select(1024u, 0u, (t & 1u) == 1u);
    let row = from + select(t, length - 1u - t, backward);
    for (var j = local; j < n; j += 256u) {
      var most = 3.0 * LOW;
      var top = LOW;
      var source = 0u;
      for (var i = 0u; i < n; i++) {
        let near = line[before + i];
        top = max(top, near);
        let v = near + move(select(i, j, backward), select(j, i, backward));
        if (v > most) {
          most = v;
          source = i;
        }
      }
      let shift = select(0.0, clamp(floor(top), -1e9, 1e9), top > POSSIBLE);
      if (j == 0u) {
        whole += i32(shift);
        if (abs(whole) > 16777216) {
          large += f32(whole);
          whole = 0;
        }
      }
      if (MODE != BEST && most > POSSIBLE) {
        var others = 0.0;
        for (var i = 0u; i < n; i++) {
          let v = line[before + i] + move(select(i, j, backward), select(j, i, backward));
          others += select(expBelow(max(v - most, -150.0)), 0.0, i == source);
        }
        most += log1pAbove(others);
      }
      let e = score(x[params.shiftX + row * n + j], row + params.base);
      let value = most - shift;
      line[1024u - before + j] = max(value + e, LOW);
      let at = params.shiftY + row * n + j;
      if (MODE == BEST) {
        y[at] = source;
      } else if (backward) {
        y[at] = bitcast<u32>(max(bitcast<f32>(y[at]) + value, LOW));
      } else if (params.keep == 1u) {
        y[at] = bitcast<u32>(line[1024u - before + j]);
      }
    }
    workgroupBarrier();
  }

  let faulty = atomicLoad(&worst);
  if (backward) {
    for (var k = from * n + local; k < (from + length) * n; k += 256u) {
      let at = params.shiftY + k;
      if (faulty != 0xffffffffu) {
        y[at] = NAN;
      } else if (bitcast<f32>(y[at]) < POSSIBLE) {
        y[at] = MINUS_INFINITE;
      }
    }
    return;
  }
  storageBarrier();
  workgroupBarrier();
  if (local != 0u) { return; }
  let before = select(1024u, 0u, (length & 1u) == 1u);
  var most = 3.0 * LOW;
  var state = 0u;
  for (var i = 0u; i < n; i++) {
    let v = line[before + i] + score(edges[params.shiftE + n + i], from + params.base);
    if (v > most) {
      most = v;
      state = i;
    }
  }
  var others = 0.0;
  if (MODE == FORWARD) {
    for (var i = 0u; i < n; i++) {
      let v = line[before + i] + score(edges[params.shiftE + n + i], from + params.base);
      others += select(expBelow(max(v - most, -150.0)), 0.0, i == state);
    }
  }
  let possible = most > POSSIBLE;
  let sound = atomicLoad(&worst) == 0xffffffffu;
  totals[params.shiftT + b] = select(NAN, select(MINUS_INFINITE, bitcast<u32>(large + (f32(whole) + (most + log1pAbove(others)))), possible), sound);
  if (MODE == BEST) {
    for (var t = length; t > 0u; t--) {
      states[params.shiftS + from + t - 1u] = select(0xfffffffeu - atomicLoad(&worst), select(0xffffffffu, state, possible), sound);
      if (possible && t > 1u) { state = y[params.shiftY + (from + t - 1u) * n + state]; }
    }
  }
}
