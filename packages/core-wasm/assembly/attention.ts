import { tanh } from "./lib/elementary";
import { EXP, halfExpBounded } from "./lib/exp";
import { log64 } from "./lib/log";
import { sigmoidOf } from "./lib/sigmoidOf";
import { high, highPairs, low, lowPairs, packColumns, packRows, tile4, tile6, transposeFour } from "./lib/tile";
import { madd } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Attention of a block of queries over one tile of keys. Scores are stored by key, s[key, query], for panels of 8 queries: f32[keys, 8]. So four queries share a vector and no maximum
// or sum crosses lanes, and exp(s) lies in memory as the second product, V' P, reads its right side. Queries, rounded up to a multiple of 8, come as panels f32[D, 8];
// keys as panels of HEIGHT rows, f32[D, HEIGHT]; values as panels of HEIGHT columns, f32[keys, HEIGHT] (the last of 4, where no more are left).

// Rows of A that the product takes at a time: six spill in the baseline build.
const HEIGHT: usize = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;
export const PANEL_ROWS: i32 = <i32>HEIGHT;
// Keys of a tile, a multiple of 6 and of 4; and the rows of s, which holds what the last panel has beyond.
const KEYS: usize = 192;
const PANEL: usize = (KEYS + 6) << 5;

// What a call works on: addresses, and sizes in elements unless they are named bytes. packages/core-wasm/src/attentionTile.ts writes it.
@unmanaged
class Tile {
  // Panels of 8 queries, scaled: f32[panels, features, 8].
  panels: i32;
  queries: usize;
  features: i32;
  // The tile's keys: panels of HEIGHT; `first` is the index of the first, `count` <= KEYS how many there are.
  keys: usize;
  first: i32;
  count: i32;
  // All values: panels of HEIGHT columns, `valueBytes` apart.
  values: usize;
  valueBytes: usize;
  width: i32;
  // Query i sees the keys [from[i], to[i]): i32[8 panels].
  from: usize;
  to: usize;
  // Scores and probabilities: f32[panels or 1, KEYS + 6, 8].
  scores: usize;
  // State of each query: max: f32, half: f64, the sum of exp(s - max) / 2; out: f32[panels, outBytes], the sum of exp(s - max) v / 2 by column.
  max: usize;
  half: usize;
  out: usize;
  outBytes: usize;
  // Bias by position: the address of the element of query 0 and the tile's first key; that of query i and key j lies i - j further. 0: none.
  relative: usize;
  // Bias: the address of the element of query 0 and the tile's first key; keys are next to each other. 0: none.
  bias: usize;
  biasBytes: usize;
  // Mask: the same of bytes, 0 = does not take part. 0: none.
  mask: usize;
  maskBytes: usize;
  // Queries that are not padding.
  rows: i32;
  // s = cap tanh(s / cap) before any bias; 0: none.
  cap: f32;
  // 0: softmax; 1: sigmoid of s + shift.
  sigmoid: i32;
  shift: f32;
  // Of the gradient. upstream: panels f32[panels, width, 8]; valueRows: the tile's values as keys are, panels of HEIGHT rows f32[width, HEIGHT]; keyColumns: all keys as values are,
  // `keyBytes` apart; total: f32[8 panels], log-sum-exp; delta: f32[8 panels], sum of upstream and output; slopes: f32[panels or 1, KEYS + 6, 8], gradients: f32[panels, KEYS + 6, 8];
  // queryGradient: f32[panels, queryBytes]; queryColumns: panels of 8 features of 8 panels rows, upstreamColumns: the same of the upstream; keyGradient: f32[KEYS + 6, keyStride], valueGradient.
  upstream: usize;
  valueRows: usize;
  keyColumns: usize;
  keyBytes: usize;
  total: usize;
  delta: usize;
  gradients: usize;
  slopes: usize;
  queryGradient: usize;
  queryBytes: usize;
  queryColumns: usize;
  upstreamColumns: usize;
  keyGradient: usize;
  keyStride: usize;
  valueGradient: usize;
  valueStride: usize;
  // Sums of the gradient by distance: f64, addressed as `relative` (of twice its bytes). 0: not wanted.
  relativeGradient: usize;
  // The gradient of the bias, addressed as `bias`, added to. 0: not wanted.
  biasGradient: usize;
  biasGradientBytes: usize;
  // f64: the sum of the gradients of all scores is added to it. 0: not wanted.
  shiftGradient: usize;
  // Room for the keys [begin, end) of the tile that each panel sees: i32[panels, 2].
  bounds: usize;
}

