import { exp, log, logAddExp, sigmoid } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, checkInteger, rangeError, type RandomSource, type TensorLike } from "@logits/tensor";
import type { StructuredDistribution } from "../structuredDistribution.ts";
import { inclusion } from "./inclusion.ts";
import { SUBSETS, stages } from "./stages.ts";

/** Options of `PlackettLuce`. */
export interface PlackettLuceOptions {
  /** K: how many places are given, 1 to N. Default N: all. */
  readonly places?: number;
}

/** Probabilities of places. */
export interface RankMarginals {
  /** P(item j at place r), float32 [..., N, K]. */
  readonly places: Tensor<"float32">;
  /** P(item j among the K places), float32 [..., N]. */
  readonly included: Tensor<"float32">;
}

/** Gradient of `logProbWithGrad`. */
export interface RankingGradients {
  readonly scores: Tensor<"float32">;
}

const NAME = "PlackettLuce";

/**
 * The Plackett-Luce distribution over rankings: places are given one after the other, each by a softmax over the items that are left.
 *
 *   log p(y) = sum_(k < K) (scores[y_k] - log sum_(items j not among y_0 ... y_(k-1)) exp(scores[j]))
 *
 * The same as sorting scores with Gumbel noise. With fewer places than items the others are behind, in no order. It is normalised: log Z = 0. An item of score -Infinity is in no ranking.
 * Rankings are int32 [..., K], item at place 0 first. Totals are float64 [B]; B is 1 for scores [N].
 *
 * @example
 *   new PlackettLuce([2, 1, 0]).argmax().labels; // 0, 1, 2
 * Source: Plackett, "The analysis of permutations", Applied Statistics 24 (1975); Luce, Individual choice behavior (1959).
 */
export class PlackettLuce implements StructuredDistribution<TensorLike, RankMarginals> {
  /** B. */
  readonly batch: number;
  /** N. */
  readonly items: number;
  /** K. */
  readonly places: number;
  readonly #scores: Tensor<"float32">;
  readonly #rows: readonly Float64Array[];
  readonly #lead: readonly number[];

  /**
   * @param scores - float32 [N] or [B, N], N at least 1; -Infinity = never ranked
   * @param options - `places`
   * @throws RangeError for another shape, NaN or +Infinity, places outside [1, N]
   */
  constructor(scores: TensorLike, { places }: PlackettLuceOptions = {}) {
    const s = asFloat32(NAME, "scores", scores), size = s.shape.length;
    if (!(size === 1 || size === 2) || s.shape[size - 1] === 0) throw rangeError(NAME, "scores", "of shape [N] or [B, N] with at least one item", `[${s.shape.join(", ")}]`);
    const N = s.shape[size - 1], bad = s.data.findIndex((x) => !(x < Infinity));
    if (bad >= 0) throw rangeError(NAME, "scores", "finite, or -Infinity for items that are never ranked", `${s.data[bad]} at index ${bad}`);
    checkInteger(NAME, "places", places ?? N, 1, N);
    this.batch = size === 1 ? 1 : s.shape[0];
    this.items = N;
    this.places = places ?? N;
    this.#scores = s;
    this.#lead = s.shape.slice(0, -1);
    this.#rows = Array.from({ length: this.batch }, (_, b) => Float64Array.from(s.data.subarray(b * N, (b + 1) * N)));
  }

  /** log p of rankings, as `logProb`: the distribution is normalised. */
  score(rankings: TensorLike): Float64Array {
    return this.#each("score", rankings, (s, order) => value(s, order));
  }

