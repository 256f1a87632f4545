import { argsort, softmax } from "@logits/core-wasm";
import { labelRanks } from "@logits/core-wasm/sets";
import { Tensor, asFloat32, checkShape, lastingData, philox, rangeError, type TensorLike } from "@logits/tensor";
import type { ConformalMethod } from "./conformalMethod.ts";
import type { LabelTree } from "./labelTree.ts";

/** Checked logits of a batch. */
export interface Batch {
  /** float32, [N, C] row-major. */
  readonly logits: Float32Array;
  readonly rows: number;
  readonly classes: number;
}

/** How a class of a row is scored; higher = less expected. */
export interface Rule {
  readonly method: ConformalMethod;
  /** What one rank costs: lambda of RAPS, w of SAPS. */
  readonly penalty: number;
  /** Ranks that cost nothing: k_reg of RAPS. */
  readonly freeRanks: number;
  /** The tree of "tree". */
  readonly tree?: LabelTree;
}

/** Whether a score is the mass of the classes before: `labelRanks` and `massSets` have those. */
export function isMass(method: ConformalMethod): method is "aps" | "raps" {
  return method === "aps" || method === "raps";
}

export const MOST_CLASSES = 4194304;

/** Checks the shape [N, C]. */
export function batchOf(where: string, logits: TensorLike): Batch {
  const z = asFloat32(where, "logits", logits);
  checkShape(where, "logits", z, ["N", "C"]);
  const [rows, classes] = z.shape;
  if (classes === 0 || classes > MOST_CLASSES) throw rangeError(where, "logits", `of 1 to ${MOST_CLASSES} classes`, `shape [${rows}, ${classes}]`);
  return { logits: lastingData(z), rows, classes };
}

/** softmax of the rows [from, to), into `p` of their size; a row without a distribution is an error that names it. */
export function probabilitiesOf(where: string, { logits, classes }: Batch, from: number, to: number, p: Float32Array = new Float32Array((to - from) * classes)): Float32Array {
  softmaxByRow(logits.subarray(from * classes, to * classes), to - from, classes, p);
  // A row has a distribution or is NaN throughout.
  for (let n = from, at = 0; n < to; n++, at += classes) {
    if (p[at] !== p[at]) throw rangeError(where, "logits", "with finite or -Infinity scores and a finite one in each row", `row ${n} without a distribution (NaN, +Infinity or only -Infinity)`);
  }
  return p;
}

/**
 * softmax whose rows do not depend on their place in the batch: the kernel takes narrow rows four at a time and rounds a remainder of one to three
 * differently, so a remainder is filled up to four. A row's set is then the same alone and in any batch.
 */
function softmaxByRow(z: Float32Array, rows: number, classes: number, p: Float32Array): void {
  const whole = rows & ~3, at = whole * classes;
  if (whole > 0) softmax(new Tensor("float32", [whole, classes], z.subarray(0, at)), { out: new Tensor("float32", [whole, classes], p.subarray(0, at)) });
  if (whole < rows) {
    const four = new Float32Array(4 * classes);
    four.set(z.subarray(at));
    p.set(softmax(new Tensor("float32", [4, classes], four)).data.subarray(0, (rows - whole) * classes), at);
  }
}

/**
 * p rounded to a multiple of 2^-52 (below 2^-53: to 0), so that sums of a row are exact in float64 in any order: the one pass over a row at the fit, the
 * buckets of a set and the sorted walk all see the same score.
 */
export function grain(p: number): number {
  return p + 1 - 1;
}

/**
 * Score of the class of rank `rank` (from 1), for the methods whose score rises along the ranks, rounded to float32.
 *
 * @param before - sum of the grains ranked before the class
 * @param p - grain of the class
 * @param top - largest grain of the row
 */
export function rankedScore({ method, penalty, freeRanks }: Rule, before: number, p: number, rank: number, top: number, u: number): number {
  switch (method) {
    case "topk": return Math.fround(rank - u);
    case "saps": return Math.fround(rank === 1 ? (1 - u) * top : top + penalty * (rank - 1 - u));
    default: {
      // A class without probability stands behind every possible one: with the mass of the row alone it would tie with the last possible class.
      const mass = p > 0 ? before + (1 - u) * p : before + 1;
      return Math.fround(method === "raps" ? mass + penalty * Math.max(0, rank - freeRanks) : mass);
    }
  }
}

