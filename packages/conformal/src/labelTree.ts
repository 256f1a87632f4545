import { asInt32, rangeError, type TensorLike } from "@logits/tensor";
import { grain } from "./scores.ts";

/** A tree whose first C nodes are the classes, as leaves. */
export class LabelTree {
  readonly parents: Int32Array;
  readonly #classes: number;
  /** Leaves in an order where those of every node stand together, and the place of each leaf in it. */
  readonly #leaves: Int32Array;
  readonly #place: Int32Array;
  /** The first place of a node's leaves, and their number. */
  readonly #first: Int32Array;
  readonly #count: Int32Array;
  readonly #mass: Float64Array;
  /** The heaviest child of each node, in the row at hand. */
  readonly #heaviest: Int32Array;

  /** Takes checked parents: parents[v] > v, -1 for the last node alone, no leaf but the classes, no class with children. */
  constructor(parents: Int32Array, classes: number) {
    const nodes = parents.length;
    this.parents = parents;
    this.#classes = classes;
    this.#count = new Int32Array(nodes).fill(1, 0, classes);
    for (let v = 0; v < nodes - 1; v++) this.#count[parents[v]] += this.#count[v];
    this.#first = new Int32Array(nodes);
    this.#leaves = new Int32Array(classes);
    this.#place = new Int32Array(classes);
    const taken = new Int32Array(nodes);
    for (let v = nodes - 2; v >= 0; v--) {
      this.#first[v] = this.#first[parents[v]] + taken[parents[v]];
      taken[parents[v]] += this.#count[v];
    }
    for (let c = 0; c < classes; c++) this.#leaves[(this.#place[c] = this.#first[c])] = c;
    this.#mass = new Float64Array(nodes);
    this.#heaviest = new Int32Array(nodes);
  }

  /** Score of one class: the mass of the smallest subtree on the heaviest path that holds it, less u times what that subtree adds to the one below. */
  score(p: Float32Array, at: number, label: number, u: number): number {
    this.#weigh(p, at);
    const place = this.#place[label];
    for (let v = this.parents.length - 1; ; v = this.#heaviest[v]) {
      const below = this.#heaviest[v];
      if (below < 0) return Math.fround((1 - u) * this.#mass[v]);
      if (!(place >= this.#first[below] && place < this.#first[below] + this.#count[below])) return Math.fround(this.#mass[below] + (1 - u) * (this.#mass[v] - this.#mass[below]));
    }
  }

  /** Scores of all classes of one row into `out`, from `at` on. */
  scores(p: Float32Array, at: number, u: number, out: Float32Array): void {
    this.#weigh(p, at);
    for (let v = this.parents.length - 1; v >= 0; v = this.#heaviest[v]) {
      const below = this.#heaviest[v], before = below < 0 ? 0 : this.#mass[below], score = before + (1 - u) * (this.#mass[v] - before);
      // The classes of the nodes below are written again, lower.
      for (let i = this.#first[v]; i < this.#first[v] + this.#count[v]; i++) out[at + this.#leaves[i]] = score;
    }
  }

  /** The lowest node whose leaves are a set of `size` classes that holds the class. */
  nodeOf(label: number, size: number): number {
    let v = label;
    while (this.#count[v] < size) v = this.parents[v];
    return v;
  }

  /** Masses of the nodes and the heaviest child of each; equal ones: the smaller index. */
  #weigh(p: Float32Array, at: number): void {
    const { parents } = this, nodes = parents.length, mass = this.#mass, heaviest = this.#heaviest;
    mass.fill(0, this.#classes);
    heaviest.fill(-1);
    for (let c = 0; c < this.#classes; c++) mass[c] = grain(p[at + c]);
    for (let v = 0; v < nodes - 1; v++) {
      const parent = parents[v];
      mass[parent] += mass[v];
      if (heaviest[parent] < 0 || mass[v] > mass[heaviest[parent]]) heaviest[parent] = v;
    }
  }
}

/** The tree of `parents` int32 [V]: node v < C is class v; every parent has a larger index than its children; the last node is the root, with parent -1. */
export function labelTreeOf(where: string, given: TensorLike, classes: number): LabelTree {
  const x = asInt32(where, "parents", given);
  const fault = x.shape.length === 1 ? faultOf(x.data, classes) : `shape [${x.shape.join(", ")}]`;
  if (fault !== undefined) throw rangeError(where, "parents", EXPECTED(classes), fault);
  return new LabelTree(x.data.slice(), classes);
}

/** What `parents` must be. */
export const EXPECTED = (classes: number): string => `int32 [V], nodes 0 to ${classes - 1} the classes, parents[v] > v, -1 for the last node, the root`;

/** What is wrong with parents, if anything. */
export function faultOf(parents: Int32Array, classes: number): string | undefined {
  const nodes = parents.length, seen = new Uint8Array(nodes);
  if (nodes <= classes && !(nodes === 1 && classes === 1)) return `${nodes} nodes`;
  for (let v = 0; v < nodes; v++) {
    const parent = parents[v];
    if (v === nodes - 1 ? parent !== -1 : !(parent > v && parent < nodes)) return `${parent} at index ${v}`;
    if (v < nodes - 1 && parent < classes) return `class ${parent} with child ${v}`;
    if (v >= classes && seen[v] === 0) return `node ${v} without children`;
    if (parent >= 0) seen[parent] = 1;
  }
  return undefined;
}
