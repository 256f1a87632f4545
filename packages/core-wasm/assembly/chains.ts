import { EXP, halfExp } from "./lib/exp";
import { log64 } from "./lib/log";
import { bestTags, placesOf, recordBytes, sourceOf, tags, tagsMax, typesOf } from "./lib/tags";
import { madd, maxLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";
export { f32_chain_backward_tags, f32_chain_forward_tags } from "./lib/tags";
export { f64_far_arcs, f64_far_backward, f64_far_dot, f64_far_forward, f64_far_weights } from "./lib/extendedRange";

// Chains of states. A row of states has `width` slots, a multiple of 4: states, and empty slots of weight 0 (score -Infinity). Weights are scaled: the
// largest of a row of emissions, and of a matrix of transitions, is 1/2 (halfExp); impossible is exactly 0. A row of forward weights sums to 1.
//
// An operator says how weights go from one row to the next, target by target. Words of 4 bytes:
//   kind [0], width [1], then
//   DENSE   from: f32[states, width] at [2], states [3], bytes from one step's matrix to the next [4] (0: one for all)
//   BLOCKS  R [2] blocks of W [3] vectors; between: f32[R, R] at [4], by target and source; within: f32[R, R, 4 W] at [5]; room: f32[R] at [6].
//           room: f32[width] at [7], for scores, of every kind.
//           Weight from (a, x) to (b, y): between[b, a], and within[b, a, x] more where x = y (for scores: or within[b, a, x] where that is larger).
//   SPARSE  starts: i32[width + 1] at [2], sources: i32[arcs] at [3], weights: f32[arcs] at [4]: the arcs into a target
//   TAGS    lib/tags.ts
const DENSE: i32 = 0, BLOCKS: i32 = 1, SPARSE: i32 = 2;

const NUMBERS: usize = memory.data<f32>([
  -Infinity, Infinity,
  1.2621774483536189e-29, // 2^-96: weights below this share of a row's sum become 0; what that loses is judged by `largest` of the backward pass
  8192, -8192,
]);
const LANES: usize = memory.data<i32>([0, 1, 2, 3]);

// @ts-ignore: decorator
@inline
function word(operator: usize, index: usize): usize {
  return <usize>load<u32>(operator + (index << 2));
}

// Four elements from byte offsets that are listed.
// @ts-ignore: decorator
@inline
function gather(p: usize, offsets: usize): v128 {
  let v = v128.load32_zero(p + <usize>load<u32>(offsets));
  v = v128.load_lane<f32>(p + <usize>load<u32>(offsets, 4), v, 1);
  v = v128.load_lane<f32>(p + <usize>load<u32>(offsets, 8), v, 2);
  return v128.load_lane<f32>(p + <usize>load<u32>(offsets, 12), v, 3);
}

// The slots of one row of scores, -Infinity where a slot is empty; returns the largest in each lane, where +Infinity stands for NaN too if `order` is not 0.
// order = 0: states in order, then e is read up to 12 bytes beyond. Else a table:
//   i32[width]: the byte offset of the slot's state, any where the slot is empty; f32[width]: Infinity, -Infinity in empty slots (pmin makes NaN Infinity);
//   i32: 0, or the byte offset in a row of the states of the first vector and i32 the bytes from the states of one vector to those of the next: the last vector
//   alone is gathered. Then e is read up to 60 bytes beyond.
// @ts-ignore: decorator
@inline
function fillRow(e: usize, states: i32, order: usize, x: usize, width: i32, impossible: v128, lanes: v128): v128 {
  const bytes = <usize>width << 2;
  let high = impossible;
  if (!order) {
    const end = x + bytes;
    for (; x + 16 < end; x += 16, e += 16, states -= 4) {
      const v = v128.load(e);
      high = f32x4.pmax(high, v);
      v128.store(x, v);
    }
    const v = v128.bitselect(v128.load(e), impossible, i32x4.lt_s(lanes, i32x4.splat(states)));
    v128.store(x, v);
    return f32x4.pmax(high, v);
  }
  const gates = order + bytes, stride = <usize>load<i32>(gates + bytes, 4);
  let at: usize = 0;
  if (stride) {
    for (let p = e + <usize>load<i32>(gates + bytes), last = bytes - 16; at < last; at += 16, p += stride) {
      const v = f32x4.pmin(v128.load(gates + at), v128.load(p));
      high = f32x4.pmax(high, v);
      v128.store(x + at, v);
    }
  }
  for (; at < bytes; at += 16) {
    const v = f32x4.pmin(v128.load(gates + at), gather(e, order + at));
    high = f32x4.pmax(high, v);
    v128.store(x + at, v);
  }
  return high;
}

// Whether a row of emissions holds the vectors of slots side by side, all full but the last one.
// @ts-ignore: decorator
@inline
function liesStraight(order: usize, bytes: usize): bool {
  const gates = order + bytes;
  return load<i32>(gates + bytes, 4) == 16 && load<f32>(gates + bytes - 20) > 0;
}

// x[t, j] = exp(e[t, order[j]] - top of row t) / 2; tops[0] += the tops, in float64.
// e: f32[rows, states]. A row of -Infinity: weights 0, nothing added. NaN stays NaN in its slot, a row with +Infinity becomes NaN.
export function f32_chain_weights(e: usize, rows: i32, states: i32, order: usize, x: usize, width: i32, tops: usize): void {
  const impossible = v128.load32_splat(NUMBERS), lanes = v128.load(LANES);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const stride = <usize>states << 2, bytes = <usize>width << 2;
  let total: f64 = 0;
  // Where the rows lie as the slots do they are read where they are, but for the states without a type.
  const last = bytes - 16, straight = order ? liesStraight(order, bytes) : false, begin = straight ? <usize>load<i32>(order + 2 * bytes) : 0;
  for (; rows > 0; rows--, e += stride, x += bytes) {
    const from = straight ? e + begin : x;
    let high = impossible;
    if (straight) {
      high = f32x4.pmin(v128.load(order + bytes + last), gather(e, order + last));
      v128.store(x + last, high);
      for (let p = from, end = from + last; p < end; p += 64) high = f32x4.pmax(f32x4.pmax(f32x4.pmax(high, v128.load(p)), v128.load(p, 16)), f32x4.pmax(v128.load(p, 32), v128.load(p, 48)));
    } else high = fillRow(e, states, order, x, width, impossible, lanes);
    let top = maxLanes(high);
    if (top == -Infinity) top = 0;
    total += <f64>top;
    const m = f32x4.splat(top);
    let at: usize = 0;
    for (; at < last; at += 16) v128.store(x + at, halfExp(f32x4.sub(m, v128.load(from + at)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest));
    v128.store(x + at, halfExp(f32x4.sub(m, v128.load(x + at)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest));
  }
  store<f64>(tops, load<f64>(tops) + total);
}

// to[s, i, j] = exp(a[s, i, j] - top of step s) / 2 of `steps` matrices f32[states, states], rows of `width`; back: the same transposed. tops[0] += the tops.
// With raw = 1 the scores themselves, -Infinity in empty slots. Either of to and back may be 0. An empty matrix of -Infinity: weights 0.
export function f32_chain_matrices(a: usize, steps: i32, states: i32, to: usize, back: usize, width: i32, raw: i32, tops: usize): void {
  const impossible = v128.load32_splat(NUMBERS), lanes = v128.load(LANES);
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24);
  const oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const bytes = <usize>width << 2, size = bytes * <usize>states;
  let total: f64 = 0;
  for (; steps > 0; steps--, a += <usize>(states * states) << 2, to += size) {
    let high = impossible;
    for (let i = 0, p = a, q = to; i < states; i++, p += <usize>states << 2, q += bytes) {
      high = f32x4.pmax(high, fillRow(p, states, 0, q, width, impossible, lanes));
    }
    if (!raw) {
      let top = maxLanes(high);
      if (top == -Infinity) top = 0;
      total += <f64>top;
      const m = f32x4.splat(top);
      for (let p = to, end = to + size; p < end; p += 16) {
        v128.store(p, halfExp(f32x4.sub(m, v128.load(p)), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf, highest));
      }
    }
    if (back) {
      const empty: f32 = raw ? -Infinity : 0;
      for (let i = 0; i < states; i++) {
        for (let j = 0; j < width; j++) {
          store<f32>(back + (<usize>(i * width + j) << 2), j < states ? load<f32>(to + (<usize>(j * width + i) << 2)) : empty);
        }
      }
      back += size;
    }
  }
  if (!raw) store<f64>(tops, load<f64>(tops) + total);
}

// y[j] = sum_i a[i] m[i, j], tiles of 8, 4 and 1 vectors: enough sums at once to hide the latency of an addition.
function dense(a: usize, m: usize, y: usize, states: i32, width: i32): void {
  const row = <usize>width << 2, end = a + (<usize>states << 2), even = a + (<usize>(states & ~1) << 2), stop = y + row;
  for (; y + 128 <= stop; y += 128, m += 128) {
    let y0 = f32x4.splat(0), y1 = f32x4.splat(0), y2 = f32x4.splat(0), y3 = f32x4.splat(0), y4 = f32x4.splat(0), y5 = f32x4.splat(0), y6 = f32x4.splat(0), y7 = f32x4.splat(0);
    for (let p = a, q = m; p < end; p += 4, q += row) {
      const s = v128.load32_splat(p);
      y0 = madd(s, v128.load(q), y0);
      y1 = madd(s, v128.load(q, 16), y1);
      y2 = madd(s, v128.load(q, 32), y2);
      y3 = madd(s, v128.load(q, 48), y3);
      y4 = madd(s, v128.load(q, 64), y4);
      y5 = madd(s, v128.load(q, 80), y5);
      y6 = madd(s, v128.load(q, 96), y6);
      y7 = madd(s, v128.load(q, 112), y7);
    }
    v128.store(y, y0);
    v128.store(y, y1, 16);
    v128.store(y, y2, 32);
    v128.store(y, y3, 48);
    v128.store(y, y4, 64);
    v128.store(y, y5, 80);
    v128.store(y, y6, 96);
    v128.store(y, y7, 112);
  }
  if (y + 64 <= stop) {
    let y0 = f32x4.splat(0), y1 = f32x4.splat(0), y2 = f32x4.splat(0), y3 = f32x4.splat(0), z0 = f32x4.splat(0), z1 = f32x4.splat(0), z2 = f32x4.splat(0), z3 = f32x4.splat(0);
    let p = a, q = m;
    for (; p < even; p += 8, q += row) {
      const s = v128.load32_splat(p), t = v128.load32_splat(p, 4);
      y0 = madd(s, v128.load(q), y0);
      y1 = madd(s, v128.load(q, 16), y1);
      y2 = madd(s, v128.load(q, 32), y2);
      y3 = madd(s, v128.load(q, 48), y3);
      q += row;
      z0 = madd(t, v128.load(q), z0);
      z1 = madd(t, v128.load(q, 16), z1);
      z2 = madd(t, v128.load(q, 32), z2);
      z3 = madd(t, v128.load(q, 48), z3);
    }
    if (p < end) {
      const s = v128.load32_splat(p);
      y0 = madd(s, v128.load(q), y0);
      y1 = madd(s, v128.load(q, 16), y1);
      y2 = madd(s, v128.load(q, 32), y2);
      y3 = madd(s, v128.load(q, 48), y3);
    }
    v128.store(y, f32x4.add(y0, z0));
    v128.store(y, f32x4.add(y1, z1), 16);
    v128.store(y, f32x4.add(y2, z2), 32);
    v128.store(y, f32x4.add(y3, z3), 48);
    y += 64;
    m += 64;
  }
  const fours = a + (<usize>(states & ~3) << 2);
  for (; y < stop; y += 16, m += 16) {
    let y0 = f32x4.splat(0), y1 = f32x4.splat(0), y2 = f32x4.splat(0), y3 = f32x4.splat(0), p = a, q = m;
    for (; p < fours; p += 16, q += row) {
      y0 = madd(v128.load32_splat(p), v128.load(q), y0);
      q += row;
      y1 = madd(v128.load32_splat(p, 4), v128.load(q), y1);
      q += row;
      y2 = madd(v128.load32_splat(p, 8), v128.load(q), y2);
      q += row;
      y3 = madd(v128.load32_splat(p, 12), v128.load(q), y3);
    }
    for (; p < end; p += 4, q += row) y0 = madd(v128.load32_splat(p), v128.load(q), y0);
    v128.store(y, f32x4.add(f32x4.add(y0, y1), f32x4.add(y2, y3)));
  }
}

// y[j] = max_i a[i] + m[i, j]; a candidate that is NaN is passed over.
function denseMax(a: usize, m: usize, y: usize, states: i32, width: i32): void {
  const row = <usize>width << 2, end = a + (<usize>states << 2), even = a + (<usize>(states & ~1) << 2), stop = y + row;
  const none = v128.load32_splat(NUMBERS);
  for (; y + 128 <= stop; y += 128, m += 128) {
    let y0 = none, y1 = none, y2 = none, y3 = none, y4 = none, y5 = none, y6 = none, y7 = none;
    for (let p = a, q = m; p < end; p += 4, q += row) {
      const s = v128.load32_splat(p);
      y0 = f32x4.pmax(y0, f32x4.add(s, v128.load(q)));
      y1 = f32x4.pmax(y1, f32x4.add(s, v128.load(q, 16)));
      y2 = f32x4.pmax(y2, f32x4.add(s, v128.load(q, 32)));
      y3 = f32x4.pmax(y3, f32x4.add(s, v128.load(q, 48)));
      y4 = f32x4.pmax(y4, f32x4.add(s, v128.load(q, 64)));
      y5 = f32x4.pmax(y5, f32x4.add(s, v128.load(q, 80)));
      y6 = f32x4.pmax(y6, f32x4.add(s, v128.load(q, 96)));
      y7 = f32x4.pmax(y7, f32x4.add(s, v128.load(q, 112)));
    }
    v128.store(y, y0);
    v128.store(y, y1, 16);
    v128.store(y, y2, 32);
    v128.store(y, y3, 48);
    v128.store(y, y4, 64);
    v128.store(y, y5, 80);
    v128.store(y, y6, 96);
    v128.store(y, y7, 112);
  }
  for (; y < stop; y += 16, m += 16) {
    let y0 = none, y1 = none, p = a, q = m;
    for (; p < even; p += 8, q += row) {
      y0 = f32x4.pmax(y0, f32x4.add(v128.load32_splat(p), v128.load(q)));
      q += row;
      y1 = f32x4.pmax(y1, f32x4.add(v128.load32_splat(p, 4), v128.load(q)));
    }
    if (p < end) y0 = f32x4.pmax(y0, f32x4.add(v128.load32_splat(p), v128.load(q)));
    v128.store(y, f32x4.pmax(y0, y1));
  }
}

// @ts-ignore: decorator
@inline
function hsum(v: v128): f32 {
  const pairs = f32x4.add(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.add(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

function blocks(operator: usize, a: usize, y: usize): void {
  const bytes = word(operator, 3) << 4, room = word(operator, 6), end = a + (word(operator, 1) << 2);
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let p = a, q = word(operator, 4); p < end; q += 32) {
    let sum = v128.load(p);
    const stop = p + bytes;
    for (p += 16; p < stop; p += 16) sum = f32x4.add(sum, v128.load(p));
    const pairs = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 2, 3, 0, 1));
    const all = f32x4.add(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2));
    low = madd(all, v128.load(q), low);
    high = madd(all, v128.load(q, 16), high);
  }
  v128.store(room, low);
  v128.store(room, high, 16);
  const entry = 16 + bytes;
  for (let p = y, hub = room, list = word(operator, 5), stop = y + (word(operator, 1) << 2); p < stop; hub += 4) {
    const all = v128.load32_splat(hub), last = list + 16 + <usize>load<i32>(list) * entry;
    for (let at: usize = 0; at < bytes; at += 16, p += 16) {
      let sum = all;
      for (let q = list + 16; q < last; q += entry) sum = madd(v128.load(q + at, 16), v128.load(a + <usize>load<i32>(q) + at), sum);
      v128.store(p, sum);
    }
    list = last;
  }
}

function blocksMax(operator: usize, a: usize, y: usize): void {
  const bytes = word(operator, 3) << 4, room = word(operator, 6), end = a + (word(operator, 1) << 2);
  let low = v128.load32_splat(NUMBERS), high = low;
  for (let p = a, q = word(operator, 4); p < end; q += 32) {
    let top = v128.load(p);
    const stop = p + bytes;
    for (p += 16; p < stop; p += 16) top = f32x4.pmax(top, v128.load(p));
    const pairs = f32x4.pmax(top, v128.shuffle<f32>(top, top, 2, 3, 0, 1));
    const all = f32x4.pmax(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2));
    low = f32x4.pmax(low, f32x4.add(all, v128.load(q)));
    high = f32x4.pmax(high, f32x4.add(all, v128.load(q, 16)));
  }
  v128.store(room, low);
  v128.store(room, high, 16);
  const entry = 16 + bytes;
  for (let p = y, hub = room, list = word(operator, 5), stop = y + (word(operator, 1) << 2); p < stop; hub += 4) {
    const all = v128.load32_splat(hub), last = list + 16 + <usize>load<i32>(list) * entry;
    for (let at: usize = 0; at < bytes; at += 16, p += 16) {
      let top = all;
      for (let q = list + 16; q < last; q += entry) top = f32x4.pmax(top, f32x4.add(v128.load(q + at, 16), v128.load(a + <usize>load<i32>(q) + at)));
      v128.store(p, top);
    }
    list = last;
  }
}