  /** log Z: 0; -Infinity where fewer items than places can be ranked. */
  logPartition(): Float64Array {
    return Float64Array.from(this.#rows, (s) => (this.#possible(s) ? 0 : -Infinity));
  }

  /**
   * @param rankings - int32 [..., K], different items
   * @returns float64 [B]; -Infinity for a ranking with an item that is never ranked
   * @throws RangeError for another shape, an item outside [0, N) or twice
   */
  logProb(rankings: TensorLike): Float64Array {
    return this.score(rankings);
  }

  /** logProb and its gradient by the scores: 1 for each ranked item less the probability of being chosen, summed over the choices. */
  logProbWithGrad(rankings: TensorLike, { upstream }: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: { readonly scores: Tensor<"float32"> } } {
    const up = upstream === undefined ? undefined : asFloat32(`${NAME}.logProbWithGrad`, "upstream", upstream), grad = new Float32Array(this.batch * this.items);
    if (up !== undefined && up.size !== this.batch) throw rangeError(`${NAME}.logProbWithGrad`, "upstream", `of ${this.batch} elements`, `[${up.shape.join(", ")}]`);
    const values = this.#each("logProbWithGrad", rankings, (s, order, b) => {
      const g = new Float64Array(this.items), out = value(s, order, g), scale = up === undefined ? 1 : up.data[b];
      // An impossible ranking has no slope.
      if (out > -Infinity) for (let j = 0; j < g.length; j++) grad[b * this.items + j] = scale * g[j];
      return out;
    });
    return { value: values, grads: { scores: new Tensor("float32", this.#scores.shape, grad) } };
  }

  /** The most probable ranking: the items by falling score; at equal scores the smaller first. */
  argmax(): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    const rows = this.#rows.map((s, b) => this.#sorted("argmax", s, b).slice(0, this.places));
    return { labels: this.#rankings(this.#lead, rows), score: Float64Array.from(rows, (order, b) => value(this.#rows[b], order)) };
  }

  /**
   * The k most probable rankings, best first.
   *
   * @param k - an integer from 1 up
   * @returns labels [k, ..., K], score float64 [k B]; where there are not so many, labels -1 and score -Infinity
   */
  topK(k: number): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    checkInteger(`${NAME}.topK`, "k", k, 1, 2147483647);
    const found = this.#rows.map((s, b) => best(s, this.#sorted("topK", s, b), this.places, k)), rows: Int32Array[] = [], score: number[] = [];
    for (let m = 0; m < k; m++) for (const list of found) {
      rows.push(list[m]?.order ?? new Int32Array(this.places).fill(-1));
      score.push(list[m]?.value ?? -Infinity);
    }
    return { labels: this.#rankings([k, ...this.#lead], rows), score: Float64Array.from(score) };
  }

  /** `count` rankings, int32 [count, ..., K], by sorting with Gumbel noise. */
  sample(random: RandomSource, count: number): Tensor<"int32"> {
    checkInteger(`${NAME}.sample`, "count", count, 0, 2147483647);
    const able = this.#rows.map((s, b) => this.#sorted("sample", s, b)), rows: Int32Array[] = [];
    for (let m = 0; m < count; m++) for (let b = 0; b < this.batch; b++) {
      const noisy = this.#rows[b].map((x) => (x === -Infinity ? x : x - log(-log(random.uniform()))));
      rows.push(able[b].slice().sort((i, j) => noisy[j] - noisy[i] || i - j).slice(0, this.places));
    }
    return this.#rankings([count, ...this.#lead], rows);
  }

  /**
   * How probable each item is at each place, and among the places, exactly: items arrive at exponential times, and
   *
   *   P(j at place r) = integral of w_j exp(-w_j t) P(r of the others have arrived by t) dt
   *
   * is a sum over t in steps that are equal in log t; the number that has arrived is Poisson-binomial. Within 1e-10 (checked against enumeration). Time about 300 N K log N.
   */
  marginals(): RankMarginals {
    const { items: N, places: K } = this, places = new Float32Array(this.batch * N * K), included = new Float32Array(this.batch * N);
    this.#rows.forEach((s, b) => {
      this.#sorted("marginals", s, b);
      const table = inclusion(s, K);
      places.set(table, b * N * K);
      for (let j = 0; j < N; j++) included[b * N + j] = table.subarray(j * K, (j + 1) * K).reduce((a, p) => a + p, 0);
    });
    return { places: new Tensor("float32", [...this.#lead, N, K], places), included: new Tensor("float32", [...this.#lead, N], included) };
  }

  /** P(i before j) = sigmoid(scores[i] - scores[j]) where all are ranked, float32 [..., N, N]; 0 on the diagonal. */
  pairwise(): Tensor<"float32"> {
    const N = this.items, out = new Float32Array(this.batch * N * N);
    this.#rows.forEach((s, b) => {
      for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) if (i !== j && s[i] > -Infinity) out[(b * N + i) * N + j] = sigmoid(s[i] - s[j]);
    });
    return new Tensor("float32", [...this.#lead, N, N], out);
  }

  /**
   * -sum_y p(y) log p(y), [B], in nats, exactly: over the sets of items that can be left.
   *
   * @throws RangeError where more than 262,144 sets can be left: take `entropyEstimate`
   */
  entropy(): Float64Array {
    return this.#expected("entropy", this);
  }

  /** -sum_y p(y) log q(y), [B]; Infinity where p ranks items that q never does. As exact, and as limited, as `entropy`. */
  crossEntropy(other: this): Float64Array {
    if (other.batch !== this.batch || other.items !== this.items || other.places !== this.places) throw rangeError(`${NAME}.crossEntropy`, "other", `over ${this.places} places of ${this.items} items, a batch of ${this.batch}`, `${other.places} of ${other.items}, ${other.batch}`);
    return this.#expected("crossEntropy", other);
  }

  /** crossEntropy - entropy, [B]. */
  klDivergence(other: this): Float64Array {
    const cross = this.crossEntropy(other), own = this.entropy();
    return cross.map((x, b) => Math.max(0, x - own[b]));
  }

  /**
   * The entropy from `count` drawn rankings: each gives the entropies of its choices, which vary less than log p.
   *
   * @returns means and standard errors, float64 [B]
   */
  entropyEstimate(random: RandomSource, count: number): { readonly mean: Float64Array; readonly standardError: Float64Array } {
    checkInteger(`${NAME}.entropyEstimate`, "count", count, 2, 2147483647);
    const drawn = this.sample(random, count).data, mean = new Float64Array(this.batch), square = new Float64Array(this.batch);
    for (let m = 0; m < count * this.batch; m++) {
      const b = m % this.batch, h = choiceEntropies(this.#rows[b], drawn.subarray(m * this.places, (m + 1) * this.places));
      mean[b] += h / count;
      square[b] += (h * h) / count;
    }
    return { mean, standardError: square.map((q, b) => Math.sqrt(Math.max(0, q - mean[b] * mean[b]) / (count - 1))) };
  }

  #expected(query: string, other: this): Float64Array {
    return Float64Array.from(this.#rows, (s, b) => {
      this.#sorted(query, s, b);
      const total = stages(s, other.#rows[b], this.places);
      if (total === undefined) throw rangeError(`${NAME}.${query}`, "places", `so few that at most ${SUBSETS} sets of items can be left`, `${this.places} places of ${this.items} items`, "Take entropyEstimate, or fewer places");
      return total;
    });
  }

  #possible(s: Float64Array): boolean {
    return s.reduce((count, x) => count + Number(x > -Infinity), 0) >= this.places;
  }

  /** The items that can be ranked, by falling score. */
  #sorted(query: string, s: Float64Array, b: number): Int32Array {
    if (!this.#possible(s)) throw new RangeError(`${NAME}.${query}: no ranking has a finite score in batch item ${b}: fewer than ${this.places} items can be ranked`);
    return Int32Array.from(s.keys()).filter((j) => s[j] > -Infinity).sort((i, j) => s[j] - s[i] || i - j);
  }

  #each(query: string, rankings: TensorLike, evaluate: (s: Float64Array, order: Int32Array, b: number) => number): Float64Array {
    const where = `${NAME}.${query}`, y = asInt32(where, "rankings", rankings), K = this.places;
    if (y.shape.at(-1) !== K || y.size !== this.batch * K) throw rangeError(where, "rankings", `of shape [${[...this.#lead, K].join(", ")}]`, `[${y.shape.join(", ")}]`);
    return Float64Array.from(this.#rows, (s, b) => {
      const order = y.data.subarray(b * K, (b + 1) * K), seen = new Uint8Array(this.items);
      order.forEach((j, k) => {
        if (!(j >= 0 && j < this.items)) throw rangeError(where, "rankings", `in [0, ${this.items})`, `${j} at index ${b * K + k}`);
        if (seen[j]++ === 1) throw rangeError(where, "rankings", "of different items", `${j} again at index ${b * K + k}`);
      });
      return evaluate(s, order, b);
    });
  }

  #rankings(lead: readonly number[], rows: readonly ArrayLike<number>[]): Tensor<"int32"> {
    const data = new Int32Array(rows.length * this.places);
    rows.forEach((row, i) => data.set(Int32Array.from(row), i * this.places));
    return new Tensor("int32", [...lead, this.places], data);
  }
}

