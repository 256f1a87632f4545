import { MOST_CLASSES, grain, rankedScore, type Rule } from "./scores.ts";

/** Up to this many candidates are ordered by insertion. */
const FEW = 48;
/** Buckets by the upper 12 bits of a float32 in [0, 1]: eight to a power of two. */
const BUCKETS = 1024;

/**
 * How many ranks a set at the threshold can have in any row; Infinity where the score of a rank has no bound of its own.
 * From rank R + 1 on: raps > penalty (R + 1 - freeRanks), saps >= penalty (R - u), topk > R.
 */
export function mostRanks({ method, penalty, freeRanks }: Rule, threshold: number): number {
  if (threshold === Infinity || method === "aps") return Infinity;
  const ranks = method === "topk" ? threshold : threshold / penalty + (method === "raps" ? freeRanks : 1);
  return ranks < MOST_CLASSES ? Math.max(1, Math.ceil(ranks) + 1) : Infinity;
}

/**
 * Finds the set of one row for scores that rise along the ranks, ordering only the classes near the cut: classes so improbable that all of them together do not
 * reach the threshold are passed over, the others are counted into buckets of their probabilities, whole buckets are taken while even their last class has a score
 * of at most the threshold, and only the bucket at the cut is sorted.
 */
export class RankedSet {
  readonly #classes: number;
  readonly #sums: Float64Array = new Float64Array(BUCKETS);
  readonly #counts: Int32Array = new Int32Array(BUCKETS);
  /** The classes that may be in the set. */
  readonly #likely: Int32Array;
  /** The classes of one bucket. */
  readonly #found: Int32Array;
  readonly #keys: Float64Array;

  constructor(classes: number) {
    this.#classes = classes;
    this.#likely = new Int32Array(classes);
    this.#found = new Int32Array(classes);
    this.#keys = new Float64Array(classes > FEW ? classes : 0);
  }

  /** Marks the classes with a score of at most the threshold in `mask`, from `at` on; returns their number. `bits` is `p` as int32. */
  include(rule: Rule, p: Float32Array, bits: Int32Array, at: number, threshold: number, u: number, mask: Uint8Array): number {
    const classes = this.#classes, end = at + classes;
    if (threshold === Infinity) {
      mask.fill(1, at, end);
      return classes;
    }
    const { method, penalty, freeRanks } = rule;
    const mass = method === "aps" || method === "raps";
    const likely = this.#likely, found = this.#found;
    // A row sums to 1 within 1e-7 C. What lies below `least` sums to less than what is missing from the threshold to that, so everything before it exceeds the threshold.
    const least = mass ? (1 - 1e-6 * (classes + 1) - threshold) / classes : 0;
    let count = 0;
    if (least > 0 && classes > FEW) {
      // The bits of a float32 >= 0 order like the number; without a branch, which no predictor would guess.
      const under = bitsFrom(least) - 1;
      for (let i = at; i < end; i++) {
        likely[count] = i;
        count += (under - bits[i]) >>> 31;
      }
    } else for (let i = at; i < end; i++) likely[count++] = i;
    if (count <= FEW) {
      this.#sort(likely, count, p, bits, at);
      return this.#walk(rule, likely, count, p, 0, 0, count === 0 ? 0 : grain(p[likely[0]]), threshold, u, mask);
    }
    const sums = this.#sums, counts = this.#counts;
    const lowest = least > 0 ? bitsFrom(least) >>> 20 : 0;
    counts.fill(0, lowest);
    let top = 0;
    if (mass) {
      sums.fill(0, lowest);
      for (let k = 0; k < count; k++) {
        const i = likely[k], bucket = bits[i] >>> 20;
        sums[bucket] += grain(p[i]);
        counts[bucket]++;
      }
    } else {
      for (let i = at; i < end; i++) {
        counts[bits[i] >>> 20]++;
        if (p[i] > top) top = p[i];
      }
      top = grain(top);
    }
    let before = 0, rank = 0;
    // Rounding of a bound can only send a bucket to the exact walk.
    const safe = threshold - 1e-12 * (1 + Math.abs(threshold));
    for (let bucket = BUCKETS - 1; rank < count; bucket--) {
      const here = counts[bucket];
      if (here === 0) continue;
      let bound: number;
      if (mass) {
        const smallest = grain(edge(bucket));
        bound = before + sums[bucket] + (smallest > 0 ? -u * smallest : 1) + (method === "raps" ? penalty * Math.max(0, rank + here - freeRanks) : 0);
      } else bound = rankedScore(rule, 0, 0, rank + here, top, u);
      if (bound > safe) {
        const low = edge(bucket), high = edge(bucket + 1);
        let inside = 0;
        for (let k = 0; k < count; k++) {
          const i = likely[k], q = p[i];
          if (q >= high) mask[i] = 1;
          else if (q >= low) found[inside++] = i;
        }
        this.#sort(found, inside, p, bits, at);
        const size = this.#walk(rule, found, inside, p, before, rank, top, threshold, u, mask);
        if (size < rank + inside) return size;
      }
      before += sums[bucket];
      rank += here;
    }
    for (let k = 0; k < count; k++) mask[likely[k]] = 1;
    return count;
  }

  /** As `include`, from the first `ranks` classes in order, which are at least `mostRanks`. */
  includeFirst(rule: Rule, order: Int32Array, from: number, ranks: number, p: Float32Array, at: number, threshold: number, u: number, mask: Uint8Array): number {
    const first = this.#likely;
    for (let r = 0; r < ranks; r++) first[r] = at + order[from + r];
    return this.#walk(rule, first, ranks, p, 0, 0, grain(p[first[0]]), threshold, u, mask);
  }

  /** Takes classes in order while their score is at most the threshold; returns the size of the set so far. */
  #walk(rule: Rule, list: Int32Array, count: number, p: Float32Array, before: number, rank: number, top: number, threshold: number, u: number, mask: Uint8Array): number {
    for (let k = 0; k < count; k++) {
      const i = list[k], q = grain(p[i]);
      if (!(rankedScore(rule, before, q, rank + 1, top, u) <= threshold)) break;
      mask[i] = 1;
      before += q;
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

/** The bits of the smallest float32 >= x > 0. */
function bitsFrom(x: number): number {
  float[0] = x;
  return bitsOf[0] + (float[0] < x ? 1 : 0);
}
