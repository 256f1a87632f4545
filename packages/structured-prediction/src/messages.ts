import { exp, log } from "@logits/statistics";
import { partOf, type Steps } from "@logits/tensor";
import type { ChainStates } from "./chainModel.ts";

/** One sequence for the float64 recursions: rows of states, and the transitions into each row where they differ. */
export interface StateRows {
  readonly states: ChainStates;
  /** T. */
  readonly length: number;
  /** Score of a state in a row. */
  emission(t: number, state: number): number;
  /** Score of arc k into row t. */
  transition(t: number, k: number): number;
}

/** The rows [from, to) of emissions float32 [N, S]; `varying`, float32 [N, C, C], where transitions differ by row and states are labels. */
export function stateRows(states: ChainStates, emissions: Float32Array, varying: Float32Array | undefined, from: number, to: number): StateRows {
  const S = states.labelOf.length, { scores, sources, starts } = states.chain.arcs, target = new Int32Array(varying ? sources.length : 0);
  if (varying) for (let j = 0; j < S; j++) target.fill(j, starts[j], starts[j + 1]);
  return {
    states, length: to - from,
    emission: (t, s) => emissions[(from + t) * S + s],
    transition: varying ? (t, k) => varying[((from + t) * S + sources[k]) * S + target[k]] : (_, k) => scores[k],
  };
}

/** Arcs of a piece of work: a few milliseconds. */
const PIECE = 1 << 16;

function rowsOfPiece({ states: { chain: { arcs } } }: StateRows): number {
  return Math.max(1, Math.floor(PIECE / Math.max(1, arcs.sources.length)));
}

/**
 * The forward recursion in float64, over logarithms or over best scores: for queries that need every message of a sequence and are not the ones made often.
 * messages[t, j] = emission(t, j) + combine_i (messages[t - 1, i] + transition). float64 [T, S].
 */
export function* forwardMessages(rows: StateRows, best: boolean): Steps<Float64Array> {
  const { length } = rows, out = new Float64Array(length * rows.states.chain.states), piece = rowsOfPiece(rows);
  for (let t = 0; t < length; t += piece) {
    forwardRows(rows, best, out, t, Math.min(length, t + piece));
    yield (t + 1) / length;
  }
  return out;
}

// The loops stand in functions of their own: engines compile those better than loops of a generator.
function forwardRows(rows: StateRows, best: boolean, out: Float64Array, from: number, to: number): void {
  const { states: { chain: { arcs: { starts, sources }, states: S }, start } } = rows;
  for (let t = from; t < to; t++) {
    for (let j = 0; j < S; j++) {
      let top = t === 0 ? start[j] : -Infinity;
      if (t > 0) {
        for (let k = starts[j]; k < starts[j + 1]; k++) top = Math.max(top, out[(t - 1) * S + sources[k]] + rows.transition(t, k));
        if (!best && top > -Infinity) {
          let sum = 0;
          for (let k = starts[j]; k < starts[j + 1]; k++) sum += exp(out[(t - 1) * S + sources[k]] + rows.transition(t, k) - top);
          top += log(sum);
        }
      }
      out[t * S + j] = top + rows.emission(t, j);
    }
  }
}

/** The backward recursion of best scores likewise, without the emission of its own row: messages[t, i] = max_j (transition + emission(t + 1, j) + messages[t + 1, j]); the last row is `end`. */
export function* backwardMessages(rows: StateRows): Steps<Float64Array> {
  const { length } = rows, out = new Float64Array(length * rows.states.chain.states), piece = rowsOfPiece(rows);
  for (let t = length; t > 0; t -= piece) {
    backwardRows(rows, out, t, Math.max(0, t - piece));
    yield (length - t + 1) / length;
  }
  return out;
}

function backwardRows(rows: StateRows, out: Float64Array, from: number, to: number): void {
  const { states: { chain, end }, length } = rows, { reversed: { starts, sources: targets, index }, states: S } = chain;
  for (let t = from - 1; t >= to; t--) {
    for (let i = 0; i < S; i++) {
      let top = t === length - 1 ? end[i] : -Infinity;
      if (t < length - 1) for (let k = starts[i]; k < starts[i + 1]; k++) top = Math.max(top, rows.transition(t + 1, index[k]) + rows.emission(t + 1, targets[k]) + out[(t + 1) * S + targets[k]]);
      out[t * S + i] = top;
    }
  }
}

