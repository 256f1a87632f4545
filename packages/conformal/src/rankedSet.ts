import { MOST_CLASSES, grain, rankedScore, type Rule } from "./scores.ts";

/** Up to this many candidates are ordered by insertion. */
const FEW = 48;
/** Buckets by the upper 12 bits of a float32 in [0, 1]: eight to a power of two. */
const BUCKETS = 1024;

/**
 * How many ranks a set at the threshold can have in any row; Infinity where it is all or none. From rank R + 1 on: saps >= penalty (R - u), topk > R.
 */
export function mostRanks({ method, penalty }: Rule, threshold: number): number {
  if (threshold === Infinity) return Infinity;
  const ranks = method === "topk" ? threshold : threshold / penalty + 1;
  return ranks < MOST_CLASSES ? Math.max(1, Math.ceil(ranks) + 1) : Infinity;
}

/**
 * Finds the set of one row for scores that depend on the rank, not on the mass before it ("saps", "topk"), ordering only the classes near the cut: all are counted into buckets of
 * their probabilities, whole buckets are taken while even their last class has a score of at most the threshold, and only the bucket at the cut is sorted.
 */
export class RankedSet {
  readonly #classes: number;
  readonly #counts: Int32Array = new Int32Array(BUCKETS);
  readonly #first: Int32Array;
  /** The classes of one bucket. */
  readonly #found: Int32Array;
  readonly #keys: Float64Array;

  constructor(classes: number) {
    this.#classes = classes;
    this.#first = new Int32Array(classes);
    this.#found = new Int32Array(classes);
    this.#keys = new Float64Array(classes > FEW ? classes : 0);
  }

  /** Marks the classes with a score of at most the threshold in `mask`, from `at` on; returns their number. */
  include(rule: Rule, p: Float32Array, at: number, threshold: number, u: number, mask: Uint8Array): number {
    const classes = this.#classes, end = at + classes, bits = new Int32Array(p.buffer, p.byteOffset, p.length);
    if (threshold === Infinity) {
      mask.fill(1, at, end);
      return classes;
    }
    const counts = this.#counts.fill(0), found = this.#found;
    let top = 0;
    for (let i = at; i < end; i++) {
      counts[bits[i] >>> 20]++;
      if (p[i] > top) top = p[i];
    }
    top = grain(top);
    let rank = 0;
    for (let bucket = BUCKETS - 1; rank < classes; bucket--) {
      const here = counts[bucket];
      if (here === 0) continue;
      if (rankedScore(rule, 0, 0, rank + here, top, u) > threshold) {
        const low = edge(bucket), high = edge(bucket + 1);
        let inside = 0;
        for (let i = at; i < end; i++) {
          if (p[i] >= high) mask[i] = 1;
          else if (p[i] >= low) found[inside++] = i;
        }
        this.#sort(found, inside, p, bits, at);
        return this.#walk(rule, found, inside, p, rank, top, threshold, u, mask);
      }
      rank += here;
    }
    mask.fill(1, at, end);
    return classes;
  }

  /** As `include`, from the first `ranks` classes in order, which are at least `mostRanks`. */
  includeFirst(rule: Rule, order: Int32Array, from: number, ranks: number, p: Float32Array, at: number, threshold: number, u: number, mask: Uint8Array): number {
    const first = this.#first;
    for (let r = 0; r < ranks; r++) first[r] = at + order[from + r];
    return this.#walk(rule, first, ranks, p, 0, grain(p[first[0]]), threshold, u, mask);
  }

  /** Takes classes in order while their score is at most the threshold; returns the size of the set so far. */
  #walk(rule: Rule, list: Int32Array, count: number, p: Float32Array, rank: number, top: number, threshold: number, u: number, mask: Uint8Array): number {
    for (let k = 0; k < count; k++) {
      if (!(rankedScore(rule, 0, grain(p[list[k]]), rank + 1, top, u) <= threshold)) break;
      mask[list[k]] = 1;
      rank++;
    }
    return rank;
  }

  /** Orders the first `count` entries of a list by (p descending, index ascending); they come by index. */
  #sort(list: Int32Array, count: number, p: Float32Array, bits: Int32Array, at: number): void {
    if (count <= FEW) {
      for (let k = 1; k < count; k++) {
        const i = list[k], q = p[i];
        let j = k;
        for (; j > 0 && p[list[j - 1]] < q; j--) list[j] = list[j - 1];
        list[j] = i;
      }
      return;
    }
    // Below the bits the index, so that a numeric sort without a comparator does.
    const keys = this.#keys.subarray(0, count);
    for (let k = 0; k < count; k++) keys[k] = bits[list[k]] * MOST_CLASSES + (MOST_CLASSES - 1 - (list[k] - at));
    keys.sort();
    for (let k = 0; k < count; k++) list[k] = at + MOST_CLASSES - 1 - (keys[count - 1 - k] % MOST_CLASSES);
  }
}

const float = new Float32Array(1);
const bitsOf = new Int32Array(float.buffer);

/** The smallest float32 of a bucket. */
function edge(bucket: number): number {
  bitsOf[0] = bucket << 20;
  return float[0];
}
