import { asFloat32, asOffsets, rangeError, type TensorLike } from "@logits/tensor";
import { chain as code } from "#wgsl";
import type { Family, Gpu, Part } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { grid, shapeError } from "./rows.ts";
import { softmax } from "./softmax.ts";

const FAMILY: Family = { name: "chain", code, reads: 4, writes: 4 };
const BEST = 1, BACKWARD = 2;
/** What a workgroup's memory holds of a row, twice. */
const MOST = 1024;

/** Scores of the first and the last state. */
export interface ChainOptions {
  /** float32 [C], in memory. Default 0 everywhere. */
  readonly start?: TensorLike;
  /** float32 [C], in memory. Default 0 everywhere. */
  readonly end?: TensorLike;
}

/** Transitions on the GPU, for many sequences. */
export interface GpuChain {
  /** C. */
  readonly states: number;
  /** As given: whoever made them disposes of them. */
  readonly transitions: GpuTensor;
  /** float32 [2, C]: `start` and `end`. */
  readonly edges: GpuTensor;
  /** Gives the edges back. */
  dispose(): void;
}

/** Which rows are one sequence. */
export interface ChainRowsOptions {
  /** int32 [B + 1] in memory: sequence b has the rows [offsets[b], offsets[b + 1]); from 0 to N, not decreasing. Default: one sequence. */
  readonly offsets?: TensorLike;
}

/** What is computed beside the partition sums. */
export interface ChainForwardBackwardOptions extends ChainRowsOptions {
  /** The probability of each state in each row. Default false. */
  readonly marginals?: boolean;
}

/** Sums over all sequences of states. */
export interface ChainSums {
  /** log Z of each sequence, float32 [B]. */
  readonly logPartition: GpuTensor<"float32">;
  /** float32 [N, C], where asked for. */
  readonly marginals?: GpuTensor<"float32">;
}

/** Best sequences of states. */
export interface ChainPaths {
  /** int32 [N]. */
  readonly states: GpuTensor<"int32">;
  /** float32 [B]. */
  readonly scores: GpuTensor<"float32">;
}

/**
 * Transitions of linear chains with what belongs to them.
 *
 * @param transitions - on the GPU, float32 [C, C], [from, to], 1 <= C <= 1024; -Infinity = impossible
 * @param options - `start`, `end`, float32 [C]
 * @throws RangeError for another shape, or more states than 1,024 or than a binding holds; TypeError for a tensor outside the GPU
 * @example
 *   const chain = compileChain(gpu.tensor([[1, -1], [-1, 1]]));
 * Source: this library.
 */
export function compileChain(transitions: GpuTensor, { start, end }: ChainOptions = {}): GpuChain {
  const where = "compileChain";
  checkGpuTensor(where, "transitions", transitions);
  const { shape, gpu } = transitions, [states] = shape, most = Math.min(MOST, Math.floor(Math.sqrt(gpu.reach)));
  if (shape.length !== 2 || shape[1] !== states || !(states > 0 && states <= most)) throw shapeError(where, "transitions", `[C, C] with C from 1 to ${most}`, transitions);
  const both = new Float32Array(2 * states);
  for (const [name, given = [], at] of [["start", start, 0], ["end", end, states]] as const) {
    const { data, size } = asFloat32(where, name, given);
    if (size !== states && size > 0) throw rangeError(where, name, `of shape [${states}]`, `${size} elements`);
    both.set(data, at);
  }
  const edges = gpu.tensor(both);
  return { states, transitions, edges, dispose: () => edges.dispose() };
}

/**
 * log Z of chains, with marginals, by the forward-backward recursion in log space.
 *
 *   Z = sum over y of exp(start[y_0] + sum_t emissions[t, y_t] + sum_(t > 0) transitions[y_(t-1), y_t] + end[y_last])
 *
 * A sequence takes one workgroup. A step is within (C / 4 + 8 + 8 s) 2^-24 of exact, s the largest finite score; log Z of T rows within T of these, and half a unit of its own.
 *
 * @param chain - of `compileChain`
 * @param emissions - on the GPU, float32 [N, C]: the rows of all sequences; -Infinity, or less than -1e30, = impossible
 * @param options - `offsets`, `marginals`
 * @returns `logPartition` float32 [B]: -Infinity where no sequence of states is possible, NaN where a row or the transitions hold NaN or +Infinity, 0 of an empty sequence; `marginals` float32
 *   [N, C], NaN where logPartition is not finite
 * @throws RangeError for another shape, offsets that decrease, or a sequence larger than a binding; TypeError for a tensor outside the GPU
 * @example
 *   await gpu.read(chainForwardBackward(chain, gpu.tensor([[2, 0], [0, 1]]), { marginals: true }));
 * Source: Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proceedings of the IEEE 77 (1989).
 */
