import { madd } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

// Semi-Markov sums: segments of label c over positions s ... t - 1, of length d = t - s <= D. Boundaries s, t in 0 ... T.
//   alpha[t, c] = sum over d of G[t - d, c] content(t - d ... t - 1, c) duration[d, c],   G[s, c] = sum over b of alpha[s, b] A[b, c]
// Weights are in extended range: mantissa f32 in [1, 2) or 0, exponent i32, ZERO = -2^30 with mantissa 0. P[t, c] is the product of contents before t; the window holds H[s] = G[s] / P[s], which no step changes,
// so that the inner sum is over H[s] duration[t - s]. Four labels in the lanes; `width` labels in a row, a multiple of 4. A label that is impossible at a position loses its part of the window there.
// f32_segments_blocks: windows in blocks of 8 rows under one exponent for each label, durations within 2^58 of each other. f32_segments_rows: one exponent for each row, any durations, durations of each step.

// -log2 e, magic, ln 2 upper and lower part; e^r = sum r^n / n! to degree 6, |r| <= ln 2 / 2: within 1.3e-7.
const SPLIT: usize = memory.data<f32>([1.4426950408889634, 12582912, 0.693145751953125, 1.428606765330187e-6, 0.0013888889, 0.008333334, 0.041666668, 0.16666667, 0.5, 1, -Infinity]);
// ZERO, bias, fraction, bits of 1, least exponent; of a block: minus the exponent of its first weight (a later one may lie 2^90 below it before the exponents of rows are needed; one above moves the block), the largest and the least; and
// ZERO / 2, of which two may be added.
const LANES: usize = memory.data<i32>([-1073741824, 127, 0x7fffff, 0x3f800000, -127, -30, 60, -60, -536870912]);

// @ts-ignore: decorator
@inline
function power(d: v128): v128 {
  return i32x4.shl(i32x4.add(i32x4.max_s(d, v128.load32_splat(LANES, 16)), v128.load32_splat(LANES, 4)), 23);
}

// The weight exp(z) of four scores as mantissa (near 1) and k, the exponent as a float; 0 where z is -Infinity; NaN stays NaN.
// @ts-ignore: decorator
@inline
function exponentOf(z: v128): v128 {
  const magic = v128.load32_splat(SPLIT, 4);
  return v128.andnot(f32x4.sub(madd(z, v128.load32_splat(SPLIT), magic), magic), f32x4.eq(z, v128.load32_splat(SPLIT, 40)));
}

// @ts-ignore: decorator
@inline
function mantissaOf(z: v128, k: v128): v128 {
  const r = f32x4.sub(f32x4.sub(z, f32x4.mul(k, v128.load32_splat(SPLIT, 8))), f32x4.mul(k, v128.load32_splat(SPLIT, 12)));
  const one = v128.load32_splat(SPLIT, 36);
  return v128.andnot(madd(madd(madd(madd(madd(madd(v128.load32_splat(SPLIT, 16), r, v128.load32_splat(SPLIT, 20)), r, v128.load32_splat(SPLIT, 24)), r, v128.load32_splat(SPLIT, 28)), r, v128.load32_splat(SPLIT, 32)), r, one), r, one), f32x4.eq(z, v128.load32_splat(SPLIT, 40)));
}

// A sum v >= 0 (normal or 0) times 2^e, stored with its mantissa in [1, 2).
// @ts-ignore: decorator
@inline
function keep(m: usize, e: usize, v: v128, exponent: v128): void {
  const none = f32x4.eq(v, f32x4.splat(0));
  v128.store(m, v128.andnot(v128.or(v128.and(v, v128.load32_splat(LANES, 8)), v128.load32_splat(LANES, 12)), none));
  v128.store(e, v128.bitselect(v128.load32_splat(LANES), i32x4.add(exponent, i32x4.sub(i32x4.shr_u(v, 23), v128.load32_splat(LANES, 4))), none));
}

// (m, e) at m, e times exp(z), in place.
// @ts-ignore: decorator
@inline
function scaleBy(m: usize, e: usize, z: v128): void {
  const k = exponentOf(z);
  keep(m, e, f32x4.mul(v128.load(m), mantissaOf(z, k)), i32x4.add(v128.load(e), i32x4.trunc_sat_f32x4_s(k)));
}

