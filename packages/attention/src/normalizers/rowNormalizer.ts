import { matmul, tanh } from "@logits/core-wasm";
import { blockEnd, runsOf, type AttentionProblem, type AttentionResult, type Strided } from "@logits/core-wasm/attention";
import { Tensor, rangeError, typeError } from "@logits/tensor";
import type { RowGradients, RowNormalizer } from "../rowNormalizer.ts";

/** Float32 [R, N]: N keys for R queries. */
export type Rows = Tensor<"float32">;

/** What a row normaliser is made of. All rows are [R, N]; `seen` [R] counts the keys that each query sees. */
export interface RowNormalizerDefinition {
  /** For messages. */
  readonly name: string;
  /** Weights of rows of scores, a new tensor; a key that is not seen has the score -Infinity, and its weight is taken as 0 whatever is returned. So is all of a row with seen 0. */
  weights(scores: Rows, seen: Int32Array): Rows;
  /** The vector-Jacobian product: the gradient in the scores from the gradient `upstream` in the weights; what it gives for keys that are not seen is not read. */
  gradient(scores: Rows, weights: Rows, upstream: Rows, seen: Int32Array): Rows;
}

/** What is common to both passes over one block of queries. */
interface Block {
  readonly rows: number;
  /** The keys that any of the queries sees, in order. */
  readonly keys: Int32Array;
  readonly query: Rows;
  readonly key: Rows;
  readonly value: Rows;
  readonly scores: Rows;
  readonly seen: Int32Array;
  /** Derivative of the soft cap. */
  readonly slopes: Float32Array | undefined;
  /** After the normaliser, 0 where a key is not seen. */
  readonly weights: Rows;
  /** Weights times factors: what the values are multiplied with. */
  readonly final: Rows;
}

const rowsOf = (rows: number, cols: number, data: Float32Array): Rows => new Tensor("float32", [rows, cols], data);

/** Rows `keys` of [S, cols]. */
function gathered(x: Float32Array, keys: Int32Array, cols: number): Rows {
  const count = keys.length;
  if (count > 0 && keys[count - 1] - keys[0] === count - 1) return rowsOf(count, cols, x.subarray(keys[0] * cols, (keys[0] + count) * cols));
  const out = new Float32Array(count * cols);
  for (let c = 0; c < count; c++) out.set(x.subarray(keys[c] * cols, (keys[c] + 1) * cols), c * cols);
  return rowsOf(count, cols, out);
}

/** Calls `visit` for every block of queries of every head that sees a key, with scores and weights made; `item` is the batch item and key head. */
function walk(problem: AttentionProblem, factors: Float32Array | undefined, definition: RowNormalizerDefinition, visit: (block: Block, batch: number, head: number, item: number, first: number) => void): void {
  const { sizes: { batch, heads, groups, queries, keys, features, width }, scale, softCap, relative, bias, mask } = problem, distances = queries + keys - 1;
  for (let item = 0; item < batch * groups; item++) {
    // Copies: a resident tensor's view does not outlive the next operation.
    const key = problem.key.data.slice(item * keys * features, (item + 1) * keys * features), value = problem.value.data.slice(item * keys * width, (item + 1) * keys * width), b = Math.floor(item / groups);
    for (let head = (item % groups) * (heads / groups), stop = head + heads / groups; head < stop; head++) {
      for (let first = 0, end = 0; first < queries; first = end) {
        end = blockEnd(problem, first);
        const rows = end - first, base = problem.from.length > queries ? b * queries : 0, from = problem.from.subarray(base + first, base + end), to = problem.to.subarray(base + first, base + end);
        const low = from.reduce((least, at, i) => (at < to[i] ? Math.min(least, at) : least), keys), high = to.reduce((most, at, i) => (from[i] < at ? Math.max(most, at) : most), 0);
        const own: number[] = [];
        for (const [start, till] of runsOf(problem, head, first)) for (let j = Math.max(low, start); j < Math.min(high, till); j++) own.push(j);
        const list = Int32Array.from(own), count = list.length;
        if (count === 0) continue;
        const row = ((b * heads + head) * queries + first) * features, query = rowsOf(rows, features, problem.query.data.slice(row, row + rows * features).map((x) => x * scale)), used = gathered(key, list, features);
        const scores = matmul(query, used, { transposeB: true }), s = scores.data, seen = new Int32Array(rows);
        let slopes: Float32Array | undefined;
        if (softCap > 0) {
          tanh(rowsOf(rows, count, s.map((x) => x / softCap)), { out: scores });
          slopes = s.map((t) => 1 - t * t);
          for (let at = 0; at < s.length; at++) s[at] *= softCap;
        }
        for (let i = 0; i < rows; i++) {
          const at = i * count, distance = head * distances + first + i + keys - 1, ofBias = bias && startOf(bias, b, head, first + i), ofMask = mask && startOf(mask, b, head, first + i);
          for (let c = 0; c < count; c++) {
            const j = list[c];
            if (relative) s[at + c] += relative[distance - j];
            if (bias) s[at + c] += bias.data[ofBias! + j];
            if (j < from[i] || j >= to[i] || (mask && mask.data[ofMask! + j] === 0)) s[at + c] = -Infinity;
            if (s[at + c] !== -Infinity) seen[i]++;
          }
        }
        const weights = fitting(definition, "weights", definition.weights(scores, seen), scores);
        hide(scores, seen, weights);
        const final = factors ? rowsOf(rows, count, weights.data.map((w, at) => (w === 0 ? 0 : w * factors[head * distances + first + Math.floor(at / count) + keys - 1 - list[at % count]]))) : weights;
        visit({ rows, keys: list, query, key: used, value: gathered(value, list, width), scores, seen, slopes, weights, final }, b, head, item, first);
      }
    }
  }
}

