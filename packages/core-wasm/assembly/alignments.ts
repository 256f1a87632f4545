import { EXP } from "./lib/exp";
import { halfExponentials, rowMax } from "./lib/rowExponentials";
import { madd, maxLanes, sumLanes } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Connectionist temporal classification. A sequence of labels 1 ... S has the states b[i], i = 0 ... S (a blank behind label i) and l[i], i = 1 ... S (label i):
//   b'[i] = (b[i] + l[i]) y(blank),   l'[i] = (l[i] + b[i - 1] + skip[i] l[i - 1]) y(label i),   skip[i]: label i differs from label i - 1.
// Sums of weights in extended range: mantissa f32 in [1, 2) or 0, exponent i32; 0 has the exponent ZERO = -2^30. Nothing underflows, whatever the length.
// A row of states has four parts: l mantissas, l exponents, b mantissas, b exponents, each of 4 elements of padding and `width` elements; width is a multiple of 4, at least S + 2.
// Padding is 0, that of the b exponents ZERO; four elements of 0 follow a row. Elements beyond S hold what does not matter.
// labels: i32[width + 4], the column of label i at element i, 0 elsewhere; skips: i32[width + 4], -1 or 0.

// -log2 e, magic, ln 2 upper and lower part (as in lib/exp); e^r = sum r^n / n! to degree 6, |r| <= ln 2 / 2: within 1.3e-7.
const SPLIT: usize = memory.data<f32>([1.4426950408889634, 12582912, 0.693145751953125, 1.428606765330187e-6, 0.0013888889, 0.008333334, 0.041666668, 0.16666667, 0.5, 1]);
const LANES: usize = memory.data<i32>([-1073741824, 127, 0x7fffff, 0x3f800000, -127, -536870912]);

// Rows of scores [rows, cols], one behind the other with `stride` elements: out[r] = (max, sum of exp(x - max)), f64; e[r, c] = exp(x[r, c] - max) / 2, the same layout. x and e differ.
export function f32_ctc_frames(x: usize, e: usize, out: usize, rows: i32, cols: i32, stride: i32): void {
  for (const step = <usize>stride << 2; rows > 0; rows--, x += step, e += step, out += 16) {
    const top = rowMax(x, cols);
    store<f64>(out, <f64>top);
    store<f64>(out, 2 * halfExponentials(x, e, cols, top), 8);
  }
}

// Four scores of the labels at p.
// @ts-ignore: decorator
@inline
function gathered(x: usize, p: usize): v128 {
  let v = v128.load32_zero(x + (<usize>load<u32>(p) << 2));
  v = v128.load_lane<f32>(x + (<usize>load<u32>(p, 4) << 2), v, 1);
  v = v128.load_lane<f32>(x + (<usize>load<u32>(p, 8) << 2), v, 2);
  return v128.load_lane<f32>(x + (<usize>load<u32>(p, 12) << 2), v, 3);
}

// 2^d for d <= 127; 0 for d <= -127.
// @ts-ignore: decorator
@inline
function power(d: v128, bias: v128, least: v128): v128 {
  return i32x4.shl(i32x4.add(i32x4.max_s(d, least), bias), 23);
}

// The weight exp(z) of four scores as mantissa (near 1, not normalised) and exponent; 0 where z is -Infinity or NaN.
// @ts-ignore: decorator
@inline
function mantissa(z: v128, k: v128, ln2hi: v128, ln2lo: v128, c6: v128, c5: v128, c4: v128, c3: v128, c2: v128, one: v128): v128 {
  const r = f32x4.sub(f32x4.sub(z, f32x4.mul(k, ln2hi)), f32x4.mul(k, ln2lo));
  return madd(madd(madd(madd(madd(madd(c6, r, c5), r, c4), r, c3), r, c2), r, one), r, one);
}

