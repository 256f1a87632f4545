import { madd } from "./vector";

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
