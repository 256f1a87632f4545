import { log } from "@logits/statistics";
import { Tensor, describe, rangeError, readJson, typeError } from "@logits/tensor";
import { ConformalPValues, type ConformalPValuesJSON } from "./conformalPValues.ts";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import type { DetectorClass } from "./detectorClass.ts";
import { Fingerprints } from "./fingerprints.ts";
import { readDetectorAs } from "./readDetector.ts";

const FORMAT = "logits/p-value-fusion";
const METHODS = ["fisher", "harmonic", "minimum"] as const;

/** How the p-values of a row become one score: minus the mean logarithm, the mean of the inverses, or minus the logarithm of the smallest. */
export type FusionMethod = (typeof METHODS)[number];

/** Options of `PValueFusion.fit`. */
export interface PValueFusionOptions {
  /** Default "fisher". */
  readonly method?: FusionMethod;
}

/** What `PValueFusion` writes as JSON. */
export interface PValueFusionJSON {
  readonly format: "logits/p-value-fusion";
  readonly version: 1;
  readonly method: FusionMethod;
  readonly detectors: readonly ReturnType<Detector["toJSON"]>[];
  /** Scores of the reference rows, by detector. */
  readonly references: readonly ConformalPValuesJSON[];
}

/**
 * Several detectors as one, on the scale of p-values: what each would call unusual counts alike, whatever its scores are like.
 *
 *   p_d = (1 + number of reference rows whose score d is >= this one's) / (n + 1)
 *   fisher   -(1 / D) sum_d ln p_d        harmonic   (1 / D) sum_d 1 / p_d        minimum   -ln min_d p_d
 *
 * The score is a detector's like any other: higher = more out-of-distribution, no p-value itself. The p-values of one row depend on each other, so a table of chi-square would promise too much; a `Threshold`
 * or `ConformalPValues` on calibration rows of their own keeps its promise whatever the dependence, and that is how `DecisionHead` composes it. The reference rows must have fitted none of the detectors
 * (on rows of its fit a detector's scores are too low) and are no calibration rows. "fisher" wants agreement, "minimum" and "harmonic" take the word of one. With n reference rows nothing is more
 * unusual than 1 / (n + 1): rows beyond all of them are equals for that detector.
 *
 * Sources: Fisher, 1932; Wilson, "The harmonic mean p-value for combining dependent tests", PNAS 116 (2019); Tippett, 1931; for detectors: Magesh, Veeravalli, Roy, Jha, "Principled out-of-distribution detection via multiple testing", JMLR 24 (2023).
 *
 * @example
 *   const fused = PValueFusion.fit([LogitDetector.of("energy"), MahalanobisDetector.fit(features, labels)], { logits: referenceLogits, features: referenceFeatures });
 */
