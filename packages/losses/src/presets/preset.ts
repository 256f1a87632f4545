import { asFloat32, asInt32, checkLabels, checkShape, sizeOf, Tensor, watchedOptions, type Loss, type TensorLike } from "@logits/tensor";

/** A loss with the arguments and defaults of another library. `withGrad` gives the gradient of the first argument. */
export interface PresetLoss<Options extends object = object> {
  (predictions: TensorLike, targets: TensorLike, options?: Options): Tensor<"float32">;
  withGrad(predictions: TensorLike, targets: TensorLike, options?: Options & { readonly upstream?: TensorLike }): { readonly loss: Tensor<"float32">; readonly grad: Tensor<"float32"> };
}

/** Which of our losses it is, with which arguments and options. */
export interface Preset {
  readonly loss: Loss<any, any, any>;
  readonly x: Tensor<"float32">;
  readonly t: TensorLike;
  readonly options: object;
  /** Multiplies value and gradient. Default 1. */
  readonly factor?: number;
}

/** Makes a preset; the gradient has the shape of the predictions as they were given. */
export function preset<Options extends object>(name: string, adapt: (where: string, x: Tensor<"float32">, targets: TensorLike, options: Options) => Preset): PresetLoss<Options> {
  const run = (where: string, predictions: TensorLike, targets: TensorLike, given: Options & { readonly upstream?: TensorLike }, withGrad: boolean): { loss: Tensor<"float32">; grad: Tensor<"float32"> } => {
    const { options: watched, refuseUnread } = watchedOptions(where, given, withGrad ? ["upstream"] : []), x = asFloat32(where, "predictions", predictions), { loss, x: own, t, options, factor = 1 } = adapt(where, x, targets, watched);
    refuseUnread();
    const scaled = (y: Tensor<"float32">, shape: readonly number[]): Tensor<"float32"> => new Tensor("float32", shape, factor === 1 ? y.data : y.data.map((v) => factor * v));
    if (!withGrad) {
      const value = loss(own, t, options);
      return { loss: scaled(value, value.shape), grad: own };
    }
    const result = loss.withGrad(own, t, { ...options, ...(given.upstream === undefined ? {} : { upstream: given.upstream }) });
    // Some losses have a gradient for their targets too.
    return { loss: scaled(result.loss, result.loss.shape), grad: scaled(result.grad ?? result.grads.logits, x.shape) };
  };
  return Object.assign((x: TensorLike, t: TensorLike, options?: Options) => run(name, x, t, options ?? ({} as Options), false).loss, {
    withGrad: (x: TensorLike, t: TensorLike, options?: Options & { readonly upstream?: TensorLike }) => run(`${name}.withGrad`, x, t, options ?? ({} as Options), true),
  });
}

/** The same elements in another shape. */
export function reshaped(x: Tensor<"float32">, shape: readonly number[]): Tensor<"float32"> {
  return new Tensor("float32", shape, x.data);
}

/** Labels of classes on an axis (default the last) as masks of the shape of the scores; `where` is 0 in rows of `ignoreIndex`. */
export function masksOf(where: string, targets: TensorLike, shape: readonly number[], { axis = -1, ignoreIndex }: { readonly axis?: number; readonly ignoreIndex?: number | undefined } = {}): { readonly masks: Tensor<"float32">; readonly where: Tensor<"uint8"> } {
  const index = axis < 0 ? axis + shape.length : axis, classes = shape[index], labels = asInt32(where, "targets", targets), inner = sizeOf(shape.slice(index + 1)), masks = new Float32Array(sizeOf(shape)), kept = new Uint8Array(masks.length);
  checkShape(where, "targets", labels, shape.filter((_, i) => i !== index));
  checkLabels(where, "targets", labels, classes, ignoreIndex);
  labels.data.forEach((y, r) => {
    const at = Math.floor(r / inner) * classes * inner + (r % inner);
    if (y === ignoreIndex) return;
    masks[at + y * inner] = 1;
    for (let c = 0; c < classes; c++) kept[at + c * inner] = 1;
  });
  return { masks: new Tensor("float32", shape, masks), where: new Tensor("uint8", shape, kept) };
}