export function chainForwardBackward(chain: GpuChain, emissions: GpuTensor, options: ChainForwardBackwardOptions & { readonly marginals: true }): Required<ChainSums>;
export function chainForwardBackward(chain: GpuChain, emissions: GpuTensor, options?: ChainForwardBackwardOptions): ChainSums;
export function chainForwardBackward(chain: GpuChain, emissions: GpuTensor, options: ChainForwardBackwardOptions = {}): ChainSums {
  return sums("chainForwardBackward", chain, emissions, 2, options);
}

/**
 * The best sequence of states of each chain, by the Viterbi recursion.
 *
 *   delta[t, j] = emissions[t, j] + max_i delta[t - 1, i] + transitions[i, j]
 *
 * @param chain - of `compileChain`
 * @param emissions - on the GPU, float32 [N, C]; -Infinity, or less than -1e30, = impossible
 * @param options - `offsets`
 * @returns `states` int32 [N]: among equal paths the one that is smallest read from its end, -1 in a sequence in which none is possible; `scores` float32 [B], -Infinity there, 0 of an empty
 *   sequence. Reading `states` throws a RangeError with the row of NaN or +Infinity
 * @throws RangeError for another shape, offsets that decrease, or a sequence larger than a binding; TypeError for a tensor outside the GPU
 * @example
 *   await chainViterbi(chain, gpu.tensor([[2, 0], [0, 1]])).states.read();
 * Source: Viterbi, "Error bounds for convolutional codes and an asymptotically optimum decoding algorithm", IEEE Transactions on Information Theory 13 (1967).
 */
export function chainViterbi(chain: GpuChain, emissions: GpuTensor, options: ChainRowsOptions = {}): ChainPaths {
  return paths("chainViterbi", chain, emissions, 2, options);
}

/**
 * log Z of chains of segments: the semi-Markov conditional random field of @logits/structured-prediction, with all scores of segments in one tensor.
 *
 *   Z = sum over segmentations of exp(start[first] + sum of segments[last row, length - 1, state] + sum of transitions[from, to] between neighbours + end[last])
 *
 * O(T C (C + D)) for T rows and segments of up to D. A step is within (C / 4 + D / 4 + 12 + 8 s) 2^-24 of exact, s the largest finite score.
 *
 * @param chain - of `compileChain`
 * @param segments - on the GPU, float32 [N, D, C], by last row, length - 1 and state; -Infinity, or less than -1e30, = impossible. What would begin before its sequence is not read
 * @param options - `offsets`
 * @returns `logPartition` float32 [B], as of `chainForwardBackward`
 * @throws as `chainForwardBackward`
 * @example
 *   await segmentSums(chain, gpu.tensor([[[1, 0], [0, 0]], [[0, 1], [2, 0]]])).logPartition.read();
 * Source: Sarawagi, Cohen, "Semi-Markov conditional random fields for information extraction", NIPS 2004.
 */
export function segmentSums(chain: GpuChain, segments: GpuTensor, options: ChainRowsOptions = {}): ChainSums {
  return sums("segmentSums", chain, segments, 3, { ...options, marginals: false });
}

/**
 * The best segmentation of each sequence.
 *
 * @param chain - of `compileChain`
 * @param segments - as for `segmentSums`
 * @param options - `offsets`
 * @returns `states` int32 [N]: the state of a segment at its first row, -1 at the others, and in a sequence in which none is possible; `scores` float32 [B], as of `chainViterbi`. Among equal
 *   segmentations, read from their end, the smaller state, then the shorter segment
 * @throws as `chainViterbi`
 * @example
 *   await segmentViterbi(chain, gpu.tensor([[[1, 0], [0, 0]], [[0, 1], [2, 0]]])).states.read();
 * Source: Sarawagi, Cohen, NIPS 2004.
 */
export function segmentViterbi(chain: GpuChain, segments: GpuTensor, options: ChainRowsOptions = {}): ChainPaths {
  return paths("segmentViterbi", chain, segments, 3, options);
}

