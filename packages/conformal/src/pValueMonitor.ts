import { exp, log } from "@logits/statistics";
import { rangeError, readJson } from "@logits/tensor";

const FORMAT = "logits/p-value-monitor";
const SIDES = ["small", "both"] as const;
/** Bets against small, for none, and against large p-values. */
const BETS = [-1, 0, 1];

/** "small": alarms where p-values are smaller than they should be. "both": also where they are larger, for p-values that are uniform (smooth ones) and not only super-uniform. */
export type PValueSide = (typeof SIDES)[number];

/** Options of `PValueMonitor.start`. */
export interface PValueMonitorOptions {
  /** The chance of ever raising an alarm while nothing changes, in (0, 1). Default 0.01. */
  readonly level?: number;
  /** Calibration rows that all p-values were taken against, an integer >= 1. Without: the p-values are independent, each uniform given those before. */
  readonly calibrationRows?: number;
  /** Default "small". */
  readonly side?: PValueSide;
  /** Share of the capital that changes its bet at each row, in (0, 1). Default 0.01. */
  readonly jump?: number;
}

/** What `PValueMonitor` writes as JSON. */
export interface PValueMonitorJSON {
  readonly format: "logits/p-value-monitor";
  readonly version: 1;
  readonly level: number;
  /** 0: independent p-values. */
  readonly calibrationRows: number;
  readonly side: PValueSide;
  readonly jump: number;
  readonly capital: readonly number[];
  readonly rows: number;
  readonly logEvidence: number;
  readonly largestLogEvidence: number;
}

/**
 * Watches a stream of p-values for ones that are smaller than they should be, with a state of constant size that survives a reload.
 *
 *   capital of bet e:  C_e <- ((1 - J) C_e + J (sum of all) / (number of bets)) (1 + e (p_t - 1/2) - |e| d),   evidence = sum of the C_e, 1 at the start
 *   bets: e in {-1, 0} ("small"), {-1, 0, 1} ("both");   d = sqrt(n log(m / (level / 2)) / 2) / (n + 1) against n calibration rows, m = 1 or 2 sides;   d = 0 without
 *
 * P-values against one fixed calibration set are not independent: given these rows their mean is not 1/2 but a random number near it, and a martingale that takes them for uniform raises false alarms in a
 * long stream. Here the calibration rows get half of the level (Hoeffding: their mean p-value is further than d from 1/2 with probability at most level / 2), the stream the other half (Ville). So, while
 * calibration rows and stream are independent and alike, the chance of ever raising an alarm is at most level, however long the stream and whenever one looks. A change that moves the mean p-value by less
 * than d is not seen: `ExchangeabilityMonitor` sees it, from the scores, as it lets the stream's own rows count.
 *
 * Sources: Vovk et al., "Retrain or not retrain", COPA 2021 (simple jumper); Hoeffding, 1963; Ville, 1939. Giving the calibration rows their share of the level is our own.
 */
export class PValueMonitor {
  readonly level: number;
  /** undefined: independent p-values. */
  readonly calibrationRows: number | undefined;
  readonly side: PValueSide;
  readonly jump: number;
  /** d: how far the mean of the p-values may be from 1/2 by the calibration rows alone. */
  readonly slack: number;
  readonly #capital: Float64Array;
  #rows: number;
  #logEvidence: number;
  #largest: number;

  private constructor(level: number, calibrationRows: number | undefined, side: PValueSide, jump: number, capital: Float64Array, rows: number, logEvidence: number, largest: number) {
    this.level = level;
    this.calibrationRows = calibrationRows;
    this.side = side;
    this.jump = jump;
    this.slack = slackOf(level, calibrationRows, side);
    this.#capital = capital;
    this.#rows = rows;
    this.#logEvidence = logEvidence;
    this.#largest = largest;
  }

  /**
   * The state before the first row.
   *
   * @param options - `level` (0.01), `calibrationRows`, `side` ("small"), `jump` (0.01)
   * @throws RangeError for an option out of its range, and for so few calibration rows that no stream could raise an alarm (the message says how many it takes)
   * @example
   *   const monitor = PValueMonitor.start({ calibrationRows: conformal.n });
   *   for (const p of stream) if (monitor.update(p).alarm) break;
   */
  static start(options: PValueMonitorOptions = {}): PValueMonitor {
    const where = "PValueMonitor.start", { level = 0.01, calibrationRows, side = "small", jump = 0.01 } = options;
    if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
    if (!(jump > 0 && jump < 1)) throw rangeError(where, "jump", "in (0, 1)", `${jump}`);
    if (!SIDES.includes(side)) throw rangeError(where, "side", '"small" or "both"', `${side}`);
    if (calibrationRows !== undefined && !(Number.isSafeInteger(calibrationRows) && calibrationRows >= 1)) throw rangeError(where, "calibrationRows", "an integer >= 1", `${calibrationRows}`);
    if (!(slackOf(level, calibrationRows, side) < 0.5)) {
      let needed = 1;
      while (!(slackOf(level, needed, side) < 0.5)) needed++;
      throw rangeError(where, "calibrationRows", `at least ${needed} at level ${level}`, `${calibrationRows}`, "With fewer no stream could raise an alarm");
    }
    const bets = side === "both" ? 3 : 2;
    return new PValueMonitor(level, calibrationRows, side, jump, new Float64Array(bets).fill(1 / bets), 0, 0, 0);
  }