// G = A' alpha. linear: al f32[labels, width] weights within 2^58 of each other, times 2^scale; else am, ae. work: f32[width].
function transit(alpha: usize, alphaE: usize, g: usize, ge: usize, al: usize, am: usize, ae: usize, scale: i32, linear: i32, labels: i32, bytes: usize, work: usize): void {
  let top: i32 = -1073741824, low: i32 = 1073741824;
  for (let at: usize = 0; at < <usize>labels << 2; at += 4) {
    const e = load<i32>(alphaE + at);
    if (load<f32>(alpha + at) != 0) {
      top = max(top, e);
      low = min(low, e);
    }
  }
  const zero = v128.load32_splat(LANES);
  if (linear && top - low <= 120) {
    const by = i32x4.splat(60 - top), back = i32x4.splat(top - 60 + scale);
    for (let at: usize = 0; at < bytes; at += 16) v128.store(work + at, f32x4.mul(v128.load(alpha + at), power(i32x4.add(v128.load(alphaE + at), by))));
    for (let at: usize = 0; at < bytes; at += 16) {
      let sum = f32x4.splat(0), other = sum, row = al + at, u = work;
      for (let c = labels >> 1; c > 0; c--, u += 8, row += bytes << 1) {
        sum = madd(v128.load32_splat(u), v128.load(row), sum);
        other = madd(v128.load32_splat(u, 4), v128.load(row + bytes), other);
      }
      if (labels & 1) sum = madd(v128.load32_splat(u), v128.load(row), sum);
      keep(g + at, ge + at, f32x4.add(sum, other), back);
    }
    return;
  }
  for (let at: usize = 0; at < bytes; at += 16) {
    let sum = f32x4.splat(0), high = zero, row = at;
    for (let c: usize = 0; c < <usize>labels << 2; c += 4, row += bytes) {
      const m = f32x4.mul(v128.load32_splat(alpha + c), v128.load(am + row));
      const e = v128.bitselect(zero, i32x4.add(v128.load32_splat(alphaE + c), v128.load(ae + row)), f32x4.eq(m, f32x4.splat(0))), most = i32x4.max_s(high, e);
      sum = madd(m, power(i32x4.sub(e, most)), f32x4.mul(sum, power(i32x4.sub(high, most))));
      high = most;
    }
    keep(g + at, ge + at, sum, high);
  }
}

// Labels that are impossible at a position: their part of the rows up to `row`, of which those before cleared[c] are done.
function clear(x: usize, labels: i32, h: usize, bytes: usize, cleared: usize, row: i32, least: i32, tail: usize): void {
  for (let at: usize = 0; at < <usize>labels << 2; at += 4) {
    if (load<f32>(x + at) != -Infinity) continue;
    for (let r = max(load<i32>(cleared + at), least); r <= row; r++) store<f32>(h + <usize>r * bytes + at, 0);
    store<i32>(cleared + at, row + 1);
    if (tail) {
      store<f32>(tail + 4 * bytes + at, 0);
      store<i32>(tail + 5 * bytes + at, -1073741824);
    }
  }
}

// P *= exp(x - max of the row); returns the maximum.
function advance(x: usize, pm: usize, pe: usize, labels: i32, bytes: usize, h: usize, cleared: usize, row: i32, least: i32, tail: usize): f32 {
  let m = v128.load(x);
  for (let at: usize = 16; at < bytes; at += 16) m = f32x4.pmax(m, v128.load(x + at));
  m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 2, 3, 0, 1));
  m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 1, 0, 3, 2));
  const top = f32x4.extract_lane(m, 0), by: f32 = top == -Infinity ? 0 : top;
  m = f32x4.splat(by);
  let barred = f32x4.splat(0);
  for (let at: usize = 0; at < bytes; at += 16) {
    const v = v128.load(x + at), none = f32x4.eq(v, v128.load32_splat(SPLIT, 40));
    barred = v128.or(barred, none);
    scaleBy(pm + at, pe + at, v128.andnot(f32x4.sub(v, m), none));
  }
  if (v128.any_true(barred)) clear(x, labels, h, bytes, cleared, row, least, tail);
  return by;
}

