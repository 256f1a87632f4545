import { clopperPearson, conformalRank, orderStatistic, pacOrderStatistic } from "@logits/statistics";
import { Tensor, rangeError, readJson, type TensorLike } from "@logits/tensor";
import { scoresOf } from "./scores.ts";

const FORMAT = "logits/threshold";

/** Options of `Threshold.fit`. */
export interface ThresholdOptions {
  /** The share of in-distribution rows that may exceed the threshold, in (0, 1). */
  readonly maxFalsePositiveRate: number;
  /**
   * A number in (0, 1): the probability, over the drawing of the calibration rows, that the share is kept. "marginal": the share is kept on average over calibrations,
   * and about half of them exceed it. Default 0.95.
   */
  readonly confidence?: number | "marginal";
}

/** How many of some scores exceed a threshold, with the exact (Clopper-Pearson) interval of the probability behind it. */
export interface Exceedance {
  readonly rows: number;
  readonly exceeding: number;
  /** exceeding / rows; null without rows. */
  readonly rate: number | null;
  /** Null without rows. */
  readonly interval: readonly [low: number, high: number] | null;
}

/** What `Threshold` writes as JSON. */
export interface ThresholdJSON {
  readonly format: "logits/threshold";
  readonly version: 1;
  /** Text where it is infinite, for JSON has no infinities. */
  readonly value: number | "Infinity" | "-Infinity";
  readonly n: number;
  readonly rank: number;
  readonly maxFalsePositiveRate: number;
  readonly confidence: number | "marginal";
}

interface Fields {
  readonly value: number;
  readonly n: number;
  readonly rank: number;
  readonly maxFalsePositiveRate: number;
  readonly confidence: number | "marginal";
}

/**
 * A threshold on out-of-distribution scores that at most a promised share of in-distribution rows exceeds.
 *
 *   value = the k-th largest of n in-distribution scores;   P(score > value | the n scores) ~ Beta(k, n + 1 - k), less with ties
 *   confidence c: the largest k with P(Beta(k, n + 1 - k) <= maxFalsePositiveRate) >= c;   "marginal": k = floor((n + 1) maxFalsePositiveRate)
 *
 * The promise is about new rows drawn like the n rows. It rests on them alone: they must not have trained the model or served a detector, a temperature or any choice.
 * Where n is too small no threshold keeps it: `attainable` is false, `value` Infinity, and nothing exceeds it.
 *
 * Sources: Tong, Feng, Li, "Neyman-Pearson classification algorithms and NP receiver operating characteristics", Science Advances 4 (2018) (the umbrella algorithm; R and Python
 * packages `nproc`); marginal: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005).
 */
export class Threshold {
  /** What a score must exceed; Infinity where the promise is not attainable. */
  readonly value: number;
  /** False: n rows are too few for any threshold. `needed` says how many would do. */
  readonly attainable: boolean;
  /** Calibration rows. */
  readonly n: number;
  /** k: the value is the k-th largest calibration score; 0 where not attainable. */
  readonly rank: number;
  /** The smallest n for which the promise is attainable. */
  readonly needed: number;
  readonly maxFalsePositiveRate: number;
  readonly confidence: number | "marginal";

  private constructor(fields: Fields) {
    const { value, n, rank, maxFalsePositiveRate, confidence } = fields;
    this.value = value;
    this.attainable = rank > 0;
    this.n = n;
    this.rank = rank;
    this.needed = neededOf(maxFalsePositiveRate, confidence);
    this.maxFalsePositiveRate = maxFalsePositiveRate;
    this.confidence = confidence;
    Object.freeze(this);
  }

  /**
   * Finds the threshold from scores of in-distribution rows that no other step has used.
   *
   * @param scores - [n], higher = more out-of-distribution; float64 kept, else float32; infinities are ordinary scores
   * @param options - `maxFalsePositiveRate`, `confidence` (0.95)
   * @returns also where n is too small, 0 included: then `attainable` is false
   * @throws RangeError for another shape, a NaN (its row is named), a rate or confidence outside (0, 1)
   * @example
   *   Threshold.fit(detector.score({ logits }), { maxFalsePositiveRate: 0.05 }).exceeds(score);
   */
  static fit(scores: TensorLike, options: ThresholdOptions): Threshold {
    const where = "Threshold.fit";
    const { maxFalsePositiveRate, confidence = 0.95 } = options;
    const open = (x: unknown): boolean => typeof x === "number" && x > 0 && x < 1;
    if (!open(maxFalsePositiveRate)) throw rangeError(where, "maxFalsePositiveRate", "in (0, 1)", `${maxFalsePositiveRate}`);
    if (confidence !== "marginal" && !open(confidence)) throw rangeError(where, "confidence", 'in (0, 1) or "marginal"', `${confidence}`);
    const s = scoresOf(where, "scores", scores);
    const n = s.length, rank = rankOf(n, maxFalsePositiveRate, confidence);
    const value = rank === 0 ? Infinity : orderStatistic(Float64Array.from(s), n + 1 - rank) + 0;
    return new Threshold({ value, n, rank, maxFalsePositiveRate, confidence });
  }

