import { Tensor, asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Which column each row gets. */
export interface Assignment {
  /** int32 [N]: the column of each row, -1 where there are more rows than columns and the row gets none. */
  readonly columns: Tensor<"int32">;
  /** The sum of the scores of the pairs. */
  readonly score: number;
}

/**
 * The assignment of rows to columns with the largest sum of scores; each column to one row at most.
 *
 *   maximise sum_i scores[i, columns[i]]
 *
 * Exact, by shortest augmenting paths with dual variables in float64: O(n^2 m). A soft one: `sinkhorn`.
 *
 * @param scores - float32 [N, M]: minus a cost; -Infinity = a pair that cannot be
 * @returns the columns of min(N, M) rows and their sum; of several best assignments one, always the same
 * @throws RangeError for another shape, NaN or +Infinity, scores without an assignment of min(N, M) pairs
 * @example
 *   assignment([[4, 1], [3, 2]]).columns; // 0, 1
 * Source: Kuhn, "The Hungarian method for the assignment problem", 1955; Jonker, Volgenant, Computing 38 (1987).
 */
export function assignment(scores: TensorLike): Assignment {
  const where = "assignment", s = asFloat32(where, "scores", scores);
  checkShape(where, "scores", s, ["N", "M"]);
  const [N, M] = s.shape, bad = s.data.findIndex((x) => !(x < Infinity)), flipped = N > M, n = Math.min(N, M), m = Math.max(N, M);
  if (bad >= 0) throw rangeError(where, "scores", "finite, or -Infinity for pairs that cannot be", `${s.data[bad]} at index ${bad}`);
  const cost = (i: number, j: number): number => -(flipped ? s.data[j * M + i] : s.data[i * M + j]);
  // Rows and columns count from 1 in the duals; column 0 stands for the row that is being placed.
  const u = new Float64Array(n + 1), v = new Float64Array(m + 1), rowOf = new Int32Array(m + 1), way = new Int32Array(m + 1);
  for (let i = 1; i <= n; i++) {
    rowOf[0] = i;
    let column = 0;
    const least = new Float64Array(m + 1).fill(Infinity), used = new Uint8Array(m + 1);
    do {
      used[column] = 1;
      const row = rowOf[column];
      let delta = Infinity, next = 0;
      for (let j = 1; j <= m; j++) {
        if (used[j] === 1) continue;
        const reduced = cost(row - 1, j - 1) - u[row] - v[j];
        if (reduced < least[j]) {
          least[j] = reduced;
          way[j] = column;
        }
        if (least[j] < delta) {
          delta = least[j];
          next = j;
        }
      }
      if (delta === Infinity) throw rangeError(where, "scores", `an assignment of ${n} pairs that can all be`, "none");
      for (let j = 0; j <= m; j++) {
        if (used[j] === 1) {
          u[rowOf[j]] += delta;
          v[j] -= delta;
        } else least[j] -= delta;
      }
      column = next;
    } while (rowOf[column] !== 0);
    for (; column !== 0; column = way[column]) rowOf[column] = rowOf[way[column]];
  }
  const columns = new Int32Array(N).fill(-1);
  let score = 0;
  for (let j = 1; j <= m; j++) {
    if (rowOf[j] === 0) continue;
    const [i, k] = flipped ? [j - 1, rowOf[j] - 1] : [rowOf[j] - 1, j - 1];
    columns[i] = k;
    score += s.data[i * M + k];
  }
  return { columns: new Tensor("int32", [N], columns), score };
}