// Geometric tail, in units of H: R = rho R + H[t - D] duration[D]; adds R to (sum, high) at m, e. `tail`: rows rho m, e; duration[D] m, e; R m, e.
// @ts-ignore: decorator
@inline
function lengthen(tail: usize, bytes: usize, at: usize, first: v128, firstE: v128): void {
  const m = tail + at, zero = v128.load32_splat(LANES), nought = f32x4.splat(0);
  const a = f32x4.mul(v128.load(m), v128.load(m + 4 * bytes)), ae = v128.bitselect(zero, i32x4.add(v128.load(m + bytes), v128.load(m + 5 * bytes)), f32x4.eq(a, nought));
  const b = f32x4.mul(v128.load(m + 2 * bytes), first), be = v128.bitselect(zero, i32x4.add(v128.load(m + 3 * bytes), firstE), f32x4.eq(b, nought));
  const top = i32x4.max_s(ae, be);
  keep(m + 4 * bytes, m + 5 * bytes, madd(a, power(i32x4.sub(ae, top)), f32x4.mul(b, power(i32x4.sub(be, top)))), top);
}

// exp(z) of `count` scores, a multiple of 4, as mantissas in [1, 2) or 0 and exponents.
export function f32_segments_weights(z: usize, m: usize, e: usize, count: i32): void {
  for (; count > 0; count -= 4, z += 16, m += 16, e += 16) {
    const v = v128.load(z), k = exponentOf(v);
    keep(m, e, mantissaOf(v, k), i32x4.trunc_sat_f32x4_s(k));
  }
}

// Takes the steps of `count` positions. p: u32[28], see segmentSums.ts. shift: f64[count + 1], the sum of the rows' maxima that were taken out. Returns 1: a weight of the window was lost beside later ones; 2: beside earlier ones.
export function f32_segments_blocks(p: usize): i32 {
  return steps(p, true);
}

export function f32_segments_rows(p: usize): i32 {
  return steps(p, false);
}

