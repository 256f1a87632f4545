import { topK } from "@logits/core-wasm";
import { massSets } from "@logits/core-wasm/sets";
import { Tensor, asInt32, checkInteger, checkLabels, checkShape, lastingData, partOf, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { METHODS, hasPenalty, isRandom, ruleOf, type ConformalMethod } from "./conformalMethod.ts";
import { EXPECTED, LabelTree, faultOf, labelTreeOf } from "./labelTree.ts";
import { PredictionSets } from "./predictionSets.ts";
import { RankedSet, mostRanks } from "./rankedSet.ts";
import { roundUp } from "./rounding.ts";
import { ScoreTable, checkGiven, countOf, groupsOf, weightsOf, type ExpectedCoverage, type ScoreTableJSON } from "./scoreTable.ts";
import { allScores, batchOf, isMass, labelScores, probabilitiesOf, uniformOf, type Rule } from "./scores.ts";
import { tuneSteps, type TuneOptions, type TunedOptions } from "./tunePenalty.ts";

const FORMAT = "logits/split-conformal";
const MOST_GROUPS = 16777216;

/** Options of `SplitConformal.fit`. */
export interface SplitConformalOptions {
  /** Default "lac". */
  readonly method?: ConformalMethod;
  /** All but LAC and margin: one uniform number per row breaks the steps of the score, so that coverage is 1 - alpha and not more. Default true. */
  readonly randomize?: boolean;
  /** Seed of those numbers, an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** What one rank costs: lambda of RAPS (default 0.1), w of SAPS (default 0.2). Finite, >= 0. `SplitConformal.tune` chooses it. */
  readonly penalty?: number;
  /** RAPS only: ranks that cost nothing, k_reg, an integer >= 0. Default 1. `SplitConformal.tune` chooses it. */
  readonly freeRanks?: number;
  /** "tree" only: int32 [V], the parent of each node. Nodes 0 to C - 1 are the classes, a parent has a larger index than its children, the last node is the root, its parent -1. */
  readonly parents?: TensorLike;
  /** int32 [n], >= 0: the promise holds in each group of rows, each by its own quantile. A prediction then needs the groups of its rows. */
  readonly groups?: TensorLike;
  /** "each": the promise holds in each class. int32 [C], >= 0, the cluster of each class (`clusterClasses`): it holds in each cluster of classes. */
  readonly classGroups?: "each" | TensorLike;
  /** float32 [n], >= 0: likelihood ratios, density where the sets will be used / density of the calibration rows (any common factor). A prediction then needs those of its rows. */
  readonly weights?: TensorLike;
}

/** What belongs to the rows of a prediction. */
export interface ConformalRowOptions {
  /** Randomised methods: int32 [N], >= 0, an id of each row that no other row has, in this call and in others; default 0, 1, ... of a batch, none of one row. A row and its id always give the same set. */
  readonly ids?: TensorLike;
  /** int32 [N], the groups of the rows, where the fit had groups. */
  readonly groups?: TensorLike;
  /** float32 [N], >= 0, the likelihood ratios of the rows, where the fit had weights. */
  readonly weights?: TensorLike;
}

/** Options of `SplitConformal.predictionSet`. */
export interface PredictionSetOptions extends ConformalRowOptions {
  /** Promised miscoverage, in [0, 1]; 0 gives all classes, 1 none. Default 0.1. */
  readonly alpha?: number;
  /** Default false: an empty set gets the most probable class. It only adds classes, so the promise holds either way. */
  readonly allowEmpty?: boolean;
  /** Default true. false: the sets have no `probabilities`, and "aps" and "raps" need no room for them: 4 bytes less for each class of each row. */
  readonly keepProbabilities?: boolean;
}

/** Options of `SplitConformal.pValues`. */
export interface PValueOptions extends ConformalRowOptions {
  /** Default false: ties count as extreme, P(p <= a) <= a. true: they count with a uniform part (keyed on seed and row id), P(p <= a) = a. */
  readonly smooth?: boolean;
  /** `smooth` only: seed of its numbers, an integer in [0, 2^53). Default the seed of the fit, 0 for LAC, margin and fits that are not randomised. */
  readonly seed?: number;
}

/** What `SplitConformal` writes as JSON. */
export interface SplitConformalJSON extends ScoreTableJSON {
  readonly format: "logits/split-conformal";
  readonly version: 1;
  readonly method: ConformalMethod;
  readonly classes: number;
  readonly randomize: boolean;
  readonly seed: number;
  /** RAPS, SAPS. */
  readonly penalty?: number;
  /** RAPS. */
  readonly freeRanks?: number;
  /** int32 [V], "tree". */
  readonly parents?: TensorJSON;
  /** int32 [C], where classes have groups. */
  readonly classGroups?: TensorJSON;
  /** Which of "groups", "classGroups" and "weights" the fit had; only where it had one. */
  readonly conditions?: readonly string[];
}

interface Fields {
  readonly rule: Rule;
  readonly classes: number;
  readonly randomize: boolean;
  readonly seed: number;
  readonly classGroups: Int32Array | undefined;
  /** Number of groups of rows; undefined where the fit had none. */
  readonly groups: number | undefined;
}

/**
 * Sets of classes that hold the true one with probability at least 1 - alpha, for rows exchangeable with the calibration rows.
 *
 *   set(x) = { c : score(x, c) <= q },   q = the k-th smallest score(x_i, y_i) of n calibration rows, k = ceil((n + 1)(1 - alpha))
 *   lac:    score(x, c) = 1 - p_c
 *   aps:    sum of the p_j ranked before c + (1 - u) p_c,   u uniform on (0, 1) per row, or 0 when not randomised
 *   raps:   aps + penalty max(0, rank - freeRanks)
 *   saps:   (1 - u) p_max at rank 1, else p_max + penalty (rank - 1 - u)
 *   topk:   rank - u
 *   margin: (largest p_j of the other classes) - p_c
 *   tree:   mass of the node below + (1 - u) (mass of the node - mass of the node below), the node the lowest one above c on the path from the root to ever the heaviest child
 *
 * p = softmax(logits). Ranks from 1: p descending, equal ones by class index. A class with p < 2^-53 counts as impossible: aps and raps put it one whole unit behind the possible ones. Scores are
 * rounded to float32 at the fit and at prediction alike. The scores are kept, so `alpha` is chosen at prediction. The promise is about all rows together, not about each class or each set size: look
 * at `coverageReport`. With `groups` or `classGroups` it holds within each group of rows, each group of classes, or each pair of them, by quantiles of their own: a group of n rows with
 * n < 1 / alpha - 1 gets every class. With `weights` it holds where the rows come from another distribution of x than the calibration rows, if the weights are its likelihood ratios. It rests on the
 * calibration rows alone: they must not have trained the model, chosen a temperature or a penalty, or served any other choice.
 *
 * LAC first: its sets are the smallest on average. APS when rows differ much in difficulty, RAPS or SAPS with many classes; APS not randomised covers more than asked, with sets that are large
 * where there are many classes.
 *
 * Sources: Vovk, Gammerman, Shafer, 2005 (margin: section 3); Sadinle, Lei, Wasserman, "Least ambiguous set-valued classifiers", 2019; Romano, Sesia, Candes, "Classification with
 * valid and adaptive coverage", NeurIPS 2020; Angelopoulos, Bates, Malik, Jordan, ICLR 2021 (raps); Huang et al., ICML 2024 (saps); Vovk, "Conditional validity of inductive conformal
 * predictors", 2012 (groups, classes); Ding et al., NeurIPS 2023 (clusters); Tibshirani, Barber, Candes, Ramdas, NeurIPS 2019 (weights). The tree's scores are those of aps over the subtrees of one path (own).
 */
export class SplitConformal {
  readonly method: ConformalMethod;
  /** C, the width of the logits. */
  readonly classes: number;
  /** Calibration rows. */
  readonly n: number;
  readonly randomize: boolean;
  readonly seed: number;
  /** RAPS lambda, SAPS w; 0 for the others. */
  readonly penalty: number;
  /** RAPS k_reg; 0 for the others. */
  readonly freeRanks: number;
  readonly #rule: Rule;
  readonly #classGroups: Int32Array | undefined;
  /** Groups of classes, 1 without. */
  readonly #columns: number;
  readonly #groups: number | undefined;
  readonly #table: ScoreTable;

  private constructor({ rule, classes, randomize, seed, classGroups, groups }: Fields, table: ScoreTable) {
    this.method = rule.method;
    this.classes = classes;
    this.n = table.n;
    this.randomize = randomize;
    this.seed = seed;
    this.penalty = rule.penalty;
    this.freeRanks = rule.freeRanks;
    this.#rule = rule;
    this.#classGroups = classGroups;
    this.#columns = classGroups ? countOf(classGroups) : 1;
    this.#groups = groups;
    this.#table = table;
    Object.freeze(this);
  }

  /**
   * Scores labelled rows that no other step has used.
   *
   * @param logits - float32 [n, C], calibrated or not; -Infinity = impossible class. From probabilities: their logarithms
   * @param labels - int32 [n], in [0, C)
   * @param options - `method` ("lac"), `randomize` (true), `seed` (0), `penalty`, `freeRanks`, `parents`, `groups`, `classGroups`, `weights`
   * @throws RangeError for no rows, another shape, a label outside [0, C), a row without a distribution (named), an option that the method does not have
   * @example
   *   SplitConformal.fit(calibrationLogits, calibrationLabels).predictionSet(logits, { alpha: 0.1 }).labels(0);
   */
  static fit(logits: TensorLike, labels: TensorLike, options: SplitConformalOptions = {}): SplitConformal {
    return runSteps(SplitConformal.fitSteps("SplitConformal.fit", logits, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: SplitConformalOptions & LongWorkOptions = {}): Promise<SplitConformal> {
    return runStepsAsync(SplitConformal.fitSteps("SplitConformal.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: SplitConformalOptions): Steps<SplitConformal> {
    const { randomize = true, seed = 0, groups, classGroups, weights } = options;
    const plain = ruleOf(where, options);
    if (!(Number.isSafeInteger(seed) && seed >= 0)) throw rangeError(where, "seed", "an integer in [0, 2^53)", `${seed}`);
    const batch = batchOf(where, logits);
    const { rows, classes } = batch;
    if (plain.method === "tree" && classGroups !== undefined) throw rangeError(where, "classGroups", 'none with "tree", whose sets would be no subtrees', "some");
    if ((plain.method === "tree") !== (options.parents !== undefined)) throw rangeError(where, "parents", plain.method === "tree" ? "int32 [V]" : 'only with "tree"', options.parents === undefined ? "none" : `some with "${plain.method}"`);
    const rule = options.parents === undefined ? plain : { ...plain, tree: labelTreeOf(where, options.parents, classes) };
    if (rows === 0) throw rangeError(where, "logits", "with at least one row", `shape [0, ${classes}]`);
    const y = labelsOf(where, labels, rows, classes);
    const rowGroups = groups === undefined ? undefined : groupsOf(where, groups, rows, 2147483648);
    const ofClass = classGroups === undefined ? undefined : classGroupsOf(where, classGroups, classes);
    const w = weights === undefined ? undefined : weightsOf(where, weights, rows);
    const count = rowGroups && countOf(rowGroups), columns = ofClass ? countOf(ofClass) : 1;
    if ((count ?? 1) * columns > MOST_GROUPS) throw rangeError(where, groups === undefined ? "classGroups" : "groups", `with at most ${MOST_GROUPS} groups in all`, `${(count ?? 1) * columns}`, "Number the groups 0, 1, 2, ...");
    const random = isRandom(rule.method) && randomize;
    const scores = new Float32Array(rows);
    const piece = Math.max(4, Math.floor(2 ** 18 / classes) & ~3);
    for (let from = 0; from < rows; from += piece) {
      const to = Math.min(from + piece, rows);
      const p = probabilitiesOf(where, batch, from, to);
      labelScores(rule, p, classes, y.subarray(from, to), (r) => (random ? uniformOf(seed, 0, from + r) : 0), scores.subarray(from, to));
      yield (0.9 * to) / rows;
    }
    const group = rowGroups || ofClass ? { of: Int32Array.from(y, (label, n) => (rowGroups ? rowGroups[n] * columns : 0) + (ofClass ? ofClass[label] : 0)), count: (count ?? 1) * columns } : undefined;
    return new SplitConformal({ rule, classes, randomize: random, seed: random ? seed : 0, classGroups: ofClass, groups: count }, yield* partOf(ScoreTable.fromSteps(scores, group, w), 0.9, 0.1));
  }

  /**
   * Chooses the penalty (and `freeRanks` for RAPS) that makes the sets of labelled rows smallest; these rows must not be calibration rows.
   *
   *   freeRanks = the conformal quantile of the rank of the label at alpha;   penalty = the one of a fixed list with the smallest mean set; equal ones: the smaller penalty
   *
   * @param logits - float32 [n, C]
   * @param labels - int32 [n], in [0, C)
   * @param options - `method`, `alpha` (0.1), `seed` (0)
   * @returns options for `SplitConformal.fit`
   * @example
   *   SplitConformal.fit(calibrationLogits, calibrationLabels, SplitConformal.tune(otherLogits, otherLabels, { method: "raps" }));
   * Source: Angelopoulos, Bates, Malik, Jordan, ICLR 2021, appendix E.
   */
  static tune(logits: TensorLike, labels: TensorLike, options: TuneOptions): TunedOptions {
    return runSteps(tuneSteps("SplitConformal.tune", logits, labels, options, SplitConformal.fitSteps));
  }

  /** `tune` with pauses at least every 16 ms: the same choice. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async tuneAsync(logits: TensorLike, labels: TensorLike, options: TuneOptions & LongWorkOptions): Promise<TunedOptions> {
    return runStepsAsync(tuneSteps("SplitConformal.tuneAsync", logits, labels, options, SplitConformal.fitSteps), options);
  }

  /** Whether the rows of a prediction need `groups`. */
  get needsGroups(): boolean {
    return this.#groups !== undefined;
  }

  /** Whether the rows of a prediction need `weights`. */
  get needsWeights(): boolean {
    return this.#table.weighted;
  }

  /** Groups of rows; 1 without. */
  get groups(): number {
    return this.#groups ?? 1;
  }

  /** int32 [C], the group of each class, or undefined. */
  get classGroups(): Tensor<"int32"> | undefined {
    return this.#classGroups && new Tensor("int32", [this.classes], this.#classGroups.slice());
  }

  /** Calibration rows of each group; with `classGroups` of each pair, group x (number of class groups) + class group. One number without groups. */
  groupRows(): number[] {
    return this.#table.sizes();
  }

  /**
   * The k-th smallest calibration score of the group (default 0), k = ceil((n + 1)(1 - alpha)); Infinity where k > n: then every set holds all classes. RangeError for a weighted fit, whose
   * quantile depends on the row.
   */
  quantile(alpha: number, group = 0): number {
    this.#checkGroup("SplitConformal.quantile", alpha, group);
    return this.#table.threshold(alpha, group, 1);
  }

  /** What to expect of new rows (of the group, default 0) at `alpha`. Where n < 1 / alpha - 1 all classes are in the set and the coverage is 1. */
  expectedCoverage(alpha: number, level = 0.95, group = 0): ExpectedCoverage {
    this.#checkGroup("SplitConformal.expectedCoverage", alpha, group);
    return this.#table.expectedCoverage("SplitConformal.expectedCoverage", alpha, level, group);
  }

  /**
   * Sets for a batch.
   *
   * @param logits - float32 [N, C]. Treated (calibrated) as the calibration rows were
   * @param options - `alpha` (0.1), `allowEmpty` (false), `keepProbabilities` (true), `ids`, `groups`, `weights`
   * @returns `mask` uint8 [N, C], `sizes` int32 [N], `probabilities` float32 [N, C], `labels(i)`
   * @throws RangeError for another width, an alpha outside [0, 1], a row without a distribution (named), one row of a randomised method without its id, groups or weights that are missing or uncalled for
   */
  predictionSet(logits: TensorLike, options: PredictionSetOptions = {}): PredictionSets {
    const where = "SplitConformal.predictionSet";
    const { alpha = 0.1, allowEmpty = false, keepProbabilities = true } = options;
    if (!(alpha >= 0 && alpha <= 1)) throw rangeError(where, "alpha", "in [0, 1]", `${alpha}`);
    const batch = this.#batch(where, logits), { rows, classes } = batch;
    const { id, group, weight } = this.#rows(where, rows, this.randomize, options);
    const mask = new Uint8Array(rows * classes), sizes = new Int32Array(rows);
    const uniform = (n: number): number => (this.randomize ? uniformOf(this.seed, 1, id(n)) : 0);
    const columns = this.#columns, ofClass = this.#classGroups, rule = this.#rule, { method } = rule;
    const thresholdOf = (n: number, k: number): number => this.#table.threshold(alpha, (group ? group[n] * columns : 0) + k, weight ? weight[n] : 1);
    const thresholds = new Float64Array(columns);
    const { tree } = rule, nodes = tree && new Int32Array(rows).fill(-1);
    const scores = ofClass || tree || method === "margin" ? new Float32Array(rows * classes) : undefined;
    const mass = isMass(method) && !scores;
    const piece = Math.max(4, Math.floor(2 ** 17 / classes) & ~3);
    // One piece at a time where nobody looks at them again: pages that were never touched cost a third of the time.
    const passing = mass && !keepProbabilities, p = new Float32Array((passing ? Math.min(piece, rows) : rows) * classes);
    for (let from = 0; from < rows; from += piece) {
      const to = Math.min(from + piece, rows), part = passing ? p.subarray(0, (to - from) * classes) : p.subarray(from * classes, to * classes);
      probabilitiesOf(where, batch, from, to, part);
      if (!mass) continue;
      // While the piece is in the cache. No score exceeds 1e30, so that every class is in the set at Infinity.
      const cuts = new Float64Array(to - from).fill(Math.min(1e30, thresholdOf(from, 0))), uniforms = new Float64Array(to - from);
      if (group || weight) for (let r = 1; r < cuts.length; r++) cuts[r] = Math.min(1e30, thresholdOf(from + r, 0));
      if (this.randomize) for (let r = 0; r < cuts.length; r++) uniforms[r] = uniform(from + r);
      massSets(part, classes, cuts, uniforms, { mask: mask.subarray(from * classes, to * classes), sizes: sizes.subarray(from, to) }, rule);
    }
    if (scores) allScores(rule, p, rows, classes, uniform, scores);
    const ranked = isRandom(method) && !scores && !mass ? new RankedSet(classes) : undefined;
    // One threshold that leaves a few ranks: the kernel finds those.
    const few = ranked && !group && !weight && classes > 48 ? mostRanks(rule, thresholdOf(0, 0)) : Infinity;
    const ranks = few <= 64 ? Math.min(few, classes) : 0;
    const first = ranks > 0 && rows > 0 ? topK(new Tensor("float32", [rows, classes], p), ranks).indices.data : undefined;
    for (let n = 0, at = 0; n < rows; n++, at += classes) {
      if (n === 0 || group || weight) for (let k = 0; k < columns; k++) thresholds[k] = thresholdOf(n, k);
      const threshold = thresholds[0];
      let size = mass ? sizes[n] : 0;
      if (ranked && first) size = ranked.includeFirst(rule, first, n * ranks, ranks, p, at, threshold, uniform(n), mask);
      else if (ranked) size = ranked.include(rule, p, at, threshold, uniform(n), mask);
      else if (scores) {
        for (let c = 0; c < classes; c++) if (scores[at + c] <= (ofClass ? thresholds[ofClass[c]] : threshold)) size += mask[at + c] = 1;
      } else if (!mass) for (let c = 0; c < classes; c++) if (Math.fround(1 - p[at + c]) <= threshold) size += mask[at + c] = 1;
      if (size === 0 && !allowEmpty) {
        let best = 0;
        // The lowest leaf of the path, so that sets still nest.
        if (tree) for (let c = 1; c < classes; c++) best = scores![at + c] < scores![at + best] ? c : best;
        else {
          const row = passing ? probabilitiesOf(where, batch, n, n + 1) : p, first = passing ? 0 : at;
          for (let c = 1; c < classes; c++) if (row[first + c] > row[first + best]) best = c;
        }
        mask[at + best] = size = 1;
      }
      if (nodes && size > 0) nodes[n] = tree.nodeOf(mask.indexOf(1, at) - at, size);
      sizes[n] = size;
    }
    const one = this.#table.groups === undefined && !weight;
    const quantile = one ? this.#table.threshold(alpha, 0, 1) : NaN;
    return new PredictionSets(new Tensor("uint8", [rows, classes], mask), new Tensor("int32", [rows], sizes), keepProbabilities ? new Tensor("float32", [rows, classes], p) : undefined, alpha, quantile, nodes && new Tensor("int32", [rows], nodes));
  }

  /**
   * The p-value of each class of each row: how usual the class would be as the label. The set at alpha holds the classes with p > alpha.
   *
   *   p = (number of scores >= the class's + 1) / (n + 1);   smooth: (number above + v (number equal + 1)) / (n + 1), v uniform on (0, 1) per row
   *
   * For the true label P(p <= a) <= a, smooth: = a, over new calibration rows and rows. With groups within each of them; with weights the sums of weights take the place of the numbers.
   *
   * @param logits - float32 [N, C]
   * @param options - `smooth` (false), `seed`, `ids`, `groups`, `weights`
   * @returns float32 [N, C], in (0, 1], rounded up
   * @throws RangeError as `predictionSet`
   * Source: Vovk, Gammerman, Shafer, 2005, section 2.2.
   */
  pValues(logits: TensorLike, options: PValueOptions = {}): Tensor<"float32"> {
    const where = "SplitConformal.pValues", { seed = this.seed } = options;
    if (!(Number.isSafeInteger(seed) && seed >= 0)) throw rangeError(where, "seed", "an integer in [0, 2^53)", `${seed}`);
    const batch = this.#batch(where, logits), { rows, classes } = batch;
    const { id, group, weight } = this.#rows(where, rows, this.randomize || options.smooth === true, options);
    const p = probabilitiesOf(where, batch, 0, rows), out = new Float32Array(rows * classes);
    allScores(this.#rule, p, rows, classes, (n) => (this.randomize ? uniformOf(this.seed, 1, id(n)) : 0), out);
    for (let n = 0, i = 0; n < rows; n++) {
      const tie = options.smooth ? uniformOf(seed, 2, id(n)) : 1, base = group ? group[n] * this.#columns : 0;
      for (let c = 0; c < classes; c++, i++) out[i] = roundUp(this.#table.pValue(out[i], base + (this.#classGroups ? this.#classGroups[c] : 0), weight ? weight[n] : 1, tie));
    }
    return new Tensor("float32", [rows, classes], out);
  }

  toJSON(): SplitConformalJSON {
    const { method, classes, randomize, seed, penalty, freeRanks } = this;
    const conditions = [...(this.needsGroups ? ["groups"] : []), ...(this.#classGroups ? ["classGroups"] : []), ...(this.needsWeights ? ["weights"] : [])];
    const { n, ...table } = this.#table.toJSON();
    return {
      format: FORMAT, version: 1, method, classes, n, randomize, seed,
      ...(hasPenalty(method) && { penalty }), ...(method === "raps" && { freeRanks }),
      ...(this.#rule.tree && { parents: tensorToJSON(new Tensor("int32", [this.#rule.tree.parents.length], this.#rule.tree.parents)) }),
      ...(this.#classGroups && { classGroups: tensorToJSON(this.classGroups!) }), ...(conditions.length > 0 && { conditions }), ...table,
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): SplitConformal {
    const fields = readJson("SplitConformal.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const has = (field: string): boolean => Object.hasOwn(json as object, field);
    const method = fields.oneOf("method", METHODS), classes = fields.integer("classes", 1, 4194304);
    const parents = method === "tree" ? fields.tensor("parents", "int32", 1).data : undefined;
    const fault = parents && faultOf(parents, classes);
    if (fault !== undefined) fields.fail("parents", EXPECTED(classes), fault);
    const rule = { ...(parents && { tree: new LabelTree(parents, classes) }), method, penalty: hasPenalty(method) ? fields.number("penalty", 0, 1e6) : 0, freeRanks: method === "raps" ? fields.integer("freeRanks", 0, 4194304) : 0 };
    const conditions = has("conditions") ? fields.strings("conditions") : [];
    const unknown = conditions.findIndex((name, i) => !["groups", "classGroups", "weights"].includes(name) || conditions.indexOf(name) < i);
    if (unknown >= 0) fields.fail("conditions", 'of "groups", "classGroups", "weights", each once', `"${conditions[unknown]}" at index ${unknown}`);
    const grouped = conditions.includes("groups"), weighted = conditions.includes("weights"), byClass = conditions.includes("classGroups");
    for (const [field, named] of [["groupSizes", grouped || byClass], ["classGroups", byClass], ["weights", weighted]] as const) {
      if (has(field) && !named) fields.fail("conditions", `that go with \`${field}\``, JSON.stringify(conditions));
    }
    const classGroups = byClass ? fields.tensor("classGroups", "int32", 1).data : undefined;
    if (classGroups) {
      if (classGroups.length !== classes) fields.fail("classGroups", `${classes} numbers`, `${classGroups.length}`);
      const bad = classGroups.findIndex((g) => !(g >= 0 && g < MOST_GROUPS));
      if (bad >= 0) fields.fail("classGroups", `in [0, ${MOST_GROUPS})`, `${classGroups[bad]} at index ${bad}`);
    }
    const high = method === "lac" || method === "margin" ? 1.001 : method === "topk" ? classes : 2.001 + rule.penalty * classes;
    const table = ScoreTable.fromJSON(fields, grouped || byClass, weighted, method === "margin" ? -1.001 : 0, high);
    const columns = classGroups ? countOf(classGroups) : 1, count = (table.groups ?? 1) / columns;
    if (!Number.isInteger(count) || count === 0 || (!grouped && count !== 1)) fields.fail("groupSizes", grouped ? `of a multiple of ${columns} groups` : `${columns} numbers, one for each group of classes`, `${table.groups ?? 0}`);
    const randomize = fields.boolean("randomize");
    if (randomize && !isRandom(method)) fields.fail("randomize", `false with "${method}"`, "true");
    return new SplitConformal({ rule, classes, randomize, seed: fields.integer("seed", 0, Number.MAX_SAFE_INTEGER), classGroups, groups: grouped ? count : undefined }, table);
  }

  #checkGroup(where: string, alpha: number, group: number): void {
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    if (this.#table.weighted) throw rangeError(where, "this", "fitted without weights", "a weighted fit", "Its quantile depends on the weight of the row");
    checkInteger(where, "group", group, 0, (this.#table.groups ?? 1) - 1);
  }

  #batch(where: string, logits: TensorLike): ReturnType<typeof batchOf> {
    const batch = batchOf(where, logits), { rows, classes } = batch;
    if (classes !== this.classes) throw rangeError(where, "logits", `of ${this.classes} classes on the last axis`, `shape [${rows}, ${classes}]`);
    return batch;
  }

  #rows(where: string, rows: number, drawn: boolean, { ids, groups, weights }: ConformalRowOptions): { readonly id: (n: number) => number; readonly group?: Int32Array; readonly weight?: Float32Array } {
    const id = ids === undefined ? undefined : asInt32(where, "ids", ids);
    if (id) checkShape(where, "ids", id, [rows]);
    if (id) checkLabels(where, "ids", id, 2147483648);
    // Calls of one row each would all draw the number of row 0, and the coverage would be that of this number.
    if (!id && rows === 1 && drawn) throw rangeError(where, "ids", "the id of the row", "none", "One row is drawn by its id: pass one that no other row has");
    checkGiven(where, "groups", this.needsGroups, groups);
    checkGiven(where, "weights", this.needsWeights, weights);
    return {
      id: (n) => (id ? id.data[n] : n),
      group: groups === undefined ? undefined : groupsOf(where, groups, rows, this.groups),
      weight: weights === undefined ? undefined : weightsOf(where, weights, rows),
    };
  }
}

function labelsOf(where: string, labels: TensorLike, rows: number, classes: number): Int32Array {
  const y = asInt32(where, "labels", labels);
  checkShape(where, "labels", y, [rows]);
  checkLabels(where, "labels", y, classes);
  return lastingData(y);
}

function classGroupsOf(where: string, given: "each" | TensorLike, classes: number): Int32Array {
  if (typeof given === "string") {
    if (given !== "each") throw rangeError(where, "classGroups", '"each" or int32 [C]', `"${given as string}"`);
    return Int32Array.from({ length: classes }, (_, c) => c);
  }
  const g = asInt32(where, "classGroups", given);
  checkShape(where, "classGroups", g, [classes]);
  checkLabels(where, "classGroups", g, MOST_GROUPS);
  return g.data.slice();
}