// Alpha of `rows` frames: row r of `states` from row r - 1; row -1 must be there. x: f32[rows, stride], out: what f32_ctc_frames left.
export function f32_ctc_forward(x: usize, out: usize, labels: usize, skips: usize, states: usize, rows: i32, stride: i32, blank: i32, width: i32): void {
  const part = (<usize>width + 4) << 2, row = part << 2, step = <usize>stride << 2;
  const log2e = v128.load32_splat(SPLIT), magic = v128.load32_splat(SPLIT, 4), ln2hi = v128.load32_splat(SPLIT, 8), ln2lo = v128.load32_splat(SPLIT, 12);
  const c6 = v128.load32_splat(SPLIT, 16), c5 = v128.load32_splat(SPLIT, 20), c4 = v128.load32_splat(SPLIT, 24), c3 = v128.load32_splat(SPLIT, 28), c2 = v128.load32_splat(SPLIT, 32), one = v128.load32_splat(SPLIT, 36);
  const zero = v128.load32_splat(LANES), bias = v128.load32_splat(LANES, 4), fraction = v128.load32_splat(LANES, 8), unit = v128.load32_splat(LANES, 12), least = v128.load32_splat(LANES, 16);
  const nought = f32x4.sub(one, one);
  for (; rows > 0; rows--, states += row, x += step, out += 16) {
    const before = states - row, max = f32x4.splat(<f32>load<f64>(out));
    const zb = f32x4.sub(v128.load32_splat(x + (<usize>blank << 2)), max), finiteB = f32x4.eq(f32x4.sub(zb, zb), nought), kb = v128.and(finiteB, f32x4.sub(madd(zb, log2e, magic), magic));
    const bm = v128.and(finiteB, mantissa(zb, kb, ln2hi, ln2lo, c6, c5, c4, c3, c2, one)), be = i32x4.trunc_sat_f32x4_s(kb);
    for (let at: usize = 16; at < part; at += 16) {
      const lm = v128.load(before + at), le = v128.load(before + part + at);
      const om = v128.load(before + 2 * part + at), oe = v128.load(before + 3 * part + at);
      // b' = (b + l) y
      let top = i32x4.max_s(le, oe);
      let sum = f32x4.mul(madd(lm, power(i32x4.sub(le, top), bias, least), f32x4.mul(om, power(i32x4.sub(oe, top), bias, least))), bm);
      let none = f32x4.eq(sum, nought);
      v128.store(states + 2 * part + at, v128.andnot(v128.or(v128.and(sum, fraction), unit), none));
      v128.store(states + 3 * part + at, v128.bitselect(zero, i32x4.add(i32x4.add(top, be), i32x4.sub(i32x4.shr_u(sum, 23), bias)), none));
      // l' = (l + b[i - 1] + skip l[i - 1]) y
      const skip = v128.load(skips + at - 16);
      const sm = v128.and(v128.load(before + at - 4), skip), se = v128.bitselect(v128.load(before + part + at - 4), zero, skip);
      const pm = v128.load(before + 2 * part + at - 4), pe = v128.load(before + 3 * part + at - 4);
      top = i32x4.max_s(i32x4.max_s(le, se), pe);
      sum = madd(lm, power(i32x4.sub(le, top), bias, least), madd(pm, power(i32x4.sub(pe, top), bias, least), f32x4.mul(sm, power(i32x4.sub(se, top), bias, least))));
      const z = f32x4.sub(gathered(x, labels + at - 16), max), finite = f32x4.eq(f32x4.sub(z, z), nought), k = v128.and(finite, f32x4.sub(madd(z, log2e, magic), magic));
      sum = v128.and(finite, f32x4.mul(sum, mantissa(z, k, ln2hi, ln2lo, c6, c5, c4, c3, c2, one)));
      none = f32x4.eq(sum, nought);
      v128.store(states + at, v128.andnot(v128.or(v128.and(sum, fraction), unit), none));
      v128.store(states + part + at, v128.bitselect(zero, i32x4.add(i32x4.add(top, i32x4.trunc_sat_f32x4_s(k)), i32x4.sub(i32x4.shr_u(sum, 23), bias)), none));
    }
  }
}