function sparse(operator: usize, a: usize, y: usize): void {
  const starts = word(operator, 2), sources = word(operator, 3), weights = word(operator, 4);
  let k = <usize>load<i32>(starts);
  for (let j: usize = 0, width = word(operator, 1); j < width; j++) {
    let sum: f32 = 0;
    for (const end = <usize>load<i32>(starts + (j << 2), 4); k < end; k++) sum += load<f32>(weights + (k << 2)) * load<f32>(a + (<usize>load<i32>(sources + (k << 2)) << 2));
    store<f32>(y + (j << 2), sum);
  }
}

function sparseMax(operator: usize, a: usize, y: usize): void {
  const starts = word(operator, 2), sources = word(operator, 3), weights = word(operator, 4);
  let k = <usize>load<i32>(starts);
  for (let j: usize = 0, width = word(operator, 1); j < width; j++) {
    let top: f32 = -Infinity;
    for (const end = <usize>load<i32>(starts + (j << 2), 4); k < end; k++) {
      const candidate = load<f32>(weights + (k << 2)) + load<f32>(a + (<usize>load<i32>(sources + (k << 2)) << 2));
      if (candidate > top) top = candidate;
    }
    store<f32>(y + (j << 2), top);
  }
}

// @ts-ignore: decorator
@inline
function apply(operator: usize, a: usize, y: usize, step: i32): void {
  const kind = load<i32>(operator);
  if (kind == DENSE) dense(a, word(operator, 2) + <usize>step * word(operator, 4), y, <i32>word(operator, 3), <i32>word(operator, 1));
  else if (kind == BLOCKS) blocks(operator, a, y);
  else if (kind == SPARSE) sparse(operator, a, y);
  else tags(operator, a, y);
}

