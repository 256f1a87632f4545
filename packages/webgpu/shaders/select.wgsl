// The largest of a row. x: bits of f32, rows of `cols` >= 1 elements `inner` apart.
//   MAX      y[r] = max_c x[r, c], exact; 0 counts above -0; a row with NaN: NaN
//   ARGMAX   y[r] (i32) = smallest c with the largest x[r, c]; 0 and -0 tie; a row with NaN: -1

const MAX = 0u;
override MODE: u32 = 0u;

struct Params {
  shiftX: u32, shiftY: u32,
  rows: u32, cols: u32, inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  let inner = params.inner;
  let cols = select(0u, params.cols, row < params.rows);
  let origin = params.shiftX + (row / inner) * params.cols * inner + row % inner;

  var key = 0u;
  var column = 0u;
  for (var c = lane; c < cols; c += LANES) {
    let bits = x[origin + c * inner];
    let k = select(rank(bits), order(bits), MODE == MAX);
    if (k > key) {
      key = k;
      column = c;
    }
  }
  let top = maxOf(key, local);
  if (MODE == MAX) {
    if (lane == 0u && row < params.rows) { y[params.shiftY + row] = unorder(top); }
    return;
  }
  // The smallest column is the largest complement.
  let first = ~maxOf(select(0u, ~column, key == top && cols > 0u), local);
  if (lane == 0u && row < params.rows) { y[params.shiftY + row] = select(first, 0xffffffffu, top == KEY_NAN); }
}
