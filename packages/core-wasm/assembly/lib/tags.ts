import { madd, maxLanes } from "./vector";

const LIMITS: usize = memory.data<f32>([
  1.925929944387236e-34, // 2^-112: forward weights below become 0. Of a row whose sum is 2^-16 at least that is a share of 2^-96
  1.2621774483536189e-29, // 2^-96, of products of the backward pass
]);

// Tags of types: a vector of up to four roles (B, I, E and S) for each type, then one of up to four states without a type (O). Weight from (type, role x) to
// (type', role y): between[x, y], and within[x, y] more where the types are equal (for scores: or within[x, y] where that is larger). Within transitions leave two roles at most.
//
// Words of the operator: kind [0], width [1], types, a multiple of 4 [2], table [3], sources [4], byte offsets of the two roles that have within transitions [5], [6], room: f32[width], for scores [7],
// a bit for each role that within transitions alone lead to [8].
// Table: room for two vectors; within of the two roles, by target role; then `sources` entries of 48 bytes, of the roles and states that lead anywhere:
//   i32 byte offset in the room (roles, then states), f32[4] at 16 the weights to roles, f32[4] at 32 the weights to states without a type
const ENTRY: usize = 48;

// @ts-ignore: decorator
@inline
export function typesOf(operator: usize): usize {
  return <usize>load<u32>(operator, 8);
}

// y = a through the operator.
export function tags(operator: usize, a: usize, y: usize): void {
  const table = <usize>load<u32>(operator, 12), end = a + (typesOf(operator) << 4);
  let sum = f32x4.splat(0);
  for (let p = a; p < end; p += 16) sum = f32x4.add(sum, v128.load(p));
  v128.store(table, sum);
  v128.store(table, v128.load(end), 16);
  let roles = f32x4.splat(0), states = roles;
  for (let q = table + 64, stop = q + <usize>load<u32>(operator, 16) * ENTRY; q < stop; q += ENTRY) {
    const s = v128.load32_splat(table + <usize>load<u32>(q));
    roles = madd(s, v128.load(q, 16), roles);
    states = madd(s, v128.load(q, 32), states);
  }
  const w0 = v128.load(table, 32), w1 = v128.load(table, 48), x0 = <usize>load<u32>(operator, 20), x1 = <usize>load<u32>(operator, 24);
  for (let p = a; p < end; p += 16, y += 16) v128.store(y, madd(v128.load32_splat(p + x1), w1, madd(v128.load32_splat(p + x0), w0, roles)));
  v128.store(y, states);
}