// @ts-ignore: decorator
@inline
function applyMax(operator: usize, a: usize, y: usize, step: i32): void {
  const kind = load<i32>(operator);
  if (kind == DENSE) denseMax(a, word(operator, 2) + <usize>step * word(operator, 4), y, <i32>word(operator, 3), <i32>word(operator, 1));
  else if (kind == BLOCKS) blocksMax(operator, a, y);
  else if (kind == SPARSE) sparseMax(operator, a, y);
  else tagsMax(operator, a, y, v128.load32_splat(NUMBERS));
}

// alpha[t] = alpha[t - 1] through the operator, times x[t], divided by its sum (small shares become 0); scale[t] = 1 / that sum.
// alpha[-1], the row before, lies before `alpha`; with first = 1 it holds the start weights and row 0 is start * x[0]. Step t of a dense operator is t - first.
// product: f64 mantissa, at 8 its exponent: times the scales; at 16 the largest scale so far. Returns the number of rows done: fewer than `rows` where a sum is 0, NaN or Infinity.
export function f32_chain_forward(operator: usize, x: usize, rows: i32, first: i32, alpha: usize, scale: usize, product: usize): i32 {
  const bytes = word(operator, 1) << 2, least = v128.load32_splat(NUMBERS, 8);
  let mantissa = load<f64>(product), exponent = load<f64>(product, 8), largest = load<f64>(product, 16), a = alpha - bytes;
  for (let t = 0; t < rows; t++, a = alpha, alpha += bytes, x += bytes, scale += 4) {
    if (t < first) memory.copy(alpha, a, bytes);
    else apply(operator, a, alpha, t - first);
    let s0 = f32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const v = f32x4.mul(v128.load(alpha + at), v128.load(x + at));
      v128.store(alpha + at, v);
      s0 = f32x4.add(s0, v);
    }
    const r: f32 = 1 / hsum(s0);
    if (!(r > 0 && r < Infinity)) return t;
    store<f32>(scale, r);
    mantissa *= <f64>r;
    largest = max(largest, <f64>r);
    if ((t & 3) == 3) {
      const bits = reinterpret<i64>(mantissa);
      exponent += <f64>(<i32>(bits >> 52) - 1023);
      mantissa = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
    }
    const by = f32x4.splat(r);
    for (let at: usize = 0; at < bytes; at += 16) {
      const v = f32x4.mul(v128.load(alpha + at), by);
      v128.store(alpha + at, v128.andnot(v, f32x4.lt(v, least)));
    }
  }
  store<f64>(product, mantissa);
  store<f64>(product, exponent, 8);
  store<f64>(product, largest, 16);
  return rows;
}

