/** States in R blocks of P places, such that the score of a transition depends on the two blocks and on whether the place is the same. */
export interface TiedBlocks {
  /** R. */
  readonly blocks: number;
  /** Vectors of four slots that hold the places of a block. */
  readonly vectors: number;
  /** The state in each slot, -1 = empty: block by block, place by place. */
  readonly order: Int32Array;
  /** float32 [R, R], [target, source]: the score where the places differ (or either block has one place). */
  readonly between: Float32Array;
  /** float32 [R, R]: the score where the place is the same; -Infinity where that is no exception. */
  readonly within: Float32Array;
}

/** Blocks of tags: up to four roles of each type in one vector, and up to four states without a type in the last one. */
export interface TagLayout {
  /** Number of types, filled up to a multiple of 4. */
  readonly types: number;
  /** The blocks whose places are the roles, then those of the states without a type. */
  readonly roles: readonly number[];
  readonly singles: readonly number[];
  /** The state in each slot, -1 = empty: type by type, role by role, at last the states without a type. */
  readonly order: Int32Array;
  /** The first state of the first type and the number of states from one type to the next, where all roles of a type stand side by side and the types one after another. */
  readonly side: { readonly first: number; readonly step: number } | undefined;
  /** Whether the roles have one order in all types: where the score is equal, the first of them has the smaller state. */
  readonly sorted: boolean;
}

/** Two to four blocks of more than one state, with transitions within a place that leave two of them and lead to two of them at most; or nothing. */
export function tagLayout({ blocks: R, vectors: W, order, within }: TiedBlocks): TagLayout | undefined {
  const P = 4 * W, all = Array.from({ length: R }, (_, b) => b);
  const size = (b: number): number => order.subarray(b * P, (b + 1) * P).filter((s) => s >= 0).length;
  const roles = all.filter((b) => size(b) > 1), singles = all.filter((b) => size(b) === 1);
  const inside = (of: (a: number, b: number) => number): number => roles.filter((a) => roles.some((b) => within[of(a, b)] > -Infinity)).length;
  if (roles.length < 2 || roles.length > 4 || singles.length > 4 || inside((a, b) => b * R + a) > 2 || inside((a, b) => a * R + b) > 2) return undefined;
  const count = size(roles[0]), types = (count + 3) & ~3, stateOf = (b: number, place: number): number => order[b * P + place];
  // Types by their least state, roles as in the type that comes first: so the slots of most label lists are in the order of the states.
  const places = Array.from({ length: count }, (_, place) => place);
  const least = places.map((place) => Math.min(...roles.map((b) => stateOf(b, place))));
  places.sort((x, y) => least[x] - least[y]);
  roles.sort((a, b) => stateOf(a, places[0]) - stateOf(b, places[0]));
  const slots = new Int32Array(4 * types + 4).fill(-1);
  places.forEach((place, k) => roles.forEach((b, role) => (slots[4 * k + role] = stateOf(b, place))));
  singles.forEach((b, k) => (slots[4 * types + k] = stateOf(b, 0)));
  const first = slots[0], step = roles.length;
  const side = places.every((_, k) => roles.every((_, role) => slots[4 * k + role] === first + step * k + role));
  return { types, roles, singles, order: slots, side: side ? { first, step } : undefined, sorted: places.every((_, k) => roles.every((_, role) => role === 0 || slots[4 * k + role] > slots[4 * k + role - 1])) };
}

/** More blocks than this gain nothing over every pair. */
const MOST = 8;

/**
 * Finds such blocks, or nothing. States are coloured by their scores to and from each colour until no colour splits (the refinement that tests graphs for
 * isomorphism); the colours are the blocks, and the entries that differ from the rest of a block of the matrix say which places belong together.
 */
