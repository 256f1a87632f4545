import { Tensor, asFloat32, checkInteger, checkShape, rangeError, runSteps, type Steps, type TensorLike } from "@logits/tensor";
import { floatView, scratch } from "./memory.ts";
import { kernels } from "./nearestNeighbors.ts";
import { pointerOf } from "./owner.ts";
import { core } from "./resident.ts";

/** Rows that are brought up to date between two pauses. */
const UPDATES = 2048;
/** Rows of the first pass between two pauses. */
const ROWS = 8192;

/** Rows that stand for all of them. */
export interface FarthestPoints {
  /** In the order in which they were chosen, int32 [K]. */
  readonly indices: Tensor<"int32">;
  /** The largest distance of a row from the nearest that was chosen. */
  readonly radius: number;
}

/**
 * Rows that are far from each other, so that every row is near one of them: greedy k-centre.
 *
 *   first the row nearest to the mean; then, again and again, the row whose distance to the nearest chosen one is largest
 *
 * `radius` is at most twice that of the best K rows. Of equal distances the smaller index. What a row's distance was to the rows chosen so far bounds what it is now from above, so only rows whose bound
 * comes up are measured again: the result is that of measuring all of them each time.
 *
 * @param x - float32 [N, F], finite, N >= 1, F >= 1
 * @param count - K, an integer in [1, N]
 * @returns `indices` int32 [K] and `radius`; with K = N it is 0
 * @throws RangeError for another shape, a `count` outside [1, N], distances beyond float32
 * @example
 *   farthestPoints([[0], [1], [2], [10]], 2).indices; // 2, 3
 * Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38 (1985).
 */
export function farthestPoints(x: TensorLike, count: number): FarthestPoints {
  return runSteps(farthestPointsSteps("farthestPoints", x, count));
}

/** The pieces of `farthestPoints`; `where` names the caller in errors. */
export function* farthestPointsSteps(where: string, x: TensorLike, count: number): Steps<FarthestPoints> {
  const rows = asFloat32(where, "x", x);
  checkShape(where, "x", rows, ["N", "F"]);
  const [n, cols] = rows.shape;
  if (n === 0 || cols === 0) throw rangeError(where, "x", "of shape [N, F], N >= 1 and F >= 1", `[${n}, ${cols}]`);
  checkInteger(where, "count", count, 1, n);
  const own = pointerOf(where, "x", rows) ? undefined : core.alloc([n, cols]);
  own?.data.set(rows.data);
  const all = own ?? rows, chosen = core.alloc([count, cols]);
  try {
    const { f32_neighbors_start, f32_neighbors_direct } = kernels();
    const at = (): number => pointerOf(where, "x", all);
    const indices = new Int32Array(count), distances = new Float32Array(n), seen = new Int32Array(n).fill(1);
    const take = (place: number, row: number): void => {
      indices[place] = row;
      chosen.data.set(all.data.subarray(row * cols, (row + 1) * cols), place * cols);
      distances[row] = -1;
    };
    take(0, nearestToMean(all.data, n, cols));
    for (let from = 0; from < n; from += ROWS) {
      const some = Math.min(ROWS, n - from), near = scratch(8 * some), who = near + 4 * some;
      f32_neighbors_start(near, who, some);
      f32_neighbors_direct(at() + 4 * from * cols, some, chosen.pointer, 1, cols, 0, 1, near, who);
      const part = floatView().subarray(near >>> 2, (near >>> 2) + some);
      const beyond = part.indexOf(Infinity);
      if (beyond >= 0) throw rangeError(where, "x", "of finite numbers whose squared distances are finite", `row ${from + beyond}`);
      for (let i = 0; i < some; i++) if (distances[from + i] === 0) distances[from + i] = part[i];
      yield (0.1 * (from + some)) / n;
    }
    const heap = new Heap(distances, indices[0]);
    for (let place = 1, updates = 0; ; ) {
      if (heap.size === 0) return { indices: new Tensor("int32", [count], indices), radius: 0 };
      const row = heap.top;
      if (seen[row] === place) {
        if (place === count) return { indices: new Tensor("int32", [count], indices), radius: Math.sqrt(distances[row]) };
        take(place++, row);
        heap.remove();
        continue;
      }
      const near = scratch(8);
      floatView()[near >>> 2] = distances[row];
      f32_neighbors_direct(at() + 4 * row * cols, 1, chosen.pointer + 4 * seen[row] * cols, place - seen[row], cols, 0, 1, near, near + 4);
      seen[row] = place;
      distances[row] = floatView()[near >>> 2];
      heap.lower();
      if (++updates % UPDATES === 0) yield 0.1 + (0.9 * place) / count;
    }
  } finally {
    own?.dispose();
    chosen.dispose();
  }
}

function nearestToMean(x: Float32Array, rows: number, cols: number): number {
  const mean = new Float64Array(cols);
  for (let i = 0, j = 0; i < x.length; i++) {
    mean[j] += x[i] / rows;
    if (++j === cols) j = 0;
  }
  let best = 0, least = Infinity;
  for (let r = 0, i = 0; r < rows; r++) {
    let sum = 0;
    for (let j = 0; j < cols; j++, i++) sum += (x[i] - mean[j]) * (x[i] - mean[j]);
    if (sum < least) {
      least = sum;
      best = r;
    }
  }
  return best;
}

/** Rows by distance, the largest on top, at equal distances the smaller row. */
class Heap {
  readonly #distances: Float32Array;
  readonly #rows: Int32Array;
  size: number;

  constructor(distances: Float32Array, without: number) {
    this.#distances = distances;
    this.size = distances.length - 1;
    this.#rows = Int32Array.from({ length: this.size }, (_, i) => (i < without ? i : i + 1));
    for (let i = (this.size >> 1) - 1; i >= 0; i--) this.#sift(i);
  }

  get top(): number {
    return this.#rows[0];
  }

  remove(): void {
    this.#rows[0] = this.#rows[--this.size];
    this.#sift(0);
  }

  /** The distance of the top has become smaller. */
  lower(): void {
    this.#sift(0);
  }

  #above(a: number, b: number): boolean {
    const d = this.#distances[a], e = this.#distances[b];
    return d > e || (d === e && a < b);
  }

  #sift(at: number): void {
    const rows = this.#rows, row = rows[at];
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && this.#above(rows[child + 1], rows[child])) child++;
      if (!this.#above(rows[child], row)) break;
      rows[at] = rows[child];
      at = child;
    }
    rows[at] = row;
  }
}