// y[i, :] = scale x[i, :] for i < rows, 0 up to a multiple of 8      x: f32[rows, cols], y: f32[rows up to a multiple of 8, cols]
export function f32_attention_stage(x: usize, rows: i32, cols: i32, scale: f32, y: usize): void {
  const by = f32x4.splat(scale), bytes = (<usize>rows * <usize>cols) << 2;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(y + i, f32x4.mul(v128.load(x + i), by));
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(x + i) * scale);
  memory.fill(y + bytes, 0, ((<usize>((rows + 7) & ~7) * <usize>cols) << 2) - bytes);
}

// Panels f32[cols, 8] of `rows` rows, a multiple of 8.      x: f32[rows, cols]
export function f32_attention_pack8(x: usize, rows: i32, cols: i32, to: usize): void {
  const bytes = <usize>cols << 2;
  for (; rows > 0; rows -= 8, x += bytes << 3, to += bytes << 3) {
    transposeFour(x, bytes, cols, to, 32);
    transposeFour(x + (bytes << 2), bytes, cols, to + 16, 32);
  }
}

// Panels f32[cols, HEIGHT] of rows. What the last panel has beyond holds the last row.      x: f32[rows, cols]
export function f32_attention_pack_rows(x: usize, rows: i32, cols: i32, to: usize): void {
  const bytes = <usize>cols << 2;
  for (; rows > 0; rows -= <i32>HEIGHT, x += HEIGHT * bytes, to += HEIGHT * bytes) packRows(x, bytes, 4, min(rows, <i32>HEIGHT), cols, to, HEIGHT == 6);
}

// Panels f32[rows, HEIGHT] of columns, `step` bytes apart; the last is f32[rows, 4] where at most 4 columns are left.      x: f32[rows, cols]
export function f32_attention_pack_columns(x: usize, rows: i32, cols: i32, to: usize, step: usize): void {
  const bytes = <usize>cols << 2;
  for (; cols > 0; cols -= <i32>HEIGHT, x += HEIGHT << 2, to += step) packRows(x, 4, bytes, min(cols, HEIGHT == 6 && cols > 4 ? 6 : 4), rows, to, HEIGHT == 6 && cols > 4);
}

// Panels f32[rows, 8] of columns, (32 rows + 128) bytes apart; columns beyond are 0.      x: f32[rows, cols]
export function f32_attention_pack_columns8(x: usize, rows: i32, cols: i32, to: usize): void {
  packColumns(x, <usize>cols << 2, 4, cols, rows, to);
}

// Begins a block: max[i] = start, half[i] = 0.5 where there is a sink, whose score `start` is, else 0; out = 0.
export function f32_attention_begin(panels: i32, start: f32, sink: i32, max: usize, half: usize, out: usize, outBytes: usize): void {
  for (let i: usize = 0; i < <usize>panels << 3; i++) {
    store<f32>(max + (i << 2), start);
    store<f64>(half + (i << 3), sink ? 0.5 : 0);
  }
  memory.fill(out, 0, <usize>panels * outBytes);
}

// Which keys of the tile a panel sees: those of any of its queries, begun at a multiple of HEIGHT; and which all of them see.
// @ts-ignore: decorator
@inline
function boundOf(t: Tile, p: i32, which: i32): i32 {
  const from = t.from + (<usize>p << 5), to = t.to + (<usize>p << 5);
  let least = i32.MAX_VALUE, most = i32.MIN_VALUE, all = i32.MIN_VALUE, every = i32.MAX_VALUE;
  for (let i: usize = 0; i < 32; i += 4) {
    const a = load<i32>(from + i), b = load<i32>(to + i);
    all = max(all, a);
    every = min(every, b);
    if (a < b) {
      least = min(least, a);
      most = max(most, b);
    }
  }
  if (which == 0) return least > most ? 0 : max(0, min(least - t.first, t.count)) / <i32>HEIGHT * <i32>HEIGHT;
  if (which == 1) return least > most ? 0 : max(0, min(most - t.first, t.count));
  if (which == 2) return all - t.first;
  return every - t.first;
}