  /** Rows of the stream so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Logarithm of the evidence that the p-values are too small (or, with "both", too large) as it stands; 0 at the start. */
  get logEvidence(): number {
    return this.#logEvidence;
  }

  /** 1 / (the largest evidence so far), and against calibration rows half of the level on top, at most 1: a p-value that holds at every moment at once, for values of at least half of the level. */
  get pValue(): number {
    return Math.min(1, exp(-this.#largest) + (this.calibrationRows === undefined ? 0 : this.level / 2));
  }

  /** Whether the evidence has ever reached 1 / level; against calibration rows 2 / level. */
  get alarm(): boolean {
    return this.#largest >= -log(this.calibrationRows === undefined ? this.level : this.level / 2);
  }

  /**
   * Takes in the p-value of the next row.
   *
   * @throws RangeError for a number outside [0, 1]
   */
  update(pValue: number): this {
    if (!(typeof pValue === "number" && pValue >= 0 && pValue <= 1)) throw rangeError("PValueMonitor.update", "pValue", "in [0, 1]", `${pValue}`);
    const capital = this.#capital, bets = capital.length;
    let sum = 0;
    for (let e = 0; e < bets; e++) sum += capital[e] = ((1 - this.jump) * capital[e] + this.jump / bets) * (1 + BETS[e] * (pValue - 0.5) - (e === 1 ? 0 : this.slack));
    for (let e = 0; e < bets; e++) capital[e] /= sum;
    this.#rows++;
    this.#logEvidence += log(sum);
    if (this.#logEvidence > this.#largest) this.#largest = this.#logEvidence;
    return this;
  }

  toJSON(): PValueMonitorJSON {
    const { level, calibrationRows = 0, side, jump, rows, logEvidence } = this;
    return { format: FORMAT, version: 1, level, calibrationRows, side, jump, capital: Array.from(this.#capital), rows, logEvidence, largestLogEvidence: this.#largest };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): PValueMonitor {
    const fields = readJson("PValueMonitor.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const level = fields.number("level"), jump = fields.number("jump"), side = fields.oneOf("side", SIDES);
    if (!(level > 0 && level < 1)) fields.fail("level", "in (0, 1)", `${level}`);
    if (!(jump > 0 && jump < 1)) fields.fail("jump", "in (0, 1)", `${jump}`);
    const given = fields.integer("calibrationRows", 0, Number.MAX_SAFE_INTEGER), calibrationRows = given === 0 ? undefined : given;
    if (!(slackOf(level, calibrationRows, side) < 0.5)) fields.fail("calibrationRows", `enough for the level ${level}, or 0`, `${given}`);
    const bets = side === "both" ? 3 : 2, capital = fields.value("capital");
    if (!Array.isArray(capital) || capital.length !== bets || !capital.every((share) => typeof share === "number" && share >= 0 && share <= 1) || !(Math.abs(capital.reduce((a, b) => a + b, 0) - 1) < 1e-9)) {
      return fields.fail("capital", `${bets} numbers in [0, 1] that sum to 1`, JSON.stringify(capital));
    }
    const logEvidence = fields.number("logEvidence"), rows = fields.integer("rows", 0, Number.MAX_SAFE_INTEGER), largest = fields.number("largestLogEvidence");
    if (!(largest >= logEvidence && largest >= 0)) fields.fail("largestLogEvidence", "at least 0 and `logEvidence`", `${largest}`);
    return new PValueMonitor(level, calibrationRows, side, jump, Float64Array.from(capital as number[]), rows, logEvidence, largest);
  }
}

/**
 * With probability at least 1 - level / 2 over n calibration rows the mean p-value given them is no further than this from 1/2 (below it, for one side): it is 1/2 + (sum of G_i - 1/2) / (n + 1), G_i in [0, 1]
 * the mean rank of calibration score i among new scores, independent with mean 1/2; Hoeffding's inequality.
 */
function slackOf(level: number, n: number | undefined, side: PValueSide): number {
  return n === undefined ? 0 : Math.sqrt((n * log((side === "both" ? 4 : 2) / level)) / 2) / (n + 1);
}