/** Score of one class, without ordering the row: one pass over its C probabilities. */
export function scoreOf(rule: Rule, p: Float32Array, at: number, classes: number, label: number, u: number): number {
  const own = p[at + label];
  if (rule.method === "lac") return Math.fround(1 - own);
  if (rule.tree) return rule.tree.score(p, at, label, u);
  const end = at + classes, mine = at + label;
  if (rule.method === "margin") {
    let other = 0;
    for (let i = at; i < end; i++) if (p[i] > other && i !== mine) other = p[i];
    return Math.fround(other - own);
  }
  let before = 0, rank = 1, top = 0;
  for (let i = at; i < mine; i++) {
    const q = p[i];
    if (q > top) top = q;
    if (q >= own) {
      before += grain(q);
      rank++;
    }
  }
  for (let i = mine; i < end; i++) {
    const q = p[i];
    if (q > top) top = q;
    if (q > own) {
      before += grain(q);
      rank++;
    }
  }
  return rankedScore(rule, before, grain(own), rank, grain(top), u);
}

/** Scores of one class of each row, `scores[r]` of `labels[r]`; `uniform(r)` is the u of row r. */
export function labelScores(rule: Rule, p: Float32Array, classes: number, labels: Int32Array, uniform: (row: number) => number, scores: Float32Array): void {
  if (rule.method === "lac" || rule.method === "margin" || rule.tree) {
    for (let r = 0, at = 0; r < labels.length; r++, at += classes) scores[r] = scoreOf(rule, p, at, classes, labels[r], uniform(r));
    return;
  }
  const { mass, before, top } = labelRanks(p, labels, classes);
  for (let r = 0; r < labels.length; r++) scores[r] = rankedScore(rule, mass[r], grain(p[r * classes + labels[r]]), before[r] + 1, grain(top[r]), uniform(r));
}

/** Scores of every class of `rows` rows with probabilities p, into `out` [rows, C]; `uniform(r)` is the u of row r. */
export function allScores(rule: Rule, p: Float32Array, rows: number, classes: number, uniform: (row: number) => number, out: Float32Array): void {
  const { method } = rule;
  if (method === "lac") {
    for (let i = 0; i < out.length; i++) out[i] = 1 - p[i];
    return;
  }
  if (rule.tree) {
    for (let r = 0; r < rows; r++) rule.tree.scores(p, r * classes, uniform(r), out);
    return;
  }
  if (method === "margin") {
    for (let r = 0, at = 0; r < rows; r++, at += classes) {
      let first = at, second = 0;
      for (let i = at + 1; i < at + classes; i++) if (p[i] > p[first]) first = i;
      for (let i = at; i < at + classes; i++) if (i !== first && p[i] > second) second = p[i];
      for (let i = at; i < at + classes; i++) out[i] = (i === first ? second : p[first]) - p[i];
    }
    return;
  }
  const order = argsort(new Tensor("float32", [rows, classes], p), { descending: true }).data;
  for (let r = 0, at = 0; r < rows; r++, at += classes) {
    const u = uniform(r), top = grain(p[at + order[at]]);
    for (let rank = 1, before = 0; rank <= classes; rank++) {
      const c = at + order[at + rank - 1], q = grain(p[c]);
      out[c] = rankedScore(rule, before, q, rank, top, u);
      before += q;
    }
  }
}

const words = new Uint32Array(4);

/** Uniform on (0, 1) from a counter: the same for the same seed, stream (0 fit, 1 sets, 2 ties of p-values, 3 ties of a monitor) and row id in every engine. */
export function uniformOf(seed: number, stream: 0 | 1 | 2 | 3, id: number): number {
  philox(words, seed >>> 0, Math.floor(seed / 4294967296) >>> 0, id >>> 0, Math.floor(id / 4294967296), stream, 0);
  return ((words[0] >>> 6) * 67108864 + (words[1] >>> 6) + 0.5) / 4503599627370496;
}