// @ts-ignore: decorator
@inline
function steps(p: usize, blocks: bool): i32 {
  const count = load<i32>(p), bytes = <usize>load<u32>(p, 4) << 2, labels = load<i32>(p, 8), D = load<i32>(p, 12), h = <usize>load<u32>(p, 20), he = <usize>load<u32>(p, 24);
  const table = <usize>load<u32>(p, 28), stride = <usize>load<u32>(p, 32), pm = <usize>load<u32>(p, 56), pe = <usize>load<u32>(p, 60);
  const al = <usize>load<u32>(p, 64), am = <usize>load<u32>(p, 68), ae = <usize>load<u32>(p, 72), scale = load<i32>(p, 76), linear = load<i32>(p, 80), cleared = <usize>load<u32>(p, 92), work = <usize>load<u32>(p, 100);
  let shift = <usize>load<u32>(p, 104);
  const tail = <usize>load<u32>(p, 108), zero = v128.load32_splat(LANES), nought = f32x4.splat(0);
  let row = load<i32>(p, 16), x = <usize>load<u32>(p, 36), g = <usize>load<u32>(p, 40), ge = <usize>load<u32>(p, 44), a = <usize>load<u32>(p, 48), aE = <usize>load<u32>(p, 52);
  let starts = <usize>load<u32>(p, 84), ends = <usize>load<u32>(p, 88), first = load<i32>(p, 96), z = table, flags: i32 = 0;
  for (let n = 0; n < count; n++, row++, shift += 8, x += bytes, g += bytes, ge += bytes, a += bytes, aE += bytes, z += stride) {
    if (!first) {
      if (ends) {
        // The scores of ends take part in G, not in alpha as it is kept.
        for (let at: usize = 0; at < bytes; at += 16) {
          v128.store(work + bytes + at, v128.load(a + at));
          v128.store(work + 2 * bytes + at, v128.load(aE + at));
          scaleBy(work + bytes + at, work + 2 * bytes + at, v128.load(ends + at));
        }
        transit(work + bytes, work + 2 * bytes, g, ge, al, am, ae, scale, linear, labels, bytes, work);
      } else transit(a, aE, g, ge, al, am, ae, scale, linear, labels, bytes, work);
    }
    first = 0;
    if (ends) ends += bytes;
    if (starts) {
      for (let at: usize = 0; at < bytes; at += 16) scaleBy(g + at, ge + at, v128.load(starts + at));
      starts += bytes;
    }
    // H = G / P
    const own = h + <usize>row * bytes;
    for (let at: usize = 0; at < bytes; at += 16) {
      const m = f32x4.div(v128.load(g + at), v128.load(pm + at)), e = i32x4.sub(v128.load(ge + at), v128.load(pe + at)), none = f32x4.eq(m, nought);
      if (blocks) {
        const refs = he + <usize>(row >> 3) * bytes + at, old = (row & 7) == 0 ? zero : v128.load(refs);
        let ref = v128.bitselect(i32x4.add(e, v128.load32_splat(LANES, 20)), old, v128.andnot(i32x4.eq(old, zero), none));
        const over = v128.andnot(i32x4.gt_s(i32x4.sub(e, ref), v128.load32_splat(LANES, 24)), none);
        if (v128.any_true(over)) {
          const next = v128.bitselect(i32x4.sub(e, v128.load32_splat(LANES, 24)), ref, over), by = power(i32x4.sub(ref, next)), least = power(v128.load32_splat(LANES, 28));
          for (let q = h + <usize>(row & ~7) * bytes + at; q < own; q += bytes) {
            const was = v128.load(q), is = f32x4.mul(was, by), lost = f32x4.lt(is, least);
            if (v128.any_true(v128.andnot(lost, f32x4.eq(was, nought)))) flags |= 1;
            v128.store(q, v128.andnot(is, lost));
          }
          ref = next;
        }
        if (v128.any_true(v128.andnot(i32x4.lt_s(i32x4.sub(e, ref), v128.load32_splat(LANES, 28)), none))) flags |= 2;
        v128.store(refs, ref);
        v128.store(own + at, v128.andnot(f32x4.mul(m, power(i32x4.sub(e, ref))), none));
      } else {
        keep(own + at, he + <usize>row * bytes + at, m, e);
      }
    }
    const least = row - D + 1;
    store<f64>(shift, load<f64>(shift) + <f64>advance(x, pm, pe, labels, bytes, h, cleared, row, least, tail), 8);
    for (let at: usize = 0; at < bytes; at += 16) {
      let sum = nought, high = zero;
      if (tail) {
        const oldest = h + <usize>least * bytes + at;
        lengthen(tail, bytes, at, v128.load(oldest), blocks ? v128.load(he + <usize>(least >> 3) * bytes + at) : v128.load(he + <usize>least * bytes + at));
        sum = v128.load(tail + 4 * bytes + at);
        high = v128.load(tail + 5 * bytes + at);
      }
      if (blocks) {
        let q = h + <usize>(least & ~7) * bytes + at, d = z + <usize>(7 - (least & 7)) * bytes + at, refs = he + <usize>(least >> 3) * bytes + at;
        for (; q <= own + at; q += bytes << 3, d += bytes << 3, refs += bytes) {
          let s = f32x4.mul(v128.load(q), v128.load(d)), other = f32x4.mul(v128.load(q + bytes), v128.load(d + bytes));
          s = madd(v128.load(q + 2 * bytes), v128.load(d + 2 * bytes), s);
          other = madd(v128.load(q + 3 * bytes), v128.load(d + 3 * bytes), other);
          s = madd(v128.load(q + 4 * bytes), v128.load(d + 4 * bytes), s);
          other = madd(v128.load(q + 5 * bytes), v128.load(d + 5 * bytes), other);
          s = madd(v128.load(q + 6 * bytes), v128.load(d + 6 * bytes), s);
          other = madd(v128.load(q + 7 * bytes), v128.load(d + 7 * bytes), other);
          s = f32x4.add(s, other);
          // Of each block the true exponent: one whose durations are barred must not hide the others.
          const none = f32x4.eq(s, nought), e = v128.bitselect(zero, i32x4.add(v128.load(refs), i32x4.sub(i32x4.shr_u(s, 23), v128.load32_splat(LANES, 4))), none);
          const m = v128.andnot(v128.or(v128.and(s, v128.load32_splat(LANES, 8)), v128.load32_splat(LANES, 12)), none), most = i32x4.max_s(high, e);
          sum = madd(m, power(i32x4.sub(e, most)), f32x4.mul(sum, power(i32x4.sub(high, most))));
          high = most;
        }
      } else {
        let q = h + <usize>least * bytes + at, e = he + <usize>least * bytes + at, d = z + at;
        for (; q <= own + at; q += bytes, e += bytes, d += bytes) {
          const score = v128.load(d), k = exponentOf(score), m = f32x4.mul(v128.load(q), mantissaOf(score, k));
          const exponent = v128.bitselect(zero, i32x4.add(v128.load(e), i32x4.trunc_sat_f32x4_s(k)), f32x4.eq(m, nought)), most = i32x4.max_s(high, exponent);
          sum = madd(m, power(i32x4.sub(exponent, most)), f32x4.mul(sum, power(i32x4.sub(high, most))));
          high = most;
        }
      }
      keep(a + bytes + at, aE + bytes + at, f32x4.mul(sum, v128.load(pm + at)), i32x4.add(high, v128.load(pe + at)));
    }
  }
  return flags;
}

