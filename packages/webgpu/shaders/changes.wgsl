// Scores with changes of single ones. x, y: bits of f32[rows, cols]; a row takes a workgroup.
// list: where the changes of each of `batch` rows begin, and where the last end; for each row, whether those without a change are impossible (1); four words a change:
//   column (once in a row), and f32 bias, penalty, loss: v = x + bias, y = (v / penalty where v > 0, else v penalty) - loss
// A score that is not finite stays as it is; a bias of -Infinity makes it -Infinity.

struct Params {
  shiftX: u32, shiftY: u32, shiftList: u32,
  rows: u32, cols: u32, first: u32, batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> list: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let from = params.shiftX + row * params.cols;
  let to = params.shiftY + row * params.cols;
  let own = params.first + row;
  let only = list[params.batch + 1u + own] == 1u;
  for (var c = local; c < params.cols; c += 256u) { y[to + c] = select(x[from + c], MINUS_INFINITE, only); }
  storageBarrier();
  for (var j = list[own] + local; j < list[own + 1u]; j += 256u) {
    let at = 2u * params.batch + 1u + 4u * j;
    var bits = x[from + list[at]];
    if (list[at + 1u] == MINUS_INFINITE) {
      bits = MINUS_INFINITE;
    } else if (finite(bits)) {
      let v = bitcast<f32>(bits) + bitcast<f32>(list[at + 1u]);
      let penalty = bitcast<f32>(list[at + 2u]);
      bits = bitcast<u32>(select(v * penalty, v / penalty, v > 0.0) - bitcast<f32>(list[at + 3u]));
    }
    y[to + list[at]] = bits;
  }
}
