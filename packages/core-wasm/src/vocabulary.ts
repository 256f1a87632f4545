import { checkAttached, isCsr, type CsrMatrix, type Tensor } from "@logits/tensor";
import * as binary from "#wasm/vocabulary";
import { family } from "./family.ts";
import { gemm, gemmScratch } from "./matmul.ts";
import { byteView, floatView, scratch } from "./memory.ts";
import { pointerOf } from "./owner.ts";

const kernels = /* @__PURE__ */ family<{
  f32_vocabulary_logits(z: number, stride: number, rows: number, count: number, bias: number, cap: number): void;
  f32_vocabulary_statistics(z: number, stride: number, rows: number, count: number, first: number, max: number, argmax: number, half: number, tilt: number): void;
  f64_vocabulary_finish(max: number, half: number, tilt: number, rows: number, out: number): void;
  f64_vocabulary_limits(max: number, half: number, ratio: number, rows: number, limits: number): void;
  f32_vocabulary_marks(z: number, stride: number, rows: number, count: number, limits: number, marks: number): void;
  f32_vocabulary_totals(z: number, stride: number, rows: number, count: number, weights: number, totals: number): void;
  f32_vocabulary_gradient(z: number, g: number, stride: number, rows: number, count: number, uniform: number, cap: number, max: number, scale: number, coefficients: number, sums: number): void;
  f32_vocabulary_top(z: number, stride: number, rows: number, count: number, first: number, k: number, values: number, indices: number, roots: number): void;
}>("vocabulary", binary);

/** What a call holds in WebAssembly memory at most, as long as D is at most 65,536 (beyond it four rows and four words at a time). */
const BUDGET = 6 * 1048576 - 65536;
/** Rows and words of a tile at most. */
const ROWS = 512;
const WORDS = 256;
/** Columns that a block of sparse rows occupies, unless one row alone has more. */
const COLUMNS = 2048;
/** Logits of a block of rows that are kept between both sweeps instead of being made again. */
const HELD = 524288;
const LOWEST = -3.4028234663852886e38;

/** A linear layer into a vocabulary, and what its rows aim at. Whoever makes one has checked it. */
export interface VocabularyProblem {
  /** float32 [B, D], or CSR. */
  readonly hidden: Tensor<"float32"> | CsrMatrix;
  /** float32 [V, D], V >= 1. */
  readonly weights: Tensor<"float32">;
  /** [V]. */
  readonly bias?: Float32Array | undefined;
  /** The rows that take part, ascending; no other row is read. */
  readonly rows: Int32Array;
  /** [B], in [0, V); or `targets`, float32 [B, V] or CSR. */
  readonly labels?: Int32Array | undefined;
  readonly targets?: Tensor<"float32"> | CsrMatrix | undefined;
  /** [V]. */
  readonly classWeights?: Float32Array | undefined;
  /** Share of the targets that is spread over the words that `bias` does not make impossible. */
  readonly smoothing: number;
  /** Factor of the squared log partition; with labels times their class weight. */
  readonly zLoss: number;
  /** z = cap tanh(z / cap), -Infinity stays; 0: none. */
  readonly softCap: number;
  /** Words whose part of every gradient of a block of rows is below it are left out; 0: none is. */
  readonly skip: number;
  /** How many of the largest logits of a row are kept. */
  readonly k: number;
}

/** One value for each of the B rows; 0 (an index: -1) where a row takes no part. A row with a logit of NaN or +Infinity: NaN, and indices of -1. */
export interface VocabularyStatistics {
  readonly losses: Float64Array;
  readonly logSumExp: Float64Array;
  readonly entropy: Float64Array;
  /** Logit of the label. */
  readonly labelLogits: Float64Array;
  readonly argmax: Int32Array;
  /** [B, k], largest first, equal ones by index; -Infinity and -1 where a row has fewer. */
  readonly topLogits: Float32Array;
  readonly topIndices: Int32Array;
}

