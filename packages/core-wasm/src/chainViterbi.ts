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
    if (from < to) scores[b] = chain.record > 0 ? bestTags(where, chain, rows, from, to, states) : best(where, chain, rows, from, to, states) ? pathScore(chain, rows, from, to, states) : -Infinity;
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
    intView().set([DENSE, width, matrices, C, C * row, 0, 0, at2.room], (at2.operators + 32 * k) >>> 2);
    return at2.operators + 32 * k;
  };
  const forward = varying ? operator(0, at2.forward) : at.best, backward = varying ? operator(1, at2.backward) : at.back;
  const view = (address: number, count: number): Float32Array => floats.subarray(address >>> 2, (address >>> 2) + count);
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
      floats.set(matrices, at2.matrices >>> 2);
      f32_chain_matrices(at2.matrices, stop - first - skip, C, at2.forward, at2.backward, width, 1, 0);
    }
    for (let done = 0; done < count; done += piece) {
      const rows = Math.min(piece, count - done), start = done === 0 ? skip : 0;
      floats.set(emissions.data.subarray((first + done) * C, (first + done + rows) * C), at2.emissions >>> 2);
      if (varying) intView()[(forward >>> 2) + 2] = at2.forward + Math.max(0, done - skip) * C * row;
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
    path.set(intView().subarray(at2.path >>> 2, (at2.path >>> 2) + count), from + b * held);
  }
  return true;
}

/**
 * Of tags: what led to each state is written down in a few bytes a row, so that the rows of delta need not be kept. The way back from the best state so far is taken
 * piece by piece while the emissions are at hand; where the best path of all rows ends a piece in another state, the two soon meet. Returns the score.
 */
function bestTags(where: string, chain: CompiledChain, { emissions }: ReturnType<typeof chainRows>, from: number, to: number, path: Int32Array): number {
  const { states: C, width, at, record, slots } = chain;
  const { f32_chain_best_tags, f32_chain_trace_tags } = kernels();
  const length = to - from, piece = Math.min(length, Math.max(16, Math.floor(PIECE / (4 * C)))), held = Math.min(length, piece * Math.floor(BLOCK / record / piece));
  const parts = layout({ delta: 8 * width + 16, records: (held + 1) * record, emissions: 4 * piece * C + 64, path: 4 * held, picked: 4 * held });
  const at2 = parts.at(scratch(parts.bytes));
  const floats = floatView(), bytes = new Uint8Array(floats.buffer), delta = floats.subarray(at2.delta >>> 2, (at2.delta >>> 2) + width);
  const labels = intView().subarray(at2.path >>> 2, (at2.path >>> 2) + held), picked = floats.subarray(at2.picked >>> 2, (at2.picked >>> 2) + held);
  const blocks = Math.ceil(length / held), kept = new Float32Array(blocks * width);
  const pass = (b: number): boolean => {
    const first = from + b * held, count = Math.min(held, to - first);
    for (let done = 0; done < count; done += piece) {
      const rows = Math.min(piece, count - done), start = b === 0 && done === 0 ? 1 : 0;
      floats.set(emissions.data.subarray((first + done) * C, (first + done + rows) * C), at2.emissions >>> 2);
      const made = f32_chain_best_tags(at.best, at2.emissions, rows, C, at.order, start, at2.delta, at2.records + done * record);
      if (made < 0) throw rangeError(where, "emissions", "finite or -Infinity", `NaN or +Infinity in row ${first + done - 1 - made}`);
      if (made < rows) return false;
      const end = first + done + rows === to ? at.endScores : 0;
      if (f32_chain_trace_tags(at.best, at2.records + done * record, rows, at2.delta, at.order, end, -1, at2.path + 4 * done, at2.emissions, C, at2.picked + 4 * done) < 0) return false;
    }
    return true;
  };
  delta.set(floats.subarray(at.startScores >>> 2, (at.startScores >>> 2) + width));
  for (let b = 0; b < blocks; b++) {
    kept.set(delta, b * width);
    if (!pass(b)) return -Infinity;
  }
  let score = 0, next = -1;
  for (let b = blocks - 1; b >= 0; b--) {
    const first = from + b * held, count = Math.min(held, to - first);
    if (b < blocks - 1) {
      const after = bytes.slice(at2.records, at2.records + record);
      delta.set(kept.subarray(b * width, (b + 1) * width));
      pass(b);
      bytes.set(after, at2.records + count * record);
    }
    for (let done = (Math.ceil(count / piece) - 1) * piece; done >= 0; done -= piece) {
      const rows = Math.min(piece, count - done);
      if (next >= 0) {
        const met = f32_chain_trace_tags(at.best, at2.records + done * record, rows, 0, at.order, 0, slots[next], at2.path + 4 * done, 0, 0, 0);
        for (let t = done + met; t < done + rows; t++) picked[t] = emissions.data[(first + t) * C + labels[t]];
      }
      next = labels[done];
    }
    for (let t = 0; t < count; t++) score += picked[t];
    path.set(labels.subarray(0, count), first);
  }
  return score + transitionScore(chain, from, to, path);
}

/** start + emissions + transitions + end along a path, in float64; -Infinity where a step is impossible. */
export function pathScore(chain: CompiledChain, { emissions, transitions }: ReturnType<typeof chainRows>, from: number, to: number, path: Int32Array): number {
  const { states: C, start, end } = chain;
  if (from === to) return 0;
  let score = transitions ? start[path[from]] + end[path[to - 1]] : transitionScore(chain, from, to, path);
  for (let t = from; t < to; t++) score += emissions.data[t * C + path[t]];
  if (transitions) for (let t = from + 1; t < to; t++) score += transitions.data[(t * C + path[t - 1]) * C + path[t]];
  return score;
}

/** start + transitions + end along a path of one row at least. */
function transitionScore(chain: CompiledChain, from: number, to: number, path: Int32Array): number {
  const { states: C, start, end, matrix } = chain;
  let score = start[path[from]] + end[path[to - 1]];
  if (matrix) for (let t = from + 1; t < to; t++) score += matrix[path[t - 1] * C + path[t]];
  else for (let t = from + 1; t < to; t++) score += chain.scoreOf(path[t - 1], path[t]);
  return score;
}
