import { tanh } from "./lib/elementary";
import { EXP, halfExpBounded } from "./lib/exp";
import { log64 } from "./lib/log";
import { sigmoidOf } from "./lib/sigmoidOf";
import { high, highPairs, low, lowPairs, put, rows4, tile4 } from "./lib/tile";
import { madd } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Attention of the last positions over a cache in pages, for all heads at once. A page of P tokens (a multiple of 64) holds a block for each key head, one behind the other: in int8 scales, then keys, then values.
//   float32, float16: keys [P / 8][D][8], by features, 8 tokens side by side; values [E / 8][P][8], by tokens, 8 columns side by side. float16 has the elements of 8 in the order 0, 4, 1, 5, 2, 6, 3, 7.
//   int8: keys [P / 4][D / 4][4][4], 4 tokens of which 4 features lie side by side; values [E / 4][P / 4][4][4], 4 columns of which 4 tokens lie side by side in the order 0, 2, 1, 3; before both f32[P] scales of
//   the keys, i32[P], the sums of their integers, and f32[P] scales of the values.
// D / 4 and E / 8 or E / 4 are rounded up; what stands beyond is 0. So both products are those of 4 queries with 8 tokens or columns, every byte is read in the order in which it lies, and nothing is summed across lanes.
// packages/core-wasm/src/cacheFormat.ts writes it.

// Tokens that are taken at a time.
const STEP: i32 = 64;
// Bytes of the scores of 4 queries: f32[4, 64]; and of a line of them.
const SCORES: usize = 1024, LINE: usize = 256;

const FLOAT16: i32 = 1, INT8: i32 = 2;

// 2^112; the sign, exponent and mantissa of a float16 in a float32; 1.5 * 2^23; 16383; the smallest weight that is told from 0; the low half; the low seven bits of each half; 2^48; 2^64.
const NUMBERS: usize = memory.data<u32>([0x77800000, 0x8fffe000, 0x4b400000, 0x467ffc00, 0x0da24260, 0xffff, 0x7f007f, 0x57800000, 0x5f800000]);
const ONES: usize = memory.data<f32>([1, 1, 1, 1, 1, 1, 1, 1]), ZEROS: usize = memory.data<i32>([0, 0, 0, 0, 0, 0, 0, 0]);
// Columns that `integers` takes.
const COLUMNS: i32 = ASC_FEATURE_RELAXED_SIMD ? 8 : 4;

// What a call works on: addresses, and sizes in elements unless they are named bytes. packages/core-wasm/src/attentionDecode.ts writes it.
@unmanaged
class Step {
  // 0: float32, 1: float16, 2: int8.
  format: i32;
  groups: i32;
  // Queries of a key head, rounded up to a multiple of 4; 1 where it is one.
  rows: i32;
  lone: i32;
  features: i32;
  // E, rounded up to a multiple of 8.
  width: i32;
  pageSize: i32;
  // Bytes of a block, and where keys and values begin in it.
  block: usize;
  keysAt: usize;
  valuesAt: usize;
  // Queries, scaled: f32[groups, rows / 4, features, 4], in float16 times 2^64; in int8 integers as `integers` takes them, [groups, rows / 4, features / 4], and what 1 stands for, f32[groups, rows].
  queries: usize;
  units: usize;
  // max: f32[groups, rows], half: f64[groups, rows], out: f32[groups, rows, width], as in attention.ts; shifts: f32[groups, rows].
  max: usize;
  half: usize;
  out: usize;
  shifts: usize;
  sigmoid: i32;
  cap: f32;
  // The page's first token; the tokens [from, to) that a row sees: i32[rows, 2]; the address of its bias of the sequence's first token, i32[groups, rows]: that of token j lies j elements before. 0: none.
  first: i32;
  seen: usize;
  relative: usize;
  // f32[rows, 64]; f32[64, 4]; f32[4].
  scores: usize;
  weights: usize;
  weightUnits: usize;
}

// Reads the beginning of a block, and of each 4 KiB of it, ahead of its use, so that the processor goes on reading there: it follows a stream of addresses only within such a piece.
function ahead(x: usize, end: usize): u64 {
  let read: u64 = 0;
  for (; x < end; x = (x + 4096) & ~4095) read ^= load<u64>(x) ^ load<u64>(x, 64) ^ load<u64>(x, 128) ^ load<u64>(x, 192);
  return read;
}

