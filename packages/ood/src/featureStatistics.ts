import { addGramSteps, addOuterProducts } from "@logits/core-wasm";
import { ByteReader, ByteWriter, type Accumulator } from "@logits/statistics";
import { asFloat32, asInt32, checkInteger, checkLabels, checkShape, describe, rangeError, runSteps, typeError, type Steps, type TensorLike } from "@logits/tensor";
import { checkFinite } from "./featureRows.ts";
import { Fingerprints, hashRows } from "./fingerprints.ts";
import { transposeLower } from "./transposeLower.ts";

const FORMAT = "ood.FeatureStatistics";

/** Rows whose products are summed in float32 before they are added in float64. */
const BLOCK = 256;
/** Blocks that are added together, and the elements they may have. */
const BLOCKS = 8, WAITING = 2 ** 20;
/** Corrections by class means that are made together. */
const GROUP = 256;

/** Labelled rows of features. */
export interface FeatureBatch {
  /** float32 [N, F], all finite. */
  readonly features: TensorLike;
  /** int32 [N], in [0, C). */
  readonly labels: TensorLike;
}

/** Options of `FeatureStatistics`. */
export interface FeatureStatisticsOptions {
  /** C. */
  readonly classes: number;
  /** F. */
  readonly features: number;
}

/** Result of `FeatureStatistics`. */
export interface FeatureMoments {
  /** C. */
  readonly classes: number;
  /** F. */
  readonly features: number;
  /** Rows. */
  readonly count: number;
  /** Rows of each class, [C]. */
  readonly counts: Float64Array;
  /** Mean of each class, [C * F]; NaN for a class without rows. */
  readonly means: Float64Array;
  /** sum_n (f_n - mean of its class) (f_n - mean of its class)', [F * F], symmetric. Not divided. */
  readonly scatter: Float64Array;
  /** Sum of the squared deviations of each class from its mean, [C * F]; 0 for a class without rows, NaN for rows that came from bytes of version 1. */
  readonly squares: Float64Array;
  /** What the rows are recognised by. */
  readonly fingerprints: Fingerprints;
}

/**
 * Class counts, class means and the scatter within the classes of labelled feature rows; mergeable. The Gaussian detectors are views of it.
 *
 *   means[c] = sum_{y_n = c} f_n / counts[c]        scatter = sum_n (f_n - means[y_n]) (f_n - means[y_n])'
 *
 * Rows are centred on what is known of their class mean, multiplied in float32 in blocks of 256 rows, and added in float64; means and corrections are float64. So the error of
 * scatter[i, j] is at most about 260 2^-24 times the sum of |products|, 10^-6 in practice, whatever the offset of the features. The result depends on the order of the rows
 * to that extent, not on how they are cut into batches; merging in another order changes it by at most 1e-12 of sqrt(scatter[i, i] scatter[j, j]).
 *
 * @example
 *   const statistics = new FeatureStatistics({ classes: 2, features: 1 });
 *   statistics.update({ features: [[1], [3], [10]], labels: [0, 0, 1] }).finish().means; // 2, 10
 * Source: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983), for merging.
 */
export class FeatureStatistics implements Accumulator<FeatureBatch, FeatureMoments> {
  /** F. */
  readonly features: number;
  #classes: number;
  // Closed rows: counts, means. Open rows, since the last close: how many, sums of what they differ from `centres` by. The scatter holds both, the open ones about their centres.
  #counts: Float64Array;
  #means: Float64Array;
  #scatter: Float64Array;
  #openCounts: Float64Array;
  #openSums: Float64Array;
  #squares: Float64Array;
  #openSquares: Float64Array;
  #centres: Float32Array;
  #pending: Float32Array;
  #labels: Int32Array;
  #waiting = 0;
  #blocks = 0;
  #fingerprints: Fingerprints = new Fingerprints();

