import { tanh } from "./lib/elementary";
import { EXP, halfExpBounded } from "./lib/exp";
import { log64 } from "./lib/log";
import { sigmoidOf } from "./lib/sigmoidOf";
import { high, highPairs, low, lowPairs, tile4 } from "./lib/tile";
import { madd } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Attention of one position over a cache in pages, for all heads at once. A page of P tokens (a multiple of 64) holds a block for each key head, one behind the other: keys, values and, in int8, scales.
//   float32, float16: keys [P / 8][D][8], by features, 8 tokens side by side; values [E / 8][P][8], by tokens, 8 columns side by side. float16 has the elements of 8 in the order 0, 4, 1, 5, 2, 6, 3, 7.
//   int8: keys [P / 8][D / 2][8][2], two features of a token side by side; values [E / 8][P / 2][8][2], two tokens of a column; then f32[P] scales of the keys and f32[P] of the values.
// D / 2 and E / 8 are rounded up; what stands beyond is 0. So both products are those of 4 queries with 8 tokens or columns, every byte is read in the order in which it lies, and nothing is summed across lanes.
// packages/core-wasm/src/cacheFormat.ts writes it.

// Tokens that are taken at a time.
const STEP: i32 = 64;
// Bytes of the scores of 4 queries: f32[4, 64]; and of a line of them.
const SCORES: usize = 1024, LINE: usize = 256;

const FLOAT16: i32 = 1, INT8: i32 = 2;

// 2^112; the bits of a float16 behind its exponent, in a float32; 1.5 * 2^23; 32767; the smallest weight that is told from 0; the low half.
const NUMBERS: usize = memory.data<u32>([0x77800000, 0x8fffe000, 0x4b400000, 0x46fffe00, 0x0da24260, 0xffff]);
const ONES: usize = memory.data<f32>([1, 1, 1, 1, 1, 1, 1, 1]);

// What a call works on: addresses, and sizes in elements unless they are named bytes. packages/core-wasm/src/attentionDecode.ts writes it.
@unmanaged
class Step {
  // 0: float32, 1: float16, 2: int8.
  format: i32;
  groups: i32;
  // Queries of a key head, rounded up to a multiple of 4.
  rows: i32;
  features: i32;
  // E, rounded up to a multiple of 8.
  width: i32;
  pageSize: i32;
  // Bytes of a block, and of the keys in it.
  block: usize;
  keyBytes: usize;
  // Queries, scaled: f32[groups, rows / 4, features, 4]; in int8 i16[groups, rows / 4, features / 2, 4, 2], and what a unit of them is, f32[groups, rows].
  queries: usize;
  units: usize;
  // max: f32[groups, rows], half: f64[groups, rows], out: f32[groups, rows, width], as in attention.ts; shifts: f32[groups, rows].
  max: usize;
  half: usize;
  out: usize;
  shifts: usize;
  sigmoid: i32;
  cap: f32;
  // The bias of row 0 of group 0 and the token 0 of the page: that of token j lies j elements before, that of the next row relativeRow further. 0: none.
  relative: usize;
  relativeRow: i32;
  // f32[rows, 64]; f32[64, 4]; room for a panel, 32 max(D, 64) bytes.
  scores: usize;
  weights: usize;
  panel: usize;
}

// Reads the beginning of each 4 KiB ahead of its use, so that the processor goes on reading there: it follows a stream of addresses only within such a piece.
function ahead(x: usize, bytes: usize): u64 {
  let read: u64 = 0;
  if (x) for (const end = x + bytes; x < end; x += 4096) read ^= load<u64>(x) ^ load<u64>(x, 64) ^ load<u64>(x, 128) ^ load<u64>(x, 192);
  return read;
}

// y = x, 8 elements at a time.      x: f16, y: f32
function widen(x: usize, bytes: usize, y: usize): void {
  const scale = v128.load32_splat(NUMBERS), bits = v128.load32_splat(NUMBERS, 4);
  for (const end = x + bytes; x < end; x += 16, y += 32) {
    const v = v128.load(x);
    v128.store(y, f32x4.mul(v128.and(i32x4.shr_s(i32x4.shl(v, 16), 3), bits), scale));
    v128.store(y, f32x4.mul(v128.and(i32x4.shr_s(v, 3), bits), scale), 16);
  }
}

// @ts-ignore: decorator
@inline
function putInteger(c: usize, offset: usize, sum: v128, by: v128, add: i32): void {
  const v = f32x4.mul(f32x4.convert_i32x4_s(sum), by);
  v128.store(c + offset, add ? f32x4.add(v128.load(c + offset), v) : v);
}