// tile4 with panels of float16.      a: f32[k, 4], b: f16[k, 8], c: f32[4, 8]
function halves4(a: usize, b: usize, k: i32, c: usize, cRow: usize, add: i32): void {
  rows4(a, b, k, c, cRow, add, true, v128.load32_splat(NUMBERS, 4));
}

// Row 0 of tile4 for 4 panels, `step` bytes apart: 32 columns are what one query needs to keep the multipliers busy.
function lone(a: usize, b: usize, step: usize, k: i32, c: usize, add: i32): void {
  const second = step, third = step << 1, fourth = third + step;
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0;
  for (const end = b + (<usize>k << 5); b < end; b += 32) {
    const x = v128.load32_splat(a);
    c0 = madd(x, v128.load(b), c0);
    c1 = madd(x, v128.load(b, 16), c1);
    c2 = madd(x, v128.load(b + second), c2);
    c3 = madd(x, v128.load(b + second, 16), c3);
    c4 = madd(x, v128.load(b + third), c4);
    c5 = madd(x, v128.load(b + third, 16), c5);
    c6 = madd(x, v128.load(b + fourth), c6);
    c7 = madd(x, v128.load(b + fourth, 16), c7);
    a += 16;
  }
  put(c, c0, 0, add);
  put(c, c1, 16, add);
  put(c, c2, 32, add);
  put(c, c3, 48, add);
  put(c, c4, 64, add);
  put(c, c5, 80, add);
  put(c, c6, 96, add);
  put(c, c7, 112, add);
}

// @ts-ignore: decorator
@inline
function putInteger(c: usize, sum: v128, by: v128, add: i32): void {
  const v = f32x4.mul(f32x4.convert_i32x4_s(sum), by);
  v128.store(c, add ? f32x4.add(v128.load(c), v) : v);
}

// @ts-ignore: decorator
@inline
function dot7(a: v128, b: v128, c: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c);
}

// The sums of neighbouring lanes.
// @ts-ignore: decorator
@inline
function neighbours(a: v128, b: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7));
}

// c[4, COLUMNS] (add: +)= (a b - minus) units scales, sums of integers: exact.      b: i8[n, 4, 4] for each four columns, `step` bytes apart; units: f32[4] of the rows, scales: f32 and minus: i32 of the columns,
// cRow bytes between rows. a: integers of 14 bits, without a sign where relaxed: u8[n, 4, 2, 4], the upper 7 bits of four and their lower 7 bits; else i16[n, 4, 4].
function integers(a: usize, b: usize, step: usize, n: i32, units: usize, scales: usize, minus: usize, c: usize, cRow: usize, add: i32): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    twoRows(a, b, step, n, units, scales, minus, c, cRow, add);
    twoRows(a + 16, b, step, n, units + 8, scales, minus, c + (cRow << 1), cRow, add);
  } else fourRows(a, b, n, units, scales, c, cRow, add);
}