/** log p of a ranking, and its gradient. What is left after the ranked items is summed once; the choices are gone through from the last. */
function value(s: Float64Array, order: ArrayLike<number>, grad?: Float64Array): number {
  const K = order.length, ranked = new Uint8Array(s.length), top = s.reduce((a, b) => Math.max(a, b), -Infinity), tails = new Float64Array(K);
  for (let k = 0; k < K; k++) ranked[order[k]] = 1;
  let rest = -Infinity;
  for (let j = 0; j < s.length; j++) if (ranked[j] === 0) rest = logAddExp(rest, s[j]);
  let out = 0, tail = rest;
  for (let k = K - 1; k >= 0; k--) {
    tails[k] = tail = logAddExp(tail, s[order[k]]);
    out += s[order[k]] === -Infinity ? -Infinity : s[order[k]] - tail;
  }
  if (grad === undefined || out === -Infinity || top === -Infinity) return out;
  // chosen = log sum_(i <= k) 1 / tail_i: an item that is still there at choice k is chosen with probability exp(s - tail).
  let inverse = -Infinity;
  for (let k = 0; k < K; k++) {
    inverse = logAddExp(inverse, -tails[k]);
    grad[order[k]] = 1 - exp(s[order[k]] + inverse);
  }
  for (let j = 0; j < s.length; j++) if (ranked[j] === 0) grad[j] = s[j] === -Infinity ? 0 : -exp(s[j] + inverse);
  return out;
}

