import type { Answer, Contender, Peer, Problem } from "../types.ts";

/** Plain JavaScript over typed arrays, as a careful person writes it. */

export function softmaxLoop(x: Float32Array, y: Float32Array, cols: number): void {
  for (let start = 0; start < x.length; start += cols) {
    let max = -Infinity, sum = 0;
    for (let i = start; i < start + cols; i++) if (x[i] > max) max = x[i];
    for (let i = start; i < start + cols; i++) sum += y[i] = Math.exp(x[i] - max);
    const scale = 1 / sum;
    for (let i = start; i < start + cols; i++) y[i] *= scale;
  }
}

export function logSumExpLoop(x: Float32Array, y: Float32Array, cols: number): void {
  for (let r = 0; r < y.length; r++) {
    let max = -Infinity, sum = 0;
    for (let i = r * cols; i < (r + 1) * cols; i++) if (x[i] > max) max = x[i];
    for (let i = r * cols; i < (r + 1) * cols; i++) sum += Math.exp(x[i] - max);
    y[r] = max + Math.log(sum);
  }
}

export function matmulLoop(a: Float32Array, b: Float32Array, y: Float32Array, m: number, k: number, n: number): void {
  y.fill(0);
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) {
      const s = a[i * k + l], row = l * n, out = i * n;
      for (let j = 0; j < n; j++) y[out + j] += s * b[row + j];
    }
  }
}

/** Indices of all columns, sorted: what most code does. */
export function topKSort(x: Float32Array, cols: number, k: number): Answer {
  const rows = x.length / cols, values = new Float32Array(rows * k), indices = new Int32Array(rows * k);
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * cols, (r + 1) * cols);
    const order = Uint32Array.from({ length: cols }, (_, i) => i).sort((i, j) => row[j] - row[i] || i - j);
    for (let j = 0; j < k; j++) { indices[r * k + j] = order[j]; values[r * k + j] = row[order[j]]; }
  }
  return { values, indices };
}

/** One pass that keeps the k best in order: almost every column fails the comparison with the worst of them. */
export function topKSelect(x: Float32Array, cols: number, k: number): Answer {
  const rows = x.length / cols, values = new Float32Array(rows * k), indices = new Int32Array(rows * k);
  for (let r = 0; r < rows; r++) {
    const base = r * cols, out = r * k;
    let count = 0, worst = -Infinity;
    for (let c = 0; c < cols; c++) {
      const value = x[base + c];
      if (count === k && value <= worst) continue;
      let at = count < k ? count++ : k - 1;
      for (; at > 0 && values[out + at - 1] < value; at--) { values[out + at] = values[out + at - 1]; indices[out + at] = indices[out + at - 1]; }
      values[out + at] = value;
      indices[out + at] = c;
      worst = values[out + count - 1];
    }
  }
  return { values, indices };
}

function contender(work: () => Answer): Contender {
  let answer: Answer = { values: [] };
  return { run: () => { answer = work(); }, read: () => answer, dispose: () => {} };
}

/** Beyond this many steps a run would take seconds and show nothing new. */
const LONG = 2 ** 28;

async function loops(problem: Problem): Promise<Contender | undefined> {
  switch (problem.op) {
    case "softmax": {
      const { x, cols } = problem;
      return contender(() => { const values = new Float32Array(x.length); softmaxLoop(x, values, cols); return { values }; });
    }
    case "logsumexp": {
      const { x, rows, cols } = problem;
      return contender(() => { const values = new Float32Array(rows); logSumExpLoop(x, values, cols); return { values }; });
    }
    case "topk": return contender(() => topKSelect(problem.x, problem.cols, problem.k));
    case "matmul": {
      const { a, b, m, k, n } = problem;
      return m * k * n > LONG ? undefined : contender(() => { const values = new Float32Array(m * n); matmulLoop(a, b, values, m, k, n); return { values }; });
    }
  }
}

async function sort(problem: Problem): Promise<Contender | undefined> {
  return problem.op === "topk" && problem.x.length < 2 ** 20 ? contender(() => topKSort(problem.x, problem.cols, problem.k)) : undefined;
}

export async function plainLoops(): Promise<Peer[]> {
  return [
    { name: "loops", version: process.version, wasm: false, prepare: loops },
    { name: "sort", version: process.version, wasm: false, prepare: sort },
  ];
}
