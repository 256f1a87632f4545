// y[b, i, j] = sum_k a[b, i, k] c[b, k, j]     a: bits of f32[items, M, K] (or [items, K, M]), c: [items, K, N] (or [items, N, K]), y: [items, M, N]; M, N, K >= 1.
// An operand without items (stride 0) serves for all. Summed in the order of k, in blocks of 256 whose sums are added in order.
// NaN and infinities go where IEEE sums take them: 0 times Infinity and Infinity - Infinity are NaN. Elements of a row lie next to each other in y; add = 1: the sums begin with what y holds.
// DISTANCE = 1: y[b, i, j] = -sum_k (a[b, i, k] - c[b, k, j])^2, so that the nearest are the largest; -Infinity where that is no finite number.
//
// A workgroup makes 64 x 64 results, an invocation 4 x 4; 16 products a step from workgroup memory. A step that meets a number that is not finite classifies its products.

override DISTANCE: u32 = 0u;

struct Params {
  shiftA: u32, shiftC: u32, shiftY: u32,
  m: u32, n: u32, k: u32,
  // Elements from item to item, from i to i or j to j, and from k to k.
  itemA: u32, rowA: u32, stepA: u32,
  itemC: u32, colC: u32, stepC: u32,
  itemY: u32, rowY: u32, add: u32,
}

@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> c: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> tileA: array<u32, 1024>; // [16, 64]
var<workgroup> tileC: array<u32, 1024>;
var<workgroup> odd: atomic<u32>;
var<workgroup> irregular: u32;

const NOT_A_NUMBER = 4u;

// What a product that is not finite adds: 1 +Infinity, 2 -Infinity, 4 NaN.
fn kind(p: u32, q: u32) -> u32 {
  let magnitudeP = p & 0x7fffffffu;
  let magnitudeQ = q & 0x7fffffffu;
  if (magnitudeP > INFINITE || magnitudeQ > INFINITE || magnitudeP == 0u || magnitudeQ == 0u) { return NOT_A_NUMBER; }
  return 1u << ((p ^ q) >> 31u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i0 = group.y * 64u;
  let j0 = group.x * 64u;
  let fromA = params.shiftA + group.z * params.itemA;
  let fromC = params.shiftC + group.z * params.itemC;
  let di = (local / 16u) * 4u;
  let dj = (local % 16u) * 4u;
  var total = array<vec4f, 4>();
  var part = array<vec4f, 4>();
  var kinds = array<vec4u, 4>();

  let to = params.shiftY + group.z * params.itemY;
  if (params.add == 1u) {
    for (var i = 0u; i < 4u; i++) {
      for (var j = 0u; j < 4u; j++) {
        if (i0 + di + i >= params.m || j0 + dj + j >= params.n) { continue; }
        let before = y[to + (i0 + di + i) * params.rowY + j0 + dj + j] ^ (DISTANCE << 31u);
        if (finite(before)) { total[i][j] = bitcast<f32>(before); } else { kinds[i][j] = select(1u << (before >> 31u), NOT_A_NUMBER, (before & 0x7fffffffu) > INFINITE); }
      }
    }
  }

  for (var k0 = 0u; k0 < params.k; k0 += 16u) {
    if (local == 0u) { atomicStore(&odd, 0u); }
    workgroupBarrier();
    for (var e = local; e < 1024u; e += 256u) {
      // Neighbouring invocations read neighbouring elements, whichever way the operand is stored.
      let stepA = select(e / 64u, e % 16u, params.stepA == 1u);
      let ia = select(e % 64u, e / 16u, params.stepA == 1u);
      let stepC = select(e / 64u, e % 16u, params.stepC == 1u && params.colC != 1u);
      let jc = select(e % 64u, e / 16u, params.stepC == 1u && params.colC != 1u);
      var p = 0u;
      var q = 0u;
      if (i0 + ia < params.m && k0 + stepA < params.k) { p = a[fromA + (i0 + ia) * params.rowA + (k0 + stepA) * params.stepA]; }
      if (j0 + jc < params.n && k0 + stepC < params.k) { q = c[fromC + (j0 + jc) * params.colC + (k0 + stepC) * params.stepC]; }
      if (!finite(p) || !finite(q)) { atomicStore(&odd, 1u); }
      tileA[stepA * 64u + ia] = p;
      tileC[stepC * 64u + jc] = q;
    }
    workgroupBarrier();
    if (local == 0u) { irregular = atomicLoad(&odd); }
    if (workgroupUniformLoad(&irregular) == 0u) {
      for (var s = 0u; s < 16u; s++) {
        let t = s * 64u + dj;
        let right = bitcast<vec4f>(vec4u(tileC[t], tileC[t + 1u], tileC[t + 2u], tileC[t + 3u]));
        for (var i = 0u; i < 4u; i++) {
          let left = vec4f(bitcast<f32>(tileA[s * 64u + di + i]));
          if (DISTANCE == 1u) { part[i] = fma(left - right, left - right, part[i]); } else { part[i] = fma(left, right, part[i]); }
        }
      }
    } else {
      for (var s = 0u; s < min(16u, params.k - k0); s++) {
        for (var i = 0u; i < 4u; i++) {
          let p = tileA[s * 64u + di + i];
          for (var j = 0u; j < 4u; j++) {
            let q = tileC[s * 64u + dj + j];
            // Beyond the edge there are zeros: their results are not written.
            if (!finite(p) || !finite(q)) {
              kinds[i][j] |= kind(p, q);
            } else if (DISTANCE == 1u) {
              let d = bitcast<f32>(p) - bitcast<f32>(q);
              part[i][j] = fma(d, d, part[i][j]);
            } else {
              part[i][j] += bitcast<f32>(p) * bitcast<f32>(q);
            }
          }
        }
      }
    }
    if ((k0 & 255u) == 240u || k0 + 16u >= params.k) {
      for (var i = 0u; i < 4u; i++) {
        total[i] += part[i];
        part[i] = vec4f();
      }
    }
    workgroupBarrier();
  }

  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      if (i0 + di + i >= params.m || j0 + dj + j >= params.n) { continue; }
      let special = kinds[i][j];
      var result = bitcast<u32>(total[i][j]);
      if (special == 1u) { result = INFINITE; } else if (special == 2u) { result = MINUS_INFINITE; } else if (special != 0u) { result = NAN; }
      if (DISTANCE == 1u) { result = select(MINUS_INFINITE, result | 0x80000000u, special == 0u && finite(result)); }
      y[to + (i0 + di + i) * params.rowY + j0 + dj + j] = result;
    }
  }
}