/** The sum of the entropies of a ranking's choices. */
function choiceEntropies(s: Float64Array, order: ArrayLike<number>): number {
  const left = new Uint8Array(s.length).fill(1);
  let total = 0;
  for (let k = 0; k < order.length; k++) {
    let top = -Infinity, z = 0, inner = 0;
    for (let j = 0; j < s.length; j++) if (left[j] === 1) top = Math.max(top, s[j]);
    for (let j = 0; j < s.length; j++) {
      if (left[j] === 0 || s[j] === -Infinity) continue;
      const e = exp(s[j] - top);
      z += e;
      inner += e * (s[j] - top);
    }
    total += log(z) - inner / z;
    left[order[k]] = 0;
  }
  return total;
}

interface Node {
  /** Places that are given. */
  readonly prefix: readonly number[];
  /** Items that must not come next, places in the sorted rest. */
  readonly skipped: number;
  readonly order: Int32Array;
  readonly value: number;
}

/**
 * The k best rankings by Lawler's division: of a set of rankings with a given beginning, whose next item is not among the best `skipped` of the rest, the best takes the items by falling score.
 * (Exchanging an item for a better one makes the choice more probable, and what is left smaller.)
 */
function best(s: Float64Array, sorted: Int32Array, places: number, k: number): Node[] {
  const completed = (prefix: readonly number[], skipped: number): Node | undefined => {
    const rest = sorted.filter((j) => !prefix.includes(j));
    if (skipped >= rest.length && prefix.length < places) return undefined;
    const order = Int32Array.from([...prefix, ...(prefix.length < places ? [rest[skipped], ...rest.filter((_, i) => i !== skipped)] : [])]).slice(0, places);
    return { prefix, skipped, order, value: value(s, order) };
  };
  const open = [completed([], 0)!], out: Node[] = [];
  while (open.length > 0 && out.length < k) {
    let at = 0;
    for (let i = 1; i < open.length; i++) if (open[i].value > open[at].value) at = i;
    const [node] = open.splice(at, 1);
    out.push(node);
    // The rest of its set: the same beginning of length n and another item there.
    for (let n = node.prefix.length; n < places; n++) {
      const next = completed(Array.from(node.order.subarray(0, n)), n === node.prefix.length ? node.skipped + 1 : 1);
      if (next !== undefined) open.push(next);
    }
  }
  return out;
}
