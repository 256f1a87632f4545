import { sigmoid } from "@logits/statistics";
import { asFloat32, checkShape, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { checkTargets } from "../elementLoss.ts";
import { checkChoice } from "../range.ts";

/** Options of the losses of whole planes. `weight` and `where` are of planes. */
export interface PlaneOptions extends LossOptions {
  /** "sigmoid" (default) of logits, or "none": probabilities or intensities. */
  readonly activation?: "sigmoid" | "none";
}

/** A loss of planes [H, W] with masks of the same shape. */
export type PlaneLoss<Options extends PlaneOptions = PlaneOptions> = Loss<[logits: TensorLike, targets: TensorLike], Options>;

/** The value of a plane; with `gradient`, adds coefficient d value / d p to it. */
export type PlaneTerms = (p: Float64Array, t: Float64Array, height: number, width: number, coefficient: number, gradient?: Float64Array) => number;

/** Makes a loss with one value for each plane, the last two axes: neighbourhoods within it matter. */
export function planeLoss<Options extends PlaneOptions = PlaneOptions>(name: string, terms: (options: Options, where: string) => PlaneTerms): PlaneLoss<Options> {
  return defineLoss(name, 2, (where, [logits, targets]: [TensorLike, TensorLike], options: Options) => {
    const x = asFloat32(where, "logits", logits), t = asFloat32(where, "targets", targets), { activation = "sigmoid" } = options, plane = terms(options, where);
    if (x.shape.length < 2) throw rangeError(where, "logits", "of shape [..., H, W]", `[${x.shape.join(", ")}]`);
    if (x.shape[x.shape.length - 2] * x.shape[x.shape.length - 1] === 0) throw rangeError(where, "logits", "with at least one pixel", `shape [${x.shape.join(", ")}]`);
    checkChoice(where, "activation", activation, ["sigmoid", "none"]);
    checkShape(where, "targets", t, x.shape);
    const shape = x.shape.slice(0, -2), [height, width] = x.shape.slice(-2), size = height * width, weights = rowWeights(where, shape, options);
    checkTargets(where, t.data, weights && t.data.map((_, i) => weights[Math.floor(i / size)]), [0, 1]);
    return {
      shape,
      weights,
      pass(coefficients) {
        const values = new Float64Array(x.size / size), grad = new Float32Array(coefficients ? x.size : 0);
        for (let m = 0; m < values.length; m++) {
          if (weights?.[m] === 0) continue;
          const own = x.data.subarray(m * size, (m + 1) * size), p = activation === "sigmoid" ? new Float64Array(own).map(sigmoid) : new Float64Array(own), slopes = coefficients && new Float64Array(size);
          values[m] = plane(p, new Float64Array(t.data.subarray(m * size, (m + 1) * size)), height, width, coefficients ? coefficients[m] : 0, slopes);
          slopes?.forEach((d, i) => (grad[m * size + i] = activation === "sigmoid" ? d * p[i] * (1 - p[i]) : d));
        }
        return { values, gradients: () => ({ grad: new Tensor("float32", x.shape, grad) }) };
      },
    };
  });
}