// c[4, 8] (add: +)= a b, each row times its unit and each column times its scale.      a: i16[n, 4, 2], b: i8[n, 8, 2], units: f32[4], scales: f32[8], cRow bytes between rows
function integers(a: usize, b: usize, n: i32, units: usize, scales: usize, c: usize, cRow: usize, add: i32): void {
  let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  for (const end = b + (<usize>n << 4); b < end; b += 16) {
    const x = v128.load8x8_s(b), y = v128.load8x8_s(b, 8);
    const a0 = v128.load32_splat(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x, a0));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(y, a0));
    const a1 = v128.load32_splat(a, 4);
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x, a1));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(y, a1));
    const a2 = v128.load32_splat(a, 8);
    c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x, a2));
    c21 = i32x4.add(c21, i32x4.dot_i16x8_s(y, a2));
    const a3 = v128.load32_splat(a, 12);
    c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x, a3));
    c31 = i32x4.add(c31, i32x4.dot_i16x8_s(y, a3));
    a += 16;
  }
  const s = v128.load(scales), t = v128.load(scales, 16);
  let u = v128.load32_splat(units);
  putInteger(c, 0, c00, f32x4.mul(u, s), add);
  putInteger(c, 16, c01, f32x4.mul(u, t), add);
  c += cRow;
  u = v128.load32_splat(units, 4);
  putInteger(c, 0, c10, f32x4.mul(u, s), add);
  putInteger(c, 16, c11, f32x4.mul(u, t), add);
  c += cRow;
  u = v128.load32_splat(units, 8);
  putInteger(c, 0, c20, f32x4.mul(u, s), add);
  putInteger(c, 16, c21, f32x4.mul(u, t), add);
  c += cRow;
  u = v128.load32_splat(units, 12);
  putInteger(c, 0, c30, f32x4.mul(u, s), add);
  putInteger(c, 16, c31, f32x4.mul(u, t), add);
}

// Scores of all rows of a key head for the tokens [begin, end) of a page, begin a multiple of 8: f32[rows / 4][4, 64].
function products(t: Step, keys: usize, g: i32, begin: i32, end: i32): void {
  const features = <usize>t.features, panelBytes = t.format == 0 ? features << 5 : t.format == FLOAT16 ? features << 4 : ((features + 1) & ~1) << 3;
  const queryBytes = t.format == INT8 ? ((features + 1) & ~1) << 3 : features << 4, queries = t.queries + <usize>g * <usize>(t.rows >> 2) * queryBytes, units = t.units + <usize>(g * t.rows << 2);
  const scales = keys + t.block - (<usize>t.pageSize << 3);
  let s = t.scores;
  for (let j = begin; j < end; j += 8, s += 32) {
    let k = keys + <usize>(j >> 3) * panelBytes;
    if (t.format == FLOAT16) {
      widen(k, panelBytes, t.panel);
      k = t.panel;
    }
    for (let r = 0, q = queries, c = s; r < t.rows; r += 4, q += queryBytes, c += SCORES) {
      if (t.format == INT8) integers(q, k, (t.features + 1) >> 1, units + <usize>(r << 2), scales + <usize>(j << 2), c, LINE, 0);
      else tile4(q, k, t.features, c, LINE, 0);
    }
  }
}

function soften(s: usize, bytes: usize, cap: f32): void {
  const c = f32x4.splat(cap), by = f32x4.splat(1 / cap);
  for (const end = s + bytes; s < end; s += 16) v128.store(s, f32x4.mul(c, tanh(f32x4.mul(v128.load(s), by))));
}

// @ts-ignore: decorator
@inline
function rescale(half: usize, sum: v128, factor: v128): void {
  v128.store(half, f64x2.add(f64x2.mul(v128.load(half), f64x2.promote_low_f32x4(factor)), f64x2.promote_low_f32x4(sum)));
  const f = v128.shuffle<f32>(factor, factor, 2, 3, 0, 1), s = v128.shuffle<f32>(sum, sum, 2, 3, 0, 1);
  v128.store(half, f64x2.add(f64x2.mul(v128.load(half, 16), f64x2.promote_low_f32x4(f)), f64x2.promote_low_f32x4(s)), 16);
}

function scaleRow(x: usize, bytes: usize, by: f32): void {
  const f = f32x4.splat(by);
  for (const stop = x + bytes; x < stop; x += 16) v128.store(x, f32x4.mul(v128.load(x), f));
}