// Posteriors of segments, from the last start: own [count, width]: what begins at s, with all before it, over Z; behind, last [count + D, width] from boundary 0 of the block: what follows a segment that ends there, or after length D.
// durations: m, e [D, width]. Adds P of each length to lengths f32[D, width] and P(c at a position) to content f32[count + D, width]. x: f32[count, width], -Infinity bars a label; bars: i32[width], the first barred position, from the block's first.
// p: u32[16]: count, width, D, room (boundaries behind the block's first), own m, e, behind m, e, last m, e, durations m, e, lengths, content, x, bars.
export function f32_segments_shares(p: usize): void {
  const count = load<i32>(p), bytes = <usize>load<u32>(p, 4) << 2, D = load<i32>(p, 8), room = load<i32>(p, 12), ownM = <usize>load<u32>(p, 16), ownE = <usize>load<u32>(p, 20), bM = <usize>load<u32>(p, 24), bE = <usize>load<u32>(p, 28), lM = <usize>load<u32>(p, 32), lE = <usize>load<u32>(p, 36);
  const dM = <usize>load<u32>(p, 40), dE = <usize>load<u32>(p, 44), lengths = <usize>load<u32>(p, 48), content = <usize>load<u32>(p, 52), x = <usize>load<u32>(p, 56), bars = <usize>load<u32>(p, 60);
  const bias = v128.load32_splat(LANES, 4), least = v128.load32_splat(LANES, 16), floor = v128.load32_splat(LANES, 32), none = v128.load32_splat(SPLIT, 40);
  for (let s = count - 1; s >= 0; s--) {
    const row = <usize>s * bytes, longest = min(D, room - s);
    for (let at: usize = 0; at < bytes; at += 16) {
      const bar = v128.bitselect(i32x4.splat(s), v128.load(bars + at), f32x4.eq(v128.load(x + row + at), none)), m = v128.load(ownM + row + at), e = i32x4.max_s(v128.load(ownE + row + at), floor);
      v128.store(bars + at, bar);
      if (!v128.any_true(m)) continue;
      let held = f32x4.splat(0), d = longest, to = <usize>(s + d) * bytes + at, by = <usize>(d - 1) * bytes + at, fm = d == D ? lM : bM, fe = d == D ? lE : bE;
      for (; d > 0; d--, to -= bytes, by -= bytes) {
        const exponent = i32x4.add(i32x4.add(v128.load(fe + to), e), i32x4.max_s(v128.load(dE + by), floor));
        const w = f32x4.mul(f32x4.mul(m, v128.load(dM + by)), f32x4.mul(v128.load(fm + to), i32x4.shl(i32x4.add(i32x4.max_s(exponent, least), bias), 23)));
        const q = v128.andnot(w, i32x4.gt_s(i32x4.splat(s + d), bar));
        held = f32x4.add(held, q);
        v128.store(lengths + by, f32x4.add(v128.load(lengths + by), q));
        v128.store(content + to - bytes, f32x4.add(v128.load(content + to - bytes), held));
        fm = bM;
        fe = bE;
      }
    }
  }
}