// c[rows, 8] = panels of HEIGHT rows times a panel of 8 columns.
function product(a: usize, b: usize, depth: i32, c: usize, begin: i32, end: i32): void {
  const step = HEIGHT * (<usize>depth << 2);
  a += <usize>(begin / <i32>HEIGHT) * step;
  c += <usize>begin << 5;
  for (; begin < end; begin += <i32>HEIGHT) {
    if (ASC_FEATURE_RELAXED_SIMD) tile6(a, b, depth, c, 32, 0);
    else tile4(a, b, depth, c, 32, 0);
    a += step;
    c += HEIGHT << 5;
  }
}

// c[cols, 8] += panels of HEIGHT columns, rows [first + begin, first + end), times the rows [begin, end) of f32[rows, 8].
function accumulate(a: usize, step: usize, cols: i32, b: usize, first: i32, begin: i32, end: i32, c: usize): void {
  b += <usize>begin << 5;
  first += begin;
  for (; cols > 0; cols -= <i32>HEIGHT, a += step, c += HEIGHT << 5) {
    if (ASC_FEATURE_RELAXED_SIMD && cols > 4) tile6(a + 24 * <usize>first, b, end - begin, c, 32, 1);
    else tile4(a + 16 * <usize>first, b, end - begin, c, 32, 1);
  }
}

// s = cap tanh(s / cap); d = 1 - (s / cap)^2, the derivative, unless 0.
function soften(s: usize, d: usize, bytes: usize, cap: f32): void {
  const c = f32x4.splat(cap), by = f32x4.splat(1 / cap), one = v128.load32_splat(EXP, 40);
  for (const end = s + bytes; s < end; s += 16) {
    const v = tanh(f32x4.mul(v128.load(s), by));
    v128.store(s, f32x4.mul(c, v));
    if (d) {
      v128.store(d, f32x4.sub(one, f32x4.mul(v, v)));
      d += 16;
    }
  }
}

function addRelative(s: usize, bytes: usize, b: usize): void {
  for (const end = s + bytes; s < end; s += 32, b -= 4) {
    v128.store(s, f32x4.add(v128.load(s), v128.load(b)));
    v128.store(s, f32x4.add(v128.load(s, 16), v128.load(b, 16)), 16);
  }
}

// s[j, i] += b[i, j] for j < count; rows of b are `step` bytes apart, the last of `rows` stands for those beyond.
function addBias(s: usize, count: i32, b: usize, step: usize, rows: i32): void {
  for (let half = 0; half < 8; half += 4) {
    let a0 = b + <usize>min(half, rows - 1) * step, a1 = b + <usize>min(half + 1, rows - 1) * step, a2 = b + <usize>min(half + 2, rows - 1) * step, a3 = b + <usize>min(half + 3, rows - 1) * step;
    let p = s + (<usize>half << 2);
    for (const stop = p + (<usize>(count & ~3) << 5); p < stop; p += 128) {
      const a = v128.load(a0), c = v128.load(a1), d = v128.load(a2), e = v128.load(a3);
      const ac = low(a, c), de = low(d, e), AC = high(a, c), DE = high(d, e);
      v128.store(p, f32x4.add(v128.load(p), lowPairs(ac, de)));
      v128.store(p, f32x4.add(v128.load(p, 32), highPairs(ac, de)), 32);
      v128.store(p, f32x4.add(v128.load(p, 64), lowPairs(AC, DE)), 64);
      v128.store(p, f32x4.add(v128.load(p, 96), highPairs(AC, DE)), 96);
      a0 += 16;
      a1 += 16;
      a2 += 16;
      a3 += 16;
    }
    for (let j = count & 3; j > 0; j--, p += 32) {
      store<f32>(p, load<f32>(p) + load<f32>(a0));
      store<f32>(p, load<f32>(p, 4) + load<f32>(a1), 4);
      store<f32>(p, load<f32>(p, 8) + load<f32>(a2), 8);
      store<f32>(p, load<f32>(p, 12) + load<f32>(a3), 12);
      a0 += 4;
      a1 += 4;
      a2 += 4;
      a3 += 4;
    }
  }
}

// s[j, i] = -Infinity where m[i, j] is 0.
function applyMask(s: usize, count: i32, m: usize, step: usize, rows: i32): void {
  for (let i = 0; i < 8; i++) {
    const row = m + <usize>min(i, rows - 1) * step;
    for (let j = 0; j < count; ) {
      if (j + 16 <= count && i8x16.all_true(v128.load(row + <usize>j))) {
        j += 16;
        continue;
      }
      for (const stop = min(count, j + 16); j < stop; j++) if (load<u8>(row + <usize>j) == 0) store<f32>(s + (<usize>j << 5) + (<usize>i << 2), -Infinity);
    }
  }
}

