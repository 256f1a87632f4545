import { exp, log } from "@logits/statistics";
import { Tensor, asInt32, checkInteger, checkShape, rangeError, type RandomSource, type TensorLike } from "@logits/tensor";
import { propagateBeliefs, type BeliefPropagationOptions, type Beliefs } from "./beliefPropagation.ts";
import { assign, eliminate, eliminationOrder, joints, projection, type Bucket, type Eliminated, type Table } from "./elimination.ts";

/** Scores of the joint values of some variables. */
export interface Factor {
  /** Different variables, at least one. */
  readonly variables: readonly number[];
  /** A score for each of their joint values, row-major: the last variable is fastest. -Infinity = impossible. */
  readonly scores: ArrayLike<number>;
}

/** Probabilities of values, and of joint values as in the factors. */
export interface FactorMarginals {
  readonly variables: readonly Float64Array[];
  readonly factors: readonly Float64Array[];
}

const NAME = "FactorGraph";
/** Elements of all tables of an exact computation together: 128 MiB. */
const MOST = 2 ** 24;

/**
 * A distribution over discrete variables: p(y) = exp(score(y)) / Z, the score a sum of factors over some variables each. Trees, skip chains, grids, any graph.
 *
 * Exact where the graph is narrow: variables are summed out one by one, at the cost of tables over `width` + 1 variables. Elsewhere `beliefPropagation`: exact on
 * trees, an approximation on graphs with loops, and it says whether it converged. float64 throughout; B = 1: results are as those of `LinearChain` with one item.
 *
 * Source: Kschischang, Frey, Loeliger, "Factor graphs and the sum-product algorithm", IEEE Transactions on Information Theory 47 (2001); Sutton and McCallum, "An introduction to conditional random fields", 2012, chapter 4.
 */
export class FactorGraph {
  readonly batch = 1;
  /** Values of each variable: variable v is in [0, cardinalities[v]). */
  readonly cardinalities: Int32Array;
  readonly factors: readonly Table[];
  readonly #buckets: readonly Bucket[];
  #sums: Eliminated | undefined;

  /**
   * @param cardinalities - [n], each at least 1
   * @param factors - `variables` and `scores`
   * @throws RangeError for a cardinality under 1, a variable that does not exist or comes twice in a factor, another number of scores, NaN or +Infinity
   */
  constructor(cardinalities: ArrayLike<number>, factors: readonly Factor[]) {
    for (let v = 0; v < cardinalities.length; v++) checkInteger(NAME, `cardinalities[${v}]`, cardinalities[v], 1, 0x7fffff);
    this.cardinalities = Int32Array.from(cardinalities);
    const n = cardinalities.length;
    this.factors = factors.map(({ variables, scores }, f) => {
      variables.forEach((v, a) => {
        checkInteger(NAME, `factors[${f}].variables[${a}]`, v, 0, n - 1);
        if (variables.indexOf(v) < a) throw rangeError(NAME, `factors[${f}].variables`, "of different variables", `${v} twice`);
      });
      if (variables.length === 0) throw rangeError(NAME, `factors[${f}].variables`, "of at least one variable", "none");
      const size = variables.reduce((product, v) => product * cardinalities[v], 1);
      if (scores.length !== size) throw rangeError(NAME, `factors[${f}].scores`, `of ${size} scores`, `${scores.length}`);
      const copy = Float64Array.from(scores), bad = copy.findIndex((v) => !(v < Infinity));
      if (bad >= 0) throw rangeError(NAME, `factors[${f}].scores`, "finite or -Infinity", `${copy[bad]} at index ${bad}`);
      return { variables: [...variables], scores: copy };
    });
    this.#buckets = eliminationOrder(this.cardinalities, this.factors.map(({ variables }) => variables));
  }

  /** The induced width of the order that variables are summed out in: 1 for trees, 2 for a chain with one skip edge. The best order may be narrower. */
  get width(): number {
    return this.#buckets.reduce((most, { before }) => Math.max(most, before.length), 0);
  }

  /** Elements of the tables of an exact computation. Beyond 2^24 it is refused. */
  get tableSize(): number {
    return this.#buckets.reduce((sum, { size }) => sum + size, 0);
  }

