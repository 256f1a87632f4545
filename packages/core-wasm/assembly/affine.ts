import { EXP, halfExp } from "./lib/exp";
import { log64 } from "./lib/log";
import { loadTail, madd, maxLanes, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";
export { f64_logistic_one, f64_logistic_two } from "./lib/logistic";

// Rows whose sums are float32 before they are added in float64.
const BLOCK: i32 = 64;
// Loss and whether every label so far has the only largest score.
const SEPARATED: usize = 8;

const LIMITS: usize = memory.data<f32>([-Infinity]);

// z = weights x + bias, p = softmax(z) for each row, d = p - [c = label]; with x: f32[rows, cols], labels: i32[rows] in [0, cols), weights, bias: f32[stride], stride = cols rounded up to 4:
//   sums: f64 += sum_r log sum_c exp(z[r, c]) - z[r, label];   i32 at 8 &= every label has the only largest z
//   gradient: f64[2, stride] += sum_r d[r, c] x[r, c], sum_r d[r, c];   curvature (unless 0): f64[2, stride] += sum_r p (1 - p) x^2, sum_r p (1 - p)
// An element of -Infinity stays impossible whatever its weight: p = 0, nothing is added. Another NaN or +Infinity, or no finite element: NaN. A row in float32 relative to its
// maximum, 64 rows in float32, beyond them float64. work: 32 * stride + 16 bytes.
export function f32_vector_scaling(x: usize, labels: usize, rows: i32, cols: i32, weights: usize, bias: usize, sums: usize, gradient: usize, curvature: usize, work: usize): void {
  const stride = (<usize>cols + 3) & ~3, bytes = stride << 2, rowBytes = <usize>cols << 2;
  const scores = work + 16, parts = scores + (bytes << 2), count: usize = curvature ? 4 : 2;
  while (rows > 0) {
    const block = min(rows, BLOCK);
    memory.fill(parts, 0, bytes * count);
    let left = block;
    for (; left >= 4; left -= 4) {
      for (let r: usize = 0; r < 4; r++) store<f32>(work + (r << 2), rowWeights(x + r * rowBytes, load<i32>(labels + (r << 2)), cols, weights, bias, scores + r * bytes, sums));
      if (curvature) fourRows(x, rowBytes, cols, scores, bytes, work, parts, true);
      else fourRows(x, rowBytes, cols, scores, bytes, work, parts, false);
      for (let r: usize = 0; r < 4; r++) addLabel(x + r * rowBytes, load<i32>(labels + (r << 2)), parts, bytes);
      x += rowBytes << 2;
      labels += 16;
    }
    for (; left > 0; left--) {
      store<f32>(work, rowWeights(x, load<i32>(labels), cols, weights, bias, scores, sums));
      oneRow(x, cols, scores, load<f32>(work), parts, bytes, curvature != 0);
      addLabel(x, load<i32>(labels), parts, bytes);
      x += rowBytes;
      labels += 4;
    }
    flush(parts, gradient, stride << 1);
    if (curvature) flush(parts + (bytes << 1), curvature, stride << 1);
    rows -= block;
  }
}

function flush(from: usize, to: usize, count: usize): void {
  for (const end = from + (count << 2); from < end; from += 16, to += 32) {
    const v = v128.load(from);
    v128.store(to, f64x2.add(v128.load(to), f64x2.promote_low_f32x4(v)));
    v128.store(to, f64x2.add(v128.load(to, 16), f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 0, 1))), 16);
  }
}

function addLabel(x: usize, label: i32, parts: usize, bytes: usize): void {
  const at = <usize>label << 2, own = load<f32>(x + at);
  if (own == -Infinity) return;
  store<f32>(parts + at, load<f32>(parts + at) - own);
  store<f32>(parts + bytes + at, load<f32>(parts + bytes + at) - 1);
}