// Backward over `rows` frames, last row first; alpha: their rows of states. beta, one row: in, the sums over what comes behind the last frame; out, behind the frame before the first. after: one row of scratch.
// g[r, column] -= scale p, with p the posterior of the label or blank at frame r; shares, where it is not 0: f32[rows, width], the posteriors of the labels' states. zm, ze: the partition sum.
export function f32_ctc_backward(x: usize, out: usize, labels: usize, skips: usize, alpha: usize, beta: usize, after: usize, g: usize, shares: usize, rows: i32, stride: i32, blank: i32, width: i32, scale: f32, zm: f32, ze: i32): void {
  const part = (<usize>width + 4) << 2, row = part << 2, step = <usize>stride << 2;
  const log2e = v128.load32_splat(SPLIT), magic = v128.load32_splat(SPLIT, 4), ln2hi = v128.load32_splat(SPLIT, 8), ln2lo = v128.load32_splat(SPLIT, 12);
  const c6 = v128.load32_splat(SPLIT, 16), c5 = v128.load32_splat(SPLIT, 20), c4 = v128.load32_splat(SPLIT, 24), c3 = v128.load32_splat(SPLIT, 28), c2 = v128.load32_splat(SPLIT, 32), one = v128.load32_splat(SPLIT, 36);
  const zero = v128.load32_splat(LANES), bias = v128.load32_splat(LANES, 4), fraction = v128.load32_splat(LANES, 8), unit = v128.load32_splat(LANES, 12), least = v128.load32_splat(LANES, 16), floor = v128.load32_splat(LANES, 20);
  const nought = f32x4.sub(one, one), inverse = f32x4.splat(1 / zm), whole = i32x4.splat(ze);
  const last = <usize>(rows - 1);
  x += last * step;
  g += last * step;
  out += last << 4;
  alpha += last * row;
  if (shares) shares += last * (<usize>width << 2);
  for (; rows > 0; rows--, x -= step, g -= step, out -= 16, alpha -= row) {
    const max = f32x4.splat(<f32>load<f64>(out));
    const zb = f32x4.sub(v128.load32_splat(x + (<usize>blank << 2)), max), finiteB = f32x4.eq(f32x4.sub(zb, zb), nought), kb = v128.and(finiteB, f32x4.sub(madd(zb, log2e, magic), magic));
    const bm = v128.and(finiteB, mantissa(zb, kb, ln2hi, ln2lo, c6, c5, c4, c3, c2, one)), be = i32x4.trunc_sat_f32x4_s(kb);
    let blanks = nought;
    for (let at: usize = 16; at < part; at += 16) {
      const lm = v128.load(beta + at), le = v128.load(beta + part + at), om = v128.load(beta + 2 * part + at), oe = v128.load(beta + 3 * part + at);
      // Posteriors. Exponents of 0 add up to less than -2^30: the power is 0.
      blanks = f32x4.add(blanks, f32x4.mul(f32x4.mul(om, v128.load(alpha + 2 * part + at)), power(i32x4.sub(i32x4.add(i32x4.max_s(oe, floor), i32x4.max_s(v128.load(alpha + 3 * part + at), floor)), whole), bias, least)));
      const p = f32x4.mul(inverse, f32x4.mul(f32x4.mul(lm, v128.load(alpha + at)), power(i32x4.sub(i32x4.add(i32x4.max_s(le, floor), i32x4.max_s(v128.load(alpha + part + at), floor)), whole), bias, least)));
      if (shares) v128.store(shares + at - 16, p);
      if (v128.any_true(p)) {
        const index = labels + at - 16;
        const c0 = g + (<usize>load<u32>(index) << 2);
        store<f32>(c0, load<f32>(c0) - scale * f32x4.extract_lane(p, 0));
        const c1 = g + (<usize>load<u32>(index, 4) << 2);
        store<f32>(c1, load<f32>(c1) - scale * f32x4.extract_lane(p, 1));
        const d2 = g + (<usize>load<u32>(index, 8) << 2);
        store<f32>(d2, load<f32>(d2) - scale * f32x4.extract_lane(p, 2));
        const d3 = g + (<usize>load<u32>(index, 12) << 2);
        store<f32>(d3, load<f32>(d3) - scale * f32x4.extract_lane(p, 3));
      }
      // beta times the weights of this frame.
      let w = f32x4.mul(om, bm), none = f32x4.eq(w, nought);
      v128.store(after + 2 * part + at, v128.andnot(v128.or(v128.and(w, fraction), unit), none));
      v128.store(after + 3 * part + at, v128.bitselect(zero, i32x4.add(i32x4.add(oe, be), i32x4.sub(i32x4.shr_u(w, 23), bias)), none));
      const z = f32x4.sub(gathered(x, labels + at - 16), max), finite = f32x4.eq(f32x4.sub(z, z), nought), k = v128.and(finite, f32x4.sub(madd(z, log2e, magic), magic));
      w = v128.and(finite, f32x4.mul(lm, mantissa(z, k, ln2hi, ln2lo, c6, c5, c4, c3, c2, one)));
      none = f32x4.eq(w, nought);
      v128.store(after + at, v128.andnot(v128.or(v128.and(w, fraction), unit), none));
      v128.store(after + part + at, v128.bitselect(zero, i32x4.add(i32x4.add(le, i32x4.trunc_sat_f32x4_s(k)), i32x4.sub(i32x4.shr_u(w, 23), bias)), none));
    }
    const column = g + (<usize>blank << 2);
    store<f32>(column, load<f32>(column) - scale * <f32>(sumLanes(blanks) / <f64>zm));
    if (shares) shares -= <usize>width << 2;
    for (let at: usize = 16; at < part; at += 16) {
      const lm = v128.load(after + at), le = v128.load(after + part + at), om = v128.load(after + 2 * part + at), oe = v128.load(after + 3 * part + at);
      const nm = v128.load(after + at + 4), ne = v128.load(after + part + at + 4);
      // b = w(b) + w(l[i + 1])
      let top = i32x4.max_s(oe, ne);
      let sum = madd(nm, power(i32x4.sub(ne, top), bias, least), f32x4.mul(om, power(i32x4.sub(oe, top), bias, least)));
      let none = f32x4.eq(sum, nought);
      v128.store(beta + 2 * part + at, v128.andnot(v128.or(v128.and(sum, fraction), unit), none));
      v128.store(beta + 3 * part + at, v128.bitselect(zero, i32x4.add(top, i32x4.sub(i32x4.shr_u(sum, 23), bias)), none));
      // l = w(l) + w(b) + skip[i + 1] w(l[i + 1])
      const skip = v128.load(skips + at - 12), sm = v128.and(nm, skip), se = v128.bitselect(ne, zero, skip);
      top = i32x4.max_s(i32x4.max_s(le, oe), se);
      sum = madd(lm, power(i32x4.sub(le, top), bias, least), madd(om, power(i32x4.sub(oe, top), bias, least), f32x4.mul(sm, power(i32x4.sub(se, top), bias, least))));
      none = f32x4.eq(sum, nought);
      v128.store(beta + at, v128.andnot(v128.or(v128.and(sum, fraction), unit), none));
      v128.store(beta + part + at, v128.bitselect(zero, i32x4.add(top, i32x4.sub(i32x4.shr_u(sum, 23), bias)), none));
    }
  }
}