function sums(where: string, chain: GpuChain, x: GpuTensor, rank: 2 | 3, { marginals = false, offsets }: ChainForwardBackwardOptions): ChainSums {
  const [run, gpu, batch] = sequences(where, chain, x, rank, offsets), inputs = [x, chain.transitions];
  const logPartition = gpu.result(where, "float32", [batch], inputs), y = gpu.result(where, "float32", marginals || rank === 3 ? [x.shape[0], chain.states] : [1], inputs);
  run(0, logPartition, y);
  if (marginals) run(BACKWARD, logPartition, y);
  const p = marginals ? softmax(y) : undefined;
  y.dispose();
  return { logPartition, ...(p && { marginals: p }) };
}

function paths(where: string, chain: GpuChain, x: GpuTensor, rank: 2 | 3, { offsets }: ChainRowsOptions): ChainPaths {
  const [run, gpu, batch] = sequences(where, chain, x, rank, offsets), [rows] = x.shape, inputs = [x, chain.transitions], all = [rows, chain.states];
  const states = gpu.result(where, "int32", [rows], inputs, (data) => checkStates(where, data as Int32Array)), scores = gpu.result(where, "float32", [batch], inputs);
  const y = gpu.result(where, "float32", rank === 3 ? all : [1], inputs), back = gpu.result(where, "int32", all, inputs);
  run(BEST, scores, y, back, states);
  for (const tensor of [y, back]) tensor.dispose();
  return { states, scores };
}

/** States below -1 name the row that has no best one. */
function checkStates(where: string, states: Int32Array): void {
  const bad = states.find((state) => state < -1);
  if (bad !== undefined) throw rangeError(where, "scores", "that are finite or -Infinity", `NaN or +Infinity in row ${-2 - bad}, or in the chain`);
}

/** Runs a mode of the kernel, in as many dispatches as the bindings need. */
type Run = (mode: number, totals: GpuTensor, y: GpuTensor, back?: GpuTensor, path?: GpuTensor) => void;

function sequences(where: string, { states, transitions, edges }: GpuChain, x: GpuTensor, rank: 2 | 3, given: TensorLike | undefined): [run: Run, gpu: Gpu, batch: number] {
  const name = rank === 2 ? "emissions" : "segments";
  for (const part of [transitions, edges]) checkGpuTensor(where, "chain", part);
  checkGpuTensor(where, name, x, transitions);
  const { gpu, shape } = x, longest = rank === 2 ? 1 : shape[1], row = longest * states, most = Math.floor(gpu.reach / row);
  if (shape.length !== rank || shape[rank - 1] !== states || row === 0) throw shapeError(where, name, `[N, ${rank === 3 ? "D, " : ""}${states}]`, x);
  const offsets = asOffsets(where, "offsets", given, shape[0]), batch = offsets.length - 1, long = offsets.findIndex((to, b) => to - offsets[b - 1] > most);
  if (long > 0) throw rangeError(where, name, `of sequences with at most ${most} rows (bindingBytes of this backend)`, `${offsets[long] - offsets[long - 1]} in sequence ${long - 1}`);
  const run: Run = (mode, totals, y, back, path) => {
    // What a mode does not write is bound to room of its own: no two bindings may be one.
    const bounds = gpu.tensor(offsets, "int32"), rooms = [back, path].map((tensor, k) => tensor ?? gpu.result(where, "float32", k === 1 && longest > 1 ? [shape[0]] : [1], []));
    const part = ({ slot, offset, size }: GpuTensor, width: number, first: number, rows: number): Part => (size > 1 ? { slot, at: offset + first * width, count: Math.max(1, rows * width) } : { slot, at: offset, count: 1 });
    for (let first = 0, last = 0; first < batch; first = last) {
      const base = offsets[first];
      for (last = first; last < batch && offsets[last + 1] - base <= most; ) last++;
      const count = last - first, rows = offsets[last] - base;
      const parts = [part(x, row, base, rows), part(transitions, states, 0, states), part(edges, states, 0, 2), part(bounds, 1, first, count + 1), part(y, states, base, rows), part(rooms[0], states, base, rows), part(rooms[1], 1, base, rows), part(totals, 1, first, count)];
      gpu.dispatch(where, FAMILY, { MODE: mode }, parts, [count, states, base, y.shape.length > 1 ? 1 : 0, longest], [], grid(gpu, count));
    }
    for (const tensor of [bounds, ...rooms]) if (tensor !== back && tensor !== path) tensor.dispose();
  };
  return [run, gpu, batch];
}