// The scores of a row become half its exponentials relative to the largest, at y: f32[stride], 0 behind the last; the loss is added. Returns what turns them into probabilities.
function rowWeights(x: usize, label: i32, cols: i32, weights: usize, bias: usize, y: usize, sums: usize): f32 {
  const rest = <usize>cols & 3, bytes = (<usize>cols & ~3) << 2, end = x + bytes, last = y + (((<usize>cols + 3) & ~3) << 2);
  const impossible = v128.load32_splat(LIMITS);
  let m0 = impossible, m1 = impossible, to = y, w = weights, b = bias;
  for (const stop = x + (bytes & ~31); x < stop; x += 32, to += 32, w += 32, b += 32) {
    const v0 = v128.load(x), v1 = v128.load(x, 16);
    const z0 = v128.bitselect(impossible, madd(v0, v128.load(w), v128.load(b)), f32x4.eq(v0, impossible));
    const z1 = v128.bitselect(impossible, madd(v1, v128.load(w, 16), v128.load(b, 16)), f32x4.eq(v1, impossible));
    v128.store(to, z0);
    v128.store(to, z1, 16);
    m0 = f32x4.pmax(m0, z0);
    m1 = f32x4.pmax(m1, z1);
  }
  for (; to < last; x += 16, to += 16, w += 16, b += 16) {
    const v = x < end ? v128.load(x) : loadTail(x, rest, impossible);
    const z = v128.bitselect(impossible, madd(v, v128.load(w), v128.load(b)), f32x4.eq(v, impossible));
    v128.store(to, z);
    m0 = f32x4.pmax(m0, z);
  }
  const top = maxLanes(f32x4.pmax(m0, m1)), own = load<f32>(y + (<usize>label << 2));
  if (load<i32>(sums, SEPARATED)) {
    let equal = 0;
    if (own == top) for (let p = y; p < last; p += 4) equal += <i32>(load<f32>(p) == top);
    if (equal != 1) store<i32>(sums, 0, SEPARATED);
  }
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const m = f32x4.splat(top);
  let half: f64 = 0;
  for (let p = y; p < last; ) {
    let s = f32x4.splat(0);
    for (const stop = min(p + 1024, last); p < stop; p += 16) {
      const e = halfExp(f32x4.sub(m, v128.load(p)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest);
      v128.store(p, e);
      s = f32x4.add(s, e);
    }
    half += sumLanes(s);
  }
  store<f64>(sums, load<f64>(sums) + log64(2 * half) + (<f64>top - <f64>own));
  return <f32>(1 / half);
}

// The sums over four rows of p x and p, and with `second` of p (1 - p) x^2 and p (1 - p).
// @ts-ignore: decorator
@inline
function fourRows(x: usize, rowBytes: usize, cols: i32, scores: usize, bytes: usize, factors: usize, parts: usize, second: bool): void {
  const f0 = v128.load32_splat(factors), f1 = v128.load32_splat(factors, 4), f2 = v128.load32_splat(factors, 8), f3 = v128.load32_splat(factors, 12);
  const impossible = v128.load32_splat(LIMITS), one = v128.load32_splat(EXP, 40);
  const end = x + ((<usize>cols & ~3) << 2), rest = <usize>cols & 3;
  let a = x, b = a + rowBytes, c = b + rowBytes, d = c + rowBytes;
  for (let to = parts; to < parts + bytes; to += 16, scores += 16, a += 16, b += 16, c += 16, d += 16) {
    let x0: v128, x1: v128, x2: v128, x3: v128;
    if (a < end) {
      x0 = v128.load(a);
      x1 = v128.load(b);
      x2 = v128.load(c);
      x3 = v128.load(d);
    } else {
      x0 = loadTail(a, rest, impossible);
      x1 = loadTail(b, rest, impossible);
      x2 = loadTail(c, rest, impossible);
      x3 = loadTail(d, rest, impossible);
    }
    x0 = v128.andnot(x0, f32x4.eq(x0, impossible));
    x1 = v128.andnot(x1, f32x4.eq(x1, impossible));
    x2 = v128.andnot(x2, f32x4.eq(x2, impossible));
    x3 = v128.andnot(x3, f32x4.eq(x3, impossible));
    const p0 = f32x4.mul(v128.load(scores), f0), p1 = f32x4.mul(v128.load(scores + bytes), f1);
    const p2 = f32x4.mul(v128.load(scores + 2 * bytes), f2), p3 = f32x4.mul(v128.load(scores + 3 * bytes), f3);
    v128.store(to, madd(p0, x0, madd(p1, x1, madd(p2, x2, madd(p3, x3, v128.load(to))))));
    v128.store(to + bytes, f32x4.add(v128.load(to + bytes), f32x4.add(f32x4.add(p0, p1), f32x4.add(p2, p3))));
    if (second) {
      const q0 = f32x4.mul(p0, f32x4.sub(one, p0)), q1 = f32x4.mul(p1, f32x4.sub(one, p1)), q2 = f32x4.mul(p2, f32x4.sub(one, p2)), q3 = f32x4.mul(p3, f32x4.sub(one, p3));
      const h = to + 2 * bytes;
      v128.store(h, madd(f32x4.mul(q0, x0), x0, madd(f32x4.mul(q1, x1), x1, madd(f32x4.mul(q2, x2), x2, madd(f32x4.mul(q3, x3), x3, v128.load(h))))));
      v128.store(h + bytes, f32x4.add(v128.load(h + bytes), f32x4.add(f32x4.add(q0, q1), f32x4.add(q2, q3))));
    }
  }
}

function oneRow(x: usize, cols: i32, scores: usize, factor: f32, parts: usize, bytes: usize, second: bool): void {
  const f = f32x4.splat(factor), impossible = v128.load32_splat(LIMITS), one = v128.load32_splat(EXP, 40);
  const end = x + ((<usize>cols & ~3) << 2), rest = <usize>cols & 3;
  for (let to = parts; to < parts + bytes; to += 16, scores += 16, x += 16) {
    let v = x < end ? v128.load(x) : loadTail(x, rest, impossible);
    v = v128.andnot(v, f32x4.eq(v, impossible));
    const p = f32x4.mul(v128.load(scores), f);
    v128.store(to, madd(p, v, v128.load(to)));
    v128.store(to + bytes, f32x4.add(v128.load(to + bytes), p));
    if (!second) continue;
    const q = f32x4.mul(p, f32x4.sub(one, p)), h = to + 2 * bytes;
    v128.store(h, madd(f32x4.mul(q, v), v, v128.load(h)));
    v128.store(h + bytes, f32x4.add(v128.load(h + bytes), q));
  }
}
