// The k largest of each row, largest first; equal values by column. x: bits of f32[rows, cols], 1 <= k <= cols.
// values: bits of f32[rows, k], indices: i32[rows, k], chosen: u32[rows, k] (scratch). byIndex = 1: the same elements in the order of their columns.
// -0 equals 0; infinities are ordinary values. A row with NaN: values NaN, indices -1 - (column of the first NaN).
//
// Rows of up to 256 are ranked in workgroup memory. In wider rows a radix select of four rounds finds the key of the k-th largest, a second one over columns how far
// ties with it are taken, and the chosen are ranked by counting.

struct Params {
  shiftX: u32, shiftValues: u32, shiftIndices: u32, shiftChosen: u32,
  rows: u32, cols: u32, k: u32, byIndex: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> keys: array<u32, 256>;
var<workgroup> taken: array<u32, 256>;
var<workgroup> firstNaN: atomic<u32>;
var<workgroup> count: atomic<u32>;
var<workgroup> state: vec2u; // the digits found so far, and how many are still wanted among those that have them

fn place(row: u32, at: u32, column: u32) {
  indices[params.shiftIndices + row * params.k + at] = column;
  values[params.shiftValues + row * params.k + at] = x[params.shiftX + row * params.cols + column];
}

// After all have counted into `bins`: the digit that holds the wanted one, from the largest bin down, or from the smallest up.
fn choose(local: u32, descending: bool) {
  workgroupBarrier();
  if (local == 0u) {
    var wanted = state.y;
    for (var i = 0u; i < 256u; i++) {
      let digit = select(i, 255u - i, descending);
      let here = atomicLoad(&bins[digit]);
      if (here >= wanted) {
        state = vec2u((state.x << 8u) | digit, wanted);
        break;
      }
      wanted -= here;
    }
  }
  workgroupBarrier();
}

fn narrow(row: u32, local: u32) {
  let origin = params.shiftX + row * params.cols;
  var key = 0u;
  if (local < params.cols) { key = rank(x[origin + local]); }
  keys[local] = key;
  workgroupBarrier();
  var at = 0u;
  for (var c = 0u; c < params.cols; c++) { at += select(0u, 1u, keys[c] > key || (keys[c] == key && c < local)); }
  let mine = local < params.cols && at < params.k;
  taken[local] = select(0u, 1u, mine);
  workgroupBarrier();
  if (!mine) { return; }
  if (params.byIndex == 1u) {
    at = 0u;
    for (var c = 0u; c < local; c++) { at += taken[c]; }
  }
  place(row, at, local);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let cols = params.cols;
  let k = params.k;
  let origin = params.shiftX + row * cols;

  if (local == 0u) {
    atomicStore(&firstNaN, 0xffffffffu);
    state = vec2u(0u, k);
  }
  workgroupBarrier();
  for (var c = local; c < cols; c += 256u) {
    if (rank(x[origin + c]) == KEY_NAN) {
      atomicMin(&firstNaN, c);
      break;
    }
  }
  workgroupBarrier();
  if (local == 0u) { taken[0] = atomicLoad(&firstNaN); }
  let nan = workgroupUniformLoad(&taken[0]);
  if (nan != 0xffffffffu) {
    for (var j = local; j < k; j += 256u) {
      indices[params.shiftIndices + row * k + j] = ~nan;
      values[params.shiftValues + row * k + j] = NAN;
    }
    return;
  }
  if (cols <= 256u) {
    narrow(row, local);
    return;
  }

  for (var round = 0u; round < 4u; round++) {
    let shift = 24u - 8u * round;
    atomicStore(&bins[local], 0u);
    workgroupBarrier();
    let found = state.x;
    for (var c = local; c < cols; c += 256u) {
      let key = rank(x[origin + c]);
      if (round == 0u || (key >> (shift + 8u)) == found) { atomicAdd(&bins[(key >> shift) & 255u], 1u); }
    }
    choose(local, true);
  }
  let limit = state.x;
  let equals = atomicLoad(&bins[limit & 255u]);
  let wanted = state.y;
  workgroupBarrier();
  var last = 0xffffffffu;
  // All invocations read the same, but only a uniform load says so.
  if (local == 0u) { taken[0] = select(0u, 1u, wanted < equals); }
  if (workgroupUniformLoad(&taken[0]) == 1u) {
    if (local == 0u) { state = vec2u(0u, wanted); }
    for (var round = 0u; round < 4u; round++) {
      let shift = 24u - 8u * round;
      atomicStore(&bins[local], 0u);
      workgroupBarrier();
      let found = state.x;
      for (var c = local; c < cols; c += 256u) {
        if (rank(x[origin + c]) == limit && (round == 0u || (c >> (shift + 8u)) == found)) { atomicAdd(&bins[(c >> shift) & 255u], 1u); }
      }
      choose(local, false);
    }
    last = state.x;
  }

  if (local == 0u) { atomicStore(&count, 0u); }
  workgroupBarrier();
  let room = params.shiftChosen + row * k;
  for (var c = local; c < cols; c += 256u) {
    let key = rank(x[origin + c]);
    if (key > limit || (key == limit && c <= last)) { chosen[room + atomicAdd(&count, 1u)] = c; }
  }
  storageBarrier();
  workgroupBarrier();
  for (var j = local; j < k; j += 256u) {
    let column = chosen[room + j];
    let key = rank(x[origin + column]);
    var at = 0u;
    for (var i = 0u; i < k; i++) {
      let other = chosen[room + i];
      var before = other < column;
      if (params.byIndex == 0u) {
        let theirs = rank(x[origin + other]);
        before = theirs > key || (theirs == key && before);
      }
      at += select(0u, 1u, before);
    }
    place(row, at, column);
  }
}
