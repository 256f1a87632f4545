// What was chosen among the rows of a bank so far, from the k largest of [the k chosen before | minus the distances to the next rows].
// values: bits of f32[rows, k], columns: i32[rows, k]: the largest and where they stood; before: i32[rows, k]: the rows of the bank that the first `prefix` columns stand for; the others begin with `first`.
// ids: i32[rows, k]: the rows of the bank now, -1 for -Infinity.
// y: bits of f32[rows, stride]: the values again at the front of the next tile; at last distances, Infinity where there is none, NaN where the row of scan: f32[rows, cols] holds NaN.

struct Params {
  shiftValues: u32, shiftColumns: u32, shiftBefore: u32, shiftScan: u32, shiftY: u32, shiftIds: u32,
  rows: u32, k: u32, cols: u32, prefix: u32, first: u32, stride: u32, last: u32,
}

@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> before: array<u32>;
@group(0) @binding(3) var<storage, read> scan: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
@group(0) @binding(5) var<storage, read_write> ids: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 256u + local;
  if (i >= params.rows * params.k) { return; }
  let row = i / params.k;
  var value = values[params.shiftValues + i];
  let column = columns[params.shiftColumns + i];
  var id = 0xffffffffu;
  if (value != MINUS_INFINITE) {
    id = params.first + column - params.prefix;
    if (column < params.prefix) { id = before[params.shiftBefore + row * params.k + column]; }
  }
  ids[params.shiftIds + i] = id;
  if (params.last == 1u) {
    value &= 0x7fffffffu;
    for (var f = 0u; value == INFINITE && f < params.cols; f++) {
      if (order(scan[params.shiftScan + row * params.cols + f]) == KEY_NAN) { value = NAN; }
    }
  }
  y[params.shiftY + row * params.stride + i % params.k] = value;
}
