import { log1p, sigmoid } from "@logits/statistics";
import { asFloat32, asInt32, checkLabels, checkShape, defineLoss, lastingData, rangeError, rowWeights, scoreRows, type Loss, type RowLossOptions, type Tensor, type TensorLike } from "@logits/tensor";
import { checkTargets } from "../elementLoss.ts";
import { softmaxRows } from "../logSoftmaxRow.ts";
import { checkChoice } from "../range.ts";

/** Options of the losses of regions. `weight` is of classes (of the values), `where` and `ignoreIndex` of pixels. */
export interface RegionOptions extends RowLossOptions {
  /** What makes probabilities of the logits. Default: "softmax" for integer labels, "sigmoid" for masks; "none": they are probabilities. */
  readonly activation?: "softmax" | "sigmoid" | "none";
  /** Over what a class is summed: all rows of the batch (default; one value for each class), or those of one image, the first axis (one for each image and class). */
  readonly per?: "batch" | "image";
  /** A class without a target: "skip" takes no part, "count" as the formula says, "zero" counts with the value 0. Default "skip". */
  readonly absent?: "skip" | "count" | "zero";
}

/** A loss of regions: logits, and integer labels (the shape without the axis of the classes) or masks (the same shape). */
export type RegionLoss<Options extends RegionOptions = RegionOptions> = Loss<[logits: TensorLike, targets: TensorLike], Options>;

/** Probabilities, targets and mask of every pixel and class [rows, classes]; a unit is a class of the batch or of an image. */
export interface Regions {
  readonly p: Float64Array;
  readonly t: Float32Array;
  /** 0 = takes no part. */
  readonly w: Uint8Array;
  readonly classes: number;
  /** How many units there are, and their shape. */
  readonly units: number;
  readonly shape: readonly number[];
  /** The weight of each unit, 0 without pixels, or where its class is absent and skipped. */
  readonly weights: Float32Array;
  /** Whether a unit has a target. */
  readonly present: Uint8Array;
  /** The unit of each element. */
  readonly unit: Int32Array;
  /** The gradient with respect to the logits from that with respect to p, which is 0 where nothing takes part. */
  gradient(dp: Float64Array): Tensor<"float32">;
}

