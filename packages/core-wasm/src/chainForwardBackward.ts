import { rangeError, type TensorLike } from "@logits/tensor";
import { DENSE, kernels, type CompiledChain } from "./chain.ts";
import { extended } from "./chainExtended.ts";
import { chainRows, layout, type ChainRows, type ChainRowsOptions } from "./chainRows.ts";
import { floatView, intView, scratch } from "./memory.ts";

/** What is computed beside the partition sums. */
export interface ChainForwardBackwardOptions extends ChainRowsOptions {
  /** The probability of each state in each row. Default false. */
  readonly marginals?: boolean;
  /** The probability of each state in each row given the rows up to it. Default false. */
  readonly filtered?: boolean;
  /** Expected numbers of transitions of each sequence, or the probabilities of the transitions into each row. Default none. */
  readonly pairs?: "counts" | "rows";
  /** The extended range for every sequence, not only where float32 does not reach. Default false. */
  readonly extended?: boolean;
}

/** Sums over all sequences of states. */
export interface ChainSums {
  /** log Z of each sequence, float64 [B]: -Infinity where no sequence of states is possible, NaN where a row holds NaN or +Infinity, 0 of an empty sequence. */
  readonly logPartition: Float64Array;
  /** float32 [N, C]; NaN in a sequence whose logPartition is not finite. */
  readonly marginals?: Float32Array;
  /** float32 [N, C]: P(y_t | rows 0 to t), without `end`; NaN as in `marginals`. */
  readonly filtered?: Float32Array;
  /** `counts`: float64 [B, arcs], in the order of `chain.arcs` (by target, then source); `rows`: float32 [N, C, C], [from, to], 0 in the first row of a sequence. */
  readonly pairs?: Float64Array | Float32Array;
  /** How many sequences needed the extended range. There, probabilities under 2^-126 are 0. */
  readonly extended: number;
}

/** One sequence, and where its results go. */
export interface ChainSequence {
  readonly rows: ChainRows;
  /** Its rows: [from, to). */
  readonly from: number;
  readonly to: number;
  readonly marginals: Float32Array | undefined;
  readonly filtered: Float32Array | undefined;
  /** Expected counts of its arcs. */
  readonly counts: Float64Array | undefined;
  /** Of all sequences. */
  readonly pairs: Float32Array | undefined;
}

/** Bytes of the rows of a block: they stay in the second-level cache from pass to pass. */
const BLOCK = 1 << 20;
/** What flushed weights may have lost at most, as a share of the partition sum. */
const LOSS = 2 ** -36;

/**
 * log Z of chains, with marginals and expected transitions, by the forward-backward recursion in scaled linear space.
 *
 *   Z = sum over y of exp(start[y_0] + sum_t emissions[t, y_t] + sum_(t > 0) transitions[y_(t-1), y_t] + end[y_last])
 *
 * Weights are float32, divided by their sum in every row; sums across rows are float64. Weights that leave float32 become 0; the backward pass bounds what
 * that lost, and a sequence where it might be seen is done again in extended range (float64 mantissas and exponents). Long sequences go in blocks of about
 * 1 MiB: the forward pass keeps a row at the start of each, the backward pass repeats it block by block.
 *
 * @param chain - of `compileChain`
 * @param emissions - float32 [N, C], the rows of all sequences; -Infinity = impossible
 * @param options - `offsets`, `marginals`, `filtered`, `pairs`, `transitions`
 * @returns `logPartition`, and what was asked for
 * @throws RangeError for another shape, offsets that decrease, `counts` of transitions that differ from row to row
 * @example
 *   chainForwardBackward(chain, tensor([[2, 0], [0, 1]]), { marginals: true }).logPartition;
 * Source: Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proceedings of the IEEE 77 (1989).
 */
