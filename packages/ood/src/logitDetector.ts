import { logitStatistics, type LogitStatistic } from "@logits/core-wasm";
import { Tensor, asFloat32, checkInteger, rangeError, readJson } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows, ScoreStatistic } from "./detector.ts";

const FORMAT = "logits/logit-detector";
const METHODS = ["msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen"] as const;

/** Which statistic of the logits a `LogitDetector` scores by. */
export type LogitDetectorMethod = (typeof METHODS)[number];

/** Options of `LogitDetector.of`. */
export interface LogitDetectorOptions {
  /** T > 0, divides the logits of "msp", "energy", "entropy", "odin" and "gen"; in [2^-126, 2^126]. Default 1, of "odin" 1000. The other methods have none. */
  readonly temperature?: number;
  /** gamma of "gen", in [2^-10, 2^10]. Default 0.1. */
  readonly gamma?: number;
  /** M of "gen", an integer in [1, 2^31 - 1]: how many of the largest probabilities take part. Default 100. */
  readonly top?: number;
}

/** What `LogitDetector` writes as JSON. */
export interface LogitDetectorJSON {
  readonly format: "logits/logit-detector";
  readonly version: 1;
  readonly method: LogitDetectorMethod;
  readonly temperature: number;
  /** Of "gen" only. */
  readonly gamma?: number;
  readonly top?: number;
}

/** The statistic behind a method, and whether a large value means in-distribution. */
const STATISTIC: Readonly<Record<LogitDetectorMethod, readonly [name: Exclude<LogitStatistic, "argmax">, sign: 1 | -1]>> = {
  msp: ["otherProbability", 1],
  maxLogit: ["maxLogit", -1],
  energy: ["energy", 1],
  entropy: ["entropy", 1],
  margin: ["margin", -1],
  odin: ["concentration", -1],
  gen: ["generalizedEntropy", 1],
};
const GAMMA = 0.1, TOP = 100, MOST = 2 ** 31 - 1;

const hasTemperature = (method: LogitDetectorMethod): boolean => method !== "maxLogit" && method !== "margin";

/**
 * Scores rows by their logits alone; nothing is fitted. Higher = more out-of-distribution.
 *
 *   msp       1 - max_c p_c, p = softmax(z / T), as the sum of the other p_c: it orders rows whose largest p is 1 in float32
 *   maxLogit  -max_c z_c                              energy   -T log sum_c exp(z_c / T)
 *   entropy   -sum_c p_c log p_c, in nats             margin   the second largest z minus the largest
 *   odin      -T log(C max_c p_c), T = 1000           gen      the sum of (p_c (1 - p_c))^gamma over the M largest p_c
 *
 * `energy` and `maxLogit` first: they keep the size of the logits, which the softmax divides out. `msp` where only probabilities are known: of log-probabilities every row
 * has energy 0 up to rounding. `energy`, `maxLogit` and `margin` change with the scale of the logits: never compare them between models. `odin` is what is left of ODIN without the gradient of the input: it orders rows as `msp` at its temperature does, and keeps the digits that 1 - p has not got there.
 * `gen` has an advantage where there are many classes. A temperature of a calibrator makes `msp` the temperature-scaled one.
 *
 * Sources: Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution examples", ICLR 2017 (msp); Liu et al., "Energy-based
 * out-of-distribution detection", NeurIPS 2020; Hendrycks et al., "Scaling out-of-distribution detection for real-world settings", ICML 2022 (maxLogit);
 * Liang, Li, Srikant, "Enhancing the reliability of out-of-distribution image detection in neural networks", ICLR 2018 (odin); Liu, Lochman, Zach, "GEN: Pushing the limits of softmax-based out-of-distribution
 * detection", CVPR 2023.
 */
