// The reductions of reduce.wgsl where a whole workgroup shares a row, with two barriers and two subgroup operations instead of nine barriers.
// Nothing is assumed of how invocations are mapped to subgroups: the one elected in each writes to its own place, the others write nothing (0, the neutral element of both).

override LANES: u32 = 256u;

var<workgroup> words: array<u32, 256>;
var<workgroup> sums: array<vec4f, 256>;
var<private> subgroupSize: u32;
var<private> subgroupLane: u32;

fn maxOf(value: u32, local: u32) -> u32 {
  let near = subgroupMax(value);
  words[local] = select(0u, near, subgroupElect());
  workgroupBarrier();
  var far = 0u;
  for (var i = subgroupLane; i < 256u; i += subgroupSize) { far = max(far, words[i]); }
  workgroupBarrier();
  return subgroupMax(far);
}

fn sumOf(value: vec4f, local: u32) -> vec4f {
  let near = subgroupAdd(value);
  sums[local] = select(vec4f(), near, subgroupElect());
  workgroupBarrier();
  var far = vec4f();
  for (var i = subgroupLane; i < 256u; i += subgroupSize) { far += sums[i]; }
  workgroupBarrier();
  return subgroupAdd(far);
}