export function chainForwardBackward(chain: CompiledChain, emissions: TensorLike, options: ChainForwardBackwardOptions = {}): ChainSums {
  const where = "chainForwardBackward";
  const rows = chainRows(where, chain, emissions, options);
  const { offsets } = rows;
  const batch = offsets.length - 1, n = rows.emissions.shape[0], C = chain.states, arcs = chain.arcs.sources.length;
  if (options.pairs === "counts" && rows.transitions) throw rangeError(where, "pairs", '"rows" with transitions that differ from row to row', '"counts"');
  const logPartition = new Float64Array(batch);
  const marginals = options.marginals ? new Float32Array(n * C) : undefined;
  const filtered = options.filtered ? new Float32Array(n * C) : undefined;
  const pairs = options.pairs === "rows" ? new Float32Array(n * C * C) : undefined;
  const counts = options.pairs === "counts" ? new Float64Array(batch * arcs) : undefined;
  let far = 0;
  for (let b = 0; b < batch; b++) {
    const [from, to] = [offsets[b], offsets[b + 1]];
    if (from === to) continue;
    const sequence: ChainSequence = { rows, from, to, marginals, filtered, pairs, counts: counts?.subarray(b * arcs, (b + 1) * arcs) };
    let value = options.extended ? undefined : scaled(chain, sequence);
    if (value === undefined) {
      far++;
      sequence.counts?.fill(0);
      value = extended(chain, sequence);
    }
    logPartition[b] = value;
    if (!Number.isFinite(value)) {
      marginals?.fill(NaN, from * C, to * C);
      filtered?.fill(NaN, from * C, to * C);
      pairs?.fill(NaN, from * C * C, to * C * C);
      sequence.counts?.fill(NaN);
    }
  }
  return { logPartition, ...(marginals && { marginals }), ...(filtered && { filtered }), ...(pairs && { pairs }), ...(counts && { pairs: counts }), extended: far };
}