/** Checks the arguments of a loss of regions and takes the activation; `weight` is of the units. */
export function regionsOf(where: string, logits: TensorLike, targets: TensorLike, options: RegionOptions, weight: TensorLike | undefined, defaults: Pick<RegionOptions, "activation" | "absent"> = {}): Regions {
  const { axis = -1, where: pixels, ignoreIndex, per = "batch", absent = defaults.absent ?? "skip", activation: chosen = defaults.activation } = options;
  const x = asFloat32(where, "logits", logits), given = asFloat32(where, "targets", targets), scores = scoreRows(where, "logits", x, { axis, where: pixels }), { z, classes, rows, weights: mask } = scores;
  // One class has no softmax: labels of 0 and 1 are its mask.
  const flat = given.shape.length === scores.shape.length, labelled = flat && classes > 1, activation = chosen ?? (labelled ? "softmax" : "sigmoid");
  checkChoice(where, "per", per, ["batch", "image"]);
  checkChoice(where, "absent", absent, ["skip", "count", "zero"]);
  checkChoice(where, "activation", activation, ["softmax", "sigmoid", "none"]);
  let t: Float32Array = new Float32Array(z.size), kept = mask;
  const w = new Uint8Array(z.size);
  if (labelled) {
    checkShape(where, "targets", given, scores.shape);
    const labels = asInt32(where, "targets", targets), y = labels.data;
    checkLabels(where, "targets", labels, classes, ignoreIndex);
    kept = mask ?? new Float32Array(rows).fill(1);
    for (let r = 0; r < rows; r++) if (y[r] === ignoreIndex) kept[r] = 0;
      else t[r * classes + y[r]] = 1;
  } else {
    checkShape(where, "targets", given, flat ? scores.shape : x.shape);
    t = lastingData(flat ? given : scoreRows(where, "targets", given, { axis }).z);
  }
  for (let r = 0, i = 0; r < rows; r++) for (let c = 0; c < classes; c++, i++) w[i] = (kept !== undefined && kept[r] === 0) || (!labelled && t[i] === ignoreIndex) ? 0 : 1;
  checkTargets(where, t, w, [0, 1]);
  const p = activation === "softmax" ? softmaxRows(z.data, classes) : new Float64Array(z.data);
  if (activation === "sigmoid") for (let i = 0; i < p.length; i++) p[i] = sigmoid(p[i]);
  // Only the hinge means logits by "none". Others would make a small loss of them; what rounding left above 1 is 1.
  if (activation === "none" && defaults.activation !== "none") for (let i = 0; i < p.length; i++) if (w[i] !== 0) {
    if (p[i] < -1e-6 || p[i] > 1 + 1e-6) throw rangeError(where, "logits", 'in [0, 1] with activation "none"', `${p[i]} at index ${i}`);
    p[i] = Math.max(0, Math.min(1, p[i]));
  }
  const images = per === "image" ? scores.shape[0] : 1, units = images * classes, each = rows / images, shape = per === "image" ? [images, classes] : [classes];
  const unit = new Int32Array(z.size), present = new Uint8Array(units), seen = new Uint8Array(units), weights = rowWeights(where, shape, { weight }) ?? new Float32Array(units).fill(1);
  for (let r = 0, i = 0; r < rows; r++) for (let c = 0, at = Math.floor(r / each) * classes; c < classes; c++, i++) {
    unit[i] = at + c;
    if (w[i] !== 0) seen[at + c] = 1;
    if (w[i] !== 0 && t[i] > 0) present[at + c] = 1;
  }
  for (let u = 0; u < units; u++) if (seen[u] === 0 || (absent === "skip" && present[u] === 0)) weights[u] = 0;
  return {
    p, t, w, classes, units, shape, weights, present, unit,
    gradient(dp) {
      const grad = new Float32Array(dp.length);
      for (let row = 0; row < dp.length; row += classes) {
        // p is not read where nothing takes part: it may be NaN there.
        let mean = 0, some = false;
        for (let i = row; i < row + classes; i++) if (dp[i] !== 0) {
          mean += p[i] * dp[i];
          some = true;
        }
        if (some) for (let i = row; i < row + classes; i++) grad[i] = activation === "softmax" ? p[i] * (dp[i] - mean) : dp[i] === 0 ? 0 : dp[i] * (activation === "sigmoid" ? p[i] * (1 - p[i]) : 1);
      }
      return scores.gradient(grad);
    },
  };
}

/** Sums over the pixels of one class: of p t, p, t, p^2, t^2 and 1. */
export type Sums = Float64Array;

/** The value from the sums; writes its derivatives with respect to the sums of p t, p and p^2. */
export type RegionTerms = (sums: Sums, slopes: Float64Array) => number;

/** What a loss makes of its options. */
export interface RegionPlan {
  readonly terms: RegionTerms;
  /** Sums over all classes, each scaled by the inverse square of its targets: one value for the batch, or for each image. */
  readonly joint?: boolean;
  /** What is summed in place of p, and its derivative. */
  readonly map?: (p: number) => readonly [value: number, slope: number];
}