  /** True where `score` > `value`; a tie does not exceed. RangeError for NaN. */
  exceeds(score: number): boolean {
    if (typeof score !== "number" || score !== score) throw rangeError("Threshold.exceeds", "score", "a number", `${score}`);
    return score > this.value;
  }

  /**
   * Which scores exceed the threshold.
   *
   * @param scores - [N]
   * @returns uint8 [N], 1 where `exceeds`
   * @throws RangeError for another shape or a NaN (its row is named)
   */
  exceedsAll(scores: TensorLike): Tensor<"uint8"> {
    const s = scoresOf("Threshold.exceedsAll", "scores", scores);
    const mask = new Uint8Array(s.length);
    for (let i = 0; i < mask.length; i++) mask[i] = Number(s[i] > this.value);
    return new Tensor("uint8", [mask.length], mask);
  }

  /**
   * The share of some scores that exceeds the threshold, with its exact interval: the true-positive rate on known outliers, the false-positive rate on fresh
   * in-distribution rows. The rows must not have served the choice of detector or threshold.
   *
   * @param scores - [N]
   * @param options - `level` of the interval, in (0, 1) (0.95)
   * @throws RangeError for another shape, a NaN (its row is named), a level outside (0, 1)
   */
  exceedance(scores: TensorLike, options: { readonly level?: number } = {}): Exceedance {
    const where = "Threshold.exceedance";
    const { level = 0.95 } = options;
    if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
    const s = scoresOf(where, "scores", scores);
    const rows = s.length;
    let exceeding = 0;
    for (let i = 0; i < rows; i++) if (s[i] > this.value) exceeding++;
    return rows === 0 ? { rows, exceeding, rate: null, interval: null } : { rows, exceeding, rate: exceeding / rows, interval: clopperPearson(exceeding, rows, level) };
  }

  toJSON(): ThresholdJSON {
    const { value, n, rank, maxFalsePositiveRate, confidence } = this;
    return { format: FORMAT, version: 1, value: Number.isFinite(value) ? value : value > 0 ? "Infinity" : "-Infinity", n, rank, maxFalsePositiveRate, confidence };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): Threshold {
    const fields = readJson("Threshold.fromJSON", json, FORMAT, 1, "@logits/ood");
    const n = fields.integer("n", 0, Number.MAX_SAFE_INTEGER), rank = fields.integer("rank", 0, n);
    const text = typeof fields.value("value") === "string";
    const value = text ? Number(fields.oneOf("value", ["Infinity", "-Infinity"])) : fields.number("value");
    if (rank === 0 && value !== Infinity) fields.fail("value", '"Infinity" where `rank` is 0', `${value}`);
    const inside = (field: "maxFalsePositiveRate" | "confidence"): number => {
      const x = fields.number(field);
      return x > 0 && x < 1 ? x : fields.fail(field, "in (0, 1)", `${x}`);
    };
    const marginal = typeof fields.value("confidence") === "string";
    const confidence = marginal ? fields.oneOf("confidence", ["marginal"]) : inside("confidence");
    return new Threshold({ value, n, rank, maxFalsePositiveRate: inside("maxFalsePositiveRate"), confidence });
  }
}

function rankOf(n: number, rate: number, confidence: number | "marginal"): number {
  if (confidence === "marginal") return Math.max(0, n + 1 - conformalRank(n, rate));
  const answer = pacOrderStatistic(n, { alpha: rate, confidence });
  return answer.attainable ? answer.k : 0;
}

function neededOf(rate: number, confidence: number | "marginal"): number {
  if (confidence !== "marginal") {
    const answer = pacOrderStatistic(0, { alpha: rate, confidence });
    return answer.attainable ? 0 : answer.needed;
  }
  let needed = Math.max(1, Math.floor(1 / rate) - 2);
  if (needed > 4503599627370496) return Infinity;
  while (conformalRank(needed, rate) > needed) needed++;
  return needed;
}