// Posteriors of pairs of labels at `count` boundaries: adds before[b] A[b, c] behind[c] to sums f32[labels, width]. before and behind: m, e [count, width]; their exponents and those of A do not pass 2^29.
export function f32_segments_pairs(um: usize, ue: usize, vm: usize, ve: usize, am: usize, ae: usize, sums: usize, count: i32, labels: i32, width: i32): void {
  const bytes = <usize>width << 2, bias = v128.load32_splat(LANES, 4), least = v128.load32_splat(LANES, 16), floor = v128.load32_splat(LANES, 32);
  for (; count > 0; count--, um += bytes, ue += bytes, vm += bytes, ve += bytes) {
    for (let b: usize = 0; b < <usize>labels; b++) {
      const m = v128.load32_splat(um + (b << 2)), e = i32x4.max_s(v128.load32_splat(ue + (b << 2)), floor);
      if (!v128.any_true(m)) continue;
      for (let at: usize = 0, k = b * bytes; at < bytes; at += 16, k += 16) {
        const exponent = i32x4.add(i32x4.add(v128.load(ve + at), e), i32x4.max_s(v128.load(ae + k), floor));
        v128.store(sums + k, f32x4.add(v128.load(sums + k), f32x4.mul(f32x4.mul(m, v128.load(am + k)), f32x4.mul(v128.load(vm + at), i32x4.shl(i32x4.add(i32x4.max_s(exponent, least), bias), 23)))));
      }
    }
  }
}

// Intervals [i, j] of frames, i <= j, one set for each track; tracks in the lanes. A track is at frame t before its intervals there (free), then it may end one (u), add the one of t alone, and go on (v).
//   u[t] = free[t] + sum_(i < t) open[i] e^s(i, t),   free[t] = v[t - 1] e^skip[t - 1]
//   shared endpoints: v = u (1 + e^s(t, t)), open = v;   else: v = u + free e^s(t, t), open = free
// p: u32[20]: bytes of a row of states, bytes between rows of scores, t, scores of the intervals that end at t, skip or 0, v m, e, base m, e (u or free), sums m, e (backward), behind m, e, at m, e (one row each), p out, shared, Z m, e; rows of states [T, width].

// (m, e) = a + b
// @ts-ignore: decorator
@inline
function plus(m: usize, e: usize, am: v128, ae: v128, bm: v128, be: v128): void {
  const zero = v128.load32_splat(LANES), nought = f32x4.splat(0);
  ae = v128.bitselect(zero, ae, f32x4.eq(am, nought));
  be = v128.bitselect(zero, be, f32x4.eq(bm, nought));
  const top = i32x4.max_s(ae, be);
  keep(m, e, madd(am, power(i32x4.sub(ae, top)), f32x4.mul(bm, power(i32x4.sub(be, top)))), top);
}

// Not finite and not -Infinity.
// @ts-ignore: decorator
@inline
function wrong(z: v128): v128 {
  return v128.not(f32x4.lt(z, f32x4.abs(v128.load32_splat(SPLIT, 40))));
}

