import { MOST_CLASSES, grain, rankedScore, type Rule } from "./scores.ts";

/** Up to this many candidates are ordered by insertion. */
const FEW = 48;
/** Buckets by the upper 12 bits of a float32 in [0, 1]: eight to a power of two. */
const BUCKETS = 1024;

/**
 * Finds the set of one row for scores that rise along the ranks, ordering only the classes near the cut: the row is counted into buckets of its
 * probabilities, whole buckets are taken while even their last class has a score of at most the threshold, and only the bucket at the cut is sorted.
 */
export class RankedSet {
  readonly #classes: number;
  readonly #sums: Float64Array = new Float64Array(BUCKETS);
  readonly #counts: Int32Array = new Int32Array(BUCKETS);
  readonly #found: Int32Array;
  readonly #keys: Float64Array;

  constructor(classes: number) {
    this.#classes = classes;
    this.#found = new Int32Array(classes);
    this.#keys = new Float64Array(classes > FEW ? classes : 0);
  }

  /** Marks the classes with a score of at most the threshold in `mask`, from `at` on; returns their number. `bits` is `p` as uint32. */
  include(rule: Rule, p: Float32Array, bits: Uint32Array, at: number, threshold: number, u: number, mask: Uint8Array): number {
    const classes = this.#classes, end = at + classes;
    if (threshold === Infinity) {
      mask.fill(1, at, end);
      return classes;
    }
    if (classes <= FEW) {
      for (let c = 0; c < classes; c++) this.#found[c] = c;
      this.#sort(p, bits, at, classes);
      return this.#walk(rule, p, at, classes, 0, 0, grain(p[at + this.#found[0]]), threshold, u, mask);
    }
    const sums = this.#sums, counts = this.#counts, { method, penalty, freeRanks } = rule;
    counts.fill(0);
    const mass = method === "aps" || method === "raps";
    if (mass) {
      sums.fill(0);
      for (let i = at; i < end; i++) {
        const bucket = bits[i] >>> 20;
        sums[bucket] += grain(p[i]);
        counts[bucket]++;
      }
    } else for (let i = at; i < end; i++) counts[bits[i] >>> 20]++;
    let before = 0, rank = 0, top = 0;
    if (method === "saps") for (let i = at; i < end; i++) if (p[i] > top) top = p[i];
    top = grain(top);
    // Rounding of a bound can only send a bucket to the exact walk.
    const safe = threshold - 1e-12 * (1 + Math.abs(threshold));
    for (let bucket = BUCKETS - 1; bucket >= 0; bucket--) {
      const count = counts[bucket];
      if (count === 0) continue;
      let bound: number;
      if (mass) {
        const least = grain(edge(bucket));
        bound = before + sums[bucket] + (least > 0 ? -u * least : 1) + (method === "raps" ? penalty * Math.max(0, rank + count - freeRanks) : 0);
      } else bound = rankedScore(rule, 0, 0, rank + count, top, u);
      if (bound > safe) {
        const low = edge(bucket), high = edge(bucket + 1);
        let found = 0;
        for (let i = at; i < end; i++) {
          const q = p[i];
          if (q >= high) mask[i] = 1;
          else if (q >= low) this.#found[found++] = i - at;
        }
        this.#sort(p, bits, at, found);
        const size = this.#walk(rule, p, at, found, before, rank, top, threshold, u, mask);
        if (size < rank + found) return size;
      }
      before += sums[bucket];
      rank += count;
    }
    mask.fill(1, at, end);
    return classes;
  }

  /** Takes found classes in order while their score is at most the threshold; returns the size of the set so far. */
  #walk(rule: Rule, p: Float32Array, at: number, found: number, before: number, rank: number, top: number, threshold: number, u: number, mask: Uint8Array): number {
    for (let i = 0; i < found; i++) {
      const c = at + this.#found[i], q = grain(p[c]);
      if (!(rankedScore(rule, before, q, rank + 1, top, u) <= threshold)) break;
      mask[c] = 1;
      before += q;
      rank++;
    }
    return rank;
  }

  /** Orders the found classes by (p descending, index ascending); they come by index. */
  #sort(p: Float32Array, bits: Uint32Array, at: number, found: number): void {
    const list = this.#found;
    if (found <= FEW) {
      for (let i = 1; i < found; i++) {
        const c = list[i], q = p[at + c];
        let j = i;
        for (; j > 0 && p[at + list[j - 1]] < q; j--) list[j] = list[j - 1];
        list[j] = c;
      }
      return;
    }
    // The bits of a float32 >= 0 order like the number; below them the index, so that a numeric sort without a comparator does.
    const keys = this.#keys.subarray(0, found);
    for (let i = 0; i < found; i++) keys[i] = bits[at + list[i]] * MOST_CLASSES + (MOST_CLASSES - 1 - list[i]);
    keys.sort();
    for (let i = 0; i < found; i++) list[i] = MOST_CLASSES - 1 - (keys[found - 1 - i] % MOST_CLASSES);
  }
}

const float = new Float32Array(1);
const bitsOf = new Uint32Array(float.buffer);

/** The smallest float32 of a bucket. */
function edge(bucket: number): number {
  bitsOf[0] = bucket << 20;
  return float[0];
}