// log(mantissa) + exponent log 2 of a product.
export function f64_chain_log(product: usize): f64 {
  return log64(load<f64>(product)) + load<f64>(product, 8) * 0.6931471805599453;
}

// Backward over the rows of a block, last row first. beta: f32[width], of the last row in, of the row before the block out (not where first = 1).
//   mu[t] = alpha[t] * beta[t], divided by its sum; x[t] becomes x[t] * beta[t] * scale[t], divided by that sum (with alpha[t - 1] and the transitions: pairs)
// Returns the largest beta met where alpha sums to 1: flushed shares (below 2^-96) times this bounds what was lost. mu may be alpha.
export function f32_chain_backward(operator: usize, x: usize, rows: i32, first: i32, alpha: usize, scale: usize, beta: usize, mu: usize): f32 {
  const bytes = word(operator, 1) << 2, least = v128.load32_splat(NUMBERS, 8);
  const skip = <usize>(rows - 1) * bytes;
  x += skip;
  alpha += skip;
  mu += skip;
  scale += <usize>(rows - 1) << 2;
  let largest = f32x4.splat(0);
  for (let t = rows - 1; t >= 0; t--, x -= bytes, alpha -= bytes, mu -= bytes, scale -= 4) {
    let s0 = f32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) s0 = madd(v128.load(alpha + at), v128.load(beta + at), s0);
    const by = f32x4.splat(1 / hsum(s0)), both = f32x4.splat(load<f32>(scale));
    for (let at: usize = 0; at < bytes; at += 16) {
      const b = f32x4.mul(v128.load(beta + at), by);
      largest = f32x4.pmax(largest, b);
      v128.store(mu + at, f32x4.mul(v128.load(alpha + at), b));
      const z = f32x4.mul(f32x4.mul(v128.load(x + at), both), b);
      v128.store(x + at, v128.andnot(z, f32x4.lt(z, least)));
    }
    if (t >= first) apply(operator, x, beta, t - first);
  }
  return maxLanes(largest);
}