export class LogitDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method: LogitDetectorMethod;
  /** T; 1 for the methods that have none. */
  readonly temperature: number;
  /** gamma of "gen". */
  readonly gamma: number | undefined;
  /** M of "gen". */
  readonly top: number | undefined;
  readonly needs: readonly DetectorNeeds[] = ["logits"];

  private constructor(method: LogitDetectorMethod, temperature: number, gamma: number, top: number) {
    this.method = method;
    this.temperature = temperature;
    [this.gamma, this.top] = method === "gen" ? [gamma, top] : [undefined, undefined];
    Object.freeze(this);
  }

  /**
   * The detector of a method.
   *
   * @param method - "msp", "maxLogit", "energy", "entropy", "margin", "odin" or "gen"
   * @param options - `temperature` (1; 1000 for "odin"), `gamma` (0.1) and `top` (100) of "gen"
   * @throws RangeError for another method, a temperature outside [2^-126, 2^126], or one other than 1 for a method that has none, a `gamma` or `top` out of range or of another method
   * @example
   *   LogitDetector.of("energy").score({ logits: [[9, 0], [1, 0]] }); // -9.0001, -1.3133: the second row is the less usual one
   */
  static of(method: LogitDetectorMethod, options: LogitDetectorOptions = {}): LogitDetector {
    const where = "LogitDetector.of";
    const { temperature = method === "odin" ? 1000 : 1, gamma = GAMMA, top = TOP } = options;
    if (!METHODS.includes(method)) throw rangeError(where, "method", METHODS.map((known) => `"${known}"`).join(", "), `${method}`);
    if (!(temperature >= 2 ** -126 && temperature <= 2 ** 126)) throw rangeError(where, "temperature", "in [2^-126, 2^126]", `${temperature}`);
    if (temperature !== 1 && !hasTemperature(method)) throw rangeError(where, "temperature", `1 for ${method}, whose order a temperature does not change`, `${temperature}`);
    if (method !== "gen") {
      for (const name of ["gamma", "top"] as const) if (options[name] !== undefined) throw rangeError(where, name, `nothing for ${method}`, `${options[name]}`);
    }
    if (!(gamma >= 2 ** -10 && gamma <= 2 ** 10)) throw rangeError(where, "gamma", "in [2^-10, 2^10]", `${gamma}`);
    checkInteger(where, "top", top, 1, MOST);
    return new LogitDetector(method, temperature, gamma, top);
  }

  /** The statistic that the score is. */
  get statistic(): ScoreStatistic {
    const [name, sign] = STATISTIC[this.method];
    return { name, sign, temperature: this.temperature };
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `logits` float32 [..., C], C >= 1; -Infinity = impossible class
   * @returns float32 [...]. A row with NaN: NaN. One possible class: msp, entropy and gen 0, margin -Infinity, odin -T log C. Only -Infinity: maxLogit and energy Infinity, the others NaN.
   *   Largest logit +Infinity: maxLogit and energy -Infinity, margin -Infinity (NaN between two), the others NaN
   * @throws RangeError without `logits`, or for no classes
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const where = "LogitDetector.score";
    if (rows.logits === undefined) throw rangeError(where, "rows", "with `logits`", `${Object.keys(rows).join(", ") || "none"}`);
    const logits = asFloat32(where, "logits", rows.logits);
    const { shape } = logits;
    if (shape.length === 0 || shape[shape.length - 1] === 0) throw rangeError(where, "logits", "of shape [..., C], C >= 1", `[${shape.join(", ")}]`);
    const [name, sign] = STATISTIC[this.method];
    const scores: Tensor<"float32"> = logitStatistics(logits, { temperature: this.temperature, select: [name], gamma: this.gamma, top: this.top })[name];
    // 0 - x, not -x: no negative zero.
    if (sign < 0) for (let i = 0, { data } = scores; i < data.length; i++) data[i] = 0 - data[i];
    return scores;
  }

  toJSON(): LogitDetectorJSON {
    return { format: FORMAT, version: 1, method: this.method, temperature: this.temperature, ...(this.method === "gen" && { gamma: this.gamma, top: this.top }) };
  }

  /** Reads what `toJSON` wrote. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): LogitDetector {
    const fields = readJson("LogitDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const method = fields.oneOf("method", METHODS);
    const temperature = fields.number("temperature", 2 ** -126, 2 ** 126);
    if (temperature !== 1 && !hasTemperature(method)) fields.fail("temperature", `1 for ${method}`, `${temperature}`);
    if (method !== "gen") return new LogitDetector(method, temperature, GAMMA, TOP);
    return new LogitDetector(method, temperature, fields.number("gamma", 2 ** -10, 2 ** 10), fields.integer("top", 1, MOST));
  }
}
