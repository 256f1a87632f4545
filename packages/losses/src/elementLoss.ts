import { asFloat32, checkShape, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { withoutIgnored } from "./labelled.ts";

/** A loss of one element. Arguments: those of the loss at this element (`z` = 0 where there are two), and its index. */
export interface ElementTerms {
  value(x: number, y: number, z: number, i: number): number;
  /** d value / d argument, one for each argument but the targets. */
  readonly slopes: readonly ((x: number, y: number, z: number, i: number) => number)[];
}

/** A loss with predictions and targets of the same shape: one value for each element. */
export type ElementLoss<Options extends LossOptions = LossOptions> = Loss<[predictions: TensorLike, targets: TensorLike], Options>;

/** What a loss with more than one differentiable argument hands out. */
export interface NamedGradients<Names extends string> {
  readonly grads: { readonly [Name in Names]: Tensor<"float32"> };
}

/**
 * Makes a loss with one value for each element of arguments of one shape, targets last: value and slopes of one element are all that differs between binary cross-entropy, focal and robust losses.
 * Elements whose target is `ignoreIndex` take no part; with `range`, other targets are checked.
 */
export function elementsLoss<Arguments extends readonly TensorLike[], Options extends LossOptions, Gradients extends object>(
  name: string,
  names: readonly string[],
  terms: (options: Options, where: string, shape: readonly number[]) => ElementTerms,
  range?: readonly [low: number, high: number],
): Loss<Arguments, Options, Gradients> {
  return defineLoss<Arguments, Options, Gradients>(name, names.length, (where, args, options) => {
    const tensors = args.map((x, k) => asFloat32(where, names[k], x)), { shape, size } = tensors[0], [a, b, c] = tensors.map((x) => x.data), targets = tensors[names.length - 1].data;
    tensors.forEach((x, k) => checkShape(where, names[k], x, shape));
    const { value, slopes } = terms(options, where, shape), weights = withoutIgnored(rowWeights(where, shape, options), targets, options.ignoreIndex);
    if (range !== undefined) checkTargets(where, targets, weights, range);
    return {
      shape,
      weights,
      pass(coefficients) {
        const values = new Float64Array(size), grads = slopes.map(() => new Float32Array(coefficients === undefined ? 0 : size));
        for (let i = 0; i < size; i++) {
          if (weights?.[i] === 0) continue;
          const x = a[i], y = b[i], z = c === undefined ? 0 : c[i];
          values[i] = value(x, y, z, i);
          if (coefficients !== undefined) for (let k = 0; k < grads.length; k++) grads[k][i] = coefficients[i] * slopes[k](x, y, z, i);
        }
        const tensor = (k: number): Tensor<"float32"> => new Tensor("float32", shape, grads[k]);
        return { values, gradients: () => (grads.length === 1 ? { grad: tensor(0) } : { grads: Object.fromEntries(grads.map((_, k) => [names[k], tensor(k)])) }) as unknown as Gradients };
      },
    };
  });
}

/** As `elementsLoss`, for predictions and targets. */
export function elementLoss<Options extends LossOptions = LossOptions>(
  name: string,
  terms: (options: Options, where: string, shape: readonly number[]) => { value: ElementTerms["value"]; slope: ElementTerms["value"] },
  range?: readonly [low: number, high: number],
  predictions: string = range === undefined ? "predictions" : "logits",
): ElementLoss<Options> {
  return elementsLoss(name, [predictions, "targets"], (options: Options, where, shape) => {
    const { value, slope } = terms(options, where, shape);
    return { value, slopes: [slope] };
  }, range);
}

/** Refuses targets outside [low, high] where they take part. */
export function checkTargets(where: string, targets: Float32Array, weights: ArrayLike<number> | undefined, [low, high]: readonly [number, number]): void {
  for (let i = 0; i < targets.length; i++) {
    if (!(targets[i] >= low && targets[i] <= high) && weights?.[i] !== 0) throw rangeError(where, "targets", high === Infinity ? `of at least ${low}` : `in [${low}, ${high}]`, `${targets[i]} at index ${i}`);
  }
}

/** a b, where 0 times anything is 0. */
export function times(a: number, b: number): number {
  return a === 0 ? 0 : a * b;
}
