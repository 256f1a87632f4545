import { asFloat32, checkInteger, checkShape, DisposedError, rangeError, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/chains";
import { tagLayout, tiedBlocks, type TagLayout, type TiedBlocks } from "./chainBlocks.ts";
import { family } from "./family.ts";
import { allocate, release } from "./heap.ts";
import { floatView, intView, scratch } from "./memory.ts";

/** The kernels of the `chains` family. */
export const kernels: () => {
  f32_chain_weights(e: number, rows: number, states: number, order: number, x: number, width: number, tops: number): void;
  f32_chain_matrices(a: number, steps: number, states: number, to: number, back: number, width: number, raw: number, tops: number): void;
  f32_chain_forward(operator: number, x: number, rows: number, first: number, alpha: number, scale: number, product: number): number;
  f32_chain_backward(operator: number, x: number, rows: number, first: number, alpha: number, scale: number, beta: number, mu: number): number;
  f64_chain_log(product: number): number;
  f32_chain_pairs(alpha: number, z: number, rows: number, width: number, pairs: number): void;
  f32_chain_arcs(operator: number, alpha: number, z: number, rows: number, counts: number): void;
  f32_chain_unpack(x: number, rows: number, width: number, order: number, slots: number, y: number, states: number): void;
  f32_chain_best(operator: number, e: number, rows: number, states: number, order: number, first: number, delta: number): number;
  f32_chain_trace(back: number, delta: number, rows: number, first: number, order: number, end: number, next: number, path: number): number;
  f32_chain_forward_tags(operator: number, x: number, rows: number, first: number, alpha: number, scale: number, product: number): number;
  f32_chain_backward_tags(operator: number, x: number, rows: number, first: number, alpha: number, scale: number, beta: number, mu: number, stride: number, begin: number, alone: number, count: number): number;
  f32_chain_best_tags(operator: number, e: number, rows: number, states: number, order: number, first: number, delta: number, records: number): number;
  f32_chain_trace_tags(operator: number, records: number, rows: number, delta: number, order: number, end: number, next: number, path: number, e: number, states: number, picked: number): number;
  f64_far_weights(s: number, count: number, mantissas: number, exponents: number): void;
  f64_far_forward(starts: number, sources: number, mantissas: number, exponents: number, stride: number, width: number, xm: number, xe: number, rows: number, first: number, am: number, ae: number): void;
  f64_far_dot(am: number, ae: number, bm: number, be: number, width: number, out: number): void;
  f64_far_backward(starts: number, sources: number, mantissas: number, exponents: number, stride: number, width: number, xm: number, xe: number, rows: number, first: number, am: number, ae: number, bm: number, be: number, z: number, mu: number): void;
  f64_far_arcs(starts: number, sources: number, mantissas: number, exponents: number, stride: number, width: number, xm: number, xe: number, rows: number, am: number, ae: number, z: number, counts: number, countStride: number): void;
} = family("chains", binary);

export const DENSE = 0, BLOCKS = 1, SPARSE = 2, TAGS = 3;

/** Transitions that are listed: those that are not there are impossible. */
export interface ChainArcs {
  /** Number of states, at least 1. */
  readonly states: number;
  /** Source of each arc, in [0, states). */
  readonly from: ArrayLike<number>;
  /** Target of each arc; no arc twice. */
  readonly to: ArrayLike<number>;
  /** Score of each arc. */
  readonly scores: ArrayLike<number>;
}

/** Scores of the first and the last state, and a way to run through the transitions. */
export interface ChainOptions {
  /** Instead of the structure that is found: `dense` where transitions will differ from row to row. */
  readonly structure?: "dense" | "sparse";
  /** float32 [C]. Default 0 everywhere. */
  readonly start?: TensorLike;
  /** float32 [C]. Default 0 everywhere. */
  readonly end?: TensorLike;
}

/** How the kernels run through the transitions: every pair, equal blocks of states in O(C), or the arcs that are there. */
export type ChainStructure = "dense" | "blocks" | "sparse";

/** Arcs by target or by source, as int32 and float32. */
export interface Arcs {
  readonly starts: Int32Array;
  readonly sources: Int32Array;
  readonly scores: Float32Array;
  /** Number of the arc in the order by target. */
  readonly index: Int32Array;
}

/**
 * Transitions made ready for the kernels, once for many sequences. They live in WebAssembly memory: `dispose()` gives it back.
 *
 * Made by `compileChain`.
 */
export class CompiledChain {
  /** C. */
  readonly states: number;
  /** What was found. */
  readonly structure: ChainStructure;
  /** Slots of a row: states, filled up to a multiple of 4 or to blocks. */
  readonly width: number;
  /** Arcs with a finite score, by target. */
  readonly arcs: Arcs;
  readonly start: Float32Array;
  readonly end: Float32Array;
  /** Slot of each state. */
  readonly slots: Int32Array;
  /** Weight of each arc, half of exp(score - top). */
  readonly weights: Float32Array;
  /** log of the largest weights that were divided out: of a transition; of start and end together. */
  readonly top: number;
  readonly edges: number;
  /** Whether weights that leave float32 cannot matter, whatever the emissions: every transition is possible and they are near one another. */
  readonly even: boolean;
  /** Bytes that `f32_chain_best_tags` leaves of a row; 0 where it does not apply: no tags, or ones where a role is reached from its own type and from others. */
  readonly record: number;
  /** Of tags: how many states have no type; the bytes of a row of emissions before the types, -1 where its types do not lie as the slots do. */
  readonly tags: { readonly alone: number; readonly begin: number } | undefined;
  readonly #block: number;
  readonly #size: number;
  readonly #at: ReturnType<typeof addresses>;
  #disposed = false;
  #reversed: Arcs | undefined;
  #matrix: Float32Array | undefined;

  constructor(states: number, arcs: Arcs, start: Float32Array, end: Float32Array, wanted?: "dense" | "sparse") {
    this.states = states;
    this.arcs = arcs;
    this.start = start;
    this.end = end;
    const count = arcs.sources.length;
    const few = count * 12 < states * states;
    const blocks = wanted || few ? undefined : tiedBlocks(states, arcs.starts, arcs.sources, arcs.scores);
    this.structure = wanted ?? (blocks ? "blocks" : few ? "sparse" : "dense");
    const layout = blocks && tagLayout(blocks), order = layout?.order ?? blocks?.order;
    const width = (this.width = order ? order.length : (states + 3) & ~3);
    this.even = count === states * states && spread(arcs.scores) <= 20 && spread(start) <= 20 && spread(end) <= 20;
    const at = (this.#at = addresses(this.structure, states, width, count, blocks));
    this.#size = at.bytes;
    const block = (this.#block = allocate(at.bytes));
    this.slots = Int32Array.from({ length: states }, (_, i) => i);
    order?.forEach((s, slot) => { if (s >= 0) this.slots[s] = slot; });
    const { top, edges, weights, apart } = fill(this, block, at, blocks, layout);
    const straight = layout?.side?.step === 4 && layout.order[width - 5] >= 0;
    this.tags = layout && { alone: layout.singles.length, begin: straight ? 4 * layout.order[0] : -1 };
    this.record = layout?.sorted && apart ? 8 + layout.types : 0;
    this.weights = weights;
    this.top = top;
    this.edges = edges;
  }

  /** Addresses of the parts. @throws DisposedError after `dispose()` */
  get at(): { readonly forward: number; readonly backward: number; readonly best: number; readonly back: number; readonly order: number; readonly slots: number; readonly startWeights: number; readonly endWeights: number; readonly startScores: number; readonly endScores: number } {
    if (this.#disposed) throw new DisposedError("CompiledChain: expected a live chain, got one after dispose()");
    const b = this.#block, at = this.#at;
    return {
      forward: b + at.forward, backward: b + at.backward, best: b + at.best, back: b + at.back, order: at.order < 0 ? 0 : b + at.order, slots: at.order < 0 ? 0 : b + at.slots,
      startWeights: b + at.startWeights, endWeights: b + at.endWeights, startScores: b + at.startScores, endScores: b + at.endScores,
    };
  }

  /** The arcs by source: `sources` holds their targets. */
  get reversed(): Arcs {
    return (this.#reversed ??= transposed(this.states, this.arcs));
  }

  /** float32 [C * C], [from, to]; undefined above 512 states, where the arcs are searched. */
  get matrix(): Float32Array | undefined {
    const { starts, sources, scores } = this.arcs, C = this.states;
    if (C <= 512 && this.#matrix === undefined) {
      this.#matrix = new Float32Array(C * C).fill(-Infinity);
      for (let j = 0; j < C; j++) for (let k = starts[j]; k < starts[j + 1]; k++) this.#matrix[sources[k] * C + j] = scores[k];
    }
    return this.#matrix;
  }

  /** Score of a transition; -Infinity where there is no arc. */
  scoreOf(from: number, to: number): number {
    const { starts, sources, scores } = this.arcs;
    let low = starts[to], high = starts[to + 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sources[middle] < from) low = middle + 1;
      else high = middle;
    }
    return low < starts[to + 1] && sources[low] === from ? scores[low] : -Infinity;
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    release(this.#block, this.#size);
  }
}

function spread(scores: Float32Array): number {
  let low = Infinity, high = -Infinity;
  for (const s of scores) {
    if (s < low) low = s;
    if (s > high) high = s;
  }
  return scores.length === 0 ? 0 : high - low;
}

export function transposed(states: number, { starts, sources, scores }: Arcs): Arcs {
  const count = sources.length;
  const back = new Int32Array(states + 1), targets = new Int32Array(count), values = new Float32Array(count), index = new Int32Array(count);
  for (let k = 0; k < count; k++) back[sources[k] + 1]++;
  for (let i = 0; i < states; i++) back[i + 1] += back[i];
  const next = back.slice();
  for (let j = 0; j < states; j++) {
    for (let k = starts[j]; k < starts[j + 1]; k++) {
      const at = next[sources[k]]++;
      targets[at] = j;
      values[at] = scores[k];
      index[at] = k;
    }
  }
  return { starts: back, sources: targets, scores: values, index };
}

/** Offsets in the chain's block of memory. */
function addresses(structure: ChainStructure, states: number, width: number, arcs: number, blocks: TiedBlocks | undefined) {
  let bytes = 0;
  const take = (size: number): number => {
    const at = bytes;
    bytes += Math.ceil(size / 16) * 16;
    return at;
  };
  const forward = take(48), backward = take(48), best = take(48), back = take(48);
  const room = take(4 * width), hubs = take(4 * 64);
  const startWeights = take(4 * width), endWeights = take(4 * width), startScores = take(4 * width), endScores = take(4 * width);
  const order = blocks ? take(8 * width + 8) : -1, slots = blocks ? take(4 * states + 12) : -1;
  // dense: weights by source and by target, scores by source and by target; blocks: three tables, and scores by target; sparse: arcs both ways.
  const matrix = 4 * width * (structure === "blocks" ? width : states);
  const table = blocks ? 256 + 48 * blocks.blocks + blocks.blocks * blocks.blocks * (16 + 16 * blocks.vectors) : 0;
  const list = 4 * (width + 1) + 8 * arcs + 64;
  const parts = structure === "dense" ? [matrix, matrix, matrix, matrix] : structure === "blocks" ? [table, table, table, matrix] : [list, list, list];
  const data = parts.map(take);
  return { forward, backward, best, back, room, hubs, startWeights, endWeights, startScores, endScores, order, slots, data, get bytes() { return bytes; } };
}

/** Writes the operators and their tables. */
function fill(chain: CompiledChain, block: number, at: ReturnType<typeof addresses>, blocks: TiedBlocks | undefined, layout: TagLayout | undefined): { top: number; edges: number; weights: Float32Array; apart: boolean } {
  const { states, width, arcs, structure } = chain;
  const { f32_chain_weights } = kernels();
  const order = layout?.order ?? blocks?.order;
  let apart = false;
  const slots = (scores: Float32Array, empty: number): Float32Array => Float32Array.from({ length: width }, (_, k) => { const s = order ? order[k] : k < states ? k : -1; return s < 0 ? empty : scores[s]; });
  /** exp(x - max) / 2 of a list, and max. */
  const weigh = (x: Float32Array): { weights: Float32Array; top: number } => {
    const n = Math.max(4, Math.ceil(x.length / 4) * 4);
    const base = scratch(64 + 8 * n + 16);
    const view = floatView();
    view.fill(-Infinity, (base + 64) >>> 2, ((base + 64) >>> 2) + n);
    view.set(x, (base + 64) >>> 2);
    view.fill(0, base >>> 2, (base >>> 2) + 2);
    f32_chain_weights(base + 64, 1, n, 0, base + 64 + 4 * n, n, base);
    return { weights: floatView().slice((base + 64 + 4 * n) >>> 2, ((base + 64 + 4 * n) >>> 2) + x.length), top: new Float64Array(floatView().buffer, base, 1)[0] };
  };
  const starting = weigh(slots(chain.start, -Infinity)), ending = weigh(slots(chain.end, -Infinity)), moving = weigh(arcs.scores);
  floatView().set(starting.weights, (block + at.startWeights) >>> 2);
  floatView().set(ending.weights, (block + at.endWeights) >>> 2);
  floatView().set(slots(chain.start, -Infinity), (block + at.startScores) >>> 2);
  floatView().set(slots(chain.end, -Infinity), (block + at.endScores) >>> 2);
  if (order) {
    intView().set(order.map((s) => 4 * Math.max(0, s)), (block + at.order) >>> 2);
    floatView().set(Float32Array.from(order, (s) => (s < 0 ? -Infinity : Infinity)), ((block + at.order) >>> 2) + width);
    intView().set(layout?.side ? [4 * layout.side.first, 4 * layout.side.step] : [0, 0], ((block + at.order) >>> 2) + 2 * width);
    intView().fill(0, (block + at.slots) >>> 2, ((block + at.slots) >>> 2) + ((states + 3) & ~3));
    intView().set(chain.slots.map((slot) => 4 * slot), (block + at.slots) >>> 2);
  }
  const words = (offset: number, values: readonly number[]): void => intView().set([...values, ...new Array<number>(7 - values.length).fill(0), block + at.room], (block + offset) >>> 2);
  const data = at.data.map((offset) => block + offset);
  const { top, weights } = moving;
  if (structure === "dense") {
    data.forEach((to, k) => floatView().fill(k < 2 ? 0 : -Infinity, to >>> 2, (to >>> 2) + states * width));
    const floats = floatView();
    for (let j = 0; j < states; j++) {
      for (let k = arcs.starts[j]; k < arcs.starts[j + 1]; k++) {
        const i = arcs.sources[k];
        floats[(data[0] >>> 2) + i * width + j] = floats[(data[1] >>> 2) + j * width + i] = weights[k];
        floats[(data[2] >>> 2) + i * width + j] = floats[(data[3] >>> 2) + j * width + i] = arcs.scores[k];
      }
    }
    for (const [k, offset] of [at.forward, at.backward, at.best, at.back].entries()) words(offset, [DENSE, width, data[k], states, 0]);
  } else if (blocks) {
    const { blocks: R, vectors: W, between, within } = blocks;
    const of = new Map<number, number>([[-Infinity, 0]]);
    arcs.scores.forEach((score, k) => of.set(score, weights[k]));
    const linear = (score: number): number => of.get(score)!;
    const blockTable = (offset: number, to: number, flip: boolean, none: number, hub: (k: number) => number, own: (k: number) => number): void => {
      floatView().fill(none, to >>> 2, (to >>> 2) + 8 * R);
      let next = to + 32 * R;
      for (let b = 0; b < R; b++) {
        const count = next >>> 2;
        intView()[count] = 0;
        next += 16;
        for (let a = 0; a < R; a++) {
          const k = flip ? a * R + b : b * R + a;
          floatView()[(to >>> 2) + 8 * a + b] = hub(k);
          if (own(k) === none) continue;
          intView()[next >>> 2] = 16 * W * a;
          floatView().fill(own(k), (next >>> 2) + 4, (next >>> 2) + 4 + 4 * W);
          next += 16 + 16 * W;
          intView()[count]++;
        }
      }
      words(offset, [BLOCKS, width, R, W, to, to + 32 * R, block + at.hubs]);
    };
    const write = layout
      ? (offset: number, to: number, flip: boolean, none: number, hub: (k: number) => number, own: (k: number) => number): void => {
          const { words: last, apart: parted } = tagTable(layout, to, none, (a, b) => hub(flip ? a * R + b : b * R + a), (a, b) => own(flip ? a * R + b : b * R + a));
          intView().set([TAGS, width, layout.types, to, ...last.slice(0, 3), block + at.room, last[3]], (block + offset) >>> 2);
          apart = parted;
        }
      : blockTable;
    const more = (k: number): number => Math.max(0, linear(within[k]) - linear(between[k]));
    write(at.forward, data[0], false, 0, (k) => linear(between[k]), more);
    write(at.backward, data[1], true, 0, (k) => linear(between[k]), more);
    write(at.best, data[2], false, -Infinity, (k) => between[k], (k) => within[k]);
    const matrix = new Float32Array(width * width).fill(-Infinity);
    for (let j = 0; j < states; j++) for (let k = arcs.starts[j]; k < arcs.starts[j + 1]; k++) matrix[chain.slots[j] * width + chain.slots[arcs.sources[k]]] = arcs.scores[k];
    floatView().set(matrix, data[3] >>> 2);
    words(at.back, [DENSE, width, data[3], width, 0]);
  } else {
    const back = transposed(states, arcs);
    const backWeights = Float32Array.from(back.index, (k) => weights[k]);
    const write = (offset: number, to: number, { starts, sources }: Arcs, values: Float32Array): void => {
      const list = to + 4 * (width + 1), at2 = list + 4 * sources.length;
      intView().set(starts, to >>> 2);
      intView().fill(sources.length, (to >>> 2) + states + 1, (to >>> 2) + width + 1);
      intView().set(sources, list >>> 2);
      floatView().set(values, at2 >>> 2);
      words(offset, [SPARSE, width, to, list, at2]);
    };
    write(at.forward, data[0], arcs, weights);
    write(at.backward, data[1], back, backWeights);
    write(at.best, data[2], arcs, arcs.scores);
    intView().copyWithin((block + at.back) >>> 2, (block + at.best) >>> 2, ((block + at.best) >>> 2) + 8);
  }
  return { top, edges: starting.top + ending.top, weights, apart };
}

/** The table of an operator of tags (assembly/lib/tags.ts), and the words of the operator that describe it; apart: whether no role is reached both from its type and from others, and four sources lead to others. */
function tagTable({ roles, singles }: TagLayout, to: number, none: number, hub: (from: number, to: number) => number, own: (from: number, to: number) => number): { words: number[]; apart: boolean } {
  const floats = floatView(), start = to >>> 2, ENTRY = 12;
  const vector = (at: number, blocks: readonly number[], value: (b: number) => number): void => { floats.fill(none, at, at + 4); blocks.forEach((b, k) => (floats[at + k] = value(b))); };
  const leads = (a: number): boolean => roles.some((b) => own(a, b) !== none);
  // Two roles, the second any other one where only one has transitions within its type.
  const pair = roles.map((_, k) => k).filter((k) => leads(roles[k]));
  if (pair.length < 2) pair.push(...roles.map((_, k) => k).filter((k) => !pair.includes(k)).slice(0, 2 - pair.length));
  pair.sort((a, b) => a - b);
  pair.forEach((k, n) => vector(start + 8 + 4 * n, roles, (b) => own(roles[k], b)));
  const from = [...roles.map((b, k) => [b, 4 * k]), ...singles.map((b, k) => [b, 16 + 4 * k])].filter(([a]) => [...roles, ...singles].some((b) => hub(a, b) !== none));
  from.forEach(([a, offset], n) => {
    intView()[start + 16 + ENTRY * n] = offset;
    vector(start + 20 + ENTRY * n, roles, (b) => hub(a, b));
    vector(start + 24 + ENTRY * n, singles, (b) => hub(a, b));
  });
  // Four at least for the best paths: those that lead nowhere.
  for (let n = from.length; n < 4; n++) {
    intView()[start + 16 + ENTRY * n] = 0;
    floats.fill(none, start + 20 + ENTRY * n, start + 28 + ENTRY * n);
  }
  const inside = roles.map((b) => roles.some((a) => own(a, b) !== none)), outside = roles.map((b) => from.some(([a]) => hub(a, b) !== none));
  return { words: [from.length, 4 * pair[0], 4 * pair[1], inside.reduce((bits, yes, k) => bits | (Number(yes) << k), 0)], apart: from.length <= 4 && inside.every((yes, k) => !(yes && outside[k])) };
}

/**
 * Makes the transitions of a chain ready for `chainForwardBackward` and `chainViterbi`.
 *
 * Finds how to run through them: in O(C) where states fall into blocks of equal size whose transitions depend on the blocks and on whether the place in
 * the block is the same (BIO, BIOES and BMES tags with tied scores, Potts), along the arcs where fewer than one pair in twelve is possible, else every pair.
 *
 * @param transitions - float32 [C, C], [from, to], C >= 1; -Infinity = impossible. Or the arcs that are possible
 * @param options - `start` and `end`, float32 [C]; `structure`
 * @throws RangeError for another shape, a score that is NaN or +Infinity, an arc that is named twice or leads elsewhere
 * @example
 *   const chain = compileChain(tensor([[0, -1], [-1, 0]])); // two states that tend to stay
 * Source: scaled linear space: Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77 (1989), section V.A.
 */
export function compileChain(transitions: TensorLike | ChainArcs, options: ChainOptions = {}): CompiledChain {
  const where = "compileChain";
  const arcs = typeof transitions === "object" && "states" in transitions && "from" in transitions ? fromList(where, transitions) : fromMatrix(where, transitions as TensorLike);
  const states = arcs.starts.length - 1;
  const edge = (name: "start" | "end"): Float32Array => {
    const given = options[name];
    if (given === undefined) return new Float32Array(states);
    const x = asFloat32(where, name, given);
    checkShape(where, name, x, [states]);
    x.data.forEach((v, i) => checkScore(where, name, v, `${i}`));
    return x.data.slice();
  };
  return new CompiledChain(states, arcs, edge("start"), edge("end"), options.structure);
}

function checkScore(where: string, argument: string, v: number, at: string): void {
  if (!(v < Infinity)) throw rangeError(where, argument, "finite or -Infinity", `${v} at index ${at}`);
}

function fromMatrix(where: string, given: TensorLike): Arcs {
  const x = asFloat32(where, "transitions", given);
  checkShape(where, "transitions", x, ["C", "C"]);
  const [states] = x.shape;
  if (x.shape[1] !== states) throw rangeError(where, "transitions", "of shape [C, C]", `[${x.shape.join(", ")}]`);
  if (states === 0) throw rangeError(where, "transitions", "of at least one state", "shape [0, 0]");
  const starts = new Int32Array(states + 1), sources: number[] = [], scores: number[] = [];
  for (let j = 0; j < states; j++) {
    for (let i = 0; i < states; i++) {
      const v = x.data[i * states + j];
      checkScore(where, "transitions", v, `[${i}, ${j}]`);
      if (v > -Infinity) {
        sources.push(i);
        scores.push(v);
      }
    }
    starts[j + 1] = sources.length;
  }
  return { starts, sources: Int32Array.from(sources), scores: Float32Array.from(scores), index: Int32Array.from(sources.keys()) };
}

function fromList(where: string, { states, from, to, scores }: ChainArcs): Arcs {
  checkInteger(where, "states", states, 1, 0x7ffffff);
  if (to.length !== from.length || scores.length !== from.length) throw rangeError(where, "transitions", "as many sources, targets and scores", `${from.length}, ${to.length} and ${scores.length}`);
  const starts = new Int32Array(states + 1);
  for (let k = 0; k < to.length; k++) {
    checkInteger(where, `from[${k}]`, from[k], 0, states - 1);
    checkInteger(where, `to[${k}]`, to[k], 0, states - 1);
    checkScore(where, "scores", Math.fround(scores[k]), `${k}`);
    if (scores[k] > -Infinity) starts[to[k] + 1]++;
  }
  for (let j = 0; j < states; j++) starts[j + 1] += starts[j];
  const next = starts.slice(), sources = new Int32Array(starts[states]), values = new Float32Array(starts[states]), index = new Int32Array(starts[states]);
  const kept = Array.from({ length: to.length }, (_, k) => k).filter((k) => scores[k] > -Infinity).sort((a, b) => to[a] - to[b] || from[a] - from[b]);
  for (const [position, k] of kept.entries()) {
    if (position > 0 && to[k] === to[kept[position - 1]] && from[k] === from[kept[position - 1]]) throw rangeError(where, "transitions", "each arc once", `the arc from ${from[k]} to ${to[k]} twice`);
    const at = next[to[k]]++;
    sources[at] = from[k];
    values[at] = scores[k];
    index[at] = k;
  }
  return { starts, sources, scores: values, index };
}
