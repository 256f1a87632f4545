import type { Automaton } from "../automaton.ts";
import { minimised } from "./minimised.ts";
import { tooManyStates } from "./stateLimit.ts";

/** Part of a nondeterministic automaton with one way in and one way out. */
export interface Fragment {
  readonly from: number;
  readonly to: number;
}

/**
 * A nondeterministic automaton, built from fragments and then made deterministic: a sequence that several paths accept counts once.
 *
 * Source: Thompson, "Regular expression search algorithm", Communications of the ACM 11 (1968); Rabin and Scott, "Finite automata and their decision problems", IBM Journal 3 (1959), theorem 11.
 */
export class Nondeterministic {
  readonly #free: number[][] = [];
  readonly #arcs: { readonly labels: readonly number[]; readonly to: number }[][] = [];
  readonly #where: string;
  readonly #argument: string;
  readonly #limit: number;

  /** @param limit - most states that the result may have before it is minimised; 4 times as many (at least 4096) may lead there */
  constructor(where: string, argument: string, limit: number) {
    this.#where = where;
    this.#argument = argument;
    this.#limit = limit;
  }

  #state(): number {
    if (this.#free.length === Math.max(4096, 4 * this.#limit)) throw tooManyStates(this.#where, this.#argument, this.#limit);
    this.#arcs.push([]);
    return this.#free.push([]) - 1;
  }

  /** One label out of some; none out of none. */
  anyOf(labels: readonly number[]): Fragment {
    const from = this.#state(), to = this.#state();
    if (labels.length > 0) this.#arcs[from].push({ labels, to });
    return { from, to };
  }

  language({ labels, states, start, accepting, next }: Automaton): Fragment {
    const own = Array.from({ length: states }, () => this.#state()), from = this.#state(), to = this.#state();
    if (start >= 0) this.#free[from].push(own[start]);
    for (let q = 0; q < states; q++) {
      const byTarget = new Map<number, number[]>();
      for (let y = 0; y < labels; y++) {
        const target = next[q * labels + y];
        if (target < 0) continue;
        if (!byTarget.has(target)) byTarget.set(target, []);
        byTarget.get(target)!.push(y);
      }
      for (const [target, some] of byTarget) this.#arcs[own[q]].push({ labels: some, to: own[target] });
      if (accepting[q] === 1) this.#free[own[q]].push(to);
    }
    return { from, to };
  }

  sequence(parts: readonly Fragment[]): Fragment {
    const from = this.#state();
    let to = from;
    for (const part of parts) {
      this.#free[to].push(part.from);
      to = part.to;
    }
    return { from, to };
  }

  either(parts: readonly Fragment[]): Fragment {
    const from = this.#state(), to = this.#state();
    for (const part of parts) {
      this.#free[from].push(part.from);
      this.#free[part.to].push(to);
    }
    return { from, to };
  }

  repeated(make: () => Fragment, atLeast: number, atMost: number): Fragment {
    const parts: Fragment[] = [];
    for (let k = 0; k < atLeast; k++) parts.push(make());
    if (atMost === Infinity) {
      const hub = this.#state(), part = make();
      this.#free[hub].push(part.from);
      this.#free[part.to].push(hub);
      parts.push({ from: hub, to: hub });
      return this.sequence(parts);
    }
    const skips: number[] = [], to = this.#state();
    for (let k = atLeast; k < atMost; k++) {
      const part = this.sequence([make()]);
      skips.push(part.from);
      parts.push(part);
    }
    const whole = this.sequence(parts);
    for (const from of [...skips, whole.to]) this.#free[from].push(to);
    return { from: whole.from, to };
  }

  /** The deterministic automaton of a fragment: its states are sets of states. Labels that no arc tells apart are followed together. */
  determinised(labels: number, { from, to }: Fragment): Automaton {
    const classOf = this.#classes(labels), classes = Math.max(...classOf) + 1, member = new Int32Array(classes);
    classOf.forEach((c, y) => (member[c] = y));
    const arcs = this.#arcs.map((list) => list.map((arc) => ({ classes: [...new Set(arc.labels.map((y) => classOf[y]))], to: arc.to })));
    const seen = new Int32Array(arcs.length).fill(-1);
    let round = 0;
    /** The states that matter among those reached without a label: with arcs, or the last. */
    const closed = (states: readonly number[]): number[] => {
      const stack: number[] = [], out: number[] = [];
      round++;
      const visit = (q: number): void => {
        if (seen[q] === round) return;
        seen[q] = round;
        stack.push(q);
      };
      states.forEach(visit);
      for (let q = stack.pop(); q !== undefined; q = stack.pop()) {
        if (arcs[q].length > 0 || q === to) out.push(q);
        this.#free[q].forEach(visit);
      }
      return out.sort((a, b) => a - b);
    };
    const sets: number[][] = [], index = new Map<string, number>(), table: number[] = [];
    const place = (states: readonly number[]): number => {
      const set = closed(states), key = set.join();
      const known = index.get(key);
      if (known !== undefined) return known;
      if (sets.length === this.#limit) throw tooManyStates(this.#where, this.#argument, this.#limit);
      index.set(key, sets.length);
      return sets.push(set) - 1;
    };
    place([from]);
    for (let n = 0; n < sets.length; n++) {
      const targets: number[][] = Array.from({ length: classes }, () => []);
      for (const q of sets[n]) for (const arc of arcs[q]) for (const c of arc.classes) targets[c].push(arc.to);
      const after = targets.map((states) => (states.length === 0 ? -1 : place(states)));
      for (let y = 0; y < labels; y++) table.push(after[classOf[y]]);
    }
    return minimised(labels, table, sets.map((set) => (set.includes(to) ? 1 : 0)), 0);
  }

  /** A number for each label, the same for labels that stand on the same arcs. */
  #classes(labels: number): Int32Array {
    const classOf = new Int32Array(labels);
    let count = 1;
    const done = new Set<string>();
    for (const { labels: some } of this.#arcs.flat()) {
      const key = some.join();
      if (done.has(key)) continue;
      done.add(key);
      const parted = new Map<number, number>(), sizes = new Int32Array(count), inside = new Int32Array(count);
      classOf.forEach((c) => sizes[c]++);
      const set = new Set(some);
      for (const y of set) inside[classOf[y]]++;
      for (const y of set) {
        const c = classOf[y];
        if (inside[c] === sizes[c]) continue;
        if (!parted.has(c)) parted.set(c, count++);
        classOf[y] = parted.get(c)!;
      }
    }
    return classOf;
  }
}
