// Reductions over the LANES invocations that share a row, LANES a power of two from 1 to 256, by a tree in workgroup memory: the same order every time.
// To be called by all 256 invocations of a workgroup. `local` is the invocation, its lane is local % LANES.

override LANES: u32 = 256u;

var<workgroup> words: array<u32, 256>;
var<workgroup> sums: array<vec4f, 256>;

fn maxOf(value: u32, local: u32) -> u32 {
  let lane = local % LANES;
  words[local] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { words[local] = max(words[local], words[local + half]); }
    workgroupBarrier();
  }
  let result = words[local - lane];
  workgroupBarrier();
  return result;
}

fn sumOf(value: vec4f, local: u32) -> vec4f {
  let lane = local % LANES;
  sums[local] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  let result = sums[local - lane];
  workgroupBarrier();
  return result;
}
