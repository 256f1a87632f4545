import { exp } from "@logits/statistics";
import { asInt32, checkInteger, checkPositive, rangeError, readJson } from "@logits/tensor";
import { checkRange } from "../range.ts";
import { answersOf, meanRow, type Answers } from "./predictions.ts";
import { Threshold, type SelectOptions } from "./threshold.ts";

const MOMENTUM = 0.999;

/** Moves state[at...] towards `values` by 1 - momentum. */
function average(state: Float64Array, at: number, values: ArrayLike<number>, momentum: number): void {
  for (let i = 0; i < values.length; i++) state[at + i] = momentum * state[at + i] + (1 - momentum) * values[i];
}

function fraction(where: string, name: string, value: number): number {
  checkRange(where, name, value, 0, 1);
  return value;
}

/**
 * One threshold for all.
 *
 *   weight = [max p >= threshold]
 *
 * @param options - `threshold`, in [0, 1] (0.95)
 * @example
 *   new FixMatchThreshold().select([[4, 0], [1, 0]]).weight; // 1, 0: 0.982 and 0.731
 * Source: Sohn et al., "FixMatch", NeurIPS 2020 (arXiv:2001.07685).
 */
export class FixMatchThreshold extends Threshold {
  readonly kind = "fixmatch";
  constructor({ threshold = 0.95 }: { readonly threshold?: number } = {}, state: ArrayLike<number> = []) {
    super({ threshold: fraction("FixMatchThreshold", "threshold", threshold) }, state);
  }

  thresholds(): Float64Array {
    return Float64Array.of(this.options.threshold);
  }

  protected weigh(_: string, answers: Answers, weight: Float32Array): void {
    this.cut(answers, weight);
  }
}

/**
 * Lower thresholds for classes that are learnt late: by how many rows of the unlabelled set were last answered with the class confidently.
 *
 *   threshold[c] = threshold b / (2 - b),   b = count[c] / max(max_k count[k], rows not yet counted)
 *
 * @param options - `classes` C; `size`, rows of the unlabelled set; `threshold` (0.95). State: the last confident answer of each row
 * @example
 *   new FlexMatchThreshold({ classes: 2, size: 1000 }).select(logits, { ids });
 * Source: Zhang et al., "FlexMatch", NeurIPS 2021 (arXiv:2110.08263), with its warm-up; the counts are those before the batch, as in USB.
 */
export class FlexMatchThreshold extends Threshold {
  readonly kind = "flexmatch";
  constructor({ classes, size, threshold = 0.95 }: { readonly classes: number; readonly size: number; readonly threshold?: number }, state?: ArrayLike<number>) {
    const where = "FlexMatchThreshold";
    checkInteger(where, "classes", classes, 1, 2147483647);
    checkInteger(where, "size", size, 1, 2147483647);
    super({ classes, size, threshold: fraction(where, "threshold", threshold) }, state ?? new Float64Array(size).fill(-1));
  }

  thresholds(): Float64Array {
    const { classes, threshold } = this.options, counts = new Float64Array(classes);
    let open = 0;
    for (const label of this.state) if (label < 0) open++; else counts[label]++;
    const most = counts.reduce((a, b) => Math.max(a, b), open);
    return counts.map((count) => { const b = count / most; return (threshold * b) / (2 - b); });
  }

  protected weigh(where: string, answers: Answers, weight: Float32Array, { ids }: SelectOptions): void {
    const { size, threshold } = this.options, { rows, labels, confidence } = answers;
    if (ids === undefined) throw rangeError(where, "ids", `int32 [${rows}], which rows of the unlabelled set these are`, "undefined");
    const at = asInt32(where, "ids", ids);
    if (at.size !== rows) throw rangeError(where, "ids", `of shape [${rows}]`, `[${at.shape.join(", ")}]`);
    for (let i = 0; i < rows; i++) checkInteger(where, `ids[${i}]`, at.data[i], 0, size - 1);
    this.cut(answers, weight);
    for (let i = 0; i < rows; i++) if (confidence[i] >= Math.fround(threshold)) this.state[at.data[i]] = labels[i];
  }
}

/**
 * Thresholds that follow the model's own confidence, of all rows and of each class.
 *
 *   t = EMA(mean max p),   q = EMA(mean p),   threshold[c] = t q[c] / max_k q[k]
 *
 * @param options - `classes` C; `momentum`, in [0, 1] (0.999). State: t, q and the EMA of the answers' frequencies, all from 1 / C
 * @example
 *   const rule = new FreeMatchThreshold({ classes: 10 });
 *   const { labels, weight } = rule.select(weakLogits);
 * Source: Wang et al., "FreeMatch", ICLR 2023 (arXiv:2205.07246), equations 5 to 8.
 */
export class FreeMatchThreshold extends Threshold {
  readonly kind = "freematch";
  constructor({ classes, momentum = MOMENTUM }: { readonly classes: number; readonly momentum?: number }, state?: ArrayLike<number>) {
    const where = "FreeMatchThreshold";
    checkInteger(where, "classes", classes, 1, 2147483647);
    super({ classes, momentum: fraction(where, "momentum", momentum) }, state ?? new Float64Array(1 + 2 * classes).fill(1 / classes));
  }