// pairs[i, j] += sum_t alpha[t - 1, i] z[t, j] over rows t, in float32; alpha[-1] lies before `alpha`. Times the weights of the transitions: expected counts.
export function f32_chain_pairs(alpha: usize, z: usize, rows: i32, width: i32, pairs: usize): void {
  const bytes = <usize>width << 2, end = z + <usize>rows * bytes;
  alpha -= bytes;
  for (let i: usize = 0; i < bytes; i += 16) {
    let j: usize = 0;
    for (; j + 32 <= bytes; j += 32) {
      let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c10 = f32x4.splat(0), c11 = f32x4.splat(0), c20 = f32x4.splat(0), c21 = f32x4.splat(0), c30 = f32x4.splat(0), c31 = f32x4.splat(0);
      for (let p = alpha + i, q = z + j; q < end; p += bytes, q += bytes) {
        const z0 = v128.load(q), z1 = v128.load(q, 16);
        let s = v128.load32_splat(p);
        c00 = madd(s, z0, c00);
        c01 = madd(s, z1, c01);
        s = v128.load32_splat(p, 4);
        c10 = madd(s, z0, c10);
        c11 = madd(s, z1, c11);
        s = v128.load32_splat(p, 8);
        c20 = madd(s, z0, c20);
        c21 = madd(s, z1, c21);
        s = v128.load32_splat(p, 12);
        c30 = madd(s, z0, c30);
        c31 = madd(s, z1, c31);
      }
      let p = pairs + j + (i >> 2) * bytes;
      addTo(p, c00, c01);
      addTo((p += bytes), c10, c11);
      addTo((p += bytes), c20, c21);
      addTo((p += bytes), c30, c31);
    }
    if (j < bytes) {
      let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
      for (let p = alpha + i, q = z + j; q < end; p += bytes, q += bytes) {
        const z0 = v128.load(q);
        c0 = madd(v128.load32_splat(p), z0, c0);
        c1 = madd(v128.load32_splat(p, 4), z0, c1);
        c2 = madd(v128.load32_splat(p, 8), z0, c2);
        c3 = madd(v128.load32_splat(p, 12), z0, c3);
      }
      let p = pairs + j + (i >> 2) * bytes;
      v128.store(p, f32x4.add(v128.load(p), c0));
      p += bytes;
      v128.store(p, f32x4.add(v128.load(p), c1));
      p += bytes;
      v128.store(p, f32x4.add(v128.load(p), c2));
      p += bytes;
      v128.store(p, f32x4.add(v128.load(p), c3));
    }
  }
}

