import type { Check } from "./harness.ts";
import type { Answer, Problem } from "./types.ts";

/** The definitions in float64, and the comparison with them. */

/** Spacing of float32 at `value`, at least that of the smallest normal number. */
export function ulpOf(value: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -126) - 23);
}

function rowsOf(x: Float32Array, cols: number): Float32Array[] {
  return Array.from({ length: x.length / cols }, (_, r) => x.subarray(r * cols, (r + 1) * cols));
}

export function logSumExpOf(row: Float32Array): number {
  let max = -Infinity, sum = 0;
  for (const value of row) max = Math.max(max, value);
  for (const value of row) sum += Math.exp(value - max);
  return max + Math.log(sum);
}

interface Worst {
  ulp: number;
  index: number;
}

/** Largest |got - want| / unit(i). A NaN or an Infinity that should not be there counts as infinite. */
function worst(got: ArrayLike<number>, want: Float64Array, unit: (i: number) => number): Worst {
  const result = { ulp: 0, index: -1 };
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i] - want[i]) / unit(i);
    if (!(error <= result.ulp)) {
      result.ulp = Number.isNaN(error) ? Infinity : error;
      result.index = i;
      if (result.ulp === Infinity) break;
    }
  }
  return result;
}

function bounded(answer: Answer, want: Float64Array, unit: (i: number) => number, bound: number): { ulp?: number; failure?: string } {
  if (answer.values.length !== want.length) return { failure: `${answer.values.length} values instead of ${want.length}` };
  const { ulp, index } = worst(answer.values, want, unit);
  return ulp <= bound ? { ulp } : { failure: `${ulp.toPrecision(3)} ULP at index ${index} (${answer.values[index]} instead of ${want[index]}), bound ${bound.toPrecision(3)}` };
}

function softmaxCheck(x: Float32Array, cols: number): Check {
  const want = new Float64Array(x.length);
  let range = 0;
  rowsOf(x, cols).forEach((row, r) => {
    let max = -Infinity, min = Infinity, sum = 0;
    for (const value of row) { max = Math.max(max, value); min = Math.min(min, value); }
    for (let c = 0; c < cols; c++) sum += want[r * cols + c] = Math.exp(row[c] - max);
    for (let c = 0; c < cols; c++) want[r * cols + c] /= sum;
    range = Math.max(range, max - min);
  });
  // x - max is rounded to float32, which alone moves the result by up to |x - max| units (half a unit of 2^-19 at 16, seen from a float32 next to a power of two);
  // exp, sum, reciprocal and product share the other 8. Peers need only compute a softmax at all.
  return (answer, whose) => bounded(answer, want, (i) => ulpOf(want[i]), whose === "ours" ? 8 + range : 2 ** 14);
}

function logSumExpCheck(x: Float32Array, cols: number): Check {
  const want = Float64Array.from(rowsOf(x, cols), logSumExpOf);
  const unit = (i: number): number => ulpOf(Math.max(1, Math.abs(want[i])));
  // Long rows: ours promises 1e-7 max(1, |lse|) of float64, stored as float32 (half a unit). Short rows are summed in float32 alone: exp within 1.1 units, the sum within 2, the result within 0.5.
  const bound = cols > 1024 ? 1e-7 / 2 ** -23 + 0.5 : 4;
  return (answer, whose) => bounded(answer, want, unit, whose === "ours" ? bound : 2 ** 10);
}

function topKCheck(x: Float32Array, cols: number, k: number): Check {
  const rows = rowsOf(x, cols), want = rows.map((row) => row.toSorted((a, b) => b - a).subarray(0, k));
  return ({ values, indices }) => {
    if (values.length !== k * rows.length || indices?.length !== k * rows.length) return { failure: `expected ${k * rows.length} values and indices` };
    for (let r = 0; r < rows.length; r++) {
      const seen = new Set<number>();
      for (let j = 0; j < k; j++) {
        const at = r * k + j, index = Number(indices[at]);
        if (values[at] !== want[r][j]) return { failure: `value ${values[at]} instead of ${want[r][j]} at rank ${j} of row ${r}` };
        if (rows[r][index] !== values[at] || seen.has(index)) return { failure: `index ${index} at rank ${j} of row ${r} does not hold ${values[at]}, or stands twice` };
        seen.add(index);
      }
    }
    return {};
  };
}

function matmulCheck(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Check {
  const want = new Float64Array(m * n), size = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) {
      const s = a[i * k + l], row = l * n, out = i * n;
      for (let j = 0; j < n; j++) {
        const product = s * b[row + j];
        want[out + j] += product;
        size[out + j] += Math.abs(product);
      }
    }
  }
  // Units of sum |a b|: the result itself may cancel to nothing. Summing k products in any order stays below k units; k / 8 is far from it and finds a lost product.
  return (answer, whose) => bounded(answer, want, (i) => ulpOf(size[i]), whose === "ours" ? 4 + k / 8 : k);
}

export function checkOf(problem: Problem): Check {
  switch (problem.op) {
    case "softmax": return softmaxCheck(problem.x, problem.cols);
    case "logsumexp": return logSumExpCheck(problem.x, problem.cols);
    case "topk": return topKCheck(problem.x, problem.cols, problem.k);
    case "matmul": return matmulCheck(problem.a, problem.b, problem.m, problem.k, problem.n);
  }
}