// s[j, i] = -Infinity for the keys [begin, end) of the tile that query i does not see.
function applyRange(t: Tile, p: i32, s: usize, begin: i32, end: i32): void {
  const from = t.from + (<usize>p << 5), to = t.to + (<usize>p << 5), never = v128.load32_splat(EXP, 36);
  const a0 = v128.load(from), a1 = v128.load(from, 16), b0 = v128.load(to), b1 = v128.load(to, 16);
  s += <usize>begin << 5;
  for (; begin < end; begin++, s += 32) {
    const j = i32x4.splat(t.first + begin);
    v128.store(s, v128.bitselect(v128.load(s), never, v128.and(i32x4.ge_s(j, a0), i32x4.lt_s(j, b0))));
    v128.store(s, v128.bitselect(v128.load(s, 16), never, v128.and(i32x4.ge_s(j, a1), i32x4.lt_s(j, b1))), 16);
  }
}

// Scores of panel p over the keys [begin, end), biased and masked.
function scoresOf(t: Tile, p: i32, s: usize, slopes: usize, begin: i32, end: i32): void {
  product(t.keys, t.queries + <usize>p * (<usize>t.features << 5), t.features, s, begin, end);
  const start = s + (<usize>begin << 5), bytes = <usize>(end - begin) << 5;
  if (t.cap > 0) soften(start, slopes ? slopes + (<usize>begin << 5) : 0, bytes, t.cap);
  if (t.relative) addRelative(start, bytes, t.relative + (<usize>p << 5) - (<usize>begin << 2));
  if (t.bias) addBias(start, end - begin, t.bias + <usize>(p << 3) * t.biasBytes + (<usize>begin << 2), t.biasBytes, t.rows - (p << 3));
  if (t.mask) applyMask(start, end - begin, t.mask + <usize>(p << 3) * t.maskBytes + <usize>begin, t.maskBytes, t.rows - (p << 3));
  const all = boundOf(t, p, 2), every = boundOf(t, p, 3);
  if (all > begin) applyRange(t, p, s, begin, min(all, end));
  if (every < end) applyRange(t, p, s, max(begin, max(all, every)), end);
}

// @ts-ignore: decorator
@inline
function rescale(half: usize, sum: v128, factor: v128): void {
  v128.store(half, f64x2.add(f64x2.mul(v128.load(half), f64x2.promote_low_f32x4(factor)), f64x2.promote_low_f32x4(sum)));
  const f = v128.shuffle<f32>(factor, factor, 2, 3, 0, 1), s = v128.shuffle<f32>(sum, sum, 2, 3, 0, 1);
  v128.store(half, f64x2.add(f64x2.mul(v128.load(half, 16), f64x2.promote_low_f32x4(f)), f64x2.promote_low_f32x4(s)), 16);
}