// @ts-ignore: decorator
@inline
function addTo(p: usize, a: v128, b: v128): void {
  v128.store(p, f32x4.add(v128.load(p), a));
  v128.store(p, f32x4.add(v128.load(p, 16), b), 16);
}

// The arcs' shares of a sparse operator: counts[k] += sum_t alpha[t - 1, source] z[t, target] weights[k], counts in float64.
export function f32_chain_arcs(operator: usize, alpha: usize, z: usize, rows: i32, counts: usize): void {
  const bytes = word(operator, 1) << 2, starts = word(operator, 2), sources = word(operator, 3), weights = word(operator, 4);
  for (; rows > 0; rows--, alpha += bytes, z += bytes) {
    let k = <usize>load<i32>(starts);
    for (let j: usize = 0, width = word(operator, 1); j < width; j++) {
      const target = load<f32>(z + (j << 2));
      for (const end = <usize>load<i32>(starts + (j << 2), 4); k < end; k++) {
        const share = <f64>load<f32>(alpha - bytes + (<usize>load<i32>(sources + (k << 2)) << 2)) * <f64>(load<f32>(weights + (k << 2)) * target);
        store<f64>(counts + (k << 3), load<f64>(counts + (k << 3)) + share);
      }
    }
  }
}

// y[t, j] = x[t, the slot of j]: rows of slots back to rows of states. order: as for fillRow; slots: byte offsets, i32[states] filled up to a multiple of 4 with
// any; both 0 = states in order. y is written up to 60 bytes beyond.
export function f32_chain_unpack(x: usize, rows: i32, width: i32, order: usize, slots: usize, y: usize, states: i32): void {
  const bytes = <usize>width << 2, stride = <usize>states << 2, gates = order + bytes;
  const first = order ? <usize>load<i32>(gates + bytes) : 0, step = order ? <usize>load<i32>(gates + bytes, 4) : 0, last = bytes - 16;
  for (; rows > 0; rows--, x += bytes, y += stride) {
    if (!order) for (let at: usize = 0; at < bytes; at += 16) v128.store(y + at, v128.load(x + at));
    else if (!step) for (let at: usize = 0; at < stride; at += 16) v128.store(y + at, gather(x, slots + at));
    else {
      for (let at: usize = 0, p = y + first; at < last; at += 16, p += step) v128.store(p, v128.load(x + at));
      for (let at = last; at < bytes && load<f32>(gates + at) > 0; at += 4) store<f32>(y + <usize>load<i32>(order + at), load<f32>(x + at));
    }
  }
}

// delta[t] = e[t] + the best of delta[t - 1] through the operator of scores, up to a number of the row: every eighth row is shifted so that its largest is 0. first, delta[-1] and
// steps as in f32_chain_forward. Returns the rows done: fewer where no state is possible, or -1 - t where row t of e holds NaN or +Infinity.
export function f32_chain_best(operator: usize, e: usize, rows: i32, states: i32, order: usize, first: i32, delta: usize): i32 {
  const impossible = v128.load32_splat(NUMBERS), infinite = v128.load32_splat(NUMBERS, 4), lanes = v128.load(LANES), lanesAll = i32x4.ge_s(lanes, lanes);
  const width = <i32>word(operator, 1), bytes = <usize>width << 2, stride = <usize>states << 2, room = word(operator, 7);
  let a = delta - bytes;
  for (let t = 0; t < rows; t++, a = delta, delta += bytes, e += stride) {
    if (t < first) memory.copy(delta, a, bytes);
    else applyMax(operator, a, delta, t - first);
    let high = impossible, good = lanesAll;
    const largest = fillRow(e, states, order, room, width, impossible, lanes);
    // What a whole row has in common is taken away where it would drown the rest.
    const top = maxLanes(largest), common = f32x4.splat(abs(top) > 1024 && top > -Infinity ? top : 0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const v = v128.load(room + at);
      good = v128.and(good, f32x4.lt(v, infinite));
      const d = f32x4.add(v128.load(delta + at), f32x4.sub(v, common));
      high = f32x4.pmax(high, d);
      v128.store(delta + at, d);
    }
    if (!i32x4.all_true(good)) return -1 - t;
    if ((t & 7) == 7) {
      const top = maxLanes(high);
      if (!(top > -Infinity)) return t;
      const by = f32x4.splat(top);
      for (let at: usize = 0; at < bytes; at += 16) v128.store(delta + at, f32x4.sub(v128.load(delta + at), by));
    }
  }
  return rows;
}

