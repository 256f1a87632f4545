// float16 to float32, exact, infinities and NaN too. x: rows of one u32 with the bits of two float16, the first in its lower half; y: rows of two f32.

struct Params {
  shiftX: u32, shiftY: u32,
  rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32 /*SUBGROUP*/) {
  /*SETUP*/
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * (256u / LANES) + local / LANES;
  if (lane < 2u && row < params.rows) {
    let bits = x[params.shiftX + row] >> (16u * lane);
    let k = (bits >> 10u) & 31u;
    let m = bits & 1023u;
    let top = select(((k + select(112u, 224u, k == 31u)) << 23u) | (m << 13u), bitcast<u32>(f32(m) * 5.9604644775390625e-8), k == 0u);
    y[params.shiftY + 2u * row + lane] = ((bits & 0x8000u) << 16u) | top;
  }
}