export function tiedBlocks(states: number, starts: Int32Array, sources: Int32Array, scores: Float32Array): TiedBlocks | undefined {
  const A = new Float32Array(states * states).fill(-Infinity);
  for (let j = 0; j < states; j++) for (let k = starts[j]; k < starts[j + 1]; k++) A[sources[k] * states + j] = scores[k];
  if (new Set(A).size > 2 * MOST * MOST) return undefined;
  let colour = new Int32Array(states), count = 1;
  for (;;) {
    const names = new Map<string, number>();
    const next = Int32Array.from({ length: states }, (_, i) => {
      const seen: string[] = [];
      for (let j = 0; j < states; j++) if (j !== i) seen.push(`${colour[j]} ${A[i * states + j]} ${A[j * states + i]}`);
      const name = `${colour[i]}|${A[i * states + i]}|${seen.sort().join(",")}`;
      if (!names.has(name)) names.set(name, names.size);
      return names.get(name)!;
    });
    if (names.size > MOST) return undefined;
    if (names.size === count) break;
    colour = next;
    count = names.size;
  }
  const classes = Array.from({ length: count }, (_, c) => Array.from(colour.keys()).filter((i) => colour[i] === c));
  const places = commonSize(classes);
  // States that are alike without belonging together, as "outside" and "single" without biases are: as many blocks as they fill, the rest alone. What follows checks that it may be so.
  const members = classes.flatMap((block) => (block.length <= places ? [block] : split(block, places)));
  count = members.length;
  if (count > MOST) return undefined;
  members.forEach((block, c) => block.forEach((i) => (colour[i] = c)));
  if (places < 3 || members.some((block) => block.length !== 1 && block.length !== places)) return undefined;

  const between = new Float32Array(count * count), within = new Float32Array(count * count).fill(-Infinity);
  const place = new Int32Array(states).fill(-1);
  const twins: [number, number][] = [];
  for (let b = 0; b < count; b++) {
    for (let a = 0; a < count; a++) {
      // Most entries of this part of the matrix are equal: the rest, one in each row and column, are the transitions within a place.
      const values = new Map<number, number>();
      for (const i of members[a]) for (const j of members[b]) values.set(A[i * states + j], (values.get(A[i * states + j]) ?? 0) + 1);
      if (values.size > 2) return undefined;
      const [[usual], exception] = [...values].sort(([, x], [, y]) => y - x);
      between[b * count + a] = usual;
      if (exception === undefined) continue;
      // Weights add up: an exception that is smaller than the rest would need a difference of weights.
      if (exception[1] !== places || exception[0] < usual) return undefined;
      within[b * count + a] = exception[0];
      for (const i of members[a]) for (const j of members[b]) if (A[i * states + j] === exception[0]) twins.push([i, j]);
    }
  }
  // Places: states joined by such transitions, one of each block.
  const parent = Int32Array.from({ length: states }, (_, i) => i);
  const root = (i: number): number => (parent[i] === i ? i : (parent[i] = root(parent[i])));
  for (const [i, j] of twins) parent[root(i)] = root(j);
  const of = new Map<number, number>();
  for (const block of members) {
    if (block.length === 1) place[block[0]] = 0;
    else {
      const taken = new Set<number>();
      for (const i of block) {
        const r = root(i);
        if (!of.has(r)) of.set(r, of.size);
        place[i] = of.get(r)!;
        taken.add(place[i]);
      }
      if (taken.size !== places) return undefined;
    }
  }
  // A block without such transitions joins no place of another block: any places will do.
  if (of.size !== places) {
    const linked = members.filter((block) => block.length === places && twins.some(([i, j]) => colour[i] === colour[block[0]] || colour[j] === colour[block[0]]));
    of.clear();
    for (const block of members) {
      if (block.length !== places) continue;
      if (!linked.includes(block)) block.forEach((i, k) => (place[i] = k));
      else {
        for (const i of block) {
          const r = root(i);
          if (!of.has(r)) of.set(r, of.size);
          place[i] = of.get(r)!;
        }
      }
    }
    if (of.size > places) return undefined;
  }
  const vectors = Math.ceil(places / 4);
  const order = new Int32Array(count * 4 * vectors).fill(-1);
  for (let i = 0; i < states; i++) order[colour[i] * 4 * vectors + place[i]] = i;
  return { blocks: count, vectors, order, between, within };
}

/** The size that most blocks of more than one state have: the larger one among equals. */
function commonSize(blocks: readonly (readonly number[])[]): number {
  const sizes = new Map<number, number>();
  for (const { length } of blocks) if (length > 1) sizes.set(length, (sizes.get(length) ?? 0) + 1);
  return [...sizes].sort(([a, x], [b, y]) => y - x || b - a)[0]?.[0] ?? 1;
}

function split(block: readonly number[], size: number): number[][] {
  const full = Math.floor(block.length / size) * size, out: number[][] = [];
  for (let at = 0; at < full; at += size) out.push(block.slice(at, at + size));
  return [...out, ...block.slice(full).map((i) => [i])];
}