  /** EMA of the mean prediction, [C]: what `fairnessLoss` takes. */
  get prediction(): Float64Array {
    return this.state.slice(1, 1 + this.options.classes);
  }

  /** EMA of the frequencies of the answers, [C]: what `fairnessLoss` takes. */
  get histogram(): Float64Array {
    return this.state.slice(1 + this.options.classes);
  }

  thresholds(): Float64Array {
    const q = this.prediction, most = q.reduce((a, b) => Math.max(a, b));
    return q.map((x) => (this.state[0] * x) / most);
  }

  protected weigh(_: string, answers: Answers, weight: Float32Array): void {
    const { classes, momentum } = this.options, { rows, labels, confidence } = answers;
    if (rows > 0) {
      const histogram = new Float64Array(classes);
      for (const label of labels) histogram[label] += 1 / rows;
      average(this.state, 0, [confidence.reduce((sum, p) => sum + p, 0) / rows], momentum);
      average(this.state, 1, meanRow(answers.p.data, classes), momentum);
      average(this.state, 1 + classes, histogram, momentum);
    }
    this.cut(answers, weight);
  }
}

/**
 * Weights instead of a cut: 1 above the mean confidence, a Gaussian's tail below it.
 *
 *   weight = exp(-min(max p - m, 0)^2 deviations^2 / (2 v)),   m, v = EMA of mean and variance of max p
 *
 * @param options - `classes` C; `deviations` (2, as in USB; the paper has 1); `momentum` (0.999). State: m and v, from 1 / C and 1
 * @example
 *   const { labels, weight } = new SoftMatchThreshold({ classes: 10 }).select(alignment.align(weakLogits), { input: "probabilities" });
 * Source: Chen et al., "SoftMatch", ICLR 2023 (arXiv:2301.10921); the factor `deviations` from USB.
 */
export class SoftMatchThreshold extends Threshold {
  readonly kind = "softmatch";
  constructor({ classes, deviations = 2, momentum = MOMENTUM }: { readonly classes: number; readonly deviations?: number; readonly momentum?: number }, state?: ArrayLike<number>) {
    const where = "SoftMatchThreshold";
    checkInteger(where, "classes", classes, 1, 2147483647);
    checkPositive(where, "deviations", deviations);
    super({ classes, deviations, momentum: fraction(where, "momentum", momentum) }, state ?? [1 / classes, 1]);
  }

  thresholds(): Float64Array {
    return Float64Array.of(this.state[0]);
  }

  protected weigh(_: string, { rows, confidence }: Answers, weight: Float32Array): void {
    const { deviations, momentum } = this.options;
    // A variance needs two rows.
    if (rows > 1) {
      const mean = confidence.reduce((sum, p) => sum + p, 0) / rows;
      average(this.state, 0, [mean, confidence.reduce((sum, p) => sum + (p - mean) ** 2, 0) / (rows - 1)], momentum);
    }
    const [m, v] = this.state;
    for (let i = 0; i < rows; i++) {
      const gap = Math.min(confidence[i] - m, 0) * deviations;
      weight[i] = gap === 0 ? 1 : exp(-(gap * gap) / (2 * v));
    }
  }
}

/**
 * A threshold relative to the confidence on labelled rows of the same step.
 *
 *   threshold = ratio mean_i max_c p_labelled[i, c]
 *
 * @param options - `ratio`, in [0, 1] (0.9)
 * @example
 *   new AdaMatchThreshold().select(aligned, { labelled: softmax(labelledLogits), input: "probabilities" });
 * Source: Berthelot et al., "AdaMatch", ICLR 2022 (arXiv:2106.04732), section 3.3.
 */
export class AdaMatchThreshold extends Threshold {
  readonly kind = "adamatch";
  constructor({ ratio = 0.9 }: { readonly ratio?: number } = {}, state: ArrayLike<number> = [0]) {
    super({ ratio: fraction("AdaMatchThreshold", "ratio", ratio) }, state);
  }

  thresholds(): Float64Array {
    return Float64Array.of(this.options.ratio * this.state[0]);
  }

  protected weigh(where: string, answers: Answers, weight: Float32Array, { labelled, input }: SelectOptions): void {
    if (labelled === undefined) throw rangeError(where, "labelled", "scores of the labelled rows of the step", "undefined");
    const { rows, confidence } = answersOf(where, "labelled", labelled, input, answers.classes);
    if (rows === 0) throw rangeError(where, "labelled", "at least one row", "none");
    this.state[0] = confidence.reduce((sum, p) => sum + p, 0) / rows;
    this.cut(answers, weight);
  }
}