/** Makes a loss that depends on a class through sums over its pixels alone. */
export function regionLoss<Options extends RegionOptions = RegionOptions>(name: string, plan: (options: Options, where: string) => RegionPlan): RegionLoss<Options> {
  return defineLoss(name, 2, (where, [logits, targets]: [TensorLike, TensorLike], options: Options) => {
    const { terms, joint = false, map } = plan(options, where), { weight, absent = "skip" } = options;
    const { p, t, w, classes, units, shape, weights, present, unit, gradient } = regionsOf(where, logits, targets, options, joint ? undefined : weight);
    const a = map === undefined ? p : p.map((x) => map(x)[0]), sums = new Float64Array(6 * units), scales = new Float64Array(units).fill(1);
    for (let i = 0; i < p.length; i++) {
      if (w[i] === 0) continue;
      const at = 6 * unit[i];
      sums[at] += a[i] * t[i];
      sums[at + 1] += a[i];
      sums[at + 2] += t[i];
      sums[at + 3] += a[i] * a[i];
      sums[at + 4] += t[i] * t[i];
      sums[at + 5]++;
    }
    const groups = joint ? units / classes : units, groupOf = (u: number): number => (joint ? Math.floor(u / classes) : u), groupWeights = joint ? new Float32Array(groups) : weights, groupShape = joint ? shape.slice(0, -1) : shape;
    if (joint) {
      for (let g = 0; g < groups; g++) {
        const part = scales.subarray(g * classes, (g + 1) * classes).map((_, c) => (present[g * classes + c] ? 1 / sums[6 * (g * classes + c) + 2] ** 2 : 0)), largest = part.reduce((x, y) => Math.max(x, y), 0);
        scales.set(part.map((scale) => (scale === 0 && absent === "count" ? largest : scale)), g * classes);
        groupWeights[g] = largest === 0 ? 0 : 1;
      }
      rowWeights(where, groupShape, { weight })?.forEach((x, g) => (groupWeights[g] *= x));
    }
    return {
      shape: groupShape,
      weights: groupWeights,
      pass(coefficients) {
        const totals = new Float64Array(6 * groups), values = new Float64Array(groups), slopes = new Float64Array(3 * groups);
        for (let i = 0; i < sums.length; i++) totals[6 * groupOf(Math.floor(i / 6)) + (i % 6)] += scales[Math.floor(i / 6)] * sums[i];
        for (let g = 0; g < groups; g++) {
          if (groupWeights[g] === 0 || (absent === "zero" && !joint && present[g] === 0)) continue;
          values[g] = terms(totals.subarray(6 * g, 6 * g + 6), slopes.subarray(3 * g, 3 * g + 3));
        }
        return {
          values,
          gradients: () => {
            const dp = new Float64Array(p.length);
            for (let i = 0; i < dp.length; i++) {
              const u = unit[i], g = joint ? groupOf(u) : u, c = w[i] * coefficients![g] * scales[u];
              if (c !== 0) dp[i] = c * (slopes[3 * g] * t[i] + slopes[3 * g + 1] + 2 * slopes[3 * g + 2] * a[i]) * (map === undefined ? 1 : map(p[i])[1]);
            }
            return { grad: gradient(dp) };
          },
        };
      },
    };
  });
}

/**
 * One minus top / (top + miss), with top = a p t + s and miss = alpha (p - p t) + beta (t - p t) in sums: every measure of overlap; `squared`: of p^2 and t^2. Nothing predicted and nothing there: 0.
 * `logarithm`: -log of the ratio. What is missed is summed, not the difference of the sides: neither 0 nor 1 loses its digits.
 */
export function overlap(a: number, s: number, alpha: number, beta: number, { squared = false, logarithm = false }: { readonly squared?: boolean; readonly logarithm?: boolean } = {}): RegionTerms {
  return ([tp, p, t, pp, tt], slopes) => {
    const top = a * tp + s, miss = squared ? alpha * (pp - tp) + beta * (tt - tp) : alpha * (p - tp) + beta * (t - tp), bottom = top + miss, own = squared ? 2 : 1;
    if (bottom === 0) return 0;
    slopes[0] = logarithm ? (a - alpha - beta) / bottom - a / top : (-(alpha + beta) * top - a * miss) / bottom ** 2;
    slopes[own] = logarithm ? alpha / bottom : (alpha * top) / bottom ** 2;
    return logarithm ? log1p(miss / top) : miss / bottom;
  };
}

/** A function of the value of other terms. */
export function after(terms: RegionTerms, value: (v: number) => number, slope: (v: number) => number): RegionTerms {
  return (sums, slopes) => {
    const v = terms(sums, slopes), d = slope(v);
    for (let k = 0; k < 3; k++) slopes[k] *= d;
    return value(v);
  };
}