  /** @throws RangeError for `classes` or `features` that are no integers >= 1 */
  constructor(options: FeatureStatisticsOptions) {
    const { classes, features } = options;
    checkInteger("FeatureStatistics", "classes", classes, 1, 4194304);
    checkInteger("FeatureStatistics", "features", features, 1, 32768);
    this.#classes = classes;
    this.features = features;
    this.#counts = new Float64Array(classes);
    this.#means = new Float64Array(classes * features);
    this.#scatter = new Float64Array(features * features);
    this.#openCounts = new Float64Array(classes);
    this.#openSums = new Float64Array(classes * features);
    this.#squares = new Float64Array(classes * features);
    this.#openSquares = new Float64Array(classes * features);
    this.#centres = new Float32Array(classes * features);
    const room = BLOCK * Math.max(1, Math.min(BLOCKS, Math.floor(WAITING / (BLOCK * features))));
    this.#pending = new Float32Array(room * features);
    this.#labels = new Int32Array(room);
  }

  /** C. */
  get classes(): number {
    return this.#classes;
  }

  /** Rows seen. */
  get count(): number {
    let sum = this.#waiting;
    for (let c = 0; c < this.classes; c++) sum += this.#counts[c] + this.#openCounts[c];
    return sum;
  }

  /**
   * Takes labelled rows in.
   *
   * @param batch - `features` float32 [N, F], `labels` int32 [N]; N may be 0
   * @throws RangeError for another shape, a label outside [0, C), or a row with NaN or an infinity (named)
   */
  update(batch: FeatureBatch): this {
    return runSteps(this.updateSteps("FeatureStatistics.update", batch));
  }