// @ts-ignore: decorator
@inline
function total(roles: v128, states: v128): f32 {
  const all = f32x4.add(roles, states), pairs = f32x4.add(all, v128.shuffle<f32>(all, all, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.add(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

// f32_chain_forward with an operator of tags, but for one thing: a row is divided by its sum in every fourth row, and where the sum leaves [2^-16, 2^16]. In the
// others scale is 1, and nothing waits for a sum.
export function f32_chain_forward_tags(operator: usize, x: usize, rows: i32, first: i32, alpha: usize, scale: usize, product: usize): i32 {
  const table = <usize>load<u32>(operator, 12), types = typesOf(operator), size = types << 4, bytes = size + 16, entries = table + 64, stop = entries + <usize>load<u32>(operator, 16) * ENTRY;
  const least = v128.load32_splat(LIMITS), w0 = v128.load(table, 32), w1 = v128.load(table, 48), x0 = <usize>load<u32>(operator, 20), x1 = <usize>load<u32>(operator, 24);
  let mantissa = load<f64>(product), exponent = load<f64>(product, 8), largest = load<f64>(product, 16), a = alpha - bytes;
  let roles = f32x4.splat(0), states = v128.load(a + size);
  for (let p = a; p < a + size; p += 16) roles = f32x4.add(roles, v128.load(p));
  // The largest quotient of the sums of two rows, as if the one before were divided by its sum.
  let before = first ? <f32>1 : total(roles, states), fall: f32 = 0;
  for (let t = 0; t < rows; t++, scale += 4) {
    let toRoles = f32x4.splat(0), toStates = toRoles, sum = toRoles;
    if (t >= first) {
      v128.store(table, roles);
      v128.store(table, states, 16);
      for (let q = entries; q < stop; q += ENTRY) {
        const s = v128.load32_splat(table + <usize>load<u32>(q));
        toRoles = madd(s, v128.load(q, 16), toRoles);
        toStates = madd(s, v128.load(q, 32), toStates);
      }
      for (let p = alpha, end = alpha + size, p0 = a + x0, p1 = a + x1; p < end; p += 64, x += 64, p0 += 64, p1 += 64) {
        let v0 = f32x4.mul(madd(v128.load32_splat(p1), w1, madd(v128.load32_splat(p0), w0, toRoles)), v128.load(x));
        let v1 = f32x4.mul(madd(v128.load32_splat(p1, 16), w1, madd(v128.load32_splat(p0, 16), w0, toRoles)), v128.load(x, 16));
        let v2 = f32x4.mul(madd(v128.load32_splat(p1, 32), w1, madd(v128.load32_splat(p0, 32), w0, toRoles)), v128.load(x, 32));
        let v3 = f32x4.mul(madd(v128.load32_splat(p1, 48), w1, madd(v128.load32_splat(p0, 48), w0, toRoles)), v128.load(x, 48));
        v128.store(p, (v0 = v128.andnot(v0, f32x4.lt(v0, least))));
        v128.store(p, (v1 = v128.andnot(v1, f32x4.lt(v1, least))), 16);
        v128.store(p, (v2 = v128.andnot(v2, f32x4.lt(v2, least))), 32);
        v128.store(p, (v3 = v128.andnot(v3, f32x4.lt(v3, least))), 48);
        sum = f32x4.add(sum, f32x4.add(f32x4.add(v0, v1), f32x4.add(v2, v3)));
      }
    } else {
      for (let p = a, end = a + size; p < end; p += 16, x += 16) {
        const v = f32x4.mul(v128.load(p), v128.load(x));
        v128.store(p + bytes, v);
        sum = f32x4.add(sum, v);
      }
      toStates = states;
    }
    states = f32x4.mul(toStates, v128.load(x));
    states = v128.andnot(states, f32x4.lt(states, least));
    v128.store(alpha + size, states);
    roles = sum;
    x += 16;
    const all = total(roles, states);
    fall = max(fall, before / all);
    before = all;
    if ((t & 3) != 3 && all > 1.52587890625e-5 && all < 65536) store<f32>(scale, 1);
    else {
      const r: f32 = 1 / all;
      if (!(r > 0 && r < Infinity)) return t;
      store<f32>(scale, r);
      mantissa *= <f64>r;
      const bits = reinterpret<i64>(mantissa);
      exponent += <f64>(<i32>(bits >> 52) - 1023);
      mantissa = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
      const by = f32x4.splat(r);
      for (let p = alpha, end = alpha + bytes; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), by));
      roles = f32x4.mul(roles, by);
      states = f32x4.mul(states, by);
      before = 1;
    }
    a = alpha;
    alpha += bytes;
  }
  store<f64>(product, mantissa);
  store<f64>(product, exponent, 8);
  store<f64>(product, max(largest, <f64>fall), 16);
  return rows;
}

// f32_chain_backward with an operator of tags, for the probabilities alone: x is left as it is; beta: two rows, the second one for what is between. mu: rows of `stride`
// bytes; the states of the types lie in them from byte `begin` in the order of the slots, those without a type at the byte offsets `alone`: i32[4], as many as `count`.
export function f32_chain_backward_tags(operator: usize, x: usize, rows: i32, first: i32, alpha: usize, scale: usize, beta: usize, mu: usize, stride: usize, begin: usize, alone: usize, count: i32): f32 {
  const table = <usize>load<u32>(operator, 12), types = typesOf(operator), size = types << 4, bytes = size + 16, entries = table + 64, stop = entries + <usize>load<u32>(operator, 16) * ENTRY;
  const least = v128.load32_splat(LIMITS, 4), w0 = v128.load(table, 32), w1 = v128.load(table, 48), x0 = <usize>load<u32>(operator, 20), x1 = <usize>load<u32>(operator, 24), room = beta + bytes;
  x += <usize>(rows - 1) * bytes;
  alpha += <usize>(rows - 1) * bytes;
  mu += <usize>(rows - 1) * stride;
  scale += <usize>(rows - 1) << 2;
  let largest: f32 = 0, again = 0, by: f32 = 1;
  for (let t = rows - 1; t >= 0; t--, x -= bytes, alpha -= bytes, mu -= stride, scale -= 4) {
    // The sum of alpha beta is the same in every row, but for rounding: put right in every eighth row, of the row after.
    const both = f32x4.splat(load<f32>(scale) * ((++again & 7) == 0 ? by : 1));
    let sum = f32x4.mul(v128.load(alpha + size), v128.load(beta + size)), more = f32x4.splat(0), high = v128.load(beta + size), roles = more;
    let states = f32x4.mul(f32x4.mul(v128.load(x + size), both), high);
    states = v128.andnot(states, f32x4.lt(states, least));
    for (let at: usize = 0; at < size; at += 32) {
      const b0 = v128.load(beta + at), b1 = v128.load(beta + at, 16);
      sum = madd(v128.load(alpha + at), b0, sum);
      more = madd(v128.load(alpha + at, 16), b1, more);
      high = f32x4.pmax(high, f32x4.pmax(b0, b1));
      let z0 = f32x4.mul(f32x4.mul(v128.load(x + at), both), b0), z1 = f32x4.mul(f32x4.mul(v128.load(x + at, 16), both), b1);
      v128.store(room + at, (z0 = v128.andnot(z0, f32x4.lt(z0, least))));
      v128.store(room + at, (z1 = v128.andnot(z1, f32x4.lt(z1, least))), 16);
      roles = f32x4.add(roles, f32x4.add(z0, z1));
    }
    by = 1 / total(sum, more);
    if (!(by > 0 && by < Infinity)) return Infinity;
    largest = max(largest, maxLanes(high) * by);
    const each = f32x4.splat(by);
    v128.store(table, roles);
    v128.store(table, states, 16);
    let toRoles = f32x4.splat(0), toStates = toRoles;
    for (let q = entries; q < stop; q += ENTRY) {
      const s = v128.load32_splat(table + <usize>load<u32>(q));
      toRoles = madd(s, v128.load(q, 16), toRoles);
      toStates = madd(s, v128.load(q, 32), toStates);
    }
    const z = room + x0, y = room + x1, into = mu + begin, own = f32x4.mul(f32x4.mul(v128.load(alpha + size), v128.load(beta + size)), each);
    for (let at: usize = 0; at < size; at += 32) {
      const m0 = f32x4.mul(f32x4.mul(v128.load(alpha + at), v128.load(beta + at)), each), m1 = f32x4.mul(f32x4.mul(v128.load(alpha + at, 16), v128.load(beta + at, 16)), each);
      v128.store(into + at, m0);
      v128.store(into + at, m1, 16);
      if (t >= first) {
        v128.store(beta + at, madd(v128.load32_splat(y + at), w1, madd(v128.load32_splat(z + at), w0, toRoles)));
        v128.store(beta + at, madd(v128.load32_splat(y + at, 16), w1, madd(v128.load32_splat(z + at, 16), w0, toRoles)), 16);
      }
    }
    if (t >= first) v128.store(beta + size, toStates);
    if (count > 0) store<f32>(mu + <usize>load<i32>(alone), f32x4.extract_lane(own, 0));
    if (count > 1) {
      store<f32>(mu + <usize>load<i32>(alone, 4), f32x4.extract_lane(own, 1));
      if (count > 2) store<f32>(mu + <usize>load<i32>(alone, 8), f32x4.extract_lane(own, 2));
      if (count > 3) store<f32>(mu + <usize>load<i32>(alone, 12), f32x4.extract_lane(own, 3));
    }
  }
  return largest;
}

// y = the best of a through the operator of scores; none = -Infinity.
// @ts-ignore: decorator
@inline
export function tagsMax(operator: usize, a: usize, y: usize, none: v128): void {
  const table = <usize>load<u32>(operator, 12), end = a + (typesOf(operator) << 4);
  let top = none;
  for (let p = a; p < end; p += 16) top = f32x4.pmax(top, v128.load(p));
  v128.store(table, top);
  v128.store(table, v128.load(end), 16);
  let roles = none, states = none;
  for (let q = table + 64, stop = q + <usize>load<u32>(operator, 16) * ENTRY; q < stop; q += ENTRY) {
    const s = v128.load32_splat(table + <usize>load<u32>(q));
    roles = f32x4.pmax(roles, f32x4.add(s, v128.load(q, 16)));
    states = f32x4.pmax(states, f32x4.add(s, v128.load(q, 32)));
  }
  const w0 = v128.load(table, 32), w1 = v128.load(table, 48), x0 = <usize>load<u32>(operator, 20), x1 = <usize>load<u32>(operator, 24);
  for (let p = a; p < end; p += 16, y += 16) v128.store(y, f32x4.pmax(f32x4.pmax(roles, f32x4.add(v128.load32_splat(p + x0), w0)), f32x4.add(v128.load32_splat(p + x1), w1)));
  v128.store(y, states);
}

// What led to the best score of each state of a row, for the way back: u32, 8 bits for each of four sources, a bit for each target (roles, then states) whose
// best it is; u32 of 0; for each four types u16, 4 bits for each type: the roles whose best delta of the row before it has; and for each four types u16, 4 bits
// for each type: the target roles to which the second of the two roles leads better.
// @ts-ignore: decorator
@inline
export function recordBytes(types: usize): usize {
  return 8 + types;
}

// 16 bits, one for each lane of four masks.
// @ts-ignore: decorator
@inline
function bits(a: v128, b: v128, c: v128, d: v128): u32 {
  return i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
}

// delta: a row of best scores; to: those of the next row, whose scores are x (types) and own (states without a type), with what led there in `record`; top: the best
// of each role in delta. For an operator of scores with four sources. Returns the best of each role; sum: f32[4], not below Infinity in some lane where a score of the
// row is NaN or Infinity.
// @ts-ignore: decorator
@inline
export function bestTags(operator: usize, delta: usize, x: usize, own: usize, to: usize, record: usize, top: v128, none: v128, sum: usize): v128 {
  const table = <usize>load<u32>(operator, 12), types = typesOf(operator), end = delta + (types << 4);
  v128.store(table, top);
  v128.store(table, v128.load(end), 16);
  const s0 = v128.load32_splat(table + <usize>load<u32>(table, 64)), s1 = v128.load32_splat(table + <usize>load<u32>(table, 112));
  const s2 = v128.load32_splat(table + <usize>load<u32>(table, 160)), s3 = v128.load32_splat(table + <usize>load<u32>(table, 208));
  const a0 = f32x4.add(s0, v128.load(table, 80)), a1 = f32x4.add(s1, v128.load(table, 128)), a2 = f32x4.add(s2, v128.load(table, 176)), a3 = f32x4.add(s3, v128.load(table, 224));
  const roles = f32x4.pmax(f32x4.pmax(a0, a1), f32x4.pmax(a2, a3));
  const b0 = f32x4.add(s0, v128.load(table, 96)), b1 = f32x4.add(s1, v128.load(table, 144)), b2 = f32x4.add(s2, v128.load(table, 192)), b3 = f32x4.add(s3, v128.load(table, 240));
  const states = f32x4.pmax(f32x4.pmax(b0, b1), f32x4.pmax(b2, b3));
  store<u32>(record, bits(f32x4.eq(a0, roles), f32x4.eq(b0, states), f32x4.eq(a1, roles), f32x4.eq(b1, states)) | (bits(f32x4.eq(a2, roles), f32x4.eq(b2, states), f32x4.eq(a3, roles), f32x4.eq(b3, states)) << 16));
  const w0 = v128.load(table, 32), w1 = v128.load(table, 48), half = types >> 1;
  let all = f32x4.add(states, v128.load(own)), most = none;
  v128.store(to + (types << 4), all);
  for (let p = delta, p0 = delta + <usize>load<u32>(operator, 20), p1 = delta + <usize>load<u32>(operator, 24); p < end; p += 64, p0 += 64, p1 += 64, x += 64, to += 64, record += 2) {
    store<u16>(record, bits(f32x4.eq(v128.load(p), top), f32x4.eq(v128.load(p, 16), top), f32x4.eq(v128.load(p, 32), top), f32x4.eq(v128.load(p, 48), top)), 8);
    let c = f32x4.add(v128.load32_splat(p0), w0), d = f32x4.add(v128.load32_splat(p1), w1);
    const m0 = f32x4.gt(d, c), y0 = f32x4.add(f32x4.pmax(f32x4.pmax(c, d), roles), v128.load(x));
    v128.store(to, y0);
    c = f32x4.add(v128.load32_splat(p0, 16), w0);
    d = f32x4.add(v128.load32_splat(p1, 16), w1);
    const m1 = f32x4.gt(d, c), y1 = f32x4.add(f32x4.pmax(f32x4.pmax(c, d), roles), v128.load(x, 16));
    v128.store(to, y1, 16);
    c = f32x4.add(v128.load32_splat(p0, 32), w0);
    d = f32x4.add(v128.load32_splat(p1, 32), w1);
    const m2 = f32x4.gt(d, c), y2 = f32x4.add(f32x4.pmax(f32x4.pmax(c, d), roles), v128.load(x, 32));
    v128.store(to, y2, 32);
    c = f32x4.add(v128.load32_splat(p0, 48), w0);
    d = f32x4.add(v128.load32_splat(p1, 48), w1);
    const y3 = f32x4.add(f32x4.pmax(f32x4.pmax(c, d), roles), v128.load(x, 48));
    v128.store(to, y3, 48);
    store<u16>(record + half, bits(m0, m1, m2, f32x4.gt(d, c)), 8);
    most = f32x4.pmax(most, f32x4.pmax(f32x4.pmax(y0, y1), f32x4.pmax(y2, y3)));
    all = f32x4.add(all, f32x4.add(f32x4.add(y0, y1), f32x4.add(y2, y3)));
  }
  v128.store(sum, all);
  return most;
}

// The slot from which the best path reaches slot `next`, of the least byte offset in `order` among equals. one, two: the roles that have within transitions;
// inside: a bit for each role that they lead to; places: a byte for each source, its offset in the table's room over 4; full: 0x1111... of as many types as there are, 0 above 16. Without branches that depend on the path, but for ties.
// @ts-ignore: decorator
@inline
export function sourceOf(table: usize, types: usize, one: i32, two: i32, inside: i32, places: u32, full: u64, record: usize, next: i32, order: usize): i32 {
  const alone = -<i32>(<usize>next >= types << 2), bit = (next & 3) + (4 & alone);
  const within = -((inside >> (next & 3)) & ~alone & 1);
  const choice = -(<i32>(load<u16>(record + ((types + (<usize>next >> 4 << 2)) >> 1), 8) >> (next & 15)) & 1);
  const own = (next & ~3) + (one ^ ((one ^ two) & choice));
  const sources = (load<u32>(record) >> bit) & 0x01010101;
  const place = <i32>(places >> ctz(sources)) & 7, role = place & 3, single = -(place >> 2);
  const mask = (load<u64>(record, 8) >> role) & full;
  const ties = <i32>((sources & (sources - 1)) != 0) | (~single & <i32>((mask & (mask - 1)) != 0 || !full));
  if (ties & ~within & 1) return firstOf(table, types, record, sources, order);
  const typed = <i32>ctz(mask), start = typed ^ ((typed ^ <i32>(types << 2)) & single);
  const hub = start + role;
  return hub ^ ((hub ^ own) & within);
}

// `places` of sourceOf.
// @ts-ignore: decorator
@inline
export function placesOf(table: usize): u32 {
  return (load<u32>(table, 64) | (load<u32>(table, 112) << 8) | (load<u32>(table, 160) << 16) | (load<u32>(table, 208) << 24)) >> 2;
}

// The same from other types, for any ties.
function firstOf(table: usize, types: usize, record: usize, sources: u32, order: usize): i32 {
  let best = -1, least = i32.MAX_VALUE;
  for (; sources; sources &= sources - 1) {
    const place = load<i32>(table + <usize>(ctz(sources) >> 3) * ENTRY, 64) >> 2;
    if (place >= 4) {
      const slot = <i32>(types << 2) + place - 4, name = load<i32>(order + (<usize>slot << 2));
      if (name < least) {
        least = name;
        best = slot;
      }
      continue;
    }
    for (let word: usize = 0; word < types; word += 4) {
      for (let mask = (<u32>load<u16>(record + (word >> 1), 8) >> place) & 0x1111; mask; mask &= mask - 1) {
        const slot = <i32>(word << 2) + <i32>ctz(mask) + place, name = load<i32>(order + (<usize>slot << 2));
        if (name < least) {
          least = name;
          best = slot;
        }
      }
    }
  }
  return best;
}