export class PValueFusion implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "fusion";
  readonly needs: readonly DetectorNeeds[];
  /** F, where a detector takes rows of one width only. */
  readonly features?: number;
  /** Whether a detector refuses features below 0. */
  readonly nonNegative: boolean;
  readonly detectors: readonly Detector[];
  /** How p-values become a score. */
  readonly combination: FusionMethod;
  /** Reference rows. */
  readonly n: number;
  /** Recognises the rows of the fits and the reference rows; undefined when read from JSON, or where no row had features. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #references: readonly ConformalPValues[];

  private constructor(detectors: readonly Detector[], references: readonly ConformalPValues[], combination: FusionMethod, fingerprints: Fingerprints | undefined) {
    this.detectors = Object.freeze([...detectors]);
    this.combination = combination;
    this.n = references[0].n;
    this.needs = Object.freeze((["logits", "features"] as const).filter((need) => detectors.some(({ needs }) => needs.includes(need))));
    const width = detectors.find(({ features }) => features !== undefined)?.features;
    if (width !== undefined) this.features = width;
    this.nonNegative = detectors.some(({ nonNegative }) => nonNegative);
    this.fingerprints = fingerprints;
    this.#references = references;
    Object.freeze(this);
  }

  /**
   * Scores of the reference rows, by detector.
   *
   * @param detectors - fitted, at least one
   * @param reference - rows like those of the fits that fitted none of them: `logits` float32 [N, C], `features` float32 [N, F], as the detectors need
   * @param options - `method` ("fisher")
   * @throws RangeError for no detector or no row, detectors of features of different widths, another method, a reference row that fitted a detector or has no score (named)
   * @example
   *   PValueFusion.fit([LogitDetector.of("maxLogit")], { logits: [[3, 0], [1, 0], [2, 0]] }).score({ logits: [[1.5, 0]] }); // -ln(2 / 4) = 0.6931
   */
  static fit(detectors: readonly Detector[], reference: DetectorRows, options: PValueFusionOptions = {}): PValueFusion {
    const where = "PValueFusion.fit", { method = "fisher" } = options;
    if (!METHODS.includes(method)) throw rangeError(where, "method", METHODS.map((name) => `"${name}"`).join(", "), `${method as string}`);
    checkDetectors(where, detectors);
    const fingerprints = new Fingerprints();
    for (const { method: name, fingerprints: own } of detectors) {
      if (own === undefined || reference.features === undefined) continue;
      const shared = own.firstShared(reference.features);
      if (shared >= 0) throw rangeError(where, "reference", "of rows that fitted no detector", `row ${shared}, which is one of the fit of "${name}"`, "On its own rows a detector's scores are too low");
      fingerprints.merge(own);
    }
    const references = detectors.map((detector) => {
      const scores = detector.score(reference), bad = scores.data.findIndex((score) => score !== score);
      if (scores.shape.length !== 1 || scores.size === 0) throw rangeError(where, "reference", "of at least one row, [N, C] and [N, F]", `shape [${scores.shape.join(", ")}] of the scores`);
      if (bad >= 0) throw rangeError(where, "reference", `with a score by the detector "${detector.method}"`, `NaN for row ${bad}`);
      return ConformalPValues.fit(scores);
    });
    if (reference.features !== undefined) fingerprints.add(reference.features);
    return new PValueFusion(detectors, references, method, fingerprints.size > 0 ? fingerprints : undefined);
  }

  /**
   * The p-values behind a score, by detector: which of them finds the row unusual.
   *
   * @param rows - as for `score`
   * @returns a list for each detector, float64 [N]; NaN where its score is
   */
  pValues(rows: DetectorRows): Float64Array[] {
    return this.detectors.map((detector, d) => Float64Array.from(detector.score(rows).data, (score) => (score === score ? this.#references[d].pValue(score) : NaN)));
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `logits` float32 [..., C], `features` float32 [..., F], as the detectors need
   * @returns float32 [...]: >= 0 ("harmonic": >= 1). NaN where a detector's score is
   * @throws RangeError without `logits` or `features` where a detector needs them, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const scores = this.detectors.map((detector) => detector.score(rows)), { combination } = this, out = new Float32Array(scores[0].size);
    for (const { size } of scores) if (size !== out.length) throw rangeError("PValueFusion.score", "rows", "of the same number of logits and features", `${out.length} and ${size}`);
    for (let n = 0; n < out.length; n++) {
      let sum = 0;
      for (let d = 0; d < scores.length; d++) {
        const score = scores[d].data[n], p = score === score ? this.#references[d].pValue(score) : NaN;
        const term = combination === "harmonic" ? 1 / p : -log(p);
        // Math.max gives NaN where either is.
        sum = combination === "minimum" ? Math.max(sum, term) : sum + term;
      }
      out[n] = combination === "minimum" ? sum : sum / scores.length;
    }
    return new Tensor("float32", scores[0].shape, out);
  }

  /** Gives back what the detectors hold in WebAssembly memory. They and this one are of no use afterwards. */
  dispose(): void {
    for (const detector of this.detectors) detector.dispose?.();
  }

  toJSON(): PValueFusionJSON {
    return { format: FORMAT, version: 1, method: this.combination, detectors: this.detectors.map((detector) => detector.toJSON()), references: this.#references.map((one) => one.toJSON()) };
  }

  /**
   * Reads what `toJSON` wrote, bit by bit.
   *
   * @param classes - those of the detectors inside, besides `LogitDetector`, `MahalanobisDetector` and `NearestNeighborDetector`
   * @throws FormatError for another format or version, a field that is missing or not what it must be, a detector of an unknown class
   */
  static fromJSON(json: unknown, classes: readonly DetectorClass[] = []): PValueFusion {
    const where = "PValueFusion.fromJSON", fields = readJson(where, json, FORMAT, 1, "@logits/ood");
    const method = fields.oneOf("method", METHODS), list = fields.value("detectors"), scores = fields.value("references");
    if (!Array.isArray(list) || list.length === 0) return fields.fail("detectors", "a list of at least one detector", describe(list));
    if (!Array.isArray(scores) || scores.length !== list.length) return fields.fail("references", `a list of ${list.length}, one for each detector`, Array.isArray(scores) ? `${scores.length}` : describe(scores));
    const detectors = list.map((item) => readDetectorAs(where, "classes", item, classes)), references = scores.map((item) => ConformalPValues.fromJSON(item));
    const odd = references.findIndex(({ n }) => n === 0 || n !== references[0].n);
    if (odd >= 0) fields.fail("references", "of one number of rows, at least 1", `${references[odd].n} at index ${odd}`);
    const widths = widthsOf(detectors);
    if (widths.length > 1) fields.fail("detectors", "of features of one width", widths.join(" and "));
    return new PValueFusion(detectors, references, method, undefined);
  }
}

function checkDetectors(where: string, detectors: readonly Detector[]): void {
  if (!Array.isArray(detectors) || detectors.length === 0) throw rangeError(where, "detectors", "at least one", Array.isArray(detectors) ? "none" : describe(detectors));
  const odd = detectors.findIndex((one) => typeof one?.score !== "function");
  if (odd >= 0) throw typeError(where, "detectors", "fitted detectors", `${describe(detectors[odd])} at index ${odd}`);
  const widths = widthsOf(detectors);
  if (widths.length > 1) throw rangeError(where, "detectors", "of features of one width", widths.join(" and "));
}

function widthsOf(detectors: readonly Detector[]): number[] {
  return [...new Set(detectors.flatMap(({ features }) => features ?? []))];
}