// The relaxed product takes 8 by 7 bits: then every engine gives the same. Two rows of eight columns are 8 sums for 6 loads.
function twoRows(a: usize, b: usize, step: usize, n: i32, units: usize, scales: usize, minus: usize, c: usize, cRow: usize, add: i32): void {
  let p0 = i32x4.splat(0), q0 = p0, p1 = p0, q1 = p0, p2 = p0, q2 = p0, p3 = p0, q3 = p0;
  for (const end = b + (<usize>n << 4); b < end; b += 16) {
    const x = v128.load(b), y = v128.load(b + step);
    const h0 = v128.load32_splat(a);
    p0 = dot7(x, h0, p0);
    p1 = dot7(y, h0, p1);
    const l0 = v128.load32_splat(a, 4);
    q0 = dot7(x, l0, q0);
    q1 = dot7(y, l0, q1);
    const h1 = v128.load32_splat(a, 8);
    p2 = dot7(x, h1, p2);
    p3 = dot7(y, h1, p3);
    const l1 = v128.load32_splat(a, 12);
    q2 = dot7(x, l1, q2);
    q3 = dot7(y, l1, q3);
    a += 32;
  }
  // 8192 sum of b: the queries come with 8192 added.
  const m = i32x4.shl(v128.load(minus), 13), o = i32x4.shl(v128.load(minus, 16), 13), s = v128.load(scales), t = v128.load(scales, 16), u = v128.load32_splat(units), v = v128.load32_splat(units, 4);
  putInteger(c, i32x4.sub(i32x4.add(q0, i32x4.shl(p0, 7)), m), f32x4.mul(u, s), add);
  putInteger(c + 16, i32x4.sub(i32x4.add(q1, i32x4.shl(p1, 7)), o), f32x4.mul(u, t), add);
  c += cRow;
  putInteger(c, i32x4.sub(i32x4.add(q2, i32x4.shl(p2, 7)), m), f32x4.mul(v, s), add);
  putInteger(c + 16, i32x4.sub(i32x4.add(q3, i32x4.shl(p3, 7)), o), f32x4.mul(v, t), add);
}

function fourRows(a: usize, b: usize, n: i32, units: usize, scales: usize, c: usize, cRow: usize, add: i32): void {
  let p0 = i32x4.splat(0), q0 = p0, p1 = p0, q1 = p0, p2 = p0, q2 = p0, p3 = p0, q3 = p0;
  for (const end = b + (<usize>n << 4); b < end; b += 16) {
    const x = v128.load8x8_s(b), y = v128.load8x8_s(b, 8);
    const a0 = v128.load64_splat(a);
    p0 = i32x4.add(p0, i32x4.dot_i16x8_s(x, a0));
    q0 = i32x4.add(q0, i32x4.dot_i16x8_s(y, a0));
    const a1 = v128.load64_splat(a, 8);
    p1 = i32x4.add(p1, i32x4.dot_i16x8_s(x, a1));
    q1 = i32x4.add(q1, i32x4.dot_i16x8_s(y, a1));
    const a2 = v128.load64_splat(a, 16);
    p2 = i32x4.add(p2, i32x4.dot_i16x8_s(x, a2));
    q2 = i32x4.add(q2, i32x4.dot_i16x8_s(y, a2));
    const a3 = v128.load64_splat(a, 24);
    p3 = i32x4.add(p3, i32x4.dot_i16x8_s(x, a3));
    q3 = i32x4.add(q3, i32x4.dot_i16x8_s(y, a3));
    a += 32;
  }
  const s = v128.load(scales);
  putInteger(c, neighbours(p0, q0), f32x4.mul(v128.load32_splat(units), s), add);
  putInteger((c += cRow), neighbours(p1, q1), f32x4.mul(v128.load32_splat(units, 4), s), add);
  putInteger((c += cRow), neighbours(p2, q2), f32x4.mul(v128.load32_splat(units, 8), s), add);
  putInteger(c + cRow, neighbours(p3, q3), f32x4.mul(v128.load32_splat(units, 12), s), add);
}