/**
 * A threshold that follows the most confident row of each answered class.
 *
 *   threshold = EMA(mean over answered classes of the largest confidence of the class)
 *
 * @param options - `initial` (0.85), `momentum` (0.999). State: the threshold
 * @example
 *   const { labels, weight } = new CorrMatchThreshold().select(pixelLogits);
 * Source: Sun et al., "CorrMatch", CVPR 2024 (arXiv:2306.04300), section 3.3, and the authors' code.
 */
export class CorrMatchThreshold extends Threshold {
  readonly kind = "corrmatch";
  constructor({ initial = 0.85, momentum = MOMENTUM }: { readonly initial?: number; readonly momentum?: number } = {}, state?: ArrayLike<number>) {
    const where = "CorrMatchThreshold";
    super({ initial: fraction(where, "initial", initial), momentum: fraction(where, "momentum", momentum) }, state ?? [initial]);
  }

  thresholds(): Float64Array {
    return this.state.slice();
  }

  protected weigh(_: string, answers: Answers, weight: Float32Array): void {
    const { rows, classes, labels, confidence } = answers, tops = new Float64Array(classes);
    for (let i = 0; i < rows; i++) tops[labels[i]] = Math.max(tops[labels[i]], confidence[i]);
    const seen = tops.filter((top) => top > 0);
    if (seen.length > 0) average(this.state, 0, [seen.reduce((sum, top) => sum + top, 0) / seen.length], this.options.momentum);
    this.cut(answers, weight);
  }
}

/**
 * A bound on the loss of the pseudo-label, which falls with every call of `advance`.
 *
 *   weight = [-log max p <= bound],   bound = max(ratio decay^-steps initial, least)
 *
 * @param options - `initial`, the mean loss of the labelled rows after a warm-up; `ratio` (1.0001), `decay` (1.27), `least` (0.05). State: steps
 * @example
 *   const rule = new DashThreshold({ initial: 1.2 });
 *   rule.advance(); // every tenth epoch in the paper
 * Source: Xu et al., "Dash", ICML 2021 (arXiv:2109.00650).
 */
export class DashThreshold extends Threshold {
  readonly kind = "dash";
  constructor({ initial, ratio = 1.0001, decay = 1.27, least = 0.05 }: { readonly initial: number; readonly ratio?: number; readonly decay?: number; readonly least?: number }, state: ArrayLike<number> = [0]) {
    for (const [name, value] of Object.entries({ initial, ratio, decay, least })) checkPositive("DashThreshold", name, value);
    super({ initial, ratio, decay, least }, state);
  }

  /** One step further: the bound falls by `decay`. */
  advance(): void {
    this.state[0]++;
  }

  thresholds(): Float64Array {
    const { initial, ratio, decay, least } = this.options;
    let bound = ratio * initial;
    for (let step = 0; step < this.state[0] && bound > least; step++) bound /= decay;
    return Float64Array.of(exp(-Math.max(bound, least)));
  }

  protected weigh(_: string, answers: Answers, weight: Float32Array): void {
    this.cut(answers, weight);
  }
}

type Rule = new (options: any, state?: ArrayLike<number>) => Threshold;

/**
 * A rule as `toJSON` wrote it: training goes on where it stopped.
 *
 * @param json - the parsed JSON
 * @returns the rule, with its running statistics
 * @throws FormatError for another format or version, an unknown kind, a field that is none
 * @example
 *   const rule = thresholdFromJSON(JSON.parse(text));
 * Source: this library.
 */
export function thresholdFromJSON(json: unknown): Threshold {
  const where = "thresholdFromJSON", fields = readJson(where, json, "logits/threshold", 1, "@logits/losses");
  const rules: Record<string, Rule> = { fixmatch: FixMatchThreshold, flexmatch: FlexMatchThreshold, freematch: FreeMatchThreshold, softmatch: SoftMatchThreshold, adamatch: AdaMatchThreshold, corrmatch: CorrMatchThreshold, dash: DashThreshold };
  const kind = fields.oneOf("kind", Object.keys(rules)), options = fields.value("options"), state = fields.value("state");
  if (typeof options !== "object" || options === null || Array.isArray(options)) fields.fail("options", "an object of numbers", `${options}`);
  if (!Array.isArray(state) || state.some((x) => typeof x !== "number" || !Number.isFinite(x))) fields.fail("state", "a list of finite numbers", `${state}`);
  const made = (given?: readonly number[]): Threshold => {
    try {
      return new rules[kind](options, given);
    } catch (error) {
      return fields.fail("options", "options of the rule", (error as Error).message);
    }
  };
  const { length } = made().toJSON().state, list = state as number[];
  if (list.length !== length) fields.fail("state", `${length} numbers`, `${list.length}`);
  const { classes = 0 } = options as { classes?: number };
  if (kind === "flexmatch" && list.some((label) => !Number.isInteger(label) || label < -1 || label >= classes)) fields.fail("state", `labels in [-1, ${classes})`, "another number");
  if (kind !== "flexmatch" && list.some((x) => x < 0)) fields.fail("state", "no negative number", `${list.find((x) => x < 0)}`);
  return made(list);
}