  /** @param labels - int32 [n], a value of each variable */
  score(labels: TensorLike): Float64Array {
    return Float64Array.of(this.#scoreOf(this.#read("score", labels)));
  }

  logPartition(): Float64Array {
    return Float64Array.of(this.#run("logPartition").value);
  }

  logProb(labels: TensorLike): Float64Array {
    const score = this.score(labels)[0];
    return Float64Array.of(score - this.#supported("logProb").value);
  }

  /** The assignment with the highest score; among equals, that in which the variables that were summed out last have the smallest values. @returns `labels` int32 [n] */
  argmax(): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    const labels = this.#best("argmax", []);
    if (!labels) throw noSupport("argmax");
    return { labels: new Tensor("int32", [labels.length], labels), score: Float64Array.of(this.#scoreOf(labels)) };
  }

  /** The k best assignments, best first; labels -1 and score -Infinity where there are fewer. Up to k n exact maximisations. @returns `labels` int32 [k, n] */
  topK(k: number): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    checkInteger(`${NAME}.topK`, "k", k, 1, 0x7fffffff);
    const n = this.cardinalities.length, labels = new Int32Array(k * n).fill(-1), score = new Float64Array(k).fill(-Infinity);
    // A part of the space: the first variables are fixed, the next one has forbidden values.
    interface Part { readonly best: Int32Array; readonly score: number; readonly fixed: number; readonly forbidden: readonly number[] }
    const parts: Part[] = [];
    const add = (values: Int32Array | undefined, fixed: number, forbidden: readonly number[]): void => {
      const masks = Array.from({ length: values ? Math.min(n, fixed + 1) : 0 }, (_, v) => ({
        variables: [v], scores: Float64Array.from({ length: this.cardinalities[v] }, (__, x) => ((v < fixed ? x === values![v] : !forbidden.includes(x)) ? 0 : -Infinity)),
      }));
      const best = this.#best("topK", masks);
      if (best) parts.push({ best, score: this.#scoreOf(best), fixed, forbidden });
    };
    add(undefined, 0, []);
    if (parts.length === 0) throw noSupport("topK");
    for (let m = 0; m < k && parts.length > 0; m++) {
      const at = parts.reduce((top, part, p) => (part.score > parts[top].score ? p : top), 0), [part] = parts.splice(at, 1);
      labels.set(part.best, m * n);
      score[m] = part.score;
      if (m + 1 < k) for (let v = part.fixed; v < n; v++) add(part.best, v, v === part.fixed ? [...part.forbidden, part.best[v]] : [part.best[v]]);
    }
    return { labels: new Tensor("int32", [k, n], labels), score };
  }

  /** Draws assignments independently. @returns int32 [count, n] */
  sample(random: RandomSource, count: number): Tensor<"int32"> {
    checkInteger(`${NAME}.sample`, "count", count, 0, 0x7fffffff);
    const sums = this.#supported("sample"), n = this.cardinalities.length, out = new Int32Array(count * n);
    for (let m = 0; m < count; m++) {
      out.set(assign(this.cardinalities, this.#buckets, sums, (scores, total) => {
        let rest = random.uniform(), chosen = -1;
        for (let x = 0; x < scores.length && rest >= 0; x++) {
          if (scores[x] === -Infinity) continue;
          chosen = x;
          rest -= exp(scores[x] - total);
        }
        return chosen;
      }), m * n);
    }
    return new Tensor("int32", [count, n], out);
  }

  /** Probabilities of values and of joint values: the gradient of log Z by the scores of the factors. */
  marginals(): FactorMarginals {
    const { cardinalities } = this, tables = joints(cardinalities, this.#buckets, this.#supported("marginals"));
    const position = new Int32Array(cardinalities.length);
    this.#buckets.forEach(({ variable }, k) => (position[variable] = k));
    const onto = (variables: readonly number[]): Float64Array => {
      const k = Math.min(...variables.map((v) => position[v])), { before, variable } = this.#buckets[k], to = projection(cardinalities, [...before, variable], variables);
      const out = new Float64Array(variables.reduce((size, v) => size * cardinalities[v], 1));
      for (let e = 0; e < to.length; e++) out[to[e]] += tables[k][e];
      return out;
    };
    return { variables: Array.from(cardinalities, (_, v) => onto([v])), factors: this.factors.map(({ variables }) => onto(variables)) };
  }

  entropy(): Float64Array {
    return Float64Array.of(Math.max(0, this.#supported("entropy").value - mean(this.marginals(), this.factors)));
  }

  /** @param other - a graph with the same cardinalities and the same variables in each factor */
  crossEntropy(other: FactorGraph): Float64Array {
    const shape = (g: FactorGraph): string => `${g.cardinalities.join()};${g.factors.map(({ variables }) => variables.join()).join(";")}`;
    if (shape(this) !== shape(other)) throw rangeError(`${NAME}.crossEntropy`, "other", "with the same cardinalities and variables of factors", "another graph");
    this.#supported("crossEntropy");
    return Float64Array.of(other.#supported("crossEntropy").value - mean(this.marginals(), other.factors));
  }

  klDivergence(other: FactorGraph): Float64Array {
    return Float64Array.of(Math.max(0, this.crossEntropy(other)[0] - this.entropy()[0]));
  }

  /** logProb with its gradient by the scores of every factor: the indicator of the labels less the marginals. */
  logProbWithGrad(labels: TensorLike): { readonly value: Float64Array; readonly grads: readonly Float64Array[] } {
    const y = this.#read("logProbWithGrad", labels), grads = this.marginals().factors.map((p) => p.map((v) => -v));
    this.factors.forEach((factor, f) => grads[f][this.#elementOf(factor, y)]++);
    return { value: this.logProb(labels), grads };
  }

  /**
   * The pseudo-log-likelihood: the sum over the variables of log p(y_v | all others), with its gradient by the scores of every factor. No sum over the whole graph: it trains where Z is out of reach.
   *
   * @param labels - int32 [n], an assignment with a finite score
   * @throws RangeError where the labels are impossible
   */
  pseudoLogLikelihoodWithGrad(labels: TensorLike): { readonly value: Float64Array; readonly grads: readonly Float64Array[] } {
    const y = this.#read("pseudoLogLikelihoodWithGrad", labels);
    if (this.#scoreOf(y) === -Infinity) throw rangeError(`${NAME}.pseudoLogLikelihoodWithGrad`, "labels", "with a finite score", "impossible ones");
    const grads = this.factors.map(({ scores }) => new Float64Array(scores.length)), of = Array.from(this.cardinalities, (): { f: number; at: number; stride: number }[] => []);
    this.factors.forEach((factor, f) => factor.variables.forEach((v, a) => {
      const stride = factor.variables.slice(a + 1).reduce((size, u) => size * this.cardinalities[u], 1);
      of[v].push({ f, at: this.#elementOf(factor, y) - y[v] * stride, stride });
    }));
    let value = 0;
    of.forEach((list, v) => {
      const scores = Float64Array.from({ length: this.cardinalities[v] }, (_, x) => list.reduce((sum, { f, at, stride }) => sum + this.factors[f].scores[at + x * stride], 0));
      const top = scores.reduce((a, s) => Math.max(a, s), -Infinity), total = top + log(scores.reduce((sum, s) => sum + exp(s - top), 0));
      value += scores[y[v]] - total;
      for (const { f, at, stride } of list) scores.forEach((s, x) => (grads[f][at + x * stride] += (x === y[v] ? 1 : 0) - exp(s - total)));
    });
    return { value: Float64Array.of(value), grads };
  }

  /**
   * Messages between factors and variables: sums, or with `best` maxima. Exact on graphs without loops after one sweep; on others repeated until they rest.
   *
   * @param options - `best`, `maxIterations`, `tolerance`, `damping`
   * @returns beliefs, and `converged`: an approximation in any case where the graph has loops
   * @throws RangeError where messages find no possible value
   */
  beliefPropagation(options: BeliefPropagationOptions = {}): Beliefs {
    const where = `${NAME}.beliefPropagation`, { maxIterations = 200, tolerance = 1e-10, damping = 0 } = options;
    checkInteger(where, "maxIterations", maxIterations, 1, 0x7fffffff);
    if (!(tolerance >= 0)) throw rangeError(where, "tolerance", "a number from 0 up", `${tolerance}`);
    if (!(damping >= 0 && damping < 1)) throw rangeError(where, "damping", "in [0, 1)", `${damping}`);
    return propagateBeliefs(where, this.cardinalities, this.factors, options);
  }

  #read(method: string, given: TensorLike): Int32Array {
    const where = `${NAME}.${method}`, x = asInt32(where, "labels", given), n = this.cardinalities.length;
    checkShape(where, "labels", x, [n]);
    x.data.forEach((y, v) => checkInteger(where, `labels[${v}]`, y, 0, this.cardinalities[v] - 1));
    return x.data;
  }

  #elementOf({ variables }: Table, y: Int32Array): number {
    return variables.reduce((at, v) => at * this.cardinalities[v] + y[v], 0);
  }

  #scoreOf(y: Int32Array): number {
    return this.factors.reduce((sum, factor) => sum + factor.scores[this.#elementOf(factor, y)], 0);
  }

  #checkSize(method: string): void {
    if (this.tableSize > MOST) throw rangeError(`${NAME}.${method}`, "this", `with tables of at most ${MOST} elements`, `${this.tableSize} (induced width ${this.width})`, "Use beliefPropagation");
  }

  #run(method: string): Eliminated {
    this.#checkSize(method);
    return (this.#sums ??= eliminate(this.cardinalities, this.#buckets, this.factors, false));
  }

  #supported(method: string): Eliminated {
    const sums = this.#run(method);
    if (sums.value === -Infinity) throw noSupport(method);
    return sums;
  }

  #best(method: string, masks: readonly Table[]): Int32Array | undefined {
    this.#checkSize(method);
    const found = eliminate(this.cardinalities, this.#buckets, [...this.factors, ...masks], true);
    return found.value === -Infinity ? undefined : assign(this.cardinalities, this.#buckets, found, (scores, total) => scores.indexOf(total));
  }
}

function noSupport(method: string): RangeError {
  return rangeError(`${NAME}.${method}`, "factors", "with an assignment that has a finite score", "none");
}

/** The mean score; where a value has probability 0, its score counts nothing. */
function mean({ factors }: FactorMarginals, tables: readonly Table[]): number {
  return factors.reduce((sum, p, f) => sum + p.reduce((part, v, e) => (v > 0 ? part + v * tables[f].scores[e] : part), 0), 0);
}
