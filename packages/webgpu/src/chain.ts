import { UnsupportedKernelError, asInt32, rangeError, type TensorLike } from "@logits/tensor";
import { code } from "#wgsl/chain";
import type { Family, Gpu, Part } from "./gpu.ts";
import { checkGpuTensor, type GpuDType, type GpuTensor } from "./gpuTensor.ts";
import { grid } from "./rows.ts";
import { softmax } from "./softmax.ts";

const FAMILY: Family = { name: "chain", code, reads: 4, writes: 4 };
const MODES = { forward: 0, best: 1, backward: 2 } as const;
/** What a workgroup's memory holds of a row, twice. */
const MOST = 1024;

/** Scores of the first and the last state. */
export interface ChainOptions {
  /** On the GPU, float32 [C]. Default 0 everywhere. */
  readonly start?: GpuTensor;
  /** On the GPU, float32 [C]. Default 0 everywhere. */
  readonly end?: GpuTensor;
}

/** Transitions on the GPU, for many sequences. It borrows its tensors: dispose of them when it is no more needed. */
export interface GpuChain {
  /** C. */
  readonly states: number;
  readonly transitions: GpuTensor<"float32">;
  readonly start: GpuTensor<"float32"> | undefined;
  readonly end: GpuTensor<"float32"> | undefined;
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
 * @throws RangeError for another shape; UnsupportedKernelError for more than 1,024 states; TypeError for a tensor outside the GPU
 * @example
 *   const chain = compileChain(gpu.tensor([[1, -1], [-1, 1]]));
 * Source: this library.
 */
export function compileChain(transitions: GpuTensor, options: ChainOptions = {}): GpuChain {
  const where = "compileChain";
  checkGpuTensor(where, "transitions", transitions);
  const { shape } = transitions, [states] = shape;
  if (shape.length !== 2 || states === 0 || shape[1] !== states) throw rangeError(where, "transitions", "of shape [C, C], C >= 1", `[${shape.join(", ")}]`);
  if (states > MOST) throw new UnsupportedKernelError(`compileChain: expected at most ${MOST} states on the GPU, got ${states}. Use compileChain of @logits/core-wasm on await transitions.read()`);
  const edge = (name: "start" | "end"): GpuTensor<"float32"> | undefined => {
    const x = options[name];
    if (x === undefined) return undefined;
    checkGpuTensor(where, name, x, transitions);
    if (x.shape.length !== 1 || x.size !== states) throw rangeError(where, name, `of shape [${states}]`, `[${x.shape.join(", ")}]`);
    return x;
  };
  return { states, transitions, start: edge("start"), end: edge("end") };
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

function sums(where: string, chain: GpuChain, x: GpuTensor, rank: 2 | 3, options: ChainForwardBackwardOptions): ChainSums {
  const { marginals = false } = options;
  const run = sequences(where, chain, x, rank, options);
  const logPartition = run.result("float32", run.batch);
  const y = run.window(marginals);
  run.dispatch(MODES.forward, y, undefined, undefined, logPartition);
  if (marginals) run.dispatch(MODES.backward, y, undefined, undefined, logPartition);
  run.done();
  if (!marginals) return { logPartition };
  const p = softmax(y);
  y.dispose();
  return { logPartition, marginals: p };
}

function paths(where: string, chain: GpuChain, x: GpuTensor, rank: 2 | 3, options: ChainRowsOptions): ChainPaths {
  const run = sequences(where, chain, x, rank, options);
  const { gpu, inputs } = run, [rows] = x.shape;
  const states = gpu.result(where, "int32", [rows], inputs, (data) => checkStates(where, data as Int32Array));
  const scores = run.result("float32", run.batch), back = run.result("int32", rows * chain.states);
  run.dispatch(MODES.best, run.window(false), back, states, scores);
  run.done();
  back.dispose();
  return { states, scores };
}

/** States below -1 name the row that has no best one. */
function checkStates(where: string, states: Int32Array): void {
  const bad = states.find((state) => state < -1);
  if (bad !== undefined) throw rangeError(where, "scores", "that are finite or -Infinity", `NaN or +Infinity in row ${-2 - bad}, or in the chain`);
}

/** Offsets of sequences in N rows. */
function offsetsOf(where: string, rows: number, given: TensorLike | undefined): Int32Array {
  const offsets = given === undefined ? Int32Array.of(0, rows) : asInt32(where, "offsets", given).data;
  const last = offsets[offsets.length - 1];
  if (offsets.length < 1 || offsets[0] !== 0 || last !== rows) throw rangeError(where, "offsets", `from 0 to ${rows}`, offsets.length < 1 ? "none" : `${offsets[0]} to ${last}`);
  for (let b = 1; b < offsets.length; b++) if (offsets[b] < offsets[b - 1]) throw rangeError(where, "offsets", "not decreasing", `${offsets[b]} after ${offsets[b - 1]} at index ${b}`);
  return offsets;
}

/** Groups of sequences [first, last) whose rows fit in one binding. */
function* groupsOf(where: string, name: string, offsets: Int32Array, most: number): Generator<readonly [first: number, last: number]> {
  for (let first = 0, last = 0; first < offsets.length - 1; first = last) {
    for (last = first; last < offsets.length - 1 && offsets[last + 1] - offsets[first] <= most; ) last++;
    if (last === first) throw rangeError(where, name, `of sequences with at most ${most} rows (bindingBytes of this backend)`, `${offsets[first + 1] - offsets[first]} in sequence ${first}`);
    yield [first, last];
  }
}

/** Sequences as the kernel takes them. */
interface Run {
  readonly gpu: Gpu;
  readonly batch: number;
  readonly inputs: readonly GpuTensor[];
  result<D extends GpuDType>(dtype: D, size: number): GpuTensor<D>;
  /** Room for the rows that are kept; `own` is the caller's, another one goes with `done`. */
  window(own: boolean): GpuTensor<"float32">;
  dispatch(mode: number, y: GpuTensor, back: GpuTensor | undefined, path: GpuTensor | undefined, totals: GpuTensor): void;
  done(): void;
}

function sequences(where: string, { states, transitions, start, end }: GpuChain, x: GpuTensor, rank: 2 | 3, options: ChainRowsOptions): Run {
  const name = rank === 2 ? "emissions" : "segments";
  checkGpuTensor(where, name, x, transitions);
  const { gpu, shape } = x, longest = rank === 2 ? 1 : shape[1], row = longest * states;
  if (shape.length !== rank || shape[rank - 1] !== states || longest === 0) throw rangeError(where, name, `of shape [N, ${rank === 3 ? "D, " : ""}${states}]`, `[${shape.join(", ")}]`);
  if (states * states > gpu.reach) throw rangeError(where, "chain", `of at most ${gpu.reach} transitions (bindingBytes of this backend)`, `${states * states}`);
  const offsets = offsetsOf(where, shape[0], options.offsets);
  const groups = [...groupsOf(where, name, offsets, Math.max(1, Math.floor(gpu.reach / row)))];
  // Both edges in one buffer.
  const bounds = gpu.tensor(offsets, "int32"), edges = gpu.tensor(new Float32Array(2 * states)), none = [gpu.tensor([0]), gpu.tensor([0])], used: GpuTensor[] = [bounds, edges, ...none];
  [start, end].forEach((edge, k) => edge && gpu.copy(edge, edges, k * states));
  const inputs = [x, transitions, ...(start ? [start] : []), ...(end ? [end] : [])];
  const part = ({ slot, offset }: GpuTensor, at: number, size: number): Part => ({ slot, at: offset + at, count: Math.max(1, size) });
  const shifts = longest > 1 ? gpu.result(where, "float32", [shape[0]], inputs) : undefined;
  if (shifts) used.push(shifts);
  return {
    gpu, batch: offsets.length - 1, inputs,
    result: (dtype, size) => gpu.result(where, dtype, [size], inputs),
    window(own) {
      const y = gpu.result(where, "float32", own || longest > 1 ? [shape[0], states] : [1], inputs);
      if (!own) used.push(y);
      return y;
    },
    dispatch(mode, y, back, path, totals) {
      for (const [first, last] of groups) {
        const base = offsets[first], rows = offsets[last] - base, count = last - first, keep = y.shape.length > 1, own = path ?? shifts;
        // What a mode does not write is bound to buffers that stay as they are: no two may be one.
        const parts = [
          part(x, base * row, rows * row), part(transitions, 0, states * states), part(edges, 0, 2 * states), part(bounds, first, count + 1), keep ? part(y, base * states, rows * states) : part(y, 0, 1),
          back ? part(back, base * states, rows * states) : part(none[0], 0, 1), own ? part(own, base, rows) : part(none[1], 0, 1), part(totals, first, count),
        ];
        gpu.dispatch(where, FAMILY, { MODE: mode }, parts, [count, states, base, keep ? 1 : 0, longest], [], grid(gpu, count));
      }
    },
    done() {
      for (const tensor of used) tensor.dispose();
    },
  };
}
