import { rangeError, type TensorLike } from "@logits/tensor";
import { DENSE, kernels, type CompiledChain } from "./chain.ts";
import { chainRows, layout, type ChainRowsOptions } from "./chainRows.ts";
import { floatView, intView, scratch } from "./memory.ts";

/** Best sequences of states. */
export interface ChainPaths {
  /** int32 [N]: the state of each row; -1 in a sequence in which no path is possible. */
  readonly states: Int32Array;
  /** float64 [B]: the score of each path, summed in float64; -Infinity where none is possible, 0 of an empty sequence. */
  readonly scores: Float64Array;
}

/** Bytes of the rows that are kept for the way back; a longer sequence is done twice, block by block. */
const BLOCK = 24 << 20;
/** Bytes of emissions that are copied in at a time. */
const PIECE = 1 << 18;

/**
 * The best sequence of states of each chain, by the Viterbi recursion without back-pointers.
 *
 *   delta[t, j] = emissions[t, j] + max_i delta[t - 1, i] + transitions[i, j]
 *
 * The rows of delta are kept, and the argmax is computed again along the best path alone. Every eighth row is shifted so that its largest is 0: float32 stays
 * exact enough however long the sequence is.
 *
 * @param chain - of `compileChain`
 * @param emissions - float32 [N, C]; -Infinity = impossible
 * @param options - `offsets`, `transitions`
 * @returns `states` and `scores`. Among equal paths the one that is smallest read from its end; with a sparse chain too
 * @throws RangeError for another shape, or where a row holds NaN or +Infinity: it has no best state
 * @example
 *   chainViterbi(chain, tensor([[2, 0], [0, 1]])).states;
 * Source: Viterbi, "Error bounds for convolutional codes and an asymptotically optimum decoding algorithm", IEEE Transactions on Information Theory 13 (1967).
 */
export function chainViterbi(chain: CompiledChain, emissions: TensorLike, options: ChainRowsOptions = {}): ChainPaths {
  const where = "chainViterbi";
  const rows = chainRows(where, chain, emissions, options);
  const { offsets } = rows;
  const states = new Int32Array(rows.emissions.shape[0]), scores = new Float64Array(offsets.length - 1);
  for (let b = 0; b < scores.length; b++) {
    const [from, to] = [offsets[b], offsets[b + 1]];
    if (from < to) scores[b] = best(where, chain, rows, from, to, states) ? pathScore(chain, rows, from, to, states) : -Infinity;
    if (scores[b] === -Infinity) states.fill(-1, from, to);
  }
  return { states, scores };
}

function best(where: string, chain: CompiledChain, { emissions, transitions }: ReturnType<typeof chainRows>, from: number, to: number, path: Int32Array): boolean {
  const { states: C, width, at } = chain;
  const { f32_chain_best, f32_chain_matrices, f32_chain_trace } = kernels();
  const row = 4 * width, length = to - from, varying = transitions ? 1 : 0;
  const held = Math.min(length, Math.max(16, Math.floor(BLOCK / (row + varying * C * (2 * row + 4 * C)))));
  const piece = Math.min(held, Math.max(16, Math.floor(PIECE / (4 * C))));
  // One matrix more: the way back begins with the step into the block after.
  const parts = layout({ operators: 64, room: row, before: row, delta: held * row, emissions: 4 * piece * C + 64, path: 4 * held, matrices: varying * (4 * (held + 1) * C * C + 16), forward: varying * (held + 1) * C * row, backward: varying * (held + 1) * C * row });
  const at2 = parts.at(scratch(parts.bytes));
  const floats = floatView();
  const operator = (k: number, matrices: number): number => {
    intView().set([DENSE, width, matrices, C, C * row, 0, 0, at2.room], (at2.operators + 32 * k) >> 2);
    return at2.operators + 32 * k;
  };
  const forward = varying ? operator(0, at2.forward) : at.best, backward = varying ? operator(1, at2.backward) : at.back;
  const view = (address: number, count: number): Float32Array => floats.subarray(address >> 2, (address >> 2) + count);
  const blocks = Math.ceil(length / held);
  const sizeOf = (b: number): number => Math.min(held, length - b * held);
  const kept = new Float32Array(blocks * width);
  const pass = (b: number): boolean => {
    const first = from + b * held, count = sizeOf(b), skip = b === 0 ? 1 : 0;
    if (transitions) {
      const stop = Math.min(to, first + count + 1);
      const matrices = transitions.data.subarray((first + skip) * C * C, stop * C * C);
      const bad = matrices.findIndex((v) => !(v < Infinity));
      if (bad >= 0) throw rangeError(where, "transitions", "finite or -Infinity", `${matrices[bad]} in row ${first + skip + Math.floor(bad / (C * C))}`);
      floats.set(matrices, at2.matrices >> 2);
      f32_chain_matrices(at2.matrices, stop - first - skip, C, at2.forward, at2.backward, width, 1, 0);
    }
    for (let done = 0; done < count; done += piece) {
      const rows = Math.min(piece, count - done), start = done === 0 ? skip : 0;
      floats.set(emissions.data.subarray((first + done) * C, (first + done + rows) * C), at2.emissions >> 2);
      if (varying) intView()[(forward >> 2) + 2] = at2.forward + Math.max(0, done - skip) * C * row;
      const made = f32_chain_best(forward, at2.emissions, rows, C, at.order, start, at2.delta + done * row);
      if (made < 0) throw rangeError(where, "emissions", "finite or -Infinity", `NaN or +Infinity in row ${first + done - 1 - made}`);
      if (made < rows) return false;
    }
    return true;
  };
  view(at2.before, width).set(view(at.startScores, width));
  for (let b = 0; b < blocks; b++) {
    kept.set(view(at2.before, width), b * width);
    if (!pass(b)) return false;
    view(at2.before, width).set(view(at2.delta + (sizeOf(b) - 1) * row, width));
  }
  let next = -1;
  for (let b = blocks - 1; b >= 0; b--) {
    const count = sizeOf(b);
    if (b < blocks - 1) {
      view(at2.before, width).set(kept.subarray(b * width, (b + 1) * width));
      pass(b);
    }
    next = f32_chain_trace(backward, at2.delta, count, b === 0 ? 1 : 0, at.order, at.endScores, next, at2.path);
    if (next < 0) return false;
    path.set(intView().subarray(at2.path >> 2, (at2.path >> 2) + count), from + b * held);
  }
  return true;
}

/** start + emissions + transitions + end along a path, in float64; -Infinity where a step is impossible. */
export function pathScore(chain: CompiledChain, { emissions, transitions }: ReturnType<typeof chainRows>, from: number, to: number, path: Int32Array): number {
  const { states: C, start, end } = chain;
  if (from === to) return 0;
  let score = start[path[from]] + end[path[to - 1]];
  for (let t = from; t < to; t++) score += emissions.data[t * C + path[t]];
  if (transitions) {
    for (let t = from + 1; t < to; t++) score += transitions.data[(t * C + path[t - 1]) * C + path[t]];
    return score;
  }
  const { matrix } = chain;
  if (matrix) for (let t = from + 1; t < to; t++) score += matrix[path[t - 1] * C + path[t]];
  else for (let t = from + 1; t < to; t++) score += chain.scoreOf(path[t - 1], path[t]);
  return score;
}
