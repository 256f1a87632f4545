import { asFloat32, type TensorLike } from "./convert.ts";
import { rangeError, typeError } from "./errors.ts";
import { checkReduction, reduceRows, type Loss, type LossOptions } from "./loss.ts";
import type { Tensor } from "./tensor.ts";
import { watchedOptions } from "./watchedOptions.ts";

/** A loss whose arguments are checked: what `defineLoss` makes the value and the gradient of. */
export interface LossPlan<Gradients> {
  /** The shape of the values, one for each row, anchor, class or element: that of the result where nothing is reduced. */
  readonly shape: readonly number[];
  /** The weight of each value; 0 = takes no part, its value is not read. Default 1. */
  readonly weights?: Float32Array | undefined;
  /**
   * The values; where `coefficients` are given, the gradients of sum_i coefficients[i] values[i] as well, in the same pass: `gradients` hands them out and is not called without coefficients.
   * The coefficients hold upstream, weight and mean.
   */
  pass(coefficients?: Float64Array): { readonly values: Float32Array | Float64Array; gradients(): Gradients };
}

/**
 * Makes a `Loss`, a value that is callable and has `withGrad`, from a function that checks its arguments and plans one pass over them. Reduction, weights and upstream are the same for every loss.
 *
 *   loss = sum_i w[i] v[i] / sum_i w[i]   ("mean"; "sum": without the division; "none": w[i] v[i])
 *
 * @param name - for messages; `.withGrad` is added where the gradient is asked for
 * @param count - number of positional arguments before the options
 * @param plan - checks the arguments (`where` for messages), reads every option that the loss has, whether this call needs it or not, and returns the pass; `watchedOptions` tells what counts as reading
 * @returns the loss; it throws TypeError for options that are no object, not the last argument or not read by the plan, RangeError for another reduction, and what `plan` throws
 * @example
 *   const squaredError = defineLoss("squaredError", 2, (where, [x, y]: readonly [TensorLike, TensorLike]) => {
 *     const a = asFloat32(where, "x", x).data, b = asFloat32(where, "y", y).data;
 *     return {
 *       shape: [a.length],
 *       pass: (c) => ({ values: a.map((v, i) => (v - b[i]) ** 2), gradients: () => ({ grad: new Tensor("float32", [a.length], a.map((v, i) => 2 * c![i] * (v - b[i]))) }) }),
 *     };
 *   });
 * Source: this library.
 */
export function defineLoss<Arguments extends readonly unknown[], Options extends LossOptions = LossOptions, Gradients extends object = { readonly grad: Tensor<"float32"> }>(
  name: string,
  count: Arguments["length"],
  plan: (where: string, args: Arguments, options: Options) => LossPlan<Gradients>,
): Loss<Arguments, Options, Gradients> {
  const planned = (where: string, args: readonly unknown[], read: readonly string[]): { readonly given: Options & { readonly upstream?: TensorLike } } & LossPlan<Gradients> => {
    const given = (args[count] === undefined ? {} : args[count]) as Options;
    if (args.length > count + 1) throw typeError(where, "options", `as the last argument, after ${count} others`, `${args.length} arguments`);
    const { options, refuseUnread } = watchedOptions(where, given, read);
    checkReduction(where, given.reduction);
    const made = plan(where, args.slice(0, count) as readonly unknown[] as Arguments, options);
    refuseUnread();
    return { given, ...made };
  };
  const loss = (...args: readonly unknown[]): Tensor<"float32"> => {
    const { given, shape, weights, pass } = planned(name, args, ["reduction"]);
    return reduceRows(pass().values, weights, given.reduction, shape);
  };
  const withGrad = (...args: readonly unknown[]): { readonly loss: Tensor<"float32"> } & Gradients => {
    const where = `${name}.withGrad`, { given, shape, weights, pass } = planned(where, args, ["reduction", "upstream"]), { reduction = "mean", upstream } = given;
    const { values, gradients } = pass(coefficientsOf(where, shape, weights, reduction, upstream));
    return { loss: reduceRows(values, weights, reduction, shape), ...gradients() };
  };
  return Object.assign(loss, { withGrad }) as unknown as Loss<Arguments, Options, Gradients>;
}

/** d (upstream . reduced loss) / d value[i]. */
function coefficientsOf(where: string, shape: readonly number[], weights: Float32Array | undefined, reduction: string, upstream: TensorLike | undefined): Float64Array {
  const units = shape.reduce((a, n) => a * n, 1), none = reduction === "none", given = upstream === undefined ? undefined : asFloat32(where, "upstream", upstream), size = none ? units : 1;
  if (given !== undefined && given.size !== size) throw rangeError(where, "upstream", `of shape [${none ? shape.join(", ") : ""}]`, `[${given.shape.join(", ")}]`);
  let mass = 1;
  if (reduction === "mean") mass = weights === undefined ? units : weights.reduce((sum, weight) => sum + weight, 0);
  const out = new Float64Array(units), factors = given?.data;
  for (let i = 0; i < units; i++) {
    const weight = weights === undefined ? 1 : weights[i];
    if (weight !== 0) out[i] = ((factors === undefined ? 1 : factors[none ? i : 0]) * weight) / mass;
  }
  return out;
}