// p = exp(s - max) / 2 with the maximum so far; half and out come relative to it.      s: f32[4, 64] of which `bytes` a line, p: f32[tokens, 4], out: f32[4, outBytes / 4]
function softmaxFour(s: usize, bytes: usize, p: usize, top: usize, half: usize, out: usize, outBytes: usize): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const old = v128.load(top), end = s + bytes;
  // pmax(m, v) keeps m where v is NaN: NaN comes back through the sum.
  let a = f32x4.splat(-f32.MAX_VALUE), b = a, c = a, d = a;
  for (let q = s; q < end; q += 16) {
    a = f32x4.pmax(a, v128.load(q));
    b = f32x4.pmax(b, v128.load(q, LINE));
    c = f32x4.pmax(c, v128.load(q, 2 * LINE));
    d = f32x4.pmax(d, v128.load(q, 3 * LINE));
  }
  const ab = low(a, b), cd = low(c, d), AB = high(a, b), CD = high(c, d);
  const m = f32x4.pmax(old, f32x4.pmax(f32x4.pmax(lowPairs(ab, cd), highPairs(ab, cd)), f32x4.pmax(lowPairs(AB, CD), highPairs(AB, CD))));
  v128.store(top, m);
  let sum = f32x4.splat(0);
  for (; s < end; s += 16, p += 64) {
    const a = v128.load(s), b = v128.load(s, LINE), c = v128.load(s, 2 * LINE), d = v128.load(s, 3 * LINE);
    const ab = low(a, b), cd = low(c, d), AB = high(a, b), CD = high(c, d);
    const e0 = halfExpBounded(f32x4.pmin(f32x4.sub(m, lowPairs(ab, cd)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    const e1 = halfExpBounded(f32x4.pmin(f32x4.sub(m, highPairs(ab, cd)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    v128.store(p, e0);
    v128.store(p, e1, 16);
    const e2 = halfExpBounded(f32x4.pmin(f32x4.sub(m, lowPairs(AB, CD)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    const e3 = halfExpBounded(f32x4.pmin(f32x4.sub(m, highPairs(AB, CD)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    v128.store(p, e2, 32);
    v128.store(p, e3, 48);
    sum = f32x4.add(sum, f32x4.add(f32x4.add(e0, e1), f32x4.add(e2, e3)));
  }
  const h = halfExpBounded(f32x4.pmin(f32x4.sub(m, old), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf), f = f32x4.add(h, h);
  rescale(half, sum, f);
  if (!v128.any_true(f32x4.gt(m, old))) return;
  scaleRow(out, outBytes, f32x4.extract_lane(f, 0));
  scaleRow(out + outBytes, outBytes, f32x4.extract_lane(f, 1));
  scaleRow(out + (outBytes << 1), outBytes, f32x4.extract_lane(f, 2));
  scaleRow(out + 3 * outBytes, outBytes, f32x4.extract_lane(f, 3));
}

// p = sigmoid(s + shift).
function sigmoidFour(s: usize, bytes: usize, p: usize, shift: v128): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), highest = v128.load32_splat(EXP, 32);
  for (const end = s + bytes; s < end; s += 16, p += 64) {
    const a = v128.load(s), b = v128.load(s, LINE), c = v128.load(s, 2 * LINE), d = v128.load(s, 3 * LINE);
    const ab = low(a, b), cd = low(c, d), AB = high(a, b), CD = high(c, d);
    v128.store(p, sigmoidOf(f32x4.add(lowPairs(ab, cd), shift), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest));
    v128.store(p, sigmoidOf(f32x4.add(highPairs(ab, cd), shift), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest), 16);
    v128.store(p, sigmoidOf(f32x4.add(lowPairs(AB, CD), shift), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest), 32);
    v128.store(p, sigmoidOf(f32x4.add(highPairs(AB, CD), shift), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest), 48);
  }
}

// Weights times the scales of their tokens, as integers of up to 32767 for the largest; two tokens side by side, in place: i16[n / 2, 4, 2]. units: f32[4], what 1 stands for.      p: f32[n, 4], n even
function toIntegers(p: usize, n: i32, scales: usize, units: usize): void {
  const most = v128.load32_splat(NUMBERS, 12), magic = v128.load32_splat(NUMBERS, 8), lowHalf = v128.load32_splat(NUMBERS, 20);
  let top = v128.load32_splat(NUMBERS, 16), sum = f32x4.splat(0);
  const end = p + (<usize>n << 4);
  for (let q = p; q < end; q += 16, scales += 4) {
    const v = f32x4.mul(v128.load(q), v128.load32_splat(scales));
    v128.store(q, v);
    top = f32x4.pmax(top, v);
    sum = f32x4.add(sum, v);
  }
  const by = f32x4.div(most, top);
  // NaN of a weight, which no integer holds.
  v128.store(units, f32x4.add(f32x4.div(top, most), f32x4.mul(sum, f32x4.splat(0))));
  for (let q = p; q < end; q += 32, p += 16) v128.store(p, v128.or(i32x4.shl(madd(v128.load(q, 16), by, magic), 16), v128.and(madd(v128.load(q), by, magic), lowHalf)));
}

// out[4, width] += p v for the tokens [begin, end) of a page.      p: f32[tokens, 4], or i16[tokens / 2, 4, 2] with units
function spread(t: Step, values: usize, p: usize, units: usize, begin: i32, end: i32, out: usize): void {
  const each: usize = t.format == 0 ? 5 : t.format == FLOAT16 ? 4 : 3, panelBytes = <usize>t.pageSize << each, outBytes = <usize>t.width << 2;
  values += <usize>begin << each;
  for (let c = 0; c < t.width; c += 8, values += panelBytes, out += 32) {
    if (t.format == INT8) integers(p, values, (end - begin + 1) >> 1, units, ONES, out, outBytes, 1);
    else if (t.format == FLOAT16) {
      widen(values, <usize>(end - begin) << 4, t.panel);
      tile4(p, t.panel, end - begin, out, outBytes, 1);
    } else tile4(p, values, end - begin, out, outBytes, 1);
  }
}

// Takes the tokens [begin, end) of a page into the state of all queries. t: Step; next: the page that follows, 0 if none does.
export function f32_decode_page(call: usize, page: usize, begin: i32, end: i32, next: usize): void {
  const t = changetype<Step>(call), outBytes = <usize>t.width << 2;
  let read: u64 = 0;
  for (let g = 0; g < t.groups; g++, page += t.block) {
    const following = g + 1 < t.groups ? page + t.block : next;
    for (let from = begin; from < end; ) {
      const first = from & ~7, to = min(end, (from & ~(STEP - 1)) + STEP), whole = (to - first + 7) & ~7;
      if (from == begin) read ^= ahead(following, t.keyBytes);
      products(t, page, g, first, to);
      if (from == begin && following) read ^= ahead(following + t.keyBytes, t.block - t.keyBytes);
      for (let r = 0; r < t.rows; r += 4) {
        const s = t.scores + <usize>(r >> 2) * SCORES, row = <usize>(g * t.rows + r), out = t.out + row * outBytes;
        if (t.cap > 0) soften(s, SCORES, t.cap);
        for (let i: usize = 0; i < 4; i++) {
          const line = s + i * LINE;
          if (t.relative) {
            let b = t.relative + (((row + i) * <usize>t.relativeRow) << 2) - (<usize>from << 2);
            for (let c = line + (<usize>(from - first) << 2), stop = line + (<usize>(to - first) << 2); c < stop; c += 4, b -= 4) store<f32>(c, load<f32>(c) + load<f32>(b));
          }
          for (let j = 0; j < from - first; j++) store<f32>(line + (<usize>j << 2), -Infinity);
          for (let j = to - first; j < whole; j++) store<f32>(line + (<usize>j << 2), -Infinity);
        }
        if (t.sigmoid) sigmoidFour(s, <usize>whole << 2, t.weights, v128.load(t.shifts + (row << 2)));
        else softmaxFour(s, <usize>whole << 2, t.weights, t.max + (row << 2), t.half + (row << 3), out, outBytes);
        let start = from, p = t.weights + (<usize>(from - first) << 4);
        if (t.format == INT8) {
          // Whole pairs of tokens: those beyond have the weight 0.
          start = first;
          p = t.weights;
          toIntegers(p, whole, page + t.block - (<usize>t.pageSize << 2) + (<usize>first << 2), t.panel);
        }
        spread(t, page + t.keyBytes, p, t.panel, start, to, out);
      }
      from = to;
    }
  }
  store<u64>(t.scores, read);
}

// by[i] = 1 / half[i] (0 where half is 0), total[i] = max[i] + log(2 half[i]), for i < rows.      max, by, total: f32[rows], half: f64[rows]
export function f32_decode_finish(top: usize, half: usize, rows: i32, by: usize, total: usize): void {
  for (; rows > 0; rows--, top += 4, half += 8, by += 4, total += 4) {
    const h = load<f64>(half);
    store<f32>(by, h == 0 ? 0 : <f32>(1 / h));
    store<f32>(total, h == 0 ? <f32>-Infinity : <f32>(load<f32>(top) + log64(2 * h)));
  }
}
