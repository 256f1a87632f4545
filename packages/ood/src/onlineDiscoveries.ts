import { exp, log } from "@logits/statistics";
import { rangeError, readJson } from "@logits/tensor";

const FORMAT = "logits/online-discoveries";
const RULES = ["lond", "lord"] as const;

/** Which online rule: see `OnlineDiscoveries`. */
export type OnlineRule = (typeof RULES)[number];

/** Options of `OnlineDiscoveries.start`. */
export interface OnlineDiscoveriesOptions {
  /** q in (0, 1): the promised mean share of false ones among the rows that were flagged so far. Default 0.1. */
  readonly maxFalseDiscoveryRate?: number;
  /** Default "lond". */
  readonly rule?: OnlineRule;
}

/** What was said of one row. */
export interface OnlineDecision {
  /** p <= level. */
  readonly flagged: boolean;
  /** What the p-value was compared with. */
  readonly level: number;
}

/** What `OnlineDiscoveries` writes as JSON. */
export interface OnlineDiscoveriesJSON {
  readonly format: "logits/online-discoveries";
  readonly version: 1;
  readonly rule: OnlineRule;
  readonly maxFalseDiscoveryRate: number;
  readonly tested: number;
  /** Which rows were flagged, counted from 1, ascending. */
  readonly discoveries: readonly number[];
}

/**
 * Outliers of a stream, one decision at a time: rows like the calibration rows are at most a share q of those that were flagged so far, in the mean, at every moment. Each discovery raises the levels of later rows.
 *
 *   gamma_t = 0.07720838 ln(max(t, 2)) / (t exp(sqrt(ln t))), which sums to 1;   tau_j = the time of discovery j
 *   lond   level_t = q gamma_t (1 + discoveries before t)
 *   lord   level_t = q / 2 (gamma_t + gamma_{t - tau_1}) + q sum_{j >= 2} gamma_{t - tau_j}
 *
 * "lond" keeps the promise for positively dependent p-values, as conformal p-values against the same calibration rows are. "lord" (LORD++ with half of q to begin with) promises it for p-values that are
 * uniform given the past, which conformal p-values with the same calibration rows are not quite; it forgets old discoveries, where "lond" lives on them. Of 40 outliers among 200 rows "lond" found 24 and "lord" 8 in the
 * simulation of the tests (1000 calibration rows, q 0.2), both with fewer than one false one in a hundred. Levels fall with time where nothing is found; below 1 / (n + 1) of n
 * calibration rows nothing can be: start anew with a new day or batch, each with its own promise, or take `Threshold`, whose promise does not wear out.
 *
 * A stream has state: `test` changes it, and `toJSON` keeps it over a restart. Cost of a row: O(1) for "lond", O(discoveries) for "lord".
 *
 * Sources: Javanmard and Montanari, "Online rules for control of false discovery rate and false discovery exceedance", Annals of Statistics 46 (2018) (LOND, LORD, gamma); Ramdas, Yang, Wainwright, Jordan, "Online control of the false
 * discovery rate with decaying memory", NeurIPS 2017 (LORD++); Zrnic, Ramdas, Jordan, "Asynchronous online testing of multiple hypotheses", JMLR 22 (2021) (LOND under positive dependence).
 *
 * @example
 *   const stream = OnlineDiscoveries.start({ maxFalseDiscoveryRate: 0.1 });
 *   if (stream.test(pValues.pValue(score)).flagged) refuse(row);
 */
export class OnlineDiscoveries {
  readonly rule: OnlineRule;
  readonly maxFalseDiscoveryRate: number;
  #tested: number;
  readonly #times: number[];

  private constructor(rule: OnlineRule, maxFalseDiscoveryRate: number, tested: number, times: number[]) {
    this.rule = rule;
    this.maxFalseDiscoveryRate = maxFalseDiscoveryRate;
    this.#tested = tested;
    this.#times = times;
    Object.freeze(this);
  }

  /**
   * A stream of which nothing was seen.
   *
   * @param options - `maxFalseDiscoveryRate` (0.1), `rule` ("lond")
   * @throws RangeError for a rate outside (0, 1) or another rule
   * @example OnlineDiscoveries.start().test(0.001).flagged // true
   */
  static start(options: OnlineDiscoveriesOptions = {}): OnlineDiscoveries {
    const where = "OnlineDiscoveries.start", { maxFalseDiscoveryRate = 0.1, rule = "lond" } = options;
    if (!(maxFalseDiscoveryRate > 0 && maxFalseDiscoveryRate < 1)) throw rangeError(where, "maxFalseDiscoveryRate", "in (0, 1)", `${maxFalseDiscoveryRate}`);
    if (!RULES.includes(rule)) throw rangeError(where, "rule", '"lond" or "lord"', `${rule as string}`);
    return new OnlineDiscoveries(rule, maxFalseDiscoveryRate, 0, []);
  }

  /** Rows so far. */
  get tested(): number {
    return this.#tested;
  }

  /** Rows that were flagged so far. */
  get discoveries(): number {
    return this.#times.length;
  }

  /** What the next p-value will be compared with. */
  get level(): number {
    const t = this.#tested + 1, q = this.maxFalseDiscoveryRate, times = this.#times;
    if (this.rule === "lond") return q * gamma(t) * (1 + times.length);
    return times.reduce((sum, time, j) => sum + (j === 0 ? q / 2 : q) * gamma(t - time), (q / 2) * gamma(t));
  }

  /**
   * The decision for the next row.
   *
   * @param pValue - in [0, 1]: `ConformalPValues.pValue` of its score
   * @throws RangeError for a p-value outside [0, 1] or NaN; the stream stays as it was
   */
  test(pValue: number): OnlineDecision {
    if (!(pValue >= 0 && pValue <= 1)) throw rangeError("OnlineDiscoveries.test", "pValue", "in [0, 1]", `${pValue}`);
    const { level } = this, flagged = pValue <= level;
    this.#tested++;
    if (flagged) this.#times.push(this.#tested);
    return { flagged, level };
  }

  toJSON(): OnlineDiscoveriesJSON {
    return { format: FORMAT, version: 1, rule: this.rule, maxFalseDiscoveryRate: this.maxFalseDiscoveryRate, tested: this.#tested, discoveries: [...this.#times] };
  }

  /** Reads what `toJSON` wrote; the stream goes on where it was. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): OnlineDiscoveries {
    const fields = readJson("OnlineDiscoveries.fromJSON", json, FORMAT, 1, "@logits/ood");
    const rule = fields.oneOf("rule", RULES), q = fields.number("maxFalseDiscoveryRate", 0, 1), tested = fields.integer("tested", 0, Number.MAX_SAFE_INTEGER), times = fields.value("discoveries");
    if (!(q > 0 && q < 1)) fields.fail("maxFalseDiscoveryRate", "in (0, 1)", `${q}`);
    if (!Array.isArray(times) || !times.every((time, j) => Number.isSafeInteger(time) && time > (j === 0 ? 0 : times[j - 1]) && time <= tested)) return fields.fail("discoveries", `ascending integers in [1, ${tested}]`, JSON.stringify(times));
    return new OnlineDiscoveries(rule, q, tested, [...(times as number[])]);
  }
}

/** gamma_t of Javanmard and Montanari; the factor is that of the R package onlineFDR. */
function gamma(t: number): number {
  const l = log(t);
  return (0.07720838 * (t < 2 ? log(2) : l)) / (t * exp(Math.sqrt(l)));
}
