import { exp, log, log1p } from "@logits/statistics";
import { checkPositive, rangeError, readJson } from "@logits/tensor";

const FORMAT = "logits/risk-monitor";
/** Bets, as shares of the largest that cannot be ruined. */
const BETS = [0.9, 0.45, 0.225, 0.1125, 0.05625, 0.028125, 0.0140625, 0.00703125];

/** Options of `RiskMonitor.start`. */
export interface RiskMonitorOptions {
  /** The mean loss that is allowed, in (0, bound). */
  readonly risk: number;
  /** The largest loss there is, > 0. Default 1. */
  readonly bound?: number;
  /** The chance of ever raising an alarm while the mean loss is allowed, in (0, 1). Default 0.01. */
  readonly level?: number;
}

/** What `RiskMonitor` writes as JSON. */
export interface RiskMonitorJSON {
  readonly format: "logits/risk-monitor";
  readonly version: 1;
  readonly risk: number;
  readonly bound: number;
  readonly level: number;
  readonly rows: number;
  readonly sum: number;
  /** Logarithm of the wealth of each bet. */
  readonly wealth: readonly number[];
  readonly largestLogEvidence: number;
}

/**
 * Watches a stream of losses (a miss is 1, a hit 0) for a mean above what is allowed, with a state of constant size that survives a reload.
 *
 *   wealth of bet b:  W_b <- W_b (1 + b (x_t / m - 1)),   x_t = loss / bound, m = risk / bound, b in { 0.9, 0.45, ..., 0.007 };   evidence = mean of the W_b, 1 at the start
 *
 * The promise: while the mean of each loss given what came before is at most `risk`, the chance that the evidence ever reaches 1 / level is at most level, however long the stream and whenever one
 * looks: `alarm` stays on once that happened. Losses need not be independent. For the misses of conformal sets the mean given the calibration rows is not alpha but a Beta number around it: watch
 * `risk: 1 - conformal.expectedCoverage(alpha, 0.98).interval[0]`.
 *
 * Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024; Podkopaev and Ramdas, "Tracking the risk of a deployed model", ICLR 2022; Ville, 1939.
 */
export class RiskMonitor {
  readonly risk: number;
  readonly bound: number;
  readonly level: number;
  readonly #wealth: Float64Array;
  #rows: number;
  #sum: number;
  #largest: number;

  private constructor(risk: number, bound: number, level: number, wealth: Float64Array, rows: number, sum: number, largest: number) {
    this.risk = risk;
    this.bound = bound;
    this.level = level;
    this.#wealth = wealth;
    this.#rows = rows;
    this.#sum = sum;
    this.#largest = largest;
  }

  /**
   * The state before the first row.
   *
   * @throws RangeError for a risk outside (0, bound), a level outside (0, 1)
   * @example
   *   const monitor = RiskMonitor.start({ risk: 0.12 });
   *   monitor.update(set.labels(0).includes(label) ? 0 : 1).alarm;
   */
  static start(options: RiskMonitorOptions): RiskMonitor {
    const where = "RiskMonitor.start", { risk, bound = 1, level = 0.01 } = options;
    checkPositive(where, "bound", bound);
    if (!(risk > 0 && risk < bound)) throw rangeError(where, "risk", `in (0, ${bound})`, `${risk}`);
    if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
    return new RiskMonitor(risk, bound, level, new Float64Array(BETS.length), 0, 0, 0);
  }

  /** Rows so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Mean loss so far; null before the first row. */
  get mean(): number | null {
    return this.#rows === 0 ? null : this.#sum / this.#rows;
  }

  /** Logarithm of the evidence that the mean is above `risk` as it stands; 0 at the start. */
  get logEvidence(): number {
    const most = this.#wealth.reduce((a, b) => Math.max(a, b), -Infinity);
    return most + log(this.#wealth.reduce((sum, w) => sum + exp(w - most), 0) / BETS.length);
  }

  /** 1 / (the largest evidence so far), at most 1: a p-value that holds at every moment at once. */
  get pValue(): number {
    return exp(-this.#largest);
  }

  /** Whether the evidence has ever reached 1 / level. */
  get alarm(): boolean {
    return this.#largest >= -log(this.level);
  }

  /**
   * Takes in the loss of the next row.
   *
   * @throws RangeError for a loss outside [0, bound]
   */
  update(loss: number): this {
    // A missing value is no loss of 0: null >= 0 holds.
    if (!(typeof loss === "number" && loss >= 0 && loss <= this.bound)) throw rangeError("RiskMonitor.update", "loss", `in [0, ${this.bound}]`, `${loss}`);
    for (let b = 0; b < BETS.length; b++) this.#wealth[b] += log1p(BETS[b] * (loss / this.risk - 1));
    this.#rows++;
    this.#sum += loss;
    const { logEvidence } = this;
    if (logEvidence > this.#largest) this.#largest = logEvidence;
    return this;
  }

  toJSON(): RiskMonitorJSON {
    const { risk, bound, level, rows } = this;
    return { format: FORMAT, version: 1, risk, bound, level, rows, sum: this.#sum, wealth: Array.from(this.#wealth), largestLogEvidence: this.#largest };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): RiskMonitor {
    const fields = readJson("RiskMonitor.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const bound = fields.number("bound"), risk = fields.number("risk"), level = fields.number("level");
    if (!(bound > 0)) fields.fail("bound", "> 0", `${bound}`);
    if (!(risk > 0 && risk < bound)) fields.fail("risk", `in (0, ${bound})`, `${risk}`);
    if (!(level > 0 && level < 1)) fields.fail("level", "in (0, 1)", `${level}`);
    const wealth = fields.value("wealth");
    if (!Array.isArray(wealth) || wealth.length !== BETS.length || !wealth.every((w) => typeof w === "number" && Number.isFinite(w))) return fields.fail("wealth", `${BETS.length} finite numbers`, JSON.stringify(wealth));
    const rows = fields.integer("rows", 0, Number.MAX_SAFE_INTEGER);
    const monitor = new RiskMonitor(risk, bound, level, Float64Array.from(wealth as number[]), rows, fields.number("sum", 0, rows * bound), fields.number("largestLogEvidence", 0));
    if (monitor.logEvidence > monitor.#largest + 1e-9) fields.fail("largestLogEvidence", "at least the evidence of `wealth`", `${monitor.#largest}`);
    return monitor;
  }
}