// Scores of all rows of a key head for the tokens [begin, end) of a page, begin a multiple of 8: f32[rows / 4][4, 64].
function products(t: Step, block: usize, g: i32, begin: i32, end: i32): void {
  const features = <usize>t.features, deep = (features + 3) >> 2, bytes = t.format == INT8, queryBytes = bytes ? deep << 5 : features << 4, panelBytes = t.format == 0 ? features << 5 : features << 4;
  const queries = t.queries + <usize>g * <usize>(t.rows >> 2) * queryBytes, units = t.units + <usize>(g * t.rows << 2), keys = block + t.keysAt;
  let s = t.scores;
  if (bytes) {
    for (let j = begin; j < end; j += COLUMNS, s += COLUMNS << 2) {
      const k = keys + <usize>(j >> 2) * (deep << 4), scale = block + (<usize>j << 2);
      for (let r = 0, q = queries, c = s; r < t.rows; r += 4, q += queryBytes, c += SCORES) integers(q, k, deep << 4, <i32>deep, units + <usize>(r << 2), scale, scale + (<usize>t.pageSize << 2), c, LINE, 0);
    }
    return;
  }
  if (t.lone && t.format == 0) {
    for (; begin + 32 <= ((end + 7) & ~7); begin += 32, s += 128) lone(queries, keys + <usize>(begin >> 3) * panelBytes, panelBytes, t.features, s, 0);
  }
  for (let j = begin; j < end; j += 8, s += 32) {
    const k = keys + <usize>(j >> 3) * panelBytes;
    for (let r = 0, q = queries, c = s; r < t.rows; r += 4, q += queryBytes, c += SCORES) {
      if (t.format == FLOAT16) halves4(q, k, t.features, c, LINE, 0);
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

// Scores of 4 queries, by token; their maximum, or `top` where that is larger.      s: f32[4, 64] of which `bytes` a line, p: f32[tokens, 4]
function byToken(s: usize, bytes: usize, p: usize, top: v128): v128 {
  // pmax(m, v) keeps m where v is NaN: NaN comes back through the sum.
  let m = top, n = top;
  for (const end = s + bytes; s < end; s += 16, p += 64) {
    const a = v128.load(s), b = v128.load(s, LINE), c = v128.load(s, 2 * LINE), d = v128.load(s, 3 * LINE);
    const ab = low(a, b), cd = low(c, d), AB = high(a, b), CD = high(c, d);
    const t0 = lowPairs(ab, cd), t1 = highPairs(ab, cd), t2 = lowPairs(AB, CD), t3 = highPairs(AB, CD);
    v128.store(p, t0);
    v128.store(p, t1, 16);
    v128.store(p, t2, 32);
    v128.store(p, t3, 48);
    m = f32x4.pmax(f32x4.pmax(m, t0), t1);
    n = f32x4.pmax(f32x4.pmax(n, t2), t3);
  }
  return f32x4.pmax(m, n);
}

// p = exp(p - max) / 2 with the maximum so far, m; half and out come relative to it.      p: f32[tokens, 4], out: f32[4, outBytes / 4]
function softmaxFour(p: usize, bytes: usize, m: v128, top: usize, half: usize, out: usize, outBytes: usize): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), oneHalf = v128.load32_splat(EXP, 28), highest = v128.load32_splat(EXP, 32);
  const old = v128.load(top);
  v128.store(top, m);
  let sum = f32x4.splat(0);
  for (const end = p + bytes; p < end; p += 16) {
    const e = halfExpBounded(f32x4.pmin(f32x4.sub(m, v128.load(p)), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf);
    v128.store(p, e);
    sum = f32x4.add(sum, e);
  }
  const h = halfExpBounded(f32x4.pmin(f32x4.sub(m, old), highest), log2e, magic, ln2hi, ln2lo, w2, w1, two, oneHalf), f = f32x4.add(h, h);
  rescale(half, sum, f);
  if (!v128.any_true(f32x4.gt(m, old))) return;
  scaleRow(out, outBytes, f32x4.extract_lane(f, 0));
  scaleRow(out + outBytes, outBytes, f32x4.extract_lane(f, 1));
  scaleRow(out + (outBytes << 1), outBytes, f32x4.extract_lane(f, 2));
  scaleRow(out + 3 * outBytes, outBytes, f32x4.extract_lane(f, 3));
}

// p = sigmoid(p + shift).
function sigmoidFour(p: usize, bytes: usize, shift: v128): void {
  const log2e = v128.load32_splat(EXP), magic = v128.load32_splat(EXP, 4), ln2hi = v128.load32_splat(EXP, 8), ln2lo = v128.load32_splat(EXP, 12);
  const w2 = v128.load32_splat(EXP, 16), w1 = v128.load32_splat(EXP, 20), two = v128.load32_splat(EXP, 24), highest = v128.load32_splat(EXP, 32);
  for (const end = p + bytes; p < end; p += 16) v128.store(p, sigmoidOf(f32x4.add(v128.load(p), shift), log2e, magic, ln2hi, ln2lo, w2, w1, two, highest));
}

// Weights times the scales of their tokens, as integers of up to 16383 for the largest, in place and as `integers` takes them. units: f32[4], what 1 stands for.      p: f32[n, 4], n a multiple of 4
function toIntegers(p: usize, n: i32, scales: usize, units: usize): void {
  const most = v128.load32_splat(NUMBERS, 12), magic = v128.load32_splat(NUMBERS, 8), lowHalf = v128.load32_splat(NUMBERS, 20), seven = v128.load32_splat(NUMBERS, 24);
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
  for (let q = p; q < end; q += 64, p += 32) {
    // Tokens 0 and 1, 2 and 3 where bytes are paired below; else 0 and 2, 1 and 3.
    const second: usize = ASC_FEATURE_RELAXED_SIMD ? 16 : 32, third: usize = 48 - second;
    const u = v128.or(i32x4.shl(madd(v128.load(q + second), by, magic), 16), v128.and(madd(v128.load(q), by, magic), lowHalf));
    const v = v128.or(i32x4.shl(madd(v128.load(q, 48), by, magic), 16), v128.and(madd(v128.load(q + third), by, magic), lowHalf));
    const a = ASC_FEATURE_RELAXED_SIMD ? v128.or(v128.and(i32x4.shr_u(u, 7), seven), i32x4.shl(v128.and(i32x4.shr_u(v, 7), seven), 8)) : u;
    const b = ASC_FEATURE_RELAXED_SIMD ? v128.or(v128.and(u, seven), i32x4.shl(v128.and(v, seven), 8)) : v;
    v128.store(p, low(a, b));
    v128.store(p, high(a, b), 16);
  }
}

// out[4, width] += p v for the tokens [begin, end) of a page; in int8 begin is a multiple of 4.      p: f32[tokens, 4], or integers of tokens with units
function spread(t: Step, values: usize, p: usize, units: usize, begin: i32, end: i32, out: usize): void {
  const outBytes = <usize>t.width << 2;
  if (t.format == INT8) {
    values += <usize>begin << 2;
    const step = <usize>t.pageSize << 2;
    for (let c = 0; c < t.width; c += COLUMNS, values += step * (COLUMNS >> 2), out += COLUMNS << 2) integers(p, values, step, (end - begin + 3) >> 2, units, ONES, ZEROS, out, outBytes, 1);
    return;
  }
  const each: usize = t.format == 0 ? 5 : 4;
  values += <usize>begin << each;
  let c = 0;
  if (t.lone && t.format == 0) {
    const step = <usize>t.pageSize << 5;
    for (; c + 32 <= t.width; c += 32, values += step << 2, out += 128) lone(p, values, step, end - begin, out, 1);
  }
  for (; c < t.width; c += 8, values += <usize>t.pageSize << each, out += 32) {
    if (t.format == FLOAT16) halves4(p, values, end - begin, out, outBytes, 1);
    else tile4(p, values, end - begin, out, outBytes, 1);
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
      if (from == begin && following) read ^= ahead(following, following + t.valuesAt);
      products(t, page, g, first, to);
      if (from == begin && following) read ^= ahead(following + t.valuesAt, following + t.block);
      for (let r = 0; r < t.rows; r += 4) {
        const s = t.scores + <usize>(r >> 2) * SCORES, row = <usize>(g * t.rows + r), out = t.out + row * outBytes;
        if (t.format == FLOAT16) scaleRow(s, SCORES, load<f32>(NUMBERS, 28));
        if (t.cap > 0) soften(s, SCORES, t.cap);
        for (let i: usize = 0; i < 4; i++) {
          const line = s + i * LINE, seen = t.seen + ((<usize>r + i) << 3), begins = min(max(load<i32>(seen) - t.first, first), first + whole), ends = min(max(load<i32>(seen, 4) - t.first, first), first + whole);
          if (t.relative) {
            let b = load<usize>(t.relative + ((row + i) << 2)) - (<usize>(t.first + begins) << 2);
            for (let j = begins; j < ends; j++, b -= 4) {
              const c = line + (<usize>(j - first) << 2);
              store<f32>(c, load<f32>(c) + load<f32>(b));
            }
          }
          for (let j = first; j < begins; j++) store<f32>(line + (<usize>(j - first) << 2), -Infinity);
          for (let j = ends; j < first + whole; j++) store<f32>(line + (<usize>(j - first) << 2), -Infinity);
        }
        const top = t.max + (row << 2), bytes = <usize>whole << 4, m = byToken(s, <usize>whole << 2, t.weights, v128.load(top));
        if (t.sigmoid) sigmoidFour(t.weights, bytes, v128.load(t.shifts + (row << 2)));
        else softmaxFour(t.weights, bytes, m, top, t.half + (row << 3), out, outBytes);
        if (t.format == FLOAT16) scaleRow(t.weights, bytes, load<f32>(NUMBERS));
        let start = from, p = t.weights + (<usize>(from - first) << 4);
        if (t.format == INT8) {
          // Tokens by four: those that take no part have the weight 0.
          start = first;
          p = t.weights;
          toIntegers(p, whole, page + (<usize>t.pageSize << 3) + (<usize>first << 2), t.weightUnits);
        }
        spread(t, page + t.valuesAt, p, t.weightUnits, start, to, out);
      }
      from = to;
    }
  }
  store<u64>(t.scores, read);
}

// Queries as Step has them; scale is taken in. In int8 integers of 14 bits: at most `most`, so that sums of products with 127 stay within 32 bits. NaN in a unit makes all its scores NaN.      x: f32[heads, features]
export function f32_decode_queries(call: usize, x: usize, scale: f32, share: i32, most: f32): void {
  const t = changetype<Step>(call), features = <usize>t.features, each = t.format == INT8 ? (features + 3) >> 2 << 5 : features << 4;
  for (let g = 0; g < t.groups; g++) {
    for (let r = 0; r < share; r++, x += features << 2) {
      const to = t.queries + <usize>(g * (t.rows >> 2) + (r >> 2)) * each;
      if (t.format == INT8) {
        let top: f32 = 0, sum: f32 = 0;
        for (let i: usize = 0; i < features; i++) {
          const v = load<f32>(x + (i << 2));
          top = max(top, abs(v));
          sum += v;
        }
        const by: f32 = top > 0 ? most / top : 0, held = abs(sum) < Infinity && by < Infinity;
        store<f32>(t.units + (<usize>(g * t.rows + r) << 2), held ? scale * (top / most) : NaN);
        if (held) quantize(x, features, by, to + (<usize>(r & 3) << 3));
      } else {
        // 2^64: with the 2^48 of the scores it makes up for the 2^-112 of float16.
        const by: f32 = t.format == FLOAT16 ? load<f32>(NUMBERS, 32) : 1;
        let p = to + (<usize>(r & 3) << 2);
        for (let i: usize = 0; i < features; i++, p += 16) store<f32>(p, load<f32>(x + (i << 2)) * scale * by);
      }
    }
  }
}

function quantize(x: usize, features: usize, by: f32, to: usize): void {
  for (let i: usize = 0; i < features; i++) {
    const v = <i32>nearest(load<f32>(x + (i << 2)) * by), at = to + ((i >> 2) << 5);
    if (ASC_FEATURE_RELAXED_SIMD) {
      store<u8>(at + (i & 3), (v + 8192) >> 7);
      store<u8>(at + (i & 3) + 4, v & 127);
    } else store<i16>(at + ((i & 3) << 1), v);
  }
}

// y[h, :] = out / half (0 where half is 0), total[h] = max + log(2 half); of a sigmoid y = out, total = NaN.      total: f32[heads], y: f32[heads, cols]
export function f32_decode_finish(call: usize, share: i32, cols: i32, total: usize, y: usize): void {
  const t = changetype<Step>(call);
  for (let g = 0; g < t.groups; g++) {
    for (let r = 0; r < share; r++, total += 4) {
      const row = <usize>(g * t.rows + r), h = load<f64>(t.half + (row << 3)), by: f32 = t.sigmoid ? 1 : h == 0 ? 0 : <f32>(1 / h);
      store<f32>(total, t.sigmoid ? NaN : h == 0 ? <f32>-Infinity : <f32>(load<f32>(t.max + (row << 2)) + log64(2 * h)));
      const out = t.out + row * (<usize>t.width << 2);
      for (let i: usize = 0, n = <usize>cols << 2; i < n; i += 4, y += 4) store<f32>(y, by * load<f32>(out + i));
    }
  }
}