// Row t of the states. at: where free[t] lies, which the caller has set for tracks that begin here. Returns 1 where a score is NaN or Infinity.
export function f32_intervals_forward(p: usize): i32 {
  const bytes = <usize>load<u32>(p), stride = <usize>load<u32>(p, 4), t = load<i32>(p, 8), s = <usize>load<u32>(p, 12), vm = <usize>load<u32>(p, 20), ve = <usize>load<u32>(p, 24), bm = <usize>load<u32>(p, 28), be = <usize>load<u32>(p, 32);
  const at = <usize>load<u32>(p, 52), atE = <usize>load<u32>(p, 56), shared = load<i32>(p, 64), row = <usize>t * bytes, om = shared ? vm : bm, oe = shared ? ve : be;
  const zero = v128.load32_splat(LANES), nought = f32x4.splat(0), log2e = v128.load32_splat(SPLIT), magic = v128.load32_splat(SPLIT, 4), ln2hi = v128.load32_splat(SPLIT, 8), ln2lo = v128.load32_splat(SPLIT, 12);
  const c6 = v128.load32_splat(SPLIT, 16), c5 = v128.load32_splat(SPLIT, 20), c4 = v128.load32_splat(SPLIT, 24), c3 = v128.load32_splat(SPLIT, 28), c2 = v128.load32_splat(SPLIT, 32), one = v128.load32_splat(SPLIT, 36), none = v128.load32_splat(SPLIT, 40);
  const bias = v128.load32_splat(LANES, 4), least = v128.load32_splat(LANES, 16), infinity = f32x4.abs(none);
  let bad = nought;
  for (let a: usize = 0; a < bytes; a += 16) {
    let sum = nought, high = zero, q = s + a, m = om + a, e = oe + a;
    for (let i = 0; i < t; i++, q += stride, m += bytes, e += bytes) {
      const z = v128.load(q), barred = f32x4.eq(z, none);
      bad = v128.or(bad, v128.not(f32x4.lt(z, infinity)));
      const k = v128.andnot(f32x4.sub(madd(z, log2e, magic), magic), barred), r = f32x4.sub(f32x4.sub(z, f32x4.mul(k, ln2hi)), f32x4.mul(k, ln2lo));
      const w = v128.andnot(f32x4.mul(madd(madd(madd(madd(madd(madd(c6, r, c5), r, c4), r, c3), r, c2), r, one), r, one), v128.load(m)), barred);
      const exponent = v128.bitselect(zero, i32x4.add(v128.load(e), i32x4.trunc_sat_f32x4_s(k)), f32x4.eq(w, nought)), most = i32x4.max_s(high, exponent);
      sum = madd(w, i32x4.shl(i32x4.add(i32x4.max_s(i32x4.sub(exponent, most), least), bias), 23), f32x4.mul(sum, i32x4.shl(i32x4.add(i32x4.max_s(i32x4.sub(high, most), least), bias), 23)));
      high = most;
    }
    const fm = v128.load(at + a), fe = v128.load(atE + a), z = v128.load(q), k = exponentOf(z), w = mantissaOf(z, k), we = i32x4.trunc_sat_f32x4_s(k), v = vm + row + a, vE = ve + row + a, b = bm + row + a, bE = be + row + a;
    bad = v128.or(bad, wrong(z));
    // u
    plus(v, vE, fm, fe, sum, high);
    const um = v128.load(v), ue = v128.load(vE);
    v128.store(b, shared ? um : fm);
    v128.store(bE, shared ? ue : fe);
    plus(v, vE, um, ue, f32x4.mul(v128.load(b), w), i32x4.add(v128.load(bE), we));
  }
  return v128.any_true(bad) ? 1 : 0;
}

// free of the next frame: v e^skip. skip: f32[width] or 0.
export function f32_intervals_skip(skip: usize, vm: usize, ve: usize, at: usize, atE: usize, bytes: usize): i32 {
  let bad = f32x4.splat(0);
  for (let a: usize = 0; a < bytes; a += 16) {
    v128.store(at + a, v128.load(vm + a));
    v128.store(atE + a, v128.load(ve + a));
    if (skip) {
      const z = v128.load(skip + a);
      bad = v128.or(bad, wrong(z));
      scaleBy(at + a, atE + a, z);
    }
  }
  return v128.any_true(bad) ? 1 : 0;
}

