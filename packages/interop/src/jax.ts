import { Tensor, describe, typeError, type Loss, type LossOptions } from "@logits/tensor";

/** An array of jax-js, as far as a loss needs it. */
export interface JaxArray {
  readonly shape: readonly number[];
  /** Consumes the array. */
  dataSync(): unknown;
}

/** The part of `@jax-js/jax` that differentiates. */
export interface JaxCore {
  vjp(f: (...args: any[]) => any, primals: any): readonly [any, ((cotangents: any) => any) & { dispose?(): void }, ...unknown[]];
  readonly numpy: { array(data: Float32Array<ArrayBuffer>, options: { shape: number[] }): any };
}

/** Value and gradient of a loss of a model's scores with respect to its parameters. */
export interface JaxValueAndGrad<Parameters> {
  /** The loss. */
  readonly loss: Tensor<"float32">;
  /** The parameters' gradient: arrays of jax-js in the structure of the parameters; they are the caller's to use or dispose of. */
  readonly grads: Parameters;
}

/**
 * A loss at the end of a jax-js model: value and gradient with respect to the model's parameters.
 *
 *   grads = J(parameters)' dloss/dscores,   scores = model(parameters)
 *
 * jax-js has no custom gradients, but `vjp` is enough: the model is differentiated by jax-js, the loss by itself, in one pass, and its gradient is what the model's backward pass starts from.
 *
 * @param jax - `@jax-js/jax`, on a backend whose arrays can be read synchronously ("cpu", "wasm")
 * @param loss - any loss with one gradient, `grad`: `focalLoss`, `crossEntropy`, ...
 * @param options - the options of the loss
 * @returns `(model, parameters, ...targets) => { loss, grads }`: `model` maps the parameters (any structure of arrays) to the scores; as everywhere in jax-js a call consumes the parameters, `.ref` keeps them
 * @throws TypeError where jax has no `vjp` or the loss no `withGrad`; whatever the loss refuses
 * @example
 *   const focal = jaxLoss(jax, focalLoss, { gamma: 2 });
 *   const { loss, grads } = focal((w) => numpy.matmul(x.ref, w), weights.ref, labels);
 * Source: `vjp` of @jax-js/jax 0.1.
 */
export function jaxLoss<Targets extends readonly unknown[], Options extends LossOptions>(
  jax: JaxCore,
  loss: Loss<readonly [any, ...Targets], Options, { readonly grad: Tensor<"float32"> }>,
  options?: NoInfer<Options>,
): <Parameters>(model: (parameters: Parameters) => JaxArray, parameters: Parameters, ...targets: Targets) => JaxValueAndGrad<Parameters> {
  const where = "jaxLoss";
  if (typeof jax?.vjp !== "function" || typeof jax.numpy?.array !== "function") throw typeError(where, "jax", "@jax-js/jax with vjp and numpy", describe(jax));
  if (typeof loss?.withGrad !== "function") throw typeError(where, "loss", "a loss with withGrad", describe(loss));
  return (model, parameters, ...targets) => {
    const [scores, back] = jax.vjp(model, [parameters]);
    try {
      const { shape } = scores, z = new Tensor("float32", [...shape], Float32Array.from(scores.dataSync() as ArrayLike<number>));
      const { loss: value, grad } = (loss.withGrad as (...args: unknown[]) => { loss: Tensor<"float32">; grad: Tensor<"float32"> })(z, ...targets, options ?? {});
      const [grads] = back(jax.numpy.array(grad.data as Float32Array<ArrayBuffer>, { shape: [...grad.shape] }));
      return { loss: value, grads };
    } finally {
      back.dispose?.();
    }
  };
}
