// Linear chains and chains of segments, one workgroup a sequence, in log space. x: bits of f32[rows, longest, states], by last row, length - 1 and state (of chains longest = 1),
// 1 <= states <= 1024, the rows of sequence b from offsets[b] to offsets[b + 1]; a: f32[states, states], [from, to]; edges: f32[2, states], of the first and the last state.
//   FORWARD   totals[b] = log Z; with keep = 1 also y[t] = log of the sums of all that lies before row t, less a number of each row
//   BACKWARD  behind it, of chains: y[t] = log of all sums through a state, less a number of the row: softmax(y[t]) are the marginals
//   BEST      totals[b] = the best score, states[t] = the state of row t on the best path, the one that is smallest read from its end among equals; of segments at their first rows,
//             elsewhere -1; back: sources and lengths
// No possible path: totals -Infinity, states -1, y -Infinity. NaN or +Infinity in a sequence, or in a or edges: totals NaN, y NaN, states -2 - row. An empty sequence: 0.
// Scores below -1e30 count as impossible. Each row is shifted by a whole number, so that nothing is lost where the total is large.

const BEST = 1u;
const BACKWARD = 2u;
const LOW = -1e37;
const POSSIBLE = -1e30;
override MODE: u32 = 0u;

struct Params {
  shiftX: u32, shiftA: u32, shiftE: u32, shiftO: u32, shiftY: u32, shiftB: u32, shiftS: u32, shiftT: u32,
  batch: u32, states: u32, base: u32, keep: u32, longest: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> edges: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
@group(0) @binding(5) var<storage, read_write> back: array<u32>;
// While the rows are made: their shifts, where a segment looks back at them.
@group(0) @binding(6) var<storage, read_write> states: array<u32>;
@group(0) @binding(7) var<storage, read_write> totals: array<u32>;
@group(0) @binding(8) var<uniform> params: Params;

// The row before and the row that is made, in turn.
var<workgroup> line: array<f32, 2048>;
var<workgroup> worst: atomic<u32>;

fn scoreOf(bits: u32, row: u32) -> f32 {
  if (bits == MINUS_INFINITE) { return LOW; }
  if (!finite(bits)) {
    atomicMin(&worst, row);
    return LOW;
  }
  let v = bitcast<f32>(bits);
  return select(v, LOW, v < POSSIBLE);
}

// What is added to state i of the row before: on the way to state j, or of the last row.
fn move(i: u32, j: u32, last: bool) -> f32 {
  var bits = 0u;
  if (last) {
    bits = edges[params.shiftE + params.states + i];
  } else {
    bits = a[params.shiftA + select(i, j, MODE == BACKWARD) * params.states + select(j, i, MODE == BACKWARD)];
  }
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
  for (var k = local; k < n * n; k += 256u) { _ = scoreOf(a[params.shiftA + k], from + params.base); }
  for (var k = local; k < 2u * n; k += 256u) { _ = scoreOf(edges[params.shiftE + k], from + params.base); }

  // BACKWARD goes from the last row to the first one; the others end with one row more, of what all sums come to.
  let backward = MODE == BACKWARD;
  var whole = 0;
  var large = 0.0;
  var answer = LOW;
  var state = 0u;
  for (var t = 0u; t < length + select(1u, 0u, backward); t++) {
    let before = select(1024u, 0u, (t & 1u) == 1u);
    let last = t == length;
    let row = from + select(t, length - 1u - t, backward);
    for (var j = local; j < select(n, 1u, last); j += 256u) {
      var most = 3.0 * LOW;
      var source = 0u;
      var shift = 0.0;
      if (t == 0u) {
        most = scoreOf(edges[params.shiftE + select(0u, n, backward) + j], row + params.base);
      } else {
        var top = LOW;
        for (var i = 0u; i < n; i++) {
          let near = line[before + i];
          top = max(top, near);
          let v = near + move(i, j, last);
          if (v > most) {
            most = v;
            source = i;
          }
        }
        shift = select(0.0, clamp(floor(top), -1e9, 1e9), top > POSSIBLE);
        if (MODE != BEST && most > POSSIBLE) {
          var others = 0.0;
          for (var i = 0u; i < n; i++) { others += select(expBelow(max(line[before + i] + move(i, j, last) - most, -150.0)), 0.0, i == source); }
          most += log1pAbove(others);
        }
      }
      if (last) {
        answer = most;
        state = source;
        break;
      }
      if (j == 0u) {
        whole += i32(shift);
        if (abs(whole) > 16777216) {
          large += f32(whole);
          whole = 0;
        }
        if (params.longest > 1u) { states[params.shiftS + row] = bitcast<u32>(shift); }
      }
      let at = params.shiftY + row * n + j;
      let value = max(most - shift, LOW);
      let e = scoreOf(x[params.shiftX + row * params.longest * n + j], row + params.base);
      var ending = value + e;
      if (backward) {
        y[at] = bitcast<u32>(max(bitcast<f32>(y[at]) + ending, LOW));
      } else if (params.keep == 1u) {
        y[at] = bitcast<u32>(value);
      }
      var taken = 1u;
      if (params.longest > 1u) {
        // Twice over the lengths: the largest, then the sum.
        let reach = min(params.longest, t + 1u);
        let first = ending;
        var others = 0.0;
        for (var pass = 0u; pass < select(2u, 1u, MODE == BEST); pass++) {
          var moved = shift;
          let best = taken;
          if (pass == 1u && best != 1u) { others = expBelow(max(first - ending, -150.0)); }
          for (var d = 2u; d <= reach; d++) {
            let v = bitcast<f32>(y[at - (d - 1u) * n]) - moved + scoreOf(x[params.shiftX + (row * params.longest + d - 1u) * n + j], row + params.base);
            if (pass == 1u) {
              if (d != best) { others += expBelow(max(v - ending, -150.0)); }
            } else if (v > ending) {
              ending = v;
              taken = d;
            }
            if (d < reach) { moved += bitcast<f32>(states[params.shiftS + row + 1u - d]); }
          }
        }
        if (ending > POSSIBLE) { ending += log1pAbove(others); }
      }
      if (MODE == BEST) { back[params.shiftB + row * n + j] = source | (taken << 10u); }
      line[1024u - before + j] = max(ending, LOW);
    }
    storageBarrier();
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
  if (local != 0u) { return; }
  let sound = faulty == 0xffffffffu;
  let possible = sound && answer > POSSIBLE;
  totals[params.shiftT + b] = select(select(NAN, MINUS_INFINITE, sound), bitcast<u32>(large + (f32(whole) + answer)), possible);
  if (MODE == BEST) {
    for (var t = 0u; t < length; t++) { states[params.shiftS + from + t] = select(0xfffffffeu - faulty, 0xffffffffu, sound); }
    for (var t = length; possible && t > 0u; ) {
      t -= back[params.shiftB + (from + t - 1u) * n + state] >> 10u;
      states[params.shiftS + from + t] = state;
      state = back[params.shiftB + (from + t) * n + state] & 1023u;
    }
  }
}