// The same with an operator of tags: delta is one row, of the row before in, of the last row out, with room for one more and 16 bytes; records: what led to each row
// but the first one (lib/tags.ts). e is read up to 60 bytes beyond.
export function f32_chain_best_tags(operator: usize, e: usize, rows: i32, states: i32, order: usize, first: i32, delta: usize, records: usize): i32 {
  const impossible = v128.load32_splat(NUMBERS), infinite = v128.load32_splat(NUMBERS, 4), lanes = v128.load(LANES), far = v128.load32_splat(NUMBERS, 12), near = v128.load32_splat(NUMBERS, 16);
  const width = <i32>word(operator, 1), bytes = <usize>width << 2, last = bytes - 16, stride = <usize>states << 2, room = word(operator, 7), size = recordBytes(typesOf(operator));
  // Where the rows lie as the slots do they are read where they are, but for the states without a type.
  const gates = order + bytes, straight = liesStraight(order, bytes), begin = straight ? <usize>load<i32>(gates + bytes) : 0;
  const alone = load<f32>(gates + last, 4) < 0 ? <usize>load<i32>(order + last) : usize.MAX_VALUE, gate = v128.load(gates + last), own = room + last;
  const sum = delta + 2 * bytes;
  let top = impossible, a = delta, b = delta + bytes;
  if (first) {
    const common = f32x4.splat(commonOf(maxLanes(fillRow(e, states, order, room, width, impossible, lanes))));
    let bad = f32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const v = v128.load(room + at);
      bad = v128.or(bad, f32x4.eq(v, infinite));
      v128.store(a + at, f32x4.add(v128.load(a + at), f32x4.sub(v, common)));
    }
    if (v128.any_true(bad)) return -1;
    e += stride;
    records += size;
  }
  for (let at: usize = 0; at < last; at += 16) top = f32x4.pmax(top, v128.load(a + at));
  for (let t = first; t < rows; t++, records += size, e += stride) {
    let x = room;
    if (straight) {
      x = e + begin;
      v128.store(own, f32x4.pmin(gate, alone != usize.MAX_VALUE ? v128.load32_splat(e + alone) : gather(e, order + last)));
    } else fillRow(e, states, order, room, width, impossible, lanes);
    for (let again = false; ; again = true) {
      const next = bestTags(operator, a, x, own, b, records, top, impossible, sum), most = f32x4.pmax(next, v128.load(b + last));
      // NaN and Infinity, or far from 0: once more without what the whole row has in common, where that is much.
      if (again || (i32x4.all_true(f32x4.lt(v128.load(sum), infinite)) && v128.any_true(f32x4.ge(most, near)) && !v128.any_true(f32x4.gt(most, far)))) {
        top = next;
        break;
      }
      const largest = maxLanes(fillRow(e, states, order, room, width, impossible, lanes)), common = commonOf(largest);
      if (largest == Infinity) return -1 - t;
      for (let at: usize = 0; at < bytes; at += 16) v128.store(room + at, f32x4.sub(v128.load(room + at), f32x4.splat(common)));
      x = room;
    }
    if ((t & 7) == 7) {
      const most = maxLanes(f32x4.pmax(top, v128.load(b + last)));
      if (!(most > -Infinity)) return t;
      const by = f32x4.splat(most);
      for (let at: usize = 0; at < bytes; at += 16) v128.store(b + at, f32x4.sub(v128.load(b + at), by));
      top = f32x4.sub(top, by);
    }
    const done = a;
    a = b;
    b = done;
  }
  if (a != delta) memory.copy(delta, a, bytes);
  return rows;
}

// What is taken away from a row whose largest score is `top`: all of it where it would drown the rest.
// @ts-ignore: decorator
@inline
function commonOf(top: f32): f32 {
  return abs(top) > 1024 && top > -Infinity ? top : 0;
}