  /** The pieces of `update`; `where` names the caller in errors. All rows are checked before the first is taken in; work that is abandoned halfway leaves nothing that can be used. */
  *updateSteps(where: string, batch: FeatureBatch): Steps<this> {
    const x = asFloat32(where, "features", batch.features);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape;
    if (width !== this.features) throw rangeError(where, "features", `of shape [N, ${this.features}]`, `[${rows}, ${width}]`);
    const y = asInt32(where, "labels", batch.labels);
    checkShape(where, "labels", y, [rows]);
    checkLabels(where, "labels", y, this.classes);
    const piece = BLOCK * Math.max(1, Math.floor(2 ** 20 / (BLOCK * width))), hashes = new Uint32Array(2 * rows);
    for (let from = 0; from < rows; from += piece) {
      const to = Math.min(rows, from + piece);
      if (!hashRows(x.data, width, from, to, hashes)) checkFinite(where, x.data, width, from, to);
      yield (0.05 * to) / rows;
    }
    for (let from = 0; from < rows; ) {
      const take = Math.min(this.#labels.length - this.#waiting, rows - from);
      const part = x.data.subarray(from * width, (from + take) * width);
      this.#fingerprints.addHashes(hashes.subarray(2 * from, 2 * (from + take)));
      this.#labels.set(y.data.subarray(from, from + take), this.#waiting);
      // As many rows as wait at most need not wait: they are read where they are.
      const whole = take === this.#labels.length;
      if (!whole) this.#pending.set(part, this.#waiting * width);
      this.#waiting += take;
      from += take;
      if (this.#waiting === this.#labels.length) yield* this.#flushSteps(0.05 + (0.95 * from) / rows, whole ? part : this.#pending);
      yield 0.05 + (0.95 * from) / rows;
    }
    return this;
  }

  merge(other: this): this {
    if (!(other instanceof FeatureStatistics)) throw typeError("FeatureStatistics.merge", "other", "a FeatureStatistics", describe(other));
    if (other.classes !== this.classes || other.features !== this.features) {
      throw rangeError("FeatureStatistics.merge", "other", `of ${this.classes} classes and ${this.features} features`, `${other.classes} and ${other.features}`);
    }
    const theirs = other.#closed();
    this.#flush();
    this.#close();
    const { classes, features } = this;
    const corrections = new Corrections(this.#scatter, features);
    for (let c = 0; c < classes; c++) {
      const own = this.#counts[c], more = theirs.#counts[c], at = c * features;
      if (more === 0) continue;
      if (own === 0) {
        this.#means.set(theirs.#means.subarray(at, at + features), at);
        this.#squares.set(theirs.#squares.subarray(at, at + features), at);
      } else {
        const weight = (own * more) / (own + more), difference = corrections.next(weight);
        for (let j = 0; j < features; j++) {
          difference[j] = theirs.#means[at + j] - this.#means[at + j];
          this.#means[at + j] += difference[j] * (more / (own + more));
          this.#squares[at + j] += theirs.#squares[at + j] + weight * difference[j] ** 2;
        }
      }
      this.#counts[c] = own + more;
    }
    corrections.apply();
    for (let i = 0; i < this.#scatter.length; i++) this.#scatter[i] += theirs.#scatter[i];
    this.#recentre();
    this.#fingerprints.merge(theirs.#fingerprints);
    return this;
  }

  /**
   * Makes room for more classes, in place: the rows of a new class are taken in by `update` or `merge`, without those of the others.
   *
   * @param classes - C from now on, not less than before
   * @throws RangeError for fewer classes
   * @example statistics.grow(statistics.classes + 1).update({ features, labels }); // labels up to the new class
   */
  grow(classes: number): this {
    checkInteger("FeatureStatistics.grow", "classes", classes, this.classes, 4194304);
    const wider = (x: Float64Array): Float64Array => {
      const out = new Float64Array((x.length / this.classes) * classes);
      out.set(x);
      return out;
    };
    const centres = new Float32Array(classes * this.features);
    centres.set(this.#centres);
    [this.#counts, this.#means, this.#squares, this.#openCounts, this.#openSums, this.#openSquares] = [this.#counts, this.#means, this.#squares, this.#openCounts, this.#openSums, this.#openSquares].map(wider);
    this.#centres = centres;
    this.#classes = classes;
    return this;
  }

  /**
   * The same rows as one class: its mean is the mean of all rows, its scatter that within the classes and between them. A copy.
   *
   * @example MahalanobisDetector.from(statistics.pooled()); // a single Gaussian of all rows
   */
  pooled(): FeatureStatistics {
    const { features } = this, from = this.#closed(), out = new FeatureStatistics({ classes: 1, features });
    out.#scatter = from.#scatter;
    const corrections = new Corrections(out.#scatter, features);
    let count = 0;
    for (let c = 0; c < this.classes; c++) {
      const more = from.#counts[c], at = c * features;
      if (more === 0) continue;
      const weight = (count * more) / (count + more), difference = corrections.next(weight);
      for (let j = 0; j < features; j++) {
        difference[j] = from.#means[at + j] - out.#means[j];
        out.#means[j] += difference[j] * (more / (count + more));
        out.#squares[j] += from.#squares[at + j] + weight * difference[j] ** 2;
      }
      count += more;
    }
    corrections.apply();
    out.#counts[0] = count;
    out.#recentre();
    out.#fingerprints = from.#fingerprints;
    return out;
  }

  toBytes(): Uint8Array {
    const { classes, features, ...state } = this.#closed().#state();
    const writer = new ByteWriter(FORMAT, 2).uint32(classes).uint32(features).float64Array(state.counts).float64Array(state.means).float64Array(state.lower).float64Array(state.squares);
    const words = this.#fingerprints.words();
    writer.uint32(words.length / 2);
    for (const word of words) writer.uint32(word);
    return writer.bytes();
  }

  /** @throws FormatError if the bytes are not those of a `FeatureStatistics` */
  static fromBytes(bytes: Uint8Array): FeatureStatistics {
    const reader = new ByteReader("FeatureStatistics.fromBytes", bytes, FORMAT, 2);
    const classes = reader.uint32(), features = reader.uint32();
    if (!(classes >= 1 && classes <= 4194304 && features >= 1 && features <= 32768)) throw reader.error("with `classes` and `features` >= 1", `${classes} and ${features}`);
    const counts = reader.float64Array("counts", classes), means = reader.float64Array("means", classes * features), lower = reader.float64Array("scatter", (features * (features + 1)) / 2);
    // Version 1 (release 0.1.0) knows no squares.
    const squares = new Float64Array(classes * features);
    if (reader.version > 1) {
      const length = reader.uint32();
      if (length !== squares.length) throw reader.error(`with ${squares.length} numbers in \`squares\``, `${length}`);
      for (let i = 0; i < length; i++) squares[i] = reader.float64("squares", "any");
    } else {
      for (let i = 0; i < squares.length; i++) if (counts[Math.floor(i / features)] > 0) squares[i] = NaN;
    }
    const bad = counts.findIndex((n) => !(Number.isSafeInteger(n) && n >= 0));
    if (bad >= 0) throw reader.error("with integers >= 0 in `counts`", `${counts[bad]} at index ${bad}`);
    const rows = reader.uint32(), total = counts.reduce((a, b) => a + b, 0);
    if (rows > total) throw reader.error(`with at most ${total} fingerprints`, `${rows}`);
    const out = new FeatureStatistics({ classes, features });
    out.#counts = counts;
    out.#means = means;
    out.#squares = squares;
    for (let i = 0, p = 0; i < features; i++) for (let j = 0; j <= i; j++, p++) out.#scatter[i * features + j] = lower[p];
    out.#recentre();
    const words = new Uint32Array(2 * rows);
    for (let i = 0; i < words.length; i++) words[i] = reader.uint32();
    out.#fingerprints = Fingerprints.of(words);
    reader.end();
    return out;
  }

  finish(): FeatureMoments {
    const closed = this.#closed();
    const { classes, features } = this;
    const scatter = closed.#scatter, means = closed.#means;
    transposeLower(scatter, features, scatter);
    for (let c = 0; c < classes; c++) if (closed.#counts[c] === 0) means.fill(NaN, c * features, (c + 1) * features);
    return { classes, features, count: this.count, counts: closed.#counts, means, scatter, squares: closed.#squares, fingerprints: closed.#fingerprints };
  }

  /** A copy without open rows. */
  #closed(): FeatureStatistics {
    const out = new FeatureStatistics(this);
    out.#counts = this.#counts.slice();
    out.#means = this.#means.slice();
    out.#scatter = this.#scatter.slice();
    out.#openCounts = this.#openCounts.slice();
    out.#openSums = this.#openSums.slice();
    out.#squares = this.#squares.slice();
    out.#openSquares = this.#openSquares.slice();
    out.#centres = this.#centres.slice();
    out.#pending = this.#pending.slice();
    out.#labels = this.#labels.slice();
    out.#waiting = this.#waiting;
    out.#fingerprints = new Fingerprints().merge(this.#fingerprints);
    out.#flush();
    out.#close();
    return out;
  }

  #state(): { classes: number; features: number; counts: Float64Array; means: Float64Array; lower: Float64Array; squares: Float64Array } {
    const { classes, features } = this;
    const lower = new Float64Array((features * (features + 1)) / 2);
    for (let i = 0, p = 0; i < features; p += ++i) lower.set(this.#scatter.subarray(i * features, i * features + i + 1), p);
    return { classes, features, counts: this.#counts, means: this.#means, lower, squares: this.#squares };
  }

  /** Takes the waiting rows into the open sums. */
  #flush(): void {
    runSteps(this.#flushSteps(1));
  }

  *#flushSteps(share: number, from: Float32Array = this.#pending): Steps<void> {
    const rows = this.#waiting, { features } = this;
    if (rows === 0) return;
    const data = this.#pending, labels = this.#labels;
    this.#centreNewClasses(from, rows);
    for (let n = 0; n < rows; n++) this.#openCounts[labels[n]]++;
    centreRows(from, data, labels, rows, features, this.#centres, this.#openSums, this.#openSquares);
    for (const _ of addGramSteps(this.#scatter, { data: data.subarray(0, rows * features), shape: [rows, features] })) yield share;
    this.#waiting = 0;
    // After blocks 1, 4, 16, ... the centres become the means so far: an odd first row does not stay a centre, and few corrections are made.
    this.#blocks++;
    for (let power = 1; power <= this.#blocks; power *= 4) if (power === this.#blocks) this.#close();
  }

  /** Classes that were not seen before are centred on the mean of their waiting rows. */
  #centreNewClasses(from: Float32Array, rows: number): void {
    const { features } = this;
    const fresh = new Map<number, number>();
    for (let n = 0; n < rows; n++) {
      const c = this.#labels[n];
      if (this.#counts[c] + this.#openCounts[c] === 0) fresh.set(c, (fresh.get(c) ?? 0) + 1);
    }
    for (const [c, count] of fresh) {
      const sum = new Float64Array(features);
      for (let n = 0; n < rows; n++) if (this.#labels[n] === c) for (let j = 0; j < features; j++) sum[j] += from[n * features + j];
      for (let j = 0; j < features; j++) this.#centres[c * features + j] = sum[j] / count;
    }
  }

  /** Turns the open rows into closed ones: the scatter is then about the means. */
  #close(): void {
    const { classes, features } = this;
    const corrections = new Corrections(this.#scatter, features);
    for (let c = 0; c < classes; c++) {
      const open = this.#openCounts[c], own = this.#counts[c], at = c * features;
      if (open === 0) continue;
      const offset = corrections.next(-open);
      for (let j = 0; j < features; j++) {
        offset[j] = this.#openSums[at + j] / open;
        this.#squares[at + j] += Math.max(0, this.#openSquares[at + j] - open * offset[j] ** 2);
      }
      if (own === 0) {
        for (let j = 0; j < features; j++) this.#means[at + j] = this.#centres[at + j] + offset[j];
      } else {
        const difference = Float64Array.from(offset, (value, j) => this.#centres[at + j] + value - this.#means[at + j]);
        const weight = (own * open) / (own + open);
        corrections.next(weight).set(difference);
        for (let j = 0; j < features; j++) {
          this.#means[at + j] += difference[j] * (open / (own + open));
          this.#squares[at + j] += weight * difference[j] ** 2;
        }
      }
      this.#counts[c] = own + open;
    }
    corrections.apply();
    this.#openCounts.fill(0);
    this.#openSums.fill(0);
    this.#openSquares.fill(0);
    this.#recentre();
  }

  #recentre(): void {
    this.#centres.set(this.#means);
  }
}

/**
 * Subtracts the centre of its class from each row and adds what is left, and its square, to the sums of the class. `data` may be `x`. Rows of a class come in their order, four at a time where there are as many:
 * the sums are those of one row after the other, and are read and written a quarter as often.
 */
function centreRows(x: Float32Array, data: Float32Array, labels: Int32Array, rows: number, features: number, centres: Float32Array, sums: Float64Array, squares: Float64Array): void {
  const order = byClass(labels, rows);
  for (let k = 0; k < rows; ) {
    const c = labels[order[k]];
    let from = c * features, a = order[k] * features;
    const end = from + features;
    if (k + 3 < rows && labels[order[k + 3]] === c) {
      let b = order[k + 1] * features, d = order[k + 2] * features, e = order[k + 3] * features;
      for (; from < end; from++, a++, b++, d++, e++) {
        const centre = centres[from], p = Math.fround(x[a] - centre), q = Math.fround(x[b] - centre), r = Math.fround(x[d] - centre), s = Math.fround(x[e] - centre);
        data[a] = p;
        data[b] = q;
        data[d] = r;
        data[e] = s;
        sums[from] = sums[from] + p + q + r + s;
        squares[from] = squares[from] + p * p + q * q + r * r + s * s;
      }
      k += 4;
    } else {
      for (; from < end; from++, a++) {
        const value = Math.fround(x[a] - centres[from]);
        data[a] = value;
        sums[from] += value;
        squares[from] += value * value;
      }
      k++;
    }
  }
}

/** Rows in the order of their classes, those of a class in their own. */
function byClass(labels: Int32Array, rows: number): Int32Array {
  const order = Int32Array.from({ length: rows }, (_, n) => n);
  return order.sort((m, n) => labels[m] - labels[n] || m - n);
}

/** Weighted outer products, added in groups. */
class Corrections {
  readonly #matrix: Float64Array;
  readonly #features: number;
  readonly #vectors: Float64Array;
  readonly #weights: Float64Array = new Float64Array(GROUP);
  #count = 0;

  constructor(matrix: Float64Array, features: number) {
    this.#matrix = matrix;
    this.#features = features;
    this.#vectors = new Float64Array(GROUP * features);
  }

  /** Room for the next vector; it is all overwritten by the caller before the next call. */
  next(weight: number): Float64Array {
    if (this.#count === GROUP) this.apply();
    const at = this.#count++;
    this.#weights[at] = weight;
    return this.#vectors.subarray(at * this.#features, (at + 1) * this.#features);
  }

  apply(): void {
    addOuterProducts(this.#matrix, this.#vectors.subarray(0, this.#count * this.#features), this.#weights.subarray(0, this.#count));
    this.#count = 0;
  }
}
