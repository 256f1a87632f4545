import type { Automaton } from "../automaton.ts";

/** Sets of 0..size-1 that are split by marking some of their elements. */
interface Partition {
  count: number;
  readonly setOf: Int32Array;
  /** The elements of a set; valid until the next split. */
  of(set: number): Int32Array;
  mark(element: number): void;
  /** Parts the marked from the rest, in each set; the smaller part is the new set. */
  split(): void;
}

/** @param ends - where the first sets end, as ranges of elements */
function partition(size: number, ends: readonly number[]): Partition {
  const elements = Int32Array.from({ length: size }, (_, e) => e), place = elements.slice(), setOf = new Int32Array(size);
  const first = new Int32Array(size), past = new Int32Array(size), marked = new Int32Array(size), touched: number[] = [];
  let count = 0, from = 0;
  for (const end of ends) {
    if (end === from) continue;
    first[count] = from;
    past[count] = end;
    setOf.fill(count++, from, end);
    from = end;
  }
  return {
    get count() { return count; },
    setOf,
    of: (set) => elements.subarray(first[set], past[set]),
    mark(element) {
      const set = setOf[element], at = place[element], to = first[set] + marked[set];
      if (at < to) return;
      elements[at] = elements[to];
      place[elements[at]] = at;
      elements[to] = element;
      place[element] = to;
      if (marked[set]++ === 0) touched.push(set);
    },
    split() {
      for (let set = touched.pop(); set !== undefined; set = touched.pop()) {
        const middle = first[set] + marked[set];
        marked[set] = 0;
        if (middle === past[set]) continue;
        if (middle - first[set] <= past[set] - middle) {
          first[count] = first[set];
          past[count] = first[set] = middle;
        } else {
          past[count] = past[set];
          first[count] = past[set] = middle;
        }
        for (let k = first[count]; k < past[count]; k++) setOf[elements[k]] = count;
        count++;
      }
    },
  };
}

/** All states that are reached from `from`; `step` names the states after one. */
function reached(states: number, from: readonly number[], step: (state: number, visit: (to: number) => void) => void): Uint8Array {
  const seen = new Uint8Array(states), stack: number[] = [];
  const visit = (q: number): void => {
    if (seen[q] === 1) return;
    seen[q] = 1;
    stack.push(q);
  };
  from.forEach(visit);
  for (let q = stack.pop(); q !== undefined; q = stack.pop()) step(q, visit);
  return seen;
}

/**
 * The automaton of the same language that is trimmed and minimal, its states in the order in which they are reached. Transitions that are not there need no
 * state of their own. O(transitions * log states).
 *
 * Source: Valmari, "Fast brief practical DFA minimization", Information Processing Letters 112 (2012).
 */
export function minimised(labels: number, next: ArrayLike<number>, accepting: ArrayLike<number>, start: number): Automaton {
  const all = accepting.length;
  const forward = start < 0 ? new Uint8Array(all) : reached(all, [start], (q, visit) => {
    for (let y = 0; y < labels; y++) if (next[q * labels + y] >= 0) visit(next[q * labels + y]);
  });
  const incoming = transitionsInto(labels, next, forward);
  const { tails, heads, starts, index } = incoming;
  const ends: number[] = [];
  for (let q = 0; q < all; q++) if (forward[q] === 1 && accepting[q] === 1) ends.push(q);
  const kept = reached(all, ends, (q, visit) => { for (let k = starts[q]; k < starts[q + 1]; k++) visit(tails[index[k]]); });
  if (start < 0 || kept[start] === 0) return Object.freeze({ labels, states: 0, start: -1, accepting: new Uint8Array(0), next: new Int32Array(0) });

  // Blocks of states; cords are sets of transitions with one label into one block. States that were removed keep to a block of their own: no cord touches it.
  const blocks = partition(all, [all]);
  for (const q of ends) blocks.mark(q);
  blocks.split();
  for (let q = 0; q < all; q++) if (kept[q] === 0) blocks.mark(q);
  blocks.split();
  const cords = partition(tails.length, incoming.ends);
  for (let c = 0, b = 0; c < cords.count; c++) {
    for (const k of cords.of(c)) if (kept[heads[k]] === 1) blocks.mark(tails[k]);
    blocks.split();
    for (; b < blocks.count; b++) {
      for (const q of blocks.of(b)) for (let k = starts[q]; k < starts[q + 1]; k++) cords.mark(index[k]);
      cords.split();
    }
  }

  const number = new Int32Array(blocks.count).fill(-1), order = [start];
  number[blocks.setOf[start]] = 0;
  const table: number[] = [];
  for (let n = 0; n < order.length; n++) {
    for (let y = 0; y < labels; y++) {
      const to = next[order[n] * labels + y];
      if (to < 0 || kept[to] === 0) {
        table.push(-1);
        continue;
      }
      const block = blocks.setOf[to];
      if (number[block] < 0) {
        number[block] = order.length;
        order.push(to);
      }
      table.push(number[block]);
    }
  }
  return Object.freeze({ labels, states: order.length, start: 0, accepting: Uint8Array.from(order, (q) => (accepting[q] === 1 ? 1 : 0)), next: Int32Array.from(table) });
}

/** The transitions from these states, label by label (`ends`: where those of each label end), and by the state that they lead to: index[starts[q]..starts[q + 1]). */
function transitionsInto(labels: number, next: ArrayLike<number>, from: Uint8Array): { tails: Int32Array; heads: Int32Array; ends: readonly number[]; starts: Int32Array; index: Int32Array } {
  const states = from.length, tails: number[] = [], heads: number[] = [], ends: number[] = [];
  for (let y = 0; y < labels; y++) {
    for (let q = 0; q < states; q++) {
      if (from[q] === 0 || next[q * labels + y] < 0) continue;
      tails.push(q);
      heads.push(next[q * labels + y]);
    }
    ends.push(tails.length);
  }
  const starts = new Int32Array(states + 1), index = new Int32Array(heads.length);
  for (const q of heads) starts[q + 1]++;
  for (let q = 0; q < states; q++) starts[q + 1] += starts[q];
  const place = starts.slice();
  heads.forEach((q, k) => (index[place[q]++] = k));
  return { tails: Int32Array.from(tails), heads: Int32Array.from(heads), ends, starts, index };
}