// The way back: path[t] as in f32_chain_trace, of rows whose records f32_chain_best_tags left; next: the slot of the row after the last one, whose record lies behind
// the others, or -1, then the path ends here: delta is the last row. With e: picked[t] = e[t, path[t]], of all rows. Without it, path holds another path: this one is
// written down to where the two meet. Returns the number of rows before that (0 with e), or -1 where no path is possible.
export function f32_chain_trace_tags(operator: usize, records: usize, rows: i32, delta: usize, order: usize, end: usize, next: i32, path: usize, e: usize, states: i32, picked: usize): i32 {
  const types = typesOf(operator), size = recordBytes(types), table = word(operator, 3), one = load<i32>(operator, 20) >> 2, two = load<i32>(operator, 24) >> 2, inside = load<i32>(operator, 32), places = placesOf(table);
  const full: u64 = types <= 16 ? 0x1111111111111111 >> ((16 - <u64>types) << 2) : 0;
  const stride = <usize>states << 2;
  records += <usize>rows * size;
  path += <usize>(rows - 1) << 2;
  e += <usize>(rows - 1) * stride;
  picked += <usize>(rows - 1) << 2;
  const whole = picked != (<usize>(rows - 1) << 2);
  for (let t = rows - 1; t >= 0; t--, records -= size, path -= 4, e -= stride, picked -= 4) {
    next = next < 0 ? bestSlot(delta, end, word(operator, 1) << 2, order) : sourceOf(table, types, one, two, inside, places, full, records, next, order);
    if (next < 0) return -1;
    const at = load<i32>(order + (<usize>next << 2));
    if (whole) store<f32>(picked, load<f32>(e + <usize>at));
    else if (load<i32>(path) == at >> 2) return t + 1;
    store<i32>(path, at >> 2);
  }
  return 0;
}

// The slot with the largest delta[i] + w[i]; the least order[i] (or i) among equals; -1 where none is above -Infinity. w may be 0.
// @ts-ignore: decorator
@inline
function bestSlot(delta: usize, w: usize, bytes: usize, order: usize): i32 {
  let high = v128.load32_splat(NUMBERS), other = high, at: usize = 0;
  if (w) {
    for (; at + 16 < bytes; at += 32) {
      high = f32x4.pmax(high, f32x4.add(v128.load(delta + at), v128.load(w + at)));
      other = f32x4.pmax(other, f32x4.add(v128.load(delta + at, 16), v128.load(w + at, 16)));
    }
    if (at < bytes) high = f32x4.pmax(high, f32x4.add(v128.load(delta + at), v128.load(w + at)));
  } else for (; at < bytes; at += 16) high = f32x4.pmax(high, v128.load(delta + at));
  const top = maxLanes(f32x4.pmax(high, other)), all = f32x4.splat(top);
  if (top == -Infinity) return -1;
  let best = -1, least = i32.MAX_VALUE;
  // Masks of 16 vectors at a time: no branch for each.
  for (at = 0; at < bytes; ) {
    const from = at, stop = min(bytes, at + 256);
    let mask: u64 = 0;
    for (let shift: u64 = 0; at < stop; at += 16, shift += 4) {
      const v = v128.load(delta + at);
      mask |= <u64>i32x4.bitmask(f32x4.eq(w ? f32x4.add(v, v128.load(w + at)) : v, all)) << shift;
    }
    for (; mask; mask &= mask - 1) {
      const slot = <i32>(from >> 2) + <i32>ctz(mask);
      if (!order) return slot;
      const name = load<i32>(order + (<usize>slot << 2)); // its byte offset: the order of the states
      if (name < least) {
        least = name;
        best = slot;
      }
    }
  }
  return best;
}

// path[t] = the state of row t on the best path that goes on to slot `next` of the row after the block (-1: that ends in this block, with `end` scores or 0).
// back: a dense operator, or a sparse one, of scores by target: f32[states, width] [to, from]; delta as f32_chain_best left it. Steps: row t + 1 of the block
// is step t + 1 - first. Returns the slot of row 0, or -1 where no path is possible.
export function f32_chain_trace(back: usize, delta: usize, rows: i32, first: i32, order: usize, end: usize, next: i32, path: usize): i32 {
  const width = word(back, 1), bytes = width << 2;
  delta += <usize>(rows - 1) * bytes;
  path += <usize>(rows - 1) << 2;
  for (let t = rows - 1; t >= 0; t--, delta -= bytes, path -= 4) {
    if (next < 0) next = bestSlot(delta, end, bytes, order);
    else if (load<i32>(back) == DENSE) next = bestSlot(delta, word(back, 2) + <usize>(t + 1 - first) * word(back, 4) + <usize>next * bytes, bytes, order);
    else next = bestSource(back, delta, next);
    if (next < 0) return -1;
    store<i32>(path, order ? load<i32>(order + (<usize>next << 2)) >> 2 : next);
  }
  return next;
}

// The source of an arc into a target with the largest delta[source] + weight; the arc that comes first among equals.
function bestSource(operator: usize, delta: usize, target: i32): i32 {
  const starts = word(operator, 2) + (<usize>target << 2), sources = word(operator, 3), weights = word(operator, 4);
  let top: f32 = -Infinity, best = -1;
  for (let k = <usize>load<i32>(starts), end = <usize>load<i32>(starts, 4); k < end; k++) {
    const source = load<i32>(sources + (k << 2));
    const candidate = load<f32>(weights + (k << 2)) + load<f32>(delta + (<usize>source << 2));
    if (candidate > top) {
      top = candidate;
      best = source;
    }
  }
  return best;
}