// s = exp(s - max) / 2 with the maximum so far; half and out come relative to it.
function softmaxPanel(s: usize, bytes: usize, top: usize, half: usize, out: usize, width: i32): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const old0 = v128.load(top), old1 = v128.load(top, 16), end = s + bytes;
  // pmax(m, v) keeps m where v is NaN: NaN comes back through the sum.
  let m0 = old0, m1 = old1, n0 = old0, n1 = old1, p = s;
  for (const stop = s + (bytes & ~63); p < stop; p += 64) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
    n0 = f32x4.pmax(n0, v128.load(p, 32));
    n1 = f32x4.pmax(n1, v128.load(p, 48));
  }
  if (p < end) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
  }
  m0 = f32x4.pmax(m0, n0);
  m1 = f32x4.pmax(m1, n1);
  v128.store(top, m0);
  v128.store(top, m1, 16);
  let s0 = f32x4.splat(0), s1 = s0;
  for (p = s; p < end; p += 32) {
    const e0 = halfExpBounded(f32x4.pmin(f32x4.sub(m0, v128.load(p)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    const e1 = halfExpBounded(f32x4.pmin(f32x4.sub(m1, v128.load(p, 16)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    v128.store(p, e0);
    v128.store(p, e1, 16);
    s0 = f32x4.add(s0, e0);
    s1 = f32x4.add(s1, e1);
  }
  const h0 = halfExpBounded(f32x4.pmin(f32x4.sub(m0, old0), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
  const h1 = halfExpBounded(f32x4.pmin(f32x4.sub(m1, old1), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
  const f0 = f32x4.add(h0, h0), f1 = f32x4.add(h1, h1);
  rescale(half, s0, f0);
  rescale(half + 32, s1, f1);
  if (!v128.any_true(v128.or(f32x4.gt(m0, old0), f32x4.gt(m1, old1)))) return;
  for (const stop = out + (<usize>width << 5); out < stop; out += 32) {
    v128.store(out, f32x4.mul(v128.load(out), f0));
    v128.store(out, f32x4.mul(v128.load(out, 16), f1), 16);
  }
}

function sigmoidPanel(s: usize, bytes: usize, shift: f32): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), highest = v128.load32_splat(EXP, 32), b = f32x4.splat(shift);
  for (const end = s + bytes; s < end; s += 32) {
    v128.store(s, sigmoidOf(f32x4.add(v128.load(s), b), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest));
    v128.store(s, sigmoidOf(f32x4.add(v128.load(s, 16), b), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest), 16);
  }
}

// Takes the tile into max, half and out of every query. t: Tile; -Infinity adds nothing, NaN and +Infinity make half NaN.
export function f32_attention_tile(call: usize): void {
  const t = changetype<Tile>(call), s = t.scores;
  let out = t.out;
  for (let p = 0; p < t.panels; p++, out += t.outBytes) {
    const begin = boundOf(t, p, 0), end = boundOf(t, p, 1);
    if (begin >= end) continue;
    scoresOf(t, p, s, 0, begin, end);
    const start = s + (<usize>begin << 5), bytes = <usize>(end - begin) << 5;
    if (t.sigmoid) sigmoidPanel(start, bytes, t.shift);
    else softmaxPanel(start, bytes, t.max + (<usize>p << 5), t.half + (<usize>p << 6), out, t.width);
    accumulate(t.values, t.valueBytes, t.width, s, t.first, begin, end, out);
  }
}

// y[i, :] = out[:, i] / half[i] for i < rows (by: f32[8 panels], 1 / half), back in rows.      out: f32[panels, outBytes], y: f32[rows, cols]
export function f32_attention_rows(out: usize, outBytes: usize, by: usize, rows: i32, cols: i32, y: usize): void {
  const step = <usize>cols << 2, whole = cols & ~3;
  for (; rows > 0; rows -= 8, out += outBytes, by += 32) {
    for (let half = 0; half < 8; half += 4) {
      const n = min(4, rows - half);
      if (n <= 0) break;
      const f = v128.load(by + (<usize>half << 2));
      let p = out + (<usize>half << 2), q = y;
      if (n == 4) {
        for (const stop = y + (<usize>whole << 2); q < stop; q += 16, p += 128) {
          const a = f32x4.mul(v128.load(p), f), b = f32x4.mul(v128.load(p, 32), f), c = f32x4.mul(v128.load(p, 64), f), d = f32x4.mul(v128.load(p, 96), f);
          const ab = low(a, b), cd = low(c, d), AB = high(a, b), CD = high(c, d);
          v128.store(q, lowPairs(ab, cd));
          v128.store(q + step, highPairs(ab, cd));
          v128.store(q + (step << 1), lowPairs(AB, CD));
          v128.store(q + (step << 1) + step, highPairs(AB, CD));
        }
      }
      for (const stop = y + step; q < stop; q += 4, p += 32) {
        let at = q;
        for (let i: usize = 0; i < <usize>n << 2; i += 4, at += step) store<f32>(at, load<f32>(p + i) * load<f32>(by + (<usize>half << 2) + i));
      }
      y += <usize>n * step;
    }
  }
}

// by[i] = 1 / half[i] (0 where half is 0), total[i] = max[i] + log(2 half[i]), for i < rows.      max, by, total: f32[rows], half: f64[rows]
export function f32_attention_finish(top: usize, half: usize, rows: i32, by: usize, total: usize): void {
  for (; rows > 0; rows--, top += 4, half += 8, by += 4, total += 4) {
    const h = load<f64>(half);
    store<f32>(by, h == 0 ? 0 : <f32>(1 / h));
    store<f32>(total, h == 0 ? <f32>-Infinity : <f32>(load<f32>(top) + log64(2 * h)));
  }
}

// P = exp(s - total) in place of s and dS = P (dP - delta) in place of dP.
function softmaxGradient(s: usize, g: usize, bytes: usize, total: usize, delta: usize): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const l0 = v128.load(total), l1 = v128.load(total, 16), d0 = v128.load(delta), d1 = v128.load(delta, 16);
  for (const end = s + bytes; s < end; s += 32, g += 32) {
    const h0 = halfExpBounded(f32x4.pmin(f32x4.sub(l0, v128.load(s)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    const h1 = halfExpBounded(f32x4.pmin(f32x4.sub(l1, v128.load(s, 16)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    const p0 = f32x4.add(h0, h0), p1 = f32x4.add(h1, h1);
    v128.store(s, p0);
    v128.store(s, p1, 16);
    v128.store(g, f32x4.mul(p0, f32x4.sub(v128.load(g), d0)));
    v128.store(g, f32x4.mul(p1, f32x4.sub(v128.load(g, 16), d1)), 16);
  }
}

// P = sigmoid(s + shift) in place of s and dS = P (1 - P) dP in place of dP.
function sigmoidGradient(s: usize, g: usize, bytes: usize, shift: f32): void {
  sigmoidPanel(s, bytes, shift);
  for (const end = s + bytes; s < end; s += 16, g += 16) {
    const p = v128.load(s);
    v128.store(g, f32x4.mul(v128.load(g), f32x4.sub(p, f32x4.mul(p, p))));
  }
}

// Adds a panel's gradient to sums by distance: element (j, i) to the one i - j further.
function byDistance(g: usize, count: i32, sums: usize): void {
  for (; count > 0; count--, g += 32, sums -= 8) {
    for (let i: usize = 0; i < 8; i++) store<f64>(sums + (i << 3), load<f64>(sums + (i << 3)) + load<f32>(g + (i << 2)));
  }
}

// b[i, j] += g[j, i] for i < rows.
function toBias(g: usize, count: i32, b: usize, step: usize, rows: i32): void {
  for (let i: usize = 0; i < <usize>min(rows, 8); i++, b += step) {
    for (let j: usize = 0; j < <usize>count; j++) store<f32>(b + (j << 2), load<f32>(b + (j << 2)) + load<f32>(g + (j << 5) + (i << 2)));
  }
}

// c[HEIGHT keys, cols] += the keys' rows of f32[panels][keys, 8] times panels of 8 columns.
function outer(a: usize, panels: i32, b: usize, step: usize, cols: i32, c: usize, cRow: usize): void {
  for (; cols > 0; cols -= 8, b += step, c += 32) {
    if (ASC_FEATURE_RELAXED_SIMD) outer6(a, b, panels, c, cRow);
    else outer4(a, b, panels, c, cRow);
  }
}

// @ts-ignore: decorator
@inline
function plus(c: usize, v: v128, w: v128): void {
  v128.store(c, f32x4.add(v128.load(c), v));
  v128.store(c, f32x4.add(v128.load(c, 16), w), 16);
}

function outer6(a: usize, b: usize, panels: i32, c: usize, cRow: usize): void {
  let c00 = f32x4.splat(0), c10 = c00, c20 = c00, c30 = c00, c40 = c00, c50 = c00;
  let c01 = c00, c11 = c00, c21 = c00, c31 = c00, c41 = c00, c51 = c00;
  for (; panels > 0; panels--, a += PANEL - 32) {
    for (const end = a + 32; a < end; a += 4, b += 32) {
      const b0 = v128.load(b), b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(a);
      c00 = madd(a0, b0, c00);
      c01 = madd(a0, b1, c01);
      const a1 = v128.load32_splat(a, 32);
      c10 = madd(a1, b0, c10);
      c11 = madd(a1, b1, c11);
      const a2 = v128.load32_splat(a, 64);
      c20 = madd(a2, b0, c20);
      c21 = madd(a2, b1, c21);
      const a3 = v128.load32_splat(a, 96);
      c30 = madd(a3, b0, c30);
      c31 = madd(a3, b1, c31);
      const a4 = v128.load32_splat(a, 128);
      c40 = madd(a4, b0, c40);
      c41 = madd(a4, b1, c41);
      const a5 = v128.load32_splat(a, 160);
      c50 = madd(a5, b0, c50);
      c51 = madd(a5, b1, c51);
    }
  }
  plus(c, c00, c01);
  plus((c += cRow), c10, c11);
  plus((c += cRow), c20, c21);
  plus((c += cRow), c30, c31);
  plus((c += cRow), c40, c41);
  plus(c + cRow, c50, c51);
}

function outer4(a: usize, b: usize, panels: i32, c: usize, cRow: usize): void {
  let c00 = f32x4.splat(0), c10 = c00, c20 = c00, c30 = c00;
  let c01 = c00, c11 = c00, c21 = c00, c31 = c00;
  for (; panels > 0; panels--, a += PANEL - 32) {
    for (const end = a + 32; a < end; a += 4, b += 32) {
      const b0 = v128.load(b), b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(a);
      c00 = madd(a0, b0, c00);
      c01 = madd(a0, b1, c01);
      const a1 = v128.load32_splat(a, 32);
      c10 = madd(a1, b0, c10);
      c11 = madd(a1, b1, c11);
      const a2 = v128.load32_splat(a, 64);
      c20 = madd(a2, b0, c20);
      c21 = madd(a2, b1, c21);
      const a3 = v128.load32_splat(a, 96);
      c30 = madd(a3, b0, c30);
      c31 = madd(a3, b1, c31);
    }
  }
  plus(c, c00, c01);
  plus((c += cRow), c10, c11);
  plus((c += cRow), c20, c21);
  plus(c + cRow, c30, c31);
}

// Adds what the tile gives to the gradients of queries, keys, values and bias. t: Tile, total finite also for a query that sees nothing.
export function f32_attention_gradient(call: usize): void {
  const t = changetype<Tile>(call);
  for (let p = 0; p < t.panels; p++) {
    const s = t.scores + <usize>p * PANEL, g = t.gradients + <usize>p * PANEL, begin = boundOf(t, p, 0), end = boundOf(t, p, 1);
    store<i32>(t.bounds + (<usize>p << 3), begin);
    store<i32>(t.bounds + (<usize>p << 3), end, 4);
    const before = <usize>begin << 5, bytes = <usize>max(0, end - begin) << 5, after = before + bytes;
    if (bytes > 0) {
      scoresOf(t, p, s, t.slopes, begin, end);
      product(t.valueRows, t.upstream + <usize>p * (<usize>t.width << 5), t.width, g, begin, end);
      if (t.sigmoid) sigmoidGradient(s + before, g + before, bytes, t.shift);
      else softmaxGradient(s + before, g + before, bytes, t.total + (<usize>p << 5), t.delta + (<usize>p << 5));
      if (t.relativeGradient) byDistance(g + before, end - begin, t.relativeGradient + (<usize>p << 6) - (<usize>begin << 3));
      if (t.biasGradient) toBias(g + before, end - begin, t.biasGradient + <usize>(p << 3) * t.biasGradientBytes + (<usize>begin << 2), t.biasGradientBytes, t.rows - (p << 3));
      if (t.shiftGradient) {
        let sum: f64 = 0;
        for (let q = g + before; q < g + after; q += 4) sum += load<f32>(q);
        store<f64>(t.shiftGradient, load<f64>(t.shiftGradient) + sum);
      }
      if (t.cap > 0) for (let q = before; q < after; q += 16) v128.store(g + q, f32x4.mul(v128.load(g + q), v128.load(t.slopes + q)));
      accumulate(t.keyColumns, t.keyBytes, t.features, g, t.first, begin, end, t.queryGradient + <usize>p * t.queryBytes);
    }
    // The sums over queries below run over whole panels.
    memory.fill(s, 0, before);
    memory.fill(g, 0, before);
    memory.fill(s + after, 0, PANEL - after);
    memory.fill(g + after, 0, PANEL - after);
  }
  const step = (<usize>t.panels << 8) + 128;
  for (let j = 0; j < t.count; j += <i32>HEIGHT) {
    let first = t.panels, last = -1;
    for (let p = 0; p < t.panels; p++) {
      const bounds = t.bounds + (<usize>p << 3);
      if (load<i32>(bounds) >= j + <i32>HEIGHT || load<i32>(bounds, 4) <= j) continue;
      first = min(first, p);
      last = p;
    }
    if (last < 0) continue;
    const at = <usize>first * PANEL + (<usize>j << 5), from = <usize>first << 8, n = last - first + 1;
    outer(t.scores + at, n, t.upstreamColumns + from, step, t.width, t.valueGradient + (<usize>j * t.valueStride << 2), t.valueStride << 2);
    outer(t.gradients + at, n, t.queryColumns + from, step, t.features, t.keyGradient + (<usize>j * t.keyStride << 2), t.keyStride << 2);
  }
}
