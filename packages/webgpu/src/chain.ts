import { UnsupportedKernelError, asInt32, rangeError, type TensorLike } from "@logits/tensor";
import { code } from "#wgsl/chain";
import type { Family, Gpu, Part } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { grid } from "./rows.ts";
import { softmax } from "./softmax.ts";

const FAMILY: Family = { name: "chain", code, reads: 4, writes: 3 };
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
 * A sequence takes one workgroup. Each step is within (C / 4 + 8 + 4 s) 2^-24 of exact, s the largest finite score and the range of a row; log Z of T rows within T of these, and its own rounding.
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
  const where = "chainForwardBackward", { marginals = false } = options;
  const run = sequences(where, chain, emissions, options);
  const { gpu, batch, inputs } = run;
  const logPartition = gpu.result(where, "float32", [batch], inputs);
  const y = gpu.result(where, "float32", marginals ? emissions.shape : [1], inputs);
  run.dispatch(MODES.forward, y, undefined, logPartition, marginals);
  if (marginals) run.dispatch(MODES.backward, y, undefined, logPartition, true);
  run.done();
  const p = marginals ? softmax(y) : undefined;
  y.dispose();
  return { logPartition, ...(p && { marginals: p }) };
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
  const where = "chainViterbi";
  const run = sequences(where, chain, emissions, options);
  const { gpu, batch, inputs } = run;
  const states = gpu.result(where, "int32", emissions.shape.slice(0, 1), inputs, (data) => checkStates(where, data as Int32Array));
  const scores = gpu.result(where, "float32", [batch], inputs);
  const back = gpu.result(where, "float32", emissions.shape, inputs);
  run.dispatch(MODES.best, back, states, scores, true);
  run.done();
  back.dispose();
  return { states, scores };
}

/** States below -1 name the row that has no best one. */
export function checkStates(where: string, states: Int32Array): void {
  const bad = states.find((state) => state < -1);
  if (bad !== undefined) throw rangeError(where, "emissions", "and the chain finite or -Infinity", `NaN or +Infinity in row ${-2 - bad}, or in the chain`);
}

/** Offsets of sequences in N rows. */
export function offsetsOf(where: string, rows: number, given: TensorLike | undefined): Int32Array {
  const offsets = given === undefined ? Int32Array.of(0, rows) : asInt32(where, "offsets", given).data;
  const last = offsets[offsets.length - 1];
  if (offsets.length < 1 || offsets[0] !== 0 || last !== rows) throw rangeError(where, "offsets", `from 0 to ${rows}`, offsets.length < 1 ? "none" : `${offsets[0]} to ${last}`);
  for (let b = 1; b < offsets.length; b++) if (offsets[b] < offsets[b - 1]) throw rangeError(where, "offsets", "not decreasing", `${offsets[b]} after ${offsets[b - 1]} at index ${b}`);
  return offsets;
}

/** Groups of sequences [first, last) whose rows fit in one binding. */
export function* groupsOf(where: string, offsets: Int32Array, most: number): Generator<readonly [first: number, last: number]> {
  for (let first = 0, last = 0; first < offsets.length - 1; first = last) {
    for (last = first; last < offsets.length - 1 && offsets[last + 1] - offsets[first] <= most; ) last++;
    if (last === first) throw rangeError(where, "emissions", `of sequences with at most ${most} rows (bindingBytes of this backend)`, `${offsets[first + 1] - offsets[first]} in sequence ${first}`);
    yield [first, last];
  }
}

/** Sequences as the kernel takes them. */
interface Run {
  readonly gpu: Gpu;
  readonly batch: number;
  readonly inputs: readonly GpuTensor[];
  dispatch(mode: number, y: GpuTensor, path: GpuTensor | undefined, totals: GpuTensor, keep: boolean): void;
  done(): void;
}

function sequences(where: string, { states, transitions, start, end }: GpuChain, emissions: GpuTensor, options: ChainRowsOptions): Run {
  checkGpuTensor(where, "emissions", emissions, transitions);
  const { gpu, shape } = emissions;
  if (shape.length !== 2 || shape[1] !== states) throw rangeError(where, "emissions", `of shape [N, ${states}]`, `[${shape.join(", ")}]`);
  if (states * states > gpu.reach) throw rangeError(where, "chain", `of at most ${gpu.reach} transitions (bindingBytes of this backend)`, `${states * states}`);
  const offsets = offsetsOf(where, shape[0], options.offsets), batch = offsets.length - 1;
  const groups = [...groupsOf(where, offsets, Math.max(1, Math.floor(gpu.reach / states)))];
  const bounds = gpu.tensor(offsets, "int32");
  // Both edges in one buffer.
  const edges = gpu.tensor(new Float32Array(2 * states)), unused = gpu.tensor([0]);
  [start, end].forEach((edge, k) => edge && gpu.copy(edge, edges, k * states));
  return {
    gpu, batch,
    inputs: [emissions, transitions, ...(start ? [start] : []), ...(end ? [end] : [])],
    dispatch(mode, y, path, totals, keep) {
      for (const [first, last] of groups) {
        const base = offsets[first], rows = Math.max(1, offsets[last] - base), count = last - first;
        const own = (x: GpuTensor, at: number, size: number): Part => ({ slot: x.slot, at: x.offset + at, count: Math.max(1, size) });
        const kept = keep ? own(y, base * states, rows * states) : own(y, 0, 1);
        const parts = [own(emissions, base * states, rows * states), own(transitions, 0, states * states), own(edges, 0, 2 * states), own(bounds, first, count + 1), kept, path ? own(path, base, rows) : own(unused, 0, 1), own(totals, first, count)];
        gpu.dispatch(where, FAMILY, { MODE: mode }, parts, [count, states, base, keep ? 1 : 0], [], grid(gpu, count));
      }
    },
    done() {
      for (const x of [bounds, edges, unused]) x.dispose();
    },
  };
}