// Posteriors of the intervals that end at t, and of going on without one (at skip, f32[width], where it is not 0); frames from the last. behind: in, what follows from the state before the intervals of frame t + 1; out, that of frame t.
// At the last frame `at` holds 1. sums[i]: what follows intervals that begin at i, of those that end later.
export function f32_intervals_backward(p: usize): void {
  const bytes = <usize>load<u32>(p), stride = <usize>load<u32>(p, 4), t = load<i32>(p, 8), s = <usize>load<u32>(p, 12), skip = <usize>load<u32>(p, 16), vm = <usize>load<u32>(p, 20), ve = <usize>load<u32>(p, 24), bm = <usize>load<u32>(p, 28), be = <usize>load<u32>(p, 32);
  const sm = <usize>load<u32>(p, 36), se = <usize>load<u32>(p, 40), behind = <usize>load<u32>(p, 44), behindE = <usize>load<u32>(p, 48), at = <usize>load<u32>(p, 52), atE = <usize>load<u32>(p, 56), out = <usize>load<u32>(p, 60), shared = load<i32>(p, 64), row = <usize>t * bytes;
  const om = shared ? vm : bm, oe = shared ? ve : be, zm = <usize>load<u32>(p, 68), ze = <usize>load<u32>(p, 72), last = load<i32>(p, 76);
  const zero = v128.load32_splat(LANES), nought = f32x4.splat(0), log2e = v128.load32_splat(SPLIT), magic = v128.load32_splat(SPLIT, 4), ln2hi = v128.load32_splat(SPLIT, 8), ln2lo = v128.load32_splat(SPLIT, 12);
  const c6 = v128.load32_splat(SPLIT, 16), c5 = v128.load32_splat(SPLIT, 20), c4 = v128.load32_splat(SPLIT, 24), c3 = v128.load32_splat(SPLIT, 28), c2 = v128.load32_splat(SPLIT, 32), one = v128.load32_splat(SPLIT, 36), none = v128.load32_splat(SPLIT, 40);
  const bias = v128.load32_splat(LANES, 4), least = v128.load32_splat(LANES, 16), floor = v128.load32_splat(LANES, 32);
  for (let a: usize = 0; a < bytes; a += 16) {
    const inverse = f32x4.div(one, v128.load(zm + a)), whole = v128.load(ze + a), m = at + a, e = atE + a;
    if (!last) {
      // Going on: e^skip behind.
      v128.store(m, v128.load(behind + a));
      v128.store(e, v128.load(behindE + a));
      const z = v128.load(skip + a);
      scaleBy(m, e, z);
      v128.store(skip + a, f32x4.mul(inverse, f32x4.mul(f32x4.mul(v128.load(m), v128.load(vm + row + a)), power(i32x4.sub(i32x4.add(i32x4.max_s(v128.load(e), floor), v128.load(ve + row + a)), whole)))));
    }
    const later = v128.load(sm + row + a), laterE = v128.load(se + row + a);
    if (shared) plus(m, e, v128.load(m), v128.load(e), later, laterE);
    // at: what follows v.
    const am = v128.load(m), ae = v128.load(e), z = v128.load(s + <usize>t * stride + a), k = exponentOf(z), w = f32x4.mul(am, mantissaOf(z, k)), we = i32x4.add(ae, i32x4.trunc_sat_f32x4_s(k));
    const single = f32x4.mul(inverse, f32x4.mul(f32x4.mul(w, v128.load(bm + row + a)), power(i32x4.sub(i32x4.add(v128.bitselect(floor, we, f32x4.eq(w, nought)), v128.load(be + row + a)), whole))));
    plus(behind + a, behindE + a, am, ae, w, we);
    if (!shared) plus(behind + a, behindE + a, v128.load(behind + a), v128.load(behindE + a), later, laterE);
    // What follows u, an interval that ends here.
    const um = shared ? v128.load(behind + a) : am, ue = shared ? v128.load(behindE + a) : ae, scale = f32x4.mul(um, inverse), by = i32x4.sub(i32x4.max_s(ue, floor), whole);
    let q = s + a, g = out + a, o = om + a, oE = oe + a, n = sm + a, nE = se + a;
    for (let i = 0; i < t; i++, q += stride, g += bytes, o += bytes, oE += bytes, n += bytes, nE += bytes) {
      const x = v128.load(q), barred = f32x4.eq(x, none), kx = v128.andnot(f32x4.sub(madd(x, log2e, magic), magic), barred), r = f32x4.sub(f32x4.sub(x, f32x4.mul(kx, ln2hi)), f32x4.mul(kx, ln2lo));
      const y = v128.andnot(madd(madd(madd(madd(madd(madd(c6, r, c5), r, c4), r, c3), r, c2), r, one), r, one), barred), xe = i32x4.trunc_sat_f32x4_s(kx);
      // What lies before and behind an impossible interval may outweigh Z by more than float32 holds: 0 times that is NaN.
      v128.store(g, v128.andnot(f32x4.mul(f32x4.mul(f32x4.mul(y, scale), v128.load(o)), i32x4.shl(i32x4.add(i32x4.max_s(i32x4.add(i32x4.add(xe, by), v128.load(oE)), least), bias), 23)), barred));
      const add = f32x4.mul(y, um), addE = v128.bitselect(zero, i32x4.add(xe, ue), f32x4.eq(add, nought)), was = v128.load(nE), top = i32x4.max_s(was, addE);
      v128.store(n, madd(add, i32x4.shl(i32x4.add(i32x4.max_s(i32x4.sub(addE, top), least), bias), 23), f32x4.mul(v128.load(n), i32x4.shl(i32x4.add(i32x4.max_s(i32x4.sub(was, top), least), bias), 23))));
      v128.store(nE, top);
    }
    v128.store(g, single);
  }
}