const startOf = ({ strides }: Strided<unknown>, batch: number, head: number, query: number): number => batch * strides[0] + head * strides[1] + query * strides[2];

/** What a definition made, if it is of the shape of the scores. */
function fitting({ name }: RowNormalizerDefinition, what: "weights" | "gradient", made: Rows, { shape }: Rows): Rows {
  if (made.shape.length !== 2 || made.shape[0] !== shape[0] || made.shape[1] !== shape[1]) throw rangeError("attention", "normalizer", `with ${what} of the shape of the scores, [${shape.join(", ")}] ([R, N])`, `[${made.shape.join(", ")}] from ${name}`);
  return made;
}

/** 0 where a key is not seen. */
function hide(scores: Rows, seen: Int32Array, x: Rows): void {
  const { shape: [, count], data: s } = scores;
  for (let i = 0; i < seen.length; i++) if (seen[i] < count) for (let at = i * count, end = at + count; at < end; at++) if (s[at] === -Infinity) x.data[at] = 0;
}

function forward(definition: RowNormalizerDefinition, problem: AttentionProblem, factors?: Float32Array): AttentionResult {
  const { batch, heads, queries, width } = problem.sizes, output = new Float32Array(batch * heads * queries * width);
  walk(problem, factors, definition, ({ final, value }, b, head, _item, first) => output.set(matmul(final, value).data, ((b * heads + head) * queries + first) * width));
  return { output, logSumExp: new Float32Array(batch * heads * queries).fill(NaN) };
}

function gradient(definition: RowNormalizerDefinition, problem: AttentionProblem, upstream: Float32Array, factors?: Float32Array): RowGradients {
  const { sizes: { batch, heads, groups, queries, keys, features, width }, scale, relative, bias } = problem, distances = queries + keys - 1, size = batch * heads * queries;
  const sums = { key: new Float64Array(batch * groups * keys * features), value: new Float64Array(batch * groups * keys * width), bias: new Float64Array(bias ? bias.data.length : 0) };
  const made = {
    output: new Float32Array(size * width), logSumExp: new Float32Array(size).fill(NaN), query: new Float32Array(size * features), relative: new Float64Array(relative ? relative.length : 0), shifts: new Float64Array(0),
    delta: new Float64Array(size), factors: new Float64Array(factors ? factors.length : 0),
  };
  const scatter = (x: Rows, list: Int32Array, item: number, to: Float64Array): void => {
    const [count, cols] = x.shape;
    for (let c = 0; c < count; c++) for (let at = c * cols, into = (item * keys + list[c]) * cols, end = at + cols; at < end; ) to[into++] += x.data[at++];
  };
  walk(problem, factors, definition, ({ rows, keys: list, query, key, value, scores, seen, slopes, weights, final }, b, head, item, first) => {
    const row = (b * heads + head) * queries + first, count = list.length, u = rowsOf(rows, width, upstream.subarray(row * width, (row + rows) * width));
    made.output.set(matmul(final, value).data, row * width);
    scatter(matmul(final, u, { transposeA: true }), list, item, sums.value);
    const ofWeights = matmul(u, value, { transposeB: true });
    for (let at = 0, end = factors ? ofWeights.size : 0; at < end; at++) {
      const distance = head * distances + first + Math.floor(at / count) + keys - 1 - list[at % count];
      if (weights.data[at] !== 0) made.factors[distance] += weights.data[at] * ofWeights.data[at];
      ofWeights.data[at] *= factors![distance];
    }
    hide(scores, seen, ofWeights);
    const ofScores = fitting(definition, "gradient", definition.gradient(scores, weights, ofWeights, seen), scores), g = ofScores.data;
    hide(scores, seen, ofScores);
    for (let i = 0; i < rows; i++) {
      const at = i * count, distance = head * distances + first + i + keys - 1, ofBias = bias && startOf(bias, b, head, first + i);
      for (let c = 0; c < count; c++) {
        if (relative) made.relative[distance - list[c]] += g[at + c];
        if (bias) sums.bias[ofBias! + list[c]] += g[at + c];
        if (slopes) g[at + c] *= slopes[at + c];
      }
    }
    made.query.set(matmul(ofScores, key).data.map((x) => x * scale), row * features);
    scatter(matmul(ofScores, query, { transposeA: true }), list, item, sums.key);
  });
  return { ...made, key: Float32Array.from(sums.key), value: Float32Array.from(sums.value), bias: Float32Array.from(sums.bias) };
}

/**
 * A normaliser of attention from two functions over whole rows of scores: for weights that no tile can make, because a row's threshold or sum must be known before.
 *
 *   P[i, :] = weights(s[i, :]);   output = P v
 *
 * `attention` then works on blocks of 64 queries and the keys that any of them sees: memory grows with T + S. All its options apply except sinks; logSumExp is NaN.
 *
 * @param definition - `name`, `weights`, `gradient`; see RowNormalizerDefinition
 * @returns for `normalizer` of `attention`
 * @throws TypeError for a definition that lacks one
 * @example
 *   const squared = rowNormalizer({ name: "squared", weights: (s) => map(s, (x) => x * x), gradient: (s, _w, u) => map(s, (x, at) => 2 * x * u.data[at]) });
 * Source: folklore.
 */
export function rowNormalizer(definition: RowNormalizerDefinition): RowNormalizer {
  const { name } = definition;
  if (typeof name !== "string" || typeof definition.weights !== "function" || typeof definition.gradient !== "function") throw typeError("rowNormalizer", "definition", "{ name, weights, gradient }", `{ ${Object.keys(definition).join(", ")} }`);
  return { name, forward: (problem, factors) => forward(definition, problem, factors), gradient: (problem, upstream, factors) => gradient(definition, problem, upstream, factors) };
}