/** In scaled linear space; undefined where float32 does not reach. */
function scaled(chain: CompiledChain, { rows, from, to, marginals, filtered, counts, pairs }: ChainSequence): number | undefined {
  const { states: C, width, at, slots, arcs, weights } = chain;
  const { f32_chain_weights, f32_chain_matrices, f32_chain_forward, f32_chain_backward, f32_chain_pairs, f32_chain_arcs, f32_chain_unpack, f32_chain_forward_tags, f32_chain_backward_tags, f64_chain_log } = kernels();
  const { emissions, transitions } = rows;
  const row = 4 * width, length = to - from, varying = transitions ? 1 : 0;
  // Tags have a forward pass whose rows do not all sum to 1, and a backward pass of probabilities alone.
  const tags = chain.tags, lean = tags && !filtered, probable = tags && !counts && !pairs;
  const held = Math.min(length, Math.max(16, Math.floor(BLOCK / (3 * row + 4 * C + varying * C * (2 * row + 4 * C)))));
  const parts = layout({
    numbers: 128, operators: 64, alone: 16, beta: 2 * row, before: row, alpha: held * row, x: held * row, mu: held * row, scale: 4 * held, emissions: 4 * held * C + 64,
    counts: counts ? Math.max(chain.structure === "sparse" ? 8 * arcs.sources.length : row * width) : 0,
    matrices: varying * (4 * held * C * C + 16), forward: varying * held * C * row, backward: varying * held * C * row,
  });
  const base = scratch(parts.bytes);
  const { beta, before, alpha, x, mu, scale } = parts.at(base), at2 = parts.at(base);
  const floats = floatView(), numbers = new Float64Array(floats.buffer, base, 16);
  // Of the forward pass: product (3 numbers) and tops; the same where a block is repeated, not read.
  const PRODUCT = 0, TOPS = 3, AGAIN = 4, LOG = 8;
  numbers.fill(0);
  numbers[PRODUCT] = numbers[AGAIN] = numbers[LOG] = 1;
  const varyingOperator = (k: number, matrices: number): number => {
    intView().set([DENSE, width, matrices, C, C * row, 0, 0, 0], (at2.operators + 32 * k) >>> 2);
    return at2.operators + 32 * k;
  };
  const forward = varying ? varyingOperator(0, at2.forward) : at.forward, backward = varying ? varyingOperator(1, at2.backward) : at.backward;
  const view = (address: number, count: number): Float32Array => floats.subarray(address >>> 2, (address >>> 2) + count);

  const blocks = Math.ceil(length / held);
  const sizeOf = (b: number): number => Math.min(held, length - b * held);
  const kept = new Float32Array(blocks * width);
  /** alpha of a block, from the row before it; whether every row has a sum. */
  const pass = (b: number, sums: number): boolean => {
    const first = from + b * held, count = sizeOf(b), skip = b === 0 ? 1 : 0;
    floats.set(emissions.data.subarray(first * C, (first + count) * C), at2.emissions >>> 2);
    f32_chain_weights(at2.emissions, count, C, at.order, x, width, base + 8 * (sums + TOPS));
    if (transitions) {
      floats.set(transitions.data.subarray((first + skip) * C * C, (first + count) * C * C), at2.matrices >>> 2);
      f32_chain_matrices(at2.matrices, count - skip, C, at2.forward, at2.backward, width, 0, base + 8 * (sums + TOPS));
    }
    return (lean ? f32_chain_forward_tags : f32_chain_forward)(forward, x, count, skip, alpha, scale, base + 8 * sums) === count;
  };
  intView().set([0, 4, 8, 12].map((k) => row - 16 + k), at2.alone >>> 2);
  view(before, width).set(view(at.startWeights, width));
  for (let b = 0; b < blocks; b++) {
    kept.set(view(before, width), b * width);
    if (!pass(b, PRODUCT)) return holdsNaN(rows, from, to, C) ? NaN : undefined;
    view(before, width).set(view(alpha + (sizeOf(b) - 1) * row, width));
  }
  const last = view(before, width), ends = view(at.endWeights, width);
  let sum = 0;
  for (let k = 0; k < width; k++) sum += last[k] * ends[k];
  if (!(sum > 0)) return undefined;
  numbers[LOG] = sum;
  // A half in each row, each transition, start and end.
  const value = 2 * length * Math.LN2 + Math.LN2 + numbers[TOPS] + (varying ? 0 : (length - 1) * chain.top) + chain.edges - f64_chain_log(base) + f64_chain_log(base + 8 * LOG);
  if (!marginals && !filtered && !counts && !pairs && chain.even && !varying) return value;

  view(beta, width).set(ends);
  let largest = 0;
  for (let b = blocks - 1; b >= 0; b--) {
    const first = from + b * held, skip = b === 0 ? 1 : 0, count = sizeOf(b), moves = count - skip;
    if (blocks > 1) {
      view(before, width).set(kept.subarray(b * width, (b + 1) * width));
      numbers[AGAIN] = 1;
      pass(b, AGAIN);
    }
    if (!probable) largest = Math.max(largest, f32_chain_backward(backward, x, count, skip, alpha, scale, beta, mu));
    else if (tags.begin >= 0) largest = Math.max(largest, f32_chain_backward_tags(backward, x, count, skip, alpha, scale, beta, at2.emissions, 4 * C, tags.begin, at.order + row - 16, tags.alone));
    else largest = Math.max(largest, f32_chain_backward_tags(backward, x, count, skip, alpha, scale, beta, mu, row, 0, at2.alone, 4));
    const a = alpha + skip * row, z = x + skip * row;
    if (counts && moves > 0) {
      if (chain.structure === "sparse") {
        const totals = new Float64Array(floats.buffer, at2.counts, counts.length);
        totals.set(counts);
        f32_chain_arcs(forward, a, z, moves, at2.counts);
        counts.set(totals);
      } else {
        const products = view(at2.counts, width * width).fill(0);
        f32_chain_pairs(a, z, moves, width, at2.counts);
        for (let j = 0; j < C; j++) for (let k = arcs.starts[j]; k < arcs.starts[j + 1]; k++) counts[k] += products[slots[arcs.sources[k]] * width + slots[j]] * weights[k];
      }
    }
    if (pairs) {
      for (let t = 0; t < moves; t++) {
        const source = view(a + (t - 1) * row, width), target = view(z + t * row, width), into = (first + skip + t) * C * C;
        if (varying) {
          const matrix = view(at2.forward + t * C * row, C * width);
          for (let i = 0; i < C; i++) for (let j = 0; j < C; j++) pairs[into + i * C + j] = source[i] * matrix[i * width + j] * target[j];
        } else {
          for (let j = 0; j < C; j++) for (let k = arcs.starts[j]; k < arcs.starts[j + 1]; k++) pairs[into + arcs.sources[k] * C + j] = source[slots[arcs.sources[k]]] * weights[k] * target[slots[j]];
        }
      }
    }
    for (const [source, target] of [[mu, marginals], [alpha, filtered]] as const) {
      if (!target) continue;
      if (source !== mu || !probable || tags.begin < 0) f32_chain_unpack(source, count, width, at.order, at.slots, at2.emissions, C);
      target.set(view(at2.emissions, count * C), first * C);
    }
  }
  const lost = length * width * largest * (2 ** -96 + 2 ** -126 * numbers[PRODUCT + 2]);
  return lost <= LOSS ? value : undefined;
}

/** NaN or +Infinity among the scores of a sequence. */
function holdsNaN({ emissions, transitions }: ChainRows, from: number, to: number, C: number): boolean {
  const bad = (v: number): boolean => !(v < Infinity);
  return emissions.data.subarray(from * C, to * C).some(bad) || (transitions?.data.subarray((from + 1) * C * C, to * C * C).some(bad) ?? false);
}