/** The k best paths, best first, from the forward messages of best scores: paths that differ are found when they are asked for. */
export function* bestPaths(rows: StateRows, delta: Float64Array, k: number): Steps<{ path: Int32Array; score: number }[]> {
  const { states: { chain: { arcs: { starts, sources }, states: S }, end, labelOf }, length } = rows;
  // The m-th best way to reach a state in a row; candidates are the next best ways through each arc.
  interface Way { readonly score: number; readonly arc: number; readonly rank: number }
  interface Node { readonly ways: Way[]; readonly candidates: Way[]; started: boolean; ended: boolean }
  const nodes = new Map<number, Node>();
  const before = (a: Way, b: Way): number => b.score - a.score || a.rank - b.rank;
  const insert = (list: Way[], way: Way): void => {
    if (way.score === -Infinity) return;
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(list[middle], way) <= 0) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, way);
  };
  const nodeOf = (t: number, j: number): Node => {
    let node = nodes.get(t * S + j);
    if (!node) nodes.set(t * S + j, (node = { ways: [], candidates: [], started: false, ended: false }));
    if (!node.started && t > 0) {
      node.started = true;
      // First ways need no recursion: their scores are the messages.
      for (let arc = starts[j]; arc < starts[j + 1]; arc++) insert(node.candidates, { score: delta[(t - 1) * S + sources[arc]] + rows.transition(t, arc) + rows.emission(t, j), arc, rank: 0 });
    }
    return node;
  };
  const wayThrough = (t: number, j: number, arc: number, rank: number): Way | undefined => {
    const source = sources[arc];
    const found = way(t - 1, source, rank);
    return found && { score: found.score + rows.transition(t, arc) + rows.emission(t, j), arc, rank };
  };
  const way = (t: number, j: number, m: number): Way | undefined => {
    if (t === 0) return m === 0 && delta[j] > -Infinity ? { score: delta[j], arc: -1, rank: 0 } : undefined;
    const node = nodeOf(t, j);
    if (node.ended) return node.ways[m];
    while (node.ways.length <= m) {
      const last = node.ways.at(-1);
      if (last && node.ways.length > 0) {
        const next = wayThrough(t, j, last.arc, last.rank + 1);
        if (next) insert(node.candidates, next);
      }
      const chosen = node.candidates.shift();
      if (!chosen) {
        node.ended = true;
        return undefined;
      }
      node.ways.push(chosen);
    }
    return node.ways[m];
  };
  /** `way` of rank 1 or more, its rows in order: a way asks for one of the row before, and calls as deep as a sequence is long have no room on the stack. */
  const nextWay = function* (t: number, j: number, m: number): Steps<Way | undefined> {
    const asked: [number, number, number][] = [];
    for (let [row, state, rank] = [t, j, m]; row > 0; row--) {
      if ((row & 1023) === 0) yield 0;
      const node = nodeOf(row, state);
      if (node.ended || node.ways.length > rank) break;
      asked.push([row, state, rank]);
      const last = way(row, state, node.ways.length === 0 ? 0 : node.ways.length - 1);
      if (!last) break;
      [state, rank] = [sources[last.arc], last.rank + 1];
    }
    for (const [n, [row, state, rank]] of asked.toReversed().entries()) {
      way(row, state, rank);
      if ((n & 1023) === 1023) yield 0;
    }
    return way(t, j, m);
  };

  const finals: { j: number; rank: number; score: number }[] = [];
  for (let j = 0; j < S; j++) {
    const first = delta[(length - 1) * S + j] + end[j];
    if (first > -Infinity) finals.push({ j, rank: 0, score: first });
  }
  const out: { path: Int32Array; score: number }[] = [];
  while (out.length < k && finals.length > 0) {
    let at = 0;
    for (let n = 1; n < finals.length; n++) if (finals[n].score > finals[at].score) at = n;
    const { j, rank, score } = finals[at];
    const path = new Int32Array(length);
    for (let t = length - 1, state = j, m = rank; t >= 0; t--) {
      path[t] = labelOf[state];
      const { arc, rank: before2 } = way(t, state, m)!;
      if (t > 0) [state, m] = [sources[arc], before2];
      if ((t & 1023) === 0) yield out.length / k;
    }
    out.push({ path, score });
    const next = yield* partOf(nextWay(length - 1, j, rank + 1), out.length / k, 0);
    if (next) finals[at] = { j, rank: rank + 1, score: next.score + end[j] };
    else finals.splice(at, 1);
  }
  return out;
}