/** Gradients of sum_b coefficients[b] losses[b]. */
export interface VocabularyGradients {
  /** [B, D]; for a CSR matrix one value for each of its elements. */
  readonly hidden: Float32Array;
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

/** The columns that a block of sparse rows occupies, and where each stands. */
interface Columns {
  readonly list: Int32Array;
  readonly place: Int32Array;
}

type Visit = (row: number, position: number, target: number) => void;

/**
 * Cross-entropy of a linear layer on a large vocabulary without its logits in memory: tiles of at most 256 words, in one sweep for the values and a second one for the gradients. At most 8 MiB of WebAssembly
 * memory whatever B and V.
 *
 *   loss[b] = sum_v T[b, v] (L[b] - z[b, v]) + zLoss L[b]^2,   z = W x + bias (then soft-capped),   L = log sum_v exp(z[v])
 *   T = classWeights (x) ((1 - smoothing) target + smoothing / words that are possible)
 *
 * @param coefficients - [B]; with them the gradients are made too
 */
export function vocabularyPass(where: string, problem: VocabularyProblem, coefficients?: Float64Array): VocabularyStatistics & { readonly gradients?: VocabularyGradients } {
  const { hidden, weights, rows, k } = problem;
  const size = hidden.shape[0], [count, width] = weights.shape;
  const out = {
    losses: new Float64Array(size), logSumExp: new Float64Array(size), entropy: new Float64Array(size), labelLogits: new Float64Array(size), argmax: new Int32Array(size).fill(-1),
    topLogits: new Float32Array(size * k).fill(-Infinity), topIndices: new Int32Array(size * k).fill(-1),
  };
  const gradients = coefficients && { hidden: new Float32Array(isCsr(hidden) ? hidden.data.length : size * width), weights: new Float32Array(count * width), bias: new Float32Array(count) };
  const most = Math.max(1, Math.min(ROWS, Math.floor(HELD / Math.max(1, k))));
  for (let first = 0; first < rows.length; ) {
    let end = Math.min(rows.length, first + most), columns: Columns | undefined, tile = WORDS;
    if (isCsr(hidden)) [end, columns] = occupied(hidden, rows, first, Math.min(end, first + WORDS));
    const breadth = columns?.list.length ?? width;
    const bytes = (): number => 4 * (2 * breadth * (tile + end - first) + 2 * tile * strideOf(end - first));
    while (bytes() > BUDGET - 8 * (end - first) * k - gemmScratch(ROWS, WORDS) && Math.max(tile, end - first) > 4) {
      if (tile >= end - first) tile >>>= 1;
      else end = first + ((end - first) >>> 1);
    }
    runBlock(where, problem, rows.subarray(first, end), columns, Math.min(tile, count), first > 0, out, coefficients, gradients);
    first = end;
  }
  return gradients ? { ...out, gradients } : out;
}

/** Floats from word to word in a tile: an odd number of cache lines, so that a column of it does not fall into one set of the cache. */
function strideOf(rows: number): number {
  const lines = (rows + 15) >>> 4;
  return 16 * (lines | 1);
}

/** As many sparse rows as occupy few columns together, and these columns. */
function occupied(x: CsrMatrix, rows: Int32Array, first: number, end: number): [end: number, columns: Columns] {
  const list: number[] = [], place = new Int32Array(x.shape[1]).fill(-1);
  let last = first;
  for (; last < end; last++) {
    const before = list.length;
    for (let j = x.indptr[rows[last]]; j < x.indptr[rows[last] + 1]; j++) {
      if (place[x.indices[j]] < 0) place[x.indices[j]] = list.push(x.indices[j]) - 1;
    }
    if (list.length <= COLUMNS || last === first) continue;
    for (const column of list.splice(before)) place[column] = -1;
    break;
  }
  return [last, { list: Int32Array.from(list), place }];
}

function runBlock(
  where: string, problem: VocabularyProblem, rows: Int32Array, columns: Columns | undefined, tile: number, later: boolean,
  out: VocabularyStatistics, coefficients: Float64Array | undefined, gradients: VocabularyGradients | undefined,
): void {
  const { hidden, weights, bias, labels, targets, classWeights, smoothing, zLoss, softCap, skip, k } = problem;
  const [count, width] = weights.shape, breadth = columns?.list.length ?? width;
  const n = rows.length, lanes = (n + 3) & ~3, stride = strideOf(n);
  const K = kernels();
  const filter = skip > 0 && gradients !== undefined;
  const held = count * stride <= HELD;

  // One block of scratch; offsets first, its address when the size is known.
  let top = (Math.max(gemmScratch(n, breadth), gemmScratch(breadth, tile), gemmScratch(breadth, n)) + 63) & ~63;
  const room = (floats: number): number => (top = (top + 4 * floats + 63) & ~63) - ((4 * floats + 63) & ~63);
  const resident = pointerOf(where, "weights", weights);
  const inPlace = resident > 0 && !filter && !columns;
  const offsets = {
    x: room(n * breadth), w: room(inPlace ? 0 : tile * breadth), z: room((held ? count : tile) * stride), half: room(2 * lanes), tilt: room(2 * lanes), totals: room(2 * lanes), ratio: room(2 * lanes), finish: room(4 * lanes),
    max: room(lanes), argmax: room(lanes), limits: room(lanes), scale: room(lanes), coefficients: room(lanes), roots: room(lanes), values: room(lanes * k), indices: room(lanes * k),
    bias: room(tile), uniform: room(tile), sums: room(tile), marks: room(tile), g: room(gradients ? tile * stride : 0), dx: room(gradients ? n * breadth : 0), dw: room(gradients ? tile * breadth : 0),
  };
  const base = scratch(top);
  const at = Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name, base + offset])) as typeof offsets;
  // After scratch, which may have grown the memory: a view of it would be empty now.
  checkAttached(where, "weights", weights);
  if (!isCsr(hidden)) checkAttached(where, "hidden", hidden);
  const view = floatView(), doubles = new Float64Array(view.buffer), bytes = byteView();
  const possible = (v: number): boolean => bias === undefined || bias[v] !== -Infinity;
  let words = 0, uniformMass = 0;
  for (let v = 0; v < (smoothing > 0 ? count : 0); v++) {
    if (!possible(v)) continue;
    words++;
    uniformMass += classWeights ? classWeights[v] : 1;
  }
  const u = words > 0 ? smoothing / words : 0;

  // Rows of the block side by side; sparse ones over the columns that they occupy.
  const x = at.x >>> 2;
  if (isCsr(hidden)) view.fill(0, x, x + n * breadth);
  for (let i = 0; i < n; i++) {
    if (!isCsr(hidden)) view.set(hidden.data.subarray(rows[i] * width, (rows[i] + 1) * width), x + i * width);
    else for (let j = hidden.indptr[rows[i]]; j < hidden.indptr[rows[i] + 1]; j++) view[x + i * breadth + columns!.place[hidden.indices[j]]] += hidden.data[j];
  }
  const f64 = (pointer: number): Float64Array => doubles.subarray(pointer >>> 3, (pointer >>> 3) + lanes);
  const f32 = (pointer: number, length = lanes): Float32Array => view.subarray(pointer >>> 2, (pointer >>> 2) + length);
  for (const pointer of [at.half, at.tilt, at.totals]) f64(pointer).fill(0);
  f32(at.max).fill(LOWEST);
  for (const pointer of [at.scale, at.coefficients, at.limits]) f32(pointer).fill(0);
  f32(at.roots).fill(-Infinity);
  f32(at.values, lanes * k).fill(-Infinity);
  new Int32Array(view.buffer, at.indices, lanes * k).fill(-1);
  new Int32Array(view.buffer, at.argmax, lanes).fill(-1);
  f32(at.z, (held ? count : tile) * stride).fill(0);

  // Targets of a row, without the part that is spread over all words: `visit` for each that is not 0 among the words `ids`, or first to first + length.
  const weightOf = (v: number): number => (1 - smoothing) * (classWeights ? classWeights[v] : 1);
  const eachTarget = (ids: Int32Array | undefined, first: number, length: number, visit: Visit): void => {
    const look = (i: number, v: number, t: number): void => {
      const position = ids ? search(ids, length, v) : v - first;
      if (position >= 0 && position < length && t * weightOf(v) !== 0) visit(i, position, t * weightOf(v));
    };
    for (let i = 0; i < n; i++) {
      const b = rows[i];
      if (labels) look(i, labels[b], 1);
      else if (targets && isCsr(targets)) for (let j = targets.indptr[b]; j < targets.indptr[b + 1]; j++) look(i, targets.indices[j], targets.data[j]);
      else if (targets) {
        for (let position = 0; position < length; position++) {
          const v = ids ? ids[position] : first + position, t = targets.data[b * count + v] * weightOf(v);
          if (t !== 0) visit(i, position, t);
        }
      }
    }
  };
  const mass = new Float64Array(n).fill(u * uniformMass), dots = new Float64Array(n);
  eachTarget(undefined, 0, count, (i, _, t) => void (mass[i] += t));

  /** Weights and biases of words to scratch; the address of the weights. */
  const loadWords = (ids: Int32Array | undefined, first: number, length: number): number => {
    const source = weights.data, to = at.w >>> 2;
    for (let j = 0; j < (bias || smoothing ? length : 0); j++) {
      const v = ids ? ids[j] : first + j;
      if (bias) view[(at.bias >>> 2) + j] = bias[v];
      view[(at.uniform >>> 2) + j] = possible(v) ? u * (classWeights ? classWeights[v] : 1) : 0;
    }
    if (inPlace) return resident + 4 * first * width;
    if (columns) {
      const { list } = columns;
      for (let j = 0, o = to; j < length; j++) for (let c = 0, from = (ids ? ids[j] : first + j) * width; c < breadth; c++) view[o++] = source[from + list[c]];
    } else if (ids) for (let j = 0; j < length; j++) view.set(source.subarray(ids[j] * width, (ids[j] + 1) * width), to + j * width);
    else view.set(source.subarray(first * width, (first + length) * width), to);
    return at.w;
  };
  const makeLogits = (from: number, z: number, length: number): void => {
    if (breadth > 0) gemm({ at: from, row: breadth, col: 1 }, { at: at.x, row: 1, col: breadth }, { at: z, row: stride, col: 1 }, length, n, breadth, false, base);
    else f32(z, length * stride).fill(0);
    if (bias || softCap) K.f32_vocabulary_logits(z, stride, lanes, length, bias ? at.bias : 0, softCap);
  };

  // The first sweep: the state of every row. Words that may matter for a gradient are marked by what the rows know so far, which is never more than they know at the end.
  const early = filter && !held && zLoss === 0;
  const kept = new Uint8Array(early ? (count + 7) >>> 3 : 0);
  const ratios = f64(at.ratio).fill(Infinity);
  if (filter) mass.forEach((a, i) => (ratios[i] = a === 0 ? Infinity : skip / a));
  for (let first = 0; first < count; first += tile) {
    const length = Math.min(tile, count - first), z = at.z + (held ? 4 * first * stride : 0);
    makeLogits(loadWords(undefined, first, length), z, length);
    K.f32_vocabulary_statistics(z, stride, lanes, length, first, at.max, at.argmax, at.half, at.tilt);
    if (smoothing) K.f32_vocabulary_totals(z, stride, lanes, length, at.uniform, at.totals);
    if (k > 0) K.f32_vocabulary_top(z, stride, lanes, length, first, k, at.values, at.indices, at.roots);
    if (early) {
      K.f64_vocabulary_limits(at.max, at.half, at.ratio, lanes, at.limits);
      K.f32_vocabulary_marks(z, stride, lanes, length, at.limits, at.marks);
    }
    eachTarget(undefined, first, length, (i, position, t) => {
      const logit = view[(z >>> 2) + position * stride + i];
      if (labels) out.labelLogits[rows[i]] = logit;
      dots[i] += t * logit;
      if (early && t >= skip) bytes[at.marks + position] = 1;
    });
    for (let j = 0; j < (early ? length : 0); j++) if (bytes[at.marks + j]) kept[(first + j) >>> 3] |= 1 << ((first + j) & 7);
  }
  K.f64_vocabulary_finish(at.max, at.half, at.tilt, lanes, at.finish);
  const logSums = f64(at.finish), entropies = f64(at.finish + 8 * lanes), totals = f64(at.totals), halves = f64(at.half), scale = f32(at.scale), parts = f32(at.coefficients);
  const best = new Int32Array(view.buffer, at.argmax, lanes);
  for (let i = 0; i < n; i++) {
    const b = rows[i], L = logSums[i];
    out.logSumExp[b] = L;
    out.entropy[b] = entropies[i];
    // Among logits that are no numbers nothing is largest.
    const orderly = L === L;
    if (orderly) out.argmax[b] = best[i];
    const square = zLoss && zLoss * (labels && classWeights ? classWeights[labels[b]] : 1);
    out.losses[b] = mass[i] * L - dots[i] - totals[i] + (square ? square * L * L : 0);
    const values = f32(at.values + 4 * i * k, k), indices = new Int32Array(view.buffer, at.indices + 4 * i * k, k);
    const order = (orderly ? Array.from(values.keys()) : []).sort((p, q) => values[q] - values[p] || indices[p] - indices[q] || 0);
    order.forEach((from, to) => {
      out.topLogits[b * k + to] = values[from];
      out.topIndices[b * k + to] = indices[from];
    });
    if (!coefficients) continue;
    const a = mass[i] + (square ? 2 * square * L : 0);
    parts[i] = coefficients[b];
    scale[i] = (coefficients[b] * a) / halves[i];
    ratios[i] = a === 0 ? Infinity : skip / Math.abs(a);
  }
  if (!gradients) return;

  // The second sweep: logits again, their gradients, and the two products.
  if (filter) K.f64_vocabulary_limits(at.max, at.half, at.ratio, lanes, at.limits);
  f32(at.dx, n * breadth).fill(0);
  const ids = new Int32Array(tile);
  for (let next = 0; next < count; ) {
    let first = next, length = 0, list: Int32Array | undefined;
    if (early) {
      list = ids;
      for (; next < count && length < tile; next++) if ((kept[next >>> 3] >>> (next & 7)) & 1) ids[length++] = next;
      if (length === 0) break;
    } else {
      length = Math.min(tile, count - next);
      next += length;
    }
    const z = at.z + (held ? 4 * first * stride : 0), from = loadWords(list, first, length);
    if (!held) makeLogits(from, z, length);
    if (filter) {
      K.f32_vocabulary_marks(z, stride, lanes, length, at.limits, at.marks);
      eachTarget(list, first, length, (_, position, t) => void (t >= skip && (bytes[at.marks + position] = 1)));
      let to = 0;
      for (let j = 0; j < length; j++) {
        if (!bytes[at.marks + j]) continue;
        for (const [start, size] of [[z >>> 2, stride], [at.w >>> 2, breadth], [at.uniform >>> 2, 1]]) view.copyWithin(start + to * size, start + j * size, start + (j + 1) * size);
        ids[to++] = list ? list[j] : first + j;
      }
      list = ids;
      length = to;
      if (length === 0) continue;
    }
    K.f32_vocabulary_gradient(z, at.g, stride, lanes, length, smoothing ? at.uniform : 0, softCap, at.max, at.scale, at.coefficients, at.sums);
    const g = at.g >>> 2, sums = at.sums >>> 2;
    eachTarget(list, first, length, (i, position, t) => {
      const part = softCap && Math.max(-1, view[(z >>> 2) + position * stride + i] / softCap), slope = parts[i] * t * (1 - part * part);
      view[g + position * stride + i] -= slope;
      view[sums + position] -= slope;
    });
    for (let j = 0; j < length; j++) gradients.bias[list ? list[j] : first + j] += view[sums + j];
    if (breadth === 0) continue;
    gemm({ at: at.g, row: 1, col: stride }, { at: from, row: breadth, col: 1 }, { at: at.dx, row: breadth, col: 1 }, n, breadth, length, true, base);
    const dw = at.dw >>> 2, d = gradients.weights;
    gemm({ at: at.g, row: stride, col: 1 }, { at: at.x, row: breadth, col: 1 }, { at: at.dw, row: breadth, col: 1 }, length, breadth, n, false, base);
    if (!list && !columns && !later) d.set(view.subarray(dw, dw + length * width), first * width);
    else {
      for (let j = 0, o = dw; j < length; j++) {
        const to = (list ? list[j] : first + j) * width;
        if (columns) for (let c = 0; c < breadth; c++) d[to + columns.list[c]] += view[o++];
        else for (let c = 0; c < width; c++) d[to + c] += view[o++];
      }
    }
  }
  const dx = at.dx >>> 2;
  for (let i = 0; i < n; i++) {
    const b = rows[i];
    if (!isCsr(hidden)) gradients.hidden.set(view.subarray(dx + i * width, dx + (i + 1) * width), b * width);
    else for (let j = hidden.indptr[b]; j < hidden.indptr[b + 1]; j++) gradients.hidden[j] = view[dx + i * breadth + columns!.place[hidden.indices[j]]];
  }
}

/** Place of `v` among the first `length` of `ids`, which ascend; -1 if it is not there. */
function search(ids: Int32Array, length: number, v: number): number {
  let low = 0;
  for (let high = length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (ids[middle] < v) low = middle + 1;
    else high = middle;
  }
  return low < length && ids[low] === v ? low : -1;
}