// The best path: rows of `states` have two parts, l and b: the score of the best way to each state less the largest of the row before. Padding -Infinity. The rest as f32_ctc_forward.
export function f32_ctc_best(x: usize, out: usize, labels: usize, skips: usize, states: usize, rows: i32, stride: i32, blank: i32, width: i32): void {
  const part = (<usize>width + 4) << 2, row = part << 1, step = <usize>stride << 2, impossible = v128.load32_splat(EXP, 36);
  let shift: f32 = 0, first = true;
  for (; rows > 0; rows--, states += row, x += step, out += 16) {
    const before = states - row;
    if (first) {
      let m = impossible;
      for (let at: usize = 16; at < part; at += 16) m = f32x4.pmax(f32x4.pmax(m, v128.load(before + at)), v128.load(before + part + at));
      shift = maxLanes(m);
      first = false;
    }
    const by = f32x4.splat(<f32>load<f64>(out) + (shift - shift == 0 ? shift : 0)), zb = f32x4.sub(v128.load32_splat(x + (<usize>blank << 2)), by);
    let best = impossible;
    for (let at: usize = 16; at < part; at += 16) {
      const l = v128.load(before + at), b = v128.load(before + part + at);
      const next = f32x4.add(f32x4.pmax(b, l), zb);
      const own = f32x4.add(f32x4.pmax(f32x4.pmax(l, v128.load(before + part + at - 4)), v128.bitselect(v128.load(before + at - 4), impossible, v128.load(skips + at - 16))), f32x4.sub(gathered(x, labels + at - 16), by));
      best = f32x4.pmax(best, f32x4.pmax(next, own));
      v128.store(states + part + at, next);
      v128.store(states + at, own);
    }
    shift = maxLanes(best);
  }
}
