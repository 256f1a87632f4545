import { checkPositive, rangeError, readJson, typeError } from "@logits/tensor";

const FORMAT = "logits/adaptive-alpha";

/** Options of `AdaptiveAlpha.start`. */
export interface AdaptiveAlphaOptions {
  /** The share of misses to reach in the long run, in (0, 1). Default 0.1. */
  readonly alpha?: number;
  /** Step gamma, > 0: larger reacts faster and wavers more. Default 0.01. */
  readonly step?: number;
}

/** What `AdaptiveAlpha` writes as JSON. */
export interface AdaptiveAlphaJSON {
  readonly format: "logits/adaptive-alpha";
  readonly version: 1;
  readonly alpha: number;
  readonly step: number;
  /** alpha_t, may lie outside [0, 1] by at most `step`. */
  readonly level: number;
  readonly rows: number;
  readonly misses: number;
}

/**
 * Adaptive conformal inference: moves the alpha that sets or intervals are asked for, so that over a stream the share of misses tends to the alpha that was promised, whatever the stream does.
 *
 *   alpha_(t+1) = alpha_t + step (alpha - miss_t),   miss_t = 1 where the set or interval at alpha_t did not hold the label
 *
 * | misses / T - alpha | <= (max(alpha, 1 - alpha) + step) / (step T) after T rows, for any stream at all: no exchangeability. It needs sets of everything at alpha_t <= 0 and of nothing at
 * alpha_t >= 1: `current` is then 0 and 1, which `SplitConformal.predictionSet` with `allowEmpty: true` and `ConformalRegression.interval` take. The promise is about the long run, not about any row.
 * The state is five numbers, which `toJSON` carries over a reload bit by bit.
 *
 * Source: Gibbs and Candes, "Adaptive conformal inference under distribution shift", NeurIPS 2021, proposition 4.1.
 */
export class AdaptiveAlpha {
  /** The promised share of misses. */
  readonly alpha: number;
  readonly step: number;
  #level: number;
  #rows: number;
  #misses: number;

  private constructor(alpha: number, step: number, level: number, rows: number, misses: number) {
    this.alpha = alpha;
    this.step = step;
    this.#level = level;
    this.#rows = rows;
    this.#misses = misses;
  }

  /**
   * The state before the first row: alpha_1 = alpha.
   *
   * @throws RangeError for an alpha outside (0, 1) or a step that is not a finite number > 0
   * @example
   *   const adaptive = AdaptiveAlpha.start({ alpha: 0.1 });
   *   const set = conformal.predictionSet([row], { alpha: adaptive.current, allowEmpty: true });
   *   adaptive.update(set.labels(0).includes(label));
   */
  static start(options: AdaptiveAlphaOptions = {}): AdaptiveAlpha {
    const where = "AdaptiveAlpha.start", { alpha = 0.1, step = 0.01 } = options;
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    checkPositive(where, "step", step);
    return new AdaptiveAlpha(alpha, step, alpha, 0, 0);
  }

  /** alpha_t as it stands, within `step` of [0, 1]. */
  get level(): number {
    return this.#level;
  }

  /** Rows so far. */
  get rows(): number {
    return this.#rows;
  }

  get misses(): number {
    return this.#misses;
  }

  /** The alpha to ask for now, in [0, 1]. */
  get current(): number {
    return Math.min(1, Math.max(0, this.#level));
  }

  /** The largest distance that the share of misses can have from alpha by now; Infinity before the first row. */
  get bound(): number {
    return this.#rows === 0 ? Infinity : (Math.max(this.alpha, 1 - this.alpha) + this.step) / (this.step * this.#rows);
  }

  /**
   * Takes in a row: whether its set or interval at `current` held the label.
   *
   * @throws TypeError for anything but a boolean; RangeError for a miss at alpha 0 or a hit at alpha 1, which sets of everything and of nothing cannot give
   */
  update(covered: boolean): this {
    const { current } = this;
    if (typeof covered !== "boolean") throw typeError("AdaptiveAlpha.update", "covered", "a boolean", covered === null ? "null" : typeof covered);
    if ((current === 0 && !covered) || (current === 1 && covered)) {
      throw rangeError("AdaptiveAlpha.update", "covered", current === 0 ? "true at alpha 0, whose set holds everything" : "false at alpha 1, whose set holds nothing", `${covered}`, "Ask for the set at `current`, with allowEmpty: true");
    }
    this.#level += this.step * (this.alpha - (covered ? 0 : 1));
    this.#rows++;
    if (!covered) this.#misses++;
    return this;
  }

  toJSON(): AdaptiveAlphaJSON {
    const { alpha, step, level, rows, misses } = this;
    return { format: FORMAT, version: 1, alpha, step, level, rows, misses };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): AdaptiveAlpha {
    const fields = readJson("AdaptiveAlpha.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const alpha = fields.number("alpha"), step = fields.number("step");
    if (!(alpha > 0 && alpha < 1)) fields.fail("alpha", "in (0, 1)", `${alpha}`);
    if (!(step > 0)) fields.fail("step", "> 0", `${step}`);
    const rows = fields.integer("rows", 0, Number.MAX_SAFE_INTEGER);
    return new AdaptiveAlpha(alpha, step, fields.number("level", -1.000001 * step, 1 + 1.000001 * step), rows, fields.integer("misses", 0, rows));
  }
}
